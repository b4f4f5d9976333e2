"""The programs of a run take their configurations, and one that fails is quoted."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import certificate, machine, programs, settings_files, wrk
from benchmarks.programs import Missing
from benchmarks.settings_files import Ports

OURS, UPSTREAMS = Ports(18081, 18082, 18085, 18087), Ports(18083, 18084, 18086, 18088)

OPENSSL = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed: apt-get install openssl"
)
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")


def test_wrk_with_failures_gives_no_number() -> None:
    good = {"requests": 10, "bytes": 1000, "seconds": 1.0, "bad_status": 0, "broken": 0}
    assert wrk.parse(f"noise\nRESULT {json.dumps(good)}\n", least=100) == good
    with pytest.raises(Missing, match="100 bytes an answer, and a whole one has 101 at least: no number"):
        wrk.parse(f"RESULT {json.dumps(good)}", least=101)
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


@OPENSSL
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx")
@pytest.mark.parametrize(
    "text",
    [
        lambda folder: settings_files.upstream(folder, 18080, 18081),
        lambda folder: settings_files.upstream(folder, 18080, None),
        lambda folder: settings_files.yardstick(folder, folder, OURS, UPSTREAMS),
        lambda folder: settings_files.yardstick(folder, folder, Ports(1, 2, 3), Ports(4, 5, 6)),
    ],
    ids=["upstream", "upstream without TLS", "yardstick", "yardstick without TLS"],
)
def test_nginx_takes_its_configuration(tmp_path: Path, text: Callable[[Path], str]) -> None:
    assert certificate.make(tmp_path) is None
    (tmp_path / "nginx.conf").write_text(text(tmp_path).replace("listen 127.0.0.1:", "listen unix:"))
    command = [str(NGINX), "-t", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "error.log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("lane", "expected"), [("aiohttp", "aiohttp"), ("", None)])
def test_the_gateway_takes_its_configuration(tmp_path: Path, lane: str, expected: str | None) -> None:
    from gateway import wiring

    path = tmp_path / "gateway.yaml"
    path.write_text(settings_files.gateway(tmp_path / "access.log", UPSTREAMS, workers=2, lane=lane))
    config = wiring.load([path])
    assert set(config.models) == {"whole", "stream", "body", "tls"}
    assert config.server.workers == 2
    assert config.server.lane == expected or expected is None
    endpoints = {name: str(provider.endpoint) for name, provider in config.providers.items()}
    assert [name for name, endpoint in endpoints.items() if endpoint.startswith("https:")] == ["tls"]


@OPENSSL
def test_the_certificate_is_for_this_machine_and_signed_by_its_authority(tmp_path: Path) -> None:
    assert certificate.make(tmp_path) is None
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    server.load_cert_chain(tmp_path / certificate.SERVER[0], tmp_path / certificate.SERVER[1])
    client.load_verify_locations(tmp_path / certificate.AUTHORITY[0])
    for name in ("localhost", "127.0.0.1"):
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = client.wrap_bio(inside, outside, server_hostname=name), server.wrap_bio(outside, inside, True)
        shaken = [False, False]
        while not all(shaken):  # whoever doesn't agree raises
            for place, end in enumerate(ends):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
                    shaken[place] = True


def test_without_openssl_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install openssl" in (certificate.make(tmp_path) or "")
    assert "tls" not in Ports(1, 2, 3).named()


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
