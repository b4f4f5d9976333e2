"""The end of the gateway: what SIGTERM, SIGINT, SIGQUIT and a second signal do, with connections of every kind."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import children, is_alive
from tests.server.raw import HELLO, Wire, request
from tests.supervision.instance import PROBING, QUICK, configuration, messages, order, pids, said, with_probe

STREAM = b'{"model":"slow","stream":true,"messages":[{"role":"user","content":"%b"}]}'
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]


def stream(stack: ExitStack, gateway: Gateway, words: int) -> Wire:
    """One that has begun."""
    wire = stack.enter_context(Wire(gateway.port)).send(request(STREAM % (b"word " * words)))
    assert wire.head()[0] == 200
    return wire


def readiness(gateway: Gateway) -> int | None:
    """Over a new connection; None when it is refused."""
    try:
        with Wire(gateway.port) as wire:
            return wire.ask(request(method="GET", path="/ready")).status
    except ConnectionRefusedError:
        return None


def refused(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(20)
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


@pytest.mark.parametrize("number", SIGNALS)
def test_a_drain_turns_away_first_then_refuses_and_loses_nothing(stack: ExitStack, number: signal.Signals) -> None:
    delay = 3.0
    config = configuration(server={"drain_delay": f"{delay:.0f}s", "drain_timeout": "60s"})
    with Gateway(config) as gateway:
        workers = pids(gateway)
        streams = [stream(stack, gateway, 80) for _ in range(6)]
        with Load(("127.0.0.1", gateway.port), kept=4, fresh=4, model=QUICK) as load:
            gateway.process.send_signal(number)
            began = time.monotonic()
            eventually(lambda: readiness(gateway) == 503, what="readiness turns away, and not by refusing")
            load.goes_on()
            said = list(iter(lambda: readiness(gateway), None))
            assert time.monotonic() - began >= delay
            assert set(said) == {503}, "not every worker turns away"
        assert [lost for lost in load.lost if lost.port or "ConnectionRefused" not in lost.why] == []
        for each in streams:
            assert each.chunks().endswith(b"data: [DONE]\n\n")
        assert gateway.process.wait(60) == 0
        assert not any(is_alive(pid) for pid in workers)
        assert messages(gateway)[-1] == "stopped"


def test_what_does_not_finish_ends_with_an_error_that_is_told(stack: ExitStack) -> None:
    with Gateway(configuration(server={"drain_timeout": "1s"})) as gateway:
        streams = [stream(stack, gateway, 1000) for _ in range(6)]
        whole = stack.enter_context(Wire(gateway.port)).send(
            request(STREAM.replace(b'"stream":true,', b"") % (b"word " * 1000))
        )
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 7)
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        for each in streams:
            told = each.chunks()
            assert b"[DONE]" not in told
            assert b'"error"' in told.rstrip().rpartition(b"\n\n")[2] or b'"error"' in told[-600:], told[-600:]
        assert whole.answer().status == 503
        assert gateway.process.wait(60) == 0
        assert time.monotonic() - began < 20
        assert any(line["message"] == "stopped" and 7 in line.values() for line in gateway.log), gateway.log[-3:]


def test_a_second_signal_stops_now(stack: ExitStack) -> None:
    with Gateway(configuration(server={"drain_delay": "100s", "drain_timeout": "100s"})) as gateway:
        workers = pids(gateway)
        for _ in range(4):
            stream(stack, gateway, 1000)
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: readiness(gateway) == 503)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(20) == 0
        assert not any(is_alive(pid) for pid in workers)


def test_a_reload_in_the_drain_is_ignored_and_said(stack: ExitStack) -> None:
    with Gateway(configuration(server={"drain_delay": "1s", "drain_timeout": "60s"})) as gateway:
        running = stream(stack, gateway, 60)
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: readiness(gateway) == 503)
        gateway.process.send_signal(signal.SIGHUP)
        assert running.chunks().endswith(b"data: [DONE]\n\n")
        assert gateway.process.wait(60) == 0
        assert said(gateway, "SIGHUP") or said(gateway, "reload")


def test_a_drain_in_the_middle_of_a_reload_ends_it(tmp_path: Path) -> None:
    orders = tmp_path / "orders.json"
    with Gateway(with_probe(configuration(), orders), environ=PROBING) as gateway:
        order(orders, checker="hang")
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(children(gateway.process.pid)) == 3, what="the checker runs")
        gateway.process.send_signal(signal.SIGTERM)
        everybody = children(gateway.process.pid)
        assert gateway.process.wait(20) == 0
        assert not any(is_alive(pid) for pid in everybody)


def test_a_killed_worker_in_the_drain_takes_only_its_own(stack: ExitStack) -> None:
    with Gateway(configuration(server={"drain_timeout": "60s"})) as gateway:
        workers = pids(gateway)
        streams = [stream(stack, gateway, 60) for _ in range(12)]
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: refused(gateway.port))
        os.kill(workers[0], signal.SIGKILL)
        ends = [complete(each) for each in streams]
        assert any(ends)
        assert gateway.process.wait(60) == 0
        assert not is_alive(workers[1])


def complete(wire: Wire) -> bool:
    try:
        return wire.chunks().endswith(b"data: [DONE]\n\n")
    except (AssertionError, OSError, ValueError):
        return False


def test_whoever_is_connected_and_has_not_asked_yet_is_served_or_closed_never_reset(stack: ExitStack) -> None:
    """A client that connects just before the end, and asks at once, gets its answer."""
    with Gateway(configuration(server={"drain_delay": "0s"})) as gateway:
        wires = [stack.enter_context(Wire(gateway.port)) for _ in range(20)]
        gateway.process.send_signal(signal.SIGTERM)
        answers = [wire.ask(request(HELLO.replace(b'"echo"', b'"quick"'))) for wire in wires]
        assert {answer.status for answer in answers} == {200}
        assert gateway.process.wait(60) == 0
