"""The end of a process: a drain that loses nothing, a second signal that waits for nobody, a taken port."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest
import yaml

from tests.harness import HANG, FakeProvider, Gateway, chunked, config_for, events, eventually
from tests.server.raw import CHAT, HELLO, Wire, request

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


def test_signals_that_never_cease_change_nothing_about_the_end() -> None:
    with Gateway(config_for(providers=PACED)) as gateway:

        def ended() -> bool:
            for _ in range(1000):
                gateway.process.send_signal(signal.SIGTERM)
            return gateway.process.poll() is not None

        eventually(ended, ceiling=60, what="the end")
        assert gateway.process.returncode == 0


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


def test_what_does_not_finish_in_time_is_told_so() -> None:
    """A stream that has begun by an event, what waits by 503, a body that is still on its way too; then all is over."""
    with FakeProvider() as provider:
        provider.answer(chunked([*events("a", finish=None, done=False), HANG], end=False), [HANG])
        config = config_for(provider.url, server={"drain_timeout": "500ms"})
        with Gateway(config) as gateway, ExitStack() as stack:
            stream, silent, whole, unread = (stack.enter_context(Wire(gateway.port)) for _ in range(4))
            stream.send(request(STREAM.replace(b"echo", b"m")))
            assert stream.head()[0] == 200
            silent.send(request(STREAM.replace(b"echo", b"m")))
            whole.send(request(HELLO.replace(b"echo", b"m")))
            unread.send(request(HELLO[:10], headers={"Content-Length": str(len(HELLO))}))
            eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 4)
            gateway.process.send_signal(signal.SIGTERM)
            *said, last = stream.chunks().split(b"data: ")
            assert [b'"content":"a"' in event.replace(b" ", b"") for event in said].count(True) == 1
            assert_tells(last)
            for wire in (silent, whole, unread):
                answer = wire.answer()
                assert (answer.status, answer.error["code"]) == (503, "shutting_down")
                assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("1", "true")
                assert wire.is_closed()
            assert gateway.process.wait(20) == 0
            assert [line["ended_by"] for line in gateway.access if line["path"] == CHAT] == ["drain"] * 4
            assert (gateway.log[-1]["ended"], gateway.log[-1]["cut"]) == (4, 0)
            assert not [line for line in gateway.log if line["level"] == "error"]


def test_half_an_event_is_finished_before_the_error_is_told() -> None:
    """Nothing of the provider's words is lost or mixed, wherever its stream stood."""
    with FakeProvider() as provider:
        (part,) = chunked([events("half", finish=None, done=False)[1][:20], HANG], end=False)[1:2]
        head, *first = chunked(events("a", finish=None, done=False), end=False)
        provider.answer([head, *first, part, HANG])
        config = config_for(provider.url, server={"drain_timeout": "300ms"})
        with Gateway(config) as gateway, Wire(gateway.port) as wire:
            wire.send(request(STREAM.replace(b"echo", b"m")))
            assert wire.head()[0] == 200
            assert gateway.stop(ceiling=20) == 0
            said = wire.chunks()
            assert b'"half' not in said
            assert_tells(said.split(b"data: ")[-1])


def test_a_client_that_takes_nothing_is_cut_and_counted() -> None:
    with FakeProvider() as provider:
        provider.answer(chunked([*events("a", finish=None, done=False), *events("x" * 60_000)[1:2] * 400]))
        config = config_for(provider.url, server={"drain_timeout": "300ms"}, streaming={"client_write": "60s"})
        with Gateway(config) as gateway, Wire(gateway.port) as wire:
            wire.send(request(STREAM.replace(b"echo", b"m")))
            assert wire.head()[0] == 200
            assert gateway.stop(ceiling=40) == 0
            assert (gateway.log[-1]["ended"], gateway.log[-1]["cut"]) == (1, 1)
            assert gateway.access[-1]["ended_by"] == "drain"


def assert_tells(event: bytes) -> None:
    error = json.loads(event)["error"]
    assert (error["code"], error["type"]) == ("shutting_down", "service_unavailable_error")


def test_a_body_on_its_way_when_the_drain_begins_arrives() -> None:
    with Gateway(config_for(server={"drain_timeout": "30s"})) as gateway, Wire(gateway.port) as wire:
        wire.send(request(HELLO[:10], headers={"Content-Length": str(len(HELLO))}))
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 1)
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: is_refused(gateway.port), what="nothing new is accepted")
        answer = wire.send(HELLO[10:]).answer()
        assert answer.status == 200
        assert gateway.process.wait(20) == 0


def is_refused(port: int) -> bool:
    try:
        Wire(port).__exit__()
    except OSError:
        return True
    return False


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
