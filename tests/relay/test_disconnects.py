"""A client that leaves takes the upstream's connection with it, in every phase, and nothing stays behind."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import HANG, FakeProvider, Gateway, chunked, config_for, eventually
from tests.harness.fake_provider import Steps
from tests.relay.chat import HELLO, ROLE, drip
from tests.relay.front import Nginx, needs_nginx
from tests.relay.wire import WireClient, calls, request

CEILING = 10.0  # the promise is one second
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n"
PHASES: dict[str, tuple[Steps, bool, bytes]] = {
    "before headers": ([HANG], True, b""),
    "before content": (chunked([ROLE, HANG]), True, b""),
    "mid-stream": (chunked([ROLE + HELLO, HANG]), True, b"Hello"),
    "before a whole answer": ([HANG], False, b""),
    "within a whole answer": ([JSON_HEAD + b"{", HANG], False, b""),
}


@pytest.fixture(scope="module")
def gateway(provider: FakeProvider, lane: str) -> Iterator[Gateway]:
    limitless = {"connection_pool": {"max_connections_per_host": 0}}
    with Gateway(config_for(provider.url, providers={"p0": limitless}), lane=lane) as running:
        yield running


@pytest.fixture(scope="module")
def front(gateway: Gateway) -> Iterator[Nginx]:
    with Nginx(gateway.url) as running:
        yield running


FURTHER = {"many requests": request() * 100, "a large request": request() + request(padding=200_000)}


@pytest.mark.parametrize("further", FURTHER)
def test_what_it_has_sent_ahead_does_not_hide_that_a_client_left(
    provider: FakeProvider, gateway: Gateway, further: str
) -> None:
    provider.answer([HANG])
    count = len(provider.seen)
    with WireClient(gateway.port) as client:
        client.send(FURTHER[further])
        seen = eventually(lambda: provider.seen[count:])[0]
    assert seen.left.wait(CEILING)
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)
    assert len(provider.seen) == count + 1


def _leaves(provider: FakeProvider, gateway: Gateway, port: int, phase: str, how: str) -> None:
    steps, stream, mark = PHASES[phase]
    lines = len(calls(gateway))
    provider.answer(steps)
    count = len(provider.seen)
    with WireClient(port) as client:
        client.send(request(stream=stream))
        seen = eventually(lambda: provider.seen[count:])[0]
        client.read_until(mark)
        client.leave(how)
        left = time.monotonic()
        eventually(seen.left.is_set, ceiling=CEILING, what="the upstream's end")
    assert time.monotonic() - left < CEILING
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0, ceiling=CEILING)
    line = _last_line(gateway, lines)
    assert line["ended_by"] == "client"
    assert line["status"] == (200 if phase == "mid-stream" else 499)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("phase", PHASES)
def test_it_leaves(provider: FakeProvider, gateway: Gateway, phase: str, how: str) -> None:
    _leaves(provider, gateway, gateway.port, phase, how)


@needs_nginx
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", PHASES)
def test_it_leaves_behind_nginx(provider: FakeProvider, gateway: Gateway, front: Nginx, phase: str, how: str) -> None:
    _leaves(provider, gateway, front.port, phase, how)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("size", [200, 300_000])
def test_it_leaves_while_it_sends_its_body(provider: FakeProvider, gateway: Gateway, size: int, how: str) -> None:
    name = 'llm_gateway_client_disconnects_total{phase="body"}'
    before, asked = gateway.metrics().get(name, 0), len(provider.seen)
    data, lines = request(padding=size), len(calls(gateway))
    with WireClient(gateway.port) as client:
        client.send(data[:-100])
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 1)
        client.leave(how)
        eventually(lambda: gateway.metrics().get(name, 0) == before + 1, ceiling=CEILING)
    assert gateway.metrics()["llm_gateway_active_requests"] == 0
    assert len(provider.seen) == asked
    assert _last_line(gateway, lines)["status"] == 499


def test_1000_leave_at_random_moments(provider: FakeProvider, gateway: Gateway) -> None:
    """Memory has a ceiling that the first rounds may have to find; what leaks has none."""
    provider.answer(chunked([0.005, ROLE, 0.005, HELLO, *drip(3, 0.005, HELLO * 20), HANG]))
    grown: list[float] = []
    before = _after(provider, gateway, 0)
    while len(grown) < 6 and (not grown or grown[-1] >= 1 << 20):
        after = _after(provider, gateway, 1000, seed=len(grown))
        grown.append(
            after['process_resident_memory_bytes{worker="1"}'] - before['process_resident_memory_bytes{worker="1"}']
        )
        assert after['process_open_fds{worker="1"}'] <= before['process_open_fds{worker="1"}']
        before = after
    assert grown[-1] < 1 << 20, grown
    left = sum(value for name, value in after.items() if name.startswith("llm_gateway_client_disconnects_total"))
    assert left > 500 * len(grown)
    assert after['llm_gateway_provider_health{provider="p0"}'] == 1
    assert not [line for line in gateway.log if line["level"] in ("error", "warning")]


def _after(provider: FakeProvider, gateway: Gateway, count: int, seed: int = 0) -> dict[str, float]:
    """The metrics once so many have left and all is at rest."""
    asyncio.run(_crowd(gateway.port, random.Random(seed), count))
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0, ceiling=CEILING)
    eventually(lambda: provider.open == 0, ceiling=CEILING, what="no upstream connection left")
    return gateway.metrics()


def _last_line(gateway: Gateway, before: int) -> dict[str, Any]:
    return eventually(lambda: calls(gateway)[before:], what="an access line")[-1]


async def _crowd(port: int, random_: random.Random, count: int) -> None:
    places = asyncio.Semaphore(40)

    async def one(data: bytes, moment: float, reset: bool) -> None:
        async with places:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            await asyncio.sleep(moment)
            if reset:
                writer.transport.abort()
            writer.close()

    def leaver() -> tuple[bytes, float, bool]:
        data = request(stream=random_.random() < 0.7, padding=random_.choice((0, 100_000)))
        if random_.random() < 0.15:
            data = data[: random_.randrange(len(data))]
        return data, random_.random() * 0.06, random_.random() < 0.5

    await asyncio.gather(*(one(*leaver()) for _ in range(count)))
