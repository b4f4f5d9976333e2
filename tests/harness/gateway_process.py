"""The gateway as its users run it: ``llm-gateway run`` in a process of its own, on a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx
import yaml

from tests.harness.waiting import eventually

ROOT = Path(__file__).parents[2]


def config_for(*provider_urls: str, **sections: Any) -> dict[str, Any]:
    """A configuration with one custom provider per address (p0, p1 …), all serving the model ``m``.

    `sections` are merged over it, two levels deep: ``server={"max_body": "1KiB"}``,
    ``providers={"p0": {"timeouts": {...}}}``. There is one worker, unless ``server={"workers": 2}``.
    """
    config: dict[str, Any] = {
        "server": {"listen": "127.0.0.1:0", "workers": 1},
        "providers": {
            f"p{number}": {"type": "custom", "endpoint": url, "models": {"m": {}}}
            for number, url in enumerate(provider_urls)
        }
        or {"echo": {"type": "echo", "models": {"echo": {}}}},
    }
    for name, section in sections.items():
        if not isinstance(section, dict):
            config[name] = section
            continue
        target = config.setdefault(name, {})
        for key, value in section.items():
            old = target.get(key)
            target[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return config


class Gateway:
    """Runs until the ``with`` block ends; `log` and `access` are its lines so far.

    `lane` says who serves the connections, in every configuration it is given; None leaves that to the
    configuration, and so to the product's default.
    """

    def __init__(
        self, config: Mapping[str, Any], *, lane: str | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gateway-test-")
        self.folder = Path(self._folder.name)
        self._config: Mapping[str, Any] = config
        self._lane = lane
        self._environ = {**os.environ, **(environ or {})}

    def __enter__(self) -> Gateway:
        self.write(self._config)
        self._out = (self.folder / "out").open("wb")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gateway",
                "run",
                "--config",
                str(self.file),
                "--port-file",
                str(self.folder / "port"),
            ],
            stdout=self._out,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=self._environ,
        )
        try:
            eventually(self._is_up, ceiling=30, what="the gateway's start")
        except BaseException:
            self.__exit__()
            raise
        self.port = int((self.folder / "port").read_text())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._out.close()
            self._folder.cleanup()

    def stop(self, *, ceiling: float = 40.0) -> int:
        """Drain and give the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(ceiling)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "gateway.yaml"

    def write(self, config: Mapping[str, Any]) -> None:
        """Change the file; `reload` makes it known. The logs stay where they are unless `config` says."""
        logging = {"access_log": str(self.folder / "access.log"), "log": str(self.folder / "app.log")}
        self._config = {**config, "logging": {**logging, **config.get("logging", {})}}
        if self._lane is not None:
            self._config["server"] = {**config.get("server", {}), "lane": self._lane}
        self.file.write_text(yaml.safe_dump(self._config, sort_keys=False))

    def reload(
        self, config: Mapping[str, Any] | None = None, *, result: str = "success", ceiling: float = 60.0
    ) -> None:
        """SIGHUP, with another configuration if one is given; returns when all workers serve by it or it is refused."""
        if config is not None:
            self.write(config)
        before = self.reloads(result)
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: self.reloads(result) > before, ceiling=ceiling, what=f"the reload's {result}")

    def reloads(self, result: str) -> float:
        return self.metrics()[f'llm_gateway_config_reload_total{{result="{result}"}}']

    @property
    def workers(self) -> list[int]:
        """The processes of the workers, retiring ones too, by slot."""
        return [pid for _, pid in sorted(self.by_slot().items())]

    def by_slot(self) -> dict[int, int]:
        """The processes of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        titles = {int(child): _title(int(child)) for child in children}
        found = {pid: re.fullmatch(r"llm-gateway: worker (\d+)", title) for pid, title in titles.items()}
        return {int(match[1]): pid for pid, match in found.items() if match}

    def kill_worker(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal one of them; gives its process."""
        pid = self.workers[0]
        os.kill(pid, number)
        return pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What it printed."""
        return (self.folder / "out").read_text(errors="replace")

    @property
    def log(self) -> list[dict[str, Any]]:
        return self._lines("app.log")

    @property
    def access(self) -> list[dict[str, Any]]:
        return self._lines("access.log")

    def access_of(self, request_id: str) -> dict[str, Any]:
        """The access line of one request, once it is written."""

        def lines() -> list[dict[str, Any]]:
            return [line for line in self.access if line["request_id"] == request_id]

        return eventually(lines, what=f"the access line of {request_id}")[0]

    def metrics(self) -> dict[str, float]:
        """Every series by its text, e.g. ``llm_gateway_active_requests``."""
        text = httpx.get(f"{self.url}/metrics", timeout=10).text
        pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def chat(self, **fields: Any) -> httpx.Response:
        """A chat request for the model ``m``."""
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=30)

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway exited with {self.process.returncode}:\n{self.output}")
        port = self.folder / "port"
        if not port.exists() or not port.read_text().strip():
            return False
        return "llm-gateway" in self.output  # said when every worker is ready

    def _lines(self, name: str) -> list[dict[str, Any]]:
        file = self.folder / name
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text().split("\n") if line.endswith("}")]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode()
    except OSError:
        return ""
