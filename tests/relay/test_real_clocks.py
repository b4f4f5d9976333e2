"""The clocks in a real process, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import HANG, FakeProvider, Gateway, chunked, config_for, events, eventually, whole
from tests.harness.fake_provider import Steps
from tests.relay.chat import HELLO, ROLE, WORLD, drip, last_error
from tests.relay.wire import WireClient, calls, request

CONNECT, FIRST, IDLE, TOTAL, WRITE = 0.4, 0.6, 0.5, 2.0, 1.0
CEILING = 10  # times what is promised
CLOCKS = {
    "timeouts": {"connect": f"{CONNECT}s", "first_content": f"{FIRST}s", "idle": f"{IDLE}s", "total": f"{TOTAL}s"}
}
PATIENT = {"timeouts": {"connect": "5s", "first_content": "5s", "idle": "5s", "total": "60s"}}
ANSWER: dict[str, Any] = {"choices": []}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 900\r\n\r\n"
SILENT: dict[str, tuple[Steps, bool]] = {
    "silent": ([HANG], True),
    "headers then silent": ([HEAD, HANG], True),
    "lifecycle then silent": (chunked([ROLE, HANG], end=False), True),
    "whole, silent": ([HANG], False),
    "whole, headers then silent": ([HEAD.replace(b"text/event-stream", b"application/json"), HANG], False),
}


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[FakeProvider, FakeProvider]]:
    with FakeProvider() as first, FakeProvider() as second:
        yield first, second


@pytest.fixture(scope="module")
def full() -> Iterator[str]:
    """An address whose backlog is full: connecting to it takes for ever."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.fixture(scope="module")
def gateway(providers: tuple[FakeProvider, FakeProvider], full: str) -> Iterator[Gateway]:
    config = config_for(providers[0].url, providers[1].url, full, providers={"p0": CLOCKS, "p1": PATIENT, "p2": CLOCKS})
    places = {"slow": ["p0"], "two": ["p0", "p1"], "full": ["p2"], "full-two": ["p2", "p1"], "calm": ["p1"]}
    config["models"] = {
        name: {"targets": [{"provider": provider, "model": "m"} for provider in each]} for name, each in places.items()
    }
    config["streaming"] = {"client_write": f"{WRITE}s"}
    with Gateway(config) as running:
        yield running


def _timed(gateway: Gateway, model: str, stream: bool, promise: float, words: str) -> None:
    began = time.monotonic()
    answer = gateway.chat(model=model, stream=stream)
    took = time.monotonic() - began
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert words in answer.json()["error"]["message"]
    assert promise <= took < promise * CEILING


@pytest.mark.parametrize("case", SILENT)
def test_the_first_content(providers: tuple[FakeProvider, FakeProvider], gateway: Gateway, case: str) -> None:
    steps, stream = SILENT[case]
    providers[0].answer(steps)
    providers[1].answer(chunked(events("x")) if stream else whole(ANSWER))
    _timed(gateway, "slow", stream, FIRST, "timeouts.first_content")
    eventually(providers[0].seen[-1].left.is_set)
    statuses = [gateway.chat(model="two", stream=stream) for _ in range(2)]
    assert [answer.status_code for answer in statuses] == [200, 200]
    assert {answer.headers["x-gateway-provider"] for answer in statuses} == {"p1"}


def test_connecting(providers: tuple[FakeProvider, FakeProvider], gateway: Gateway) -> None:
    providers[1].answer(whole(ANSWER))
    _timed(gateway, "full", False, CONNECT, "timeouts.connect")
    assert gateway.chat(model="full-two").headers["x-gateway-provider"] == "p1"


def test_silence_within_a_stream(providers: tuple[FakeProvider, FakeProvider], gateway: Gateway) -> None:
    providers[0].answer(chunked([ROLE + HELLO, 0.3, WORLD, 0.3, WORLD, HANG]))
    began = time.monotonic()
    answer = gateway.chat(model="slow", stream=True)
    assert 0.6 + IDLE <= time.monotonic() - began < (0.6 + IDLE) * CEILING
    assert answer.content.startswith(ROLE + HELLO + WORLD + WORLD)
    assert "timeouts.idle" in last_error(answer.content)["message"]
    eventually(providers[0].seen[-1].left.is_set)


def test_the_total(providers: tuple[FakeProvider, FakeProvider], gateway: Gateway) -> None:
    providers[0].answer(chunked([ROLE, *drip(100, HELLO, 0.2)]))
    began = time.monotonic()
    answer = gateway.chat(model="slow", stream=True)
    assert TOTAL <= time.monotonic() - began < TOTAL * CEILING
    assert "timeouts.total" in last_error(answer.content)["message"]
    eventually(providers[0].seen[-1].left.is_set)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_takes_nothing(
    providers: tuple[FakeProvider, FakeProvider], gateway: Gateway, stream: bool
) -> None:
    large = HELLO.replace(b"Hello", b"x" * 60_000)
    body = b'{"a":"' + b"x" * (40 << 20) + b'"}'
    providers[1].answer(chunked([large] * 1000) if stream else whole(body))
    before, lines, asked = gateway.metrics(), len(calls(gateway)), len(providers[1].seen)
    with WireClient(gateway.port, buffer=4096) as client:
        client.send(request(stream=stream, model="calm"))
        seen = eventually(lambda: providers[1].seen[asked:])[0]
        eventually(lambda: seen.left.is_set() or seen.answered.is_set(), ceiling=WRITE * 20)
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0, ceiling=WRITE * CEILING)
        line = eventually(lambda: calls(gateway)[lines:])[-1]
        assert (line["ended_by"], line["error_code"]) == ("client", "client_stalled")
        data = client.read_to_end()
    assert b'"error"' not in data
    assert gateway.metrics()['llm_gateway_provider_health{provider="p1"}'] == 1
    assert sum(_cut(gateway.metrics())) == sum(_cut(before))


def _cut(metrics: dict[str, float]) -> list[float]:
    return [value for name, value in metrics.items() if name.startswith("llm_gateway_stream_cut_total")]
