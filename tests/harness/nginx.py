"""A real nginx in front of a gateway, as operators run it: kept connections, and its default rules for repeating."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.harness.waiting import eventually

CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log access.log;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    upstream gateway {{
        server {upstream} max_fails=0;
        keepalive 64;
        keepalive_timeout 60s;
        keepalive_requests 1000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000;
        location / {{
            proxy_pass {scheme}://gateway;
            {options}
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


class Nginx:
    """Passes everything to `upstream` until the ``with`` block ends."""

    configuration = CONFIGURATION
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")

    def __init__(self, upstream: str, *, scheme: str = "http", options: str = "") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nginx-test-")
        self.folder = Path(self._folder.name)
        self._filled = {"upstream": upstream, "scheme": scheme, "options": options}

    def __enter__(self) -> Nginx:
        assert self.program is not None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        (self.folder / "nginx.conf").write_text(self.configuration.format(port=self.port, **self._filled))
        command = [self.program, "-p", str(self.folder), "-c", "nginx.conf", "-e", "error.log"]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            eventually(self._is_up, ceiling=30, what=f"nginx's start: {self.errors}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._folder.cleanup()

    @property
    def errors(self) -> str:
        file = self.folder / "error.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.errors
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
