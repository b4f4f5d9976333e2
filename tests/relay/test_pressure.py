"""Nobody is sent faster than they take: the slow client, the slow upload, and what that costs in memory."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2 as httpx
import pytest

from tests.harness import FakeProvider, Gateway, Seen, config_for, eventually, whole
from tests.harness.fake_provider import Steps
from tests.relay.chat import DONE, HELLO, ROLE, STOP
from tests.relay.wire import WireClient, request, unchunked

MiB = 1 << 20
SIZE = 64 * MiB
EVENT = HELLO.replace(b"Hello", b"x" * 16_000)
COUNT = SIZE // len(EVENT)
KERNEL = 24 * MiB  # most that the sockets of one stream may hold between them
PER_STREAM = 1 * MiB  # of the gateway's own memory


@pytest.fixture(scope="module")
def gateway(provider: FakeProvider, lane: str) -> Iterator[Gateway]:
    with Gateway(config_for(provider.url, server={"max_answer": "64MiB"}), lane=lane) as running:
        yield running


class Tap:
    """A long stream that counts what has been taken of it."""

    def __init__(self) -> None:
        self.events = 0

    def __call__(self, _: Seen) -> Steps:
        return self._steps()  # type: ignore[return-value]

    def _steps(self) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        for part in (ROLE, *[EVENT] * COUNT, STOP, DONE):
            self.events += part is EVENT
            yield b"%x\r\n%b\r\n" % (len(part), part)
        yield b"0\r\n\r\n"

    def rest(self) -> int:
        """The count, once it stands still."""
        counts = [-1] * 30

        def still() -> bool:
            time.sleep(0.01)
            counts.append(self.events)
            return counts[-1] > 0 and len(set(counts[-30:])) == 1

        eventually(still, ceiling=30)
        return self.events


def _memory(gateway: Gateway) -> float:
    return gateway.metrics()['process_resident_memory_bytes{worker="1"}']


def test_a_slow_client_pauses_the_upstream(provider: FakeProvider, gateway: Gateway) -> None:
    tap = Tap()
    provider.answer(tap)
    before = _memory(gateway)
    with WireClient(gateway.port, buffer=4096) as client:
        client.send(request())
        taken = tap.rest()
        assert taken * len(EVENT) < KERNEL < SIZE
        got = bytearray()
        for _ in range(20):
            got += client.socket.recv(1024)
            time.sleep(0.02)
        assert tap.rest() * len(EVENT) < KERNEL
        assert _memory(gateway) - before < 4 * MiB
        client.hurry()
        while not got.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            got += client.socket.recv(1 << 20)
    assert unchunked(bytes(got).partition(b"\r\n\r\n")[2]) == ROLE + EVENT * COUNT + STOP + DONE
    assert tap.events == COUNT
    assert _memory(gateway) - before < 8 * MiB


def test_many_slow_clients_cost_a_bounded_amount_each(provider: FakeProvider, gateway: Gateway) -> None:
    many = 10
    before = _memory(gateway)
    taps = [Tap() for _ in range(many)]
    provider.answer(*taps, taps[-1])
    with ExitStack() as opened:
        for number in range(many):
            client = opened.enter_context(WireClient(gateway.port, buffer=4096))
            client.send(request())
            eventually(functools.partial(getattr, taps[number], "events"))
        taps[-1].rest()
        assert all(tap.events * len(EVENT) < KERNEL for tap in taps)
        cost = (_memory(gateway) - before) / many
        print(f"{cost / 1024:.0f} KiB for each slow stream")
        assert cost < PER_STREAM
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)


def test_a_large_whole_answer_reaches_a_slow_client_whole(provider: FakeProvider, gateway: Gateway) -> None:
    body = b'{"a":"' + b"x" * (12 * MiB) + b'"}'
    provider.answer(whole(body))
    with WireClient(gateway.port, buffer=4096) as client:
        client.send(request(stream=False))
        client.read_until(b"\r\n\r\n")
        head, _, start = client.data.partition(b"\r\n\r\n")
        assert b"content-length: %d" % len(body) in head.lower()
        got = bytearray(start)
        time.sleep(0.3)
        client.hurry()
        while len(got) < len(body):
            got += client.socket.recv(1 << 16)
        assert bytes(got) == body
    assert gateway.chat().content == body


def test_a_slow_upload_is_awaited(provider: FakeProvider, gateway: Gateway) -> None:
    provider.answer(whole(b"{}"))
    data = request(stream=False, padding=50_000)
    with WireClient(gateway.port) as client:
        for start in range(0, len(data), 2_000):
            client.send(data[start : start + 2_000])
            time.sleep(0.01)
        client.read_until(b"\r\n\r\n{}")
    assert provider.seen[-1].json["messages"][0]["content"].endswith("x" * 50_000)


def test_a_large_upload_arrives(provider: FakeProvider, gateway: Gateway) -> None:
    provider.answer(whole(b"{}"))
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * (15 * MiB)}]}
    assert httpx.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=30).status_code == 200
    assert len(provider.seen[-1].body) > 15 * MiB
