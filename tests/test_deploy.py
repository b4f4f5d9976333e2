"""The shipped files. nginx, in a real one: events arrive as they are sent, errors and ids pass through. The unit."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from gateway.config import Server
from gateway.server.supervisor import CEILING
from tests.harness import Gateway, config_for, eventually

FILE = Path(__file__).parents[1] / "deploy/nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
UNIT = Path(__file__).parents[1] / "deploy/llm-gateway.service"
SYSTEMD = shutil.which("systemd-analyze")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    config = config_for(server={"max_body": "2KiB"})
    config["providers"]["echo"] |= {"models": {"m": {}}, "first_token_delay": "100ms", "pace": "100ms"}
    with Gateway(config) as running:
        yield running


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not installed")
def test_the_unit_is_one(tmp_path: Path) -> None:
    unit = tmp_path / "llm-gateway.service"
    unit.write_text(UNIT.read_text().replace("/opt/llm-gateway/bin/llm-gateway", sys.executable))
    done = subprocess.run([str(SYSTEMD), "verify", unit], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "llm-gateway.service" in line] == []


def test_the_unit_waits_longer_than_a_drain_may_take() -> None:
    written = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")
    server = Server()
    assert int(written["TimeoutStopSec"]) >= server.drain_delay + server.drain_timeout + CEILING
    options = set(re.findall(r"--[\w-]+", written["ExecStart"]))
    assert options <= {"--config", "--pid-file", "--port-file", "--workers"}


@pytest.fixture(scope="module")
def front(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx's address. Its file differs from the shipped one in the ports, and in where it may write."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    text = FILE.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    assert text.count(str(port)) == 1
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        text.replace("http {", "http {\n" + paths, 1).replace("worker_processes auto", "worker_processes 1")
    )
    command = [
        NGINX,
        "-p",
        folder,
        "-c",
        folder / "nginx.conf",
        "-e",
        folder / "error.log",
        "-g",
        f"daemon off; pid {folder}/pid;",
    ]
    with subprocess.Popen(command) as process:  # type: ignore[arg-type]
        try:
            eventually(lambda: process.poll() is not None or connects(port), what="nginx")
            assert process.poll() is None, (folder / "error.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def chat(text: str, **fields: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **fields}


def test_events_come_one_by_one(front: str) -> None:
    """Ten tokens, 0.1 s apart: if nginx collected them, they would all come at the end."""
    began = time.monotonic()
    with httpx.stream(
        "POST", f"{front}/v1/chat/completions", json=chat("a b c d e f g h i j", stream=True), timeout=30
    ) as answer:
        moments = [time.monotonic() - began for _ in answer.iter_bytes()]
    assert answer.status_code == 200
    assert len(moments) >= 5
    assert moments[-1] - moments[0] > 0.4


def test_errors_and_ids_pass_through(front: str) -> None:
    answer = httpx.post(
        f"{front}/v1/chat/completions", json=chat("x" * 4096), headers={"x-request-id": "mine-1"}, timeout=30
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")
    assert answer.headers["x-request-id"] == "mine-1"
    assert len(httpx.get(f"{front}/v1/models", timeout=30).headers["x-request-id"]) == 32
    assert httpx.get(f"{front}/metrics", timeout=30).status_code == 404
