"""The programs of a run take their configurations, and one that fails is quoted."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import machine, programs, settings_files, wrk
from benchmarks.programs import Missing

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")


def test_wrk_with_failures_gives_no_number() -> None:
    good = {"requests": 10, "seconds": 1.0, "p50_ms": 1.0, "p99_ms": 2.0, "bad_status": 0, "broken": 0}
    assert wrk.parse(f"noise\nRESULT {json.dumps(good)}\n") == good
    for bad in ({"bad_status": 1}, {"broken": 2}, {"requests": 0}):
        with pytest.raises(Missing, match="no number"):
            wrk.parse(f"RESULT {json.dumps({**good, **bad})}")
    with pytest.raises(Missing, match="no result"):
        wrk.parse("unable to connect")


def test_a_program_that_dies_is_quoted(tmp_path: Path) -> None:
    stage = programs.Stage(tmp_path, machine.cores({0}), [])
    process = stage.spawn("broken", "0", ["sh", "-c", "echo no such setting; exit 1"])
    with pytest.raises(Missing, match=r"(?s)broken does not start.*no such setting"):
        stage.listening("broken", process, lambda: None)
    stage.close()


@pytest.mark.parametrize(("text", "port"), [("8080\n", 8080), ("127.0.0.1:99", 99), ("", None)])
def test_port_files(tmp_path: Path, text: str, port: int | None) -> None:
    (tmp_path / "port").write_text(text)
    assert programs.read_port(tmp_path / "port") == port
    assert programs.read_port(tmp_path / "absent") is None


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx")
@pytest.mark.parametrize(
    "text",
    [
        lambda folder: settings_files.upstream(folder, 18080),
        lambda folder: settings_files.yardstick(folder, (18081, 18082), (18083, 18084)),
    ],
    ids=["upstream", "yardstick"],
)
def test_nginx_takes_its_configuration(tmp_path: Path, text: Callable[[Path], str]) -> None:
    (tmp_path / "nginx.conf").write_text(text(tmp_path).replace("listen 127.0.0.1:", "listen unix:"))
    command = [str(NGINX), "-t", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "error.log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_gateway_takes_its_configuration(tmp_path: Path) -> None:
    from gateway import wiring

    path = tmp_path / "gateway.yaml"
    path.write_text(settings_files.gateway(tmp_path / "access.log", (18083, 18084), workers=2))
    config = wiring.load([path])
    assert set(config.models) == {"whole", "stream"}
    assert config.server.workers == 2


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False)])
def test_a_gateway_has_started_when_it_answers(status: int, ready: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        answer = f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode()

        def serve() -> None:
            with server.accept()[0] as client:
                client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert programs.answering(port) == (port if ready else None)
        thread.join(10)
    assert programs.answering(port) is None
    assert programs.answering(None) is None
