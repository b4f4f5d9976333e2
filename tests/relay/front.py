"""nginx as people put it in front: its own configuration in a folder of its own, on a free port."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.harness import eventually

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIG = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream};
      {settings}
    }}
  }}
}}
"""


class Nginx:
    """In front of `upstream`, with further `settings` for its location."""

    def __init__(self, upstream: str, settings: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nginx-test-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = Path(self._folder.name) / "nginx.conf"
        self._config.write_text(
            CONFIG.format(folder=self._folder.name, port=self.port, upstream=upstream, settings=settings)
        )

    def __enter__(self) -> Nginx:
        assert NGINX is not None
        log = f"{self._folder.name}/error.log"
        self._process = subprocess.Popen([NGINX, "-c", str(self._config), "-e", log], cwd=self._folder.name)
        eventually(self._is_up, what="nginx's start")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _is_up(self) -> bool:
        assert self._process.poll() is None, Path(f"{self._folder.name}/error.log").read_text()
        try:
            return httpx.get(f"{self.url}/live", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
