"""The end of a process: a drain that loses nothing, a second signal that waits for nobody, a taken port."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest
import yaml

from tests.harness import HANG, FakeProvider, Gateway, chunked, config_for, events, eventually
from tests.server.raw import HELLO, Wire, request

STREAM = HELLO[:-1] + b',"stream":true}'
SLOW = STREAM.replace(b"hello there", b"word " * 70)
PACED = {"echo": {"type": "echo", "pace": "50ms", "models": {"echo": {}}}}


def ready(gateway: Gateway) -> int:
    return httpx.get(f"{gateway.url}/ready", timeout=10).status_code


def test_a_drain_loses_nothing() -> None:
    config = config_for(server={"drain_delay": "3s", "drain_timeout": "30s"}, providers=PACED)
    with Gateway(config) as gateway, Wire(gateway.port) as running, Wire(gateway.port) as idle:
        idle.ask(request(HELLO))
        running.send(request(SLOW))
        status, _ = running.head()
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: ready(gateway) == 503, what="readiness turns away")
        assert httpx.get(f"{gateway.url}/live", timeout=10).status_code == 200
        late = idle.ask(request(HELLO))  # still served, and asked to come back elsewhere
        assert (late.status, late.headers["connection"]) == (200, "close")
        assert idle.is_closed()
        said = running.chunks()
        assert status == 200
        assert said.count(b'"content":" word"') == 69
        assert said.endswith(b"data: [DONE]\n\n")
        assert gateway.process.wait(20) == 0
        assert [line["message"] for line in gateway.log] == ["listening", "draining", "stopped"]
        assert eventually(lambda: [line for line in gateway.access if line.get("stream")])[0]["status"] == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_other_signals_drain_too(number: signal.Signals) -> None:
    with Gateway(config_for(providers=PACED)) as gateway, Wire(gateway.port) as wire:
        wire.send(request(STREAM.replace(b"hello there", b"word " * 10)))
        assert wire.head()[0] == 200
        gateway.process.send_signal(number)
        assert wire.chunks().endswith(b"data: [DONE]\n\n")
        assert gateway.process.wait(20) == 0


def test_a_second_signal_stops_now() -> None:
    with FakeProvider() as provider:
        provider.answer(chunked([*events("a", finish=None, done=False), HANG], end=False))
        config = config_for(provider.url, server={"drain_delay": "100s", "drain_timeout": "100s"})
        with Gateway(config) as gateway, Wire(gateway.port) as wire:
            wire.send(request(STREAM.replace(b"echo", b"m")))
            assert wire.head()[0] == 200
            gateway.process.send_signal(signal.SIGTERM)
            eventually(lambda: ready(gateway) == 503)
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.process.wait(20) == 0  # far below either of the two waits
            assert b"[DONE]" not in rest_of(wire)
            assert provider.seen[0].left.wait(20)
            assert gateway.log[-1]["message"] == "stopped"
            assert gateway.access[-1]["ended_by"] == "drain"


def test_what_does_not_finish_in_time_is_cut() -> None:
    with FakeProvider() as provider:
        provider.answer(chunked([*events("a", finish=None, done=False), HANG], end=False))
        config = config_for(provider.url, server={"drain_timeout": "500ms"})
        with Gateway(config) as gateway, Wire(gateway.port) as wire:
            wire.send(request(STREAM.replace(b"echo", b"m")))
            assert wire.head()[0] == 200
            assert gateway.stop(ceiling=20) == 0
            assert b"[DONE]" not in rest_of(wire)
            assert gateway.access[-1]["ended_by"] == "drain"


def rest_of(wire: Wire) -> bytes:
    """Whatever still comes until the connection ends, one way or another."""
    parts: list[bytes] = []
    try:
        while data := wire.socket.recv(65536):
            parts.append(data)
    except ConnectionError:
        pass
    return b"".join(parts)


def test_after_the_drain_nobody_listens() -> None:
    with Gateway(config_for()) as gateway:
        assert gateway.stop(ceiling=20) == 0
        with pytest.raises(ConnectionError):
            Wire(gateway.port)


def test_a_taken_port_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        file = tmp_path / "gateway.yaml"
        file.write_text(yaml.safe_dump(config_for(server={"listen": address})))
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "run", "--config", str(file)], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"llm-gateway: cannot serve on {address}: Address already in use\n"
