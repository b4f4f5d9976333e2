"""The long run: memory stays flat, nothing stays open, every number adds up. Small here, long in `make soak`."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.harness import Gateway, config_for, eventually
from tests.relay.wire import request

CONNECTIONS = 16
ROUNDS = 10
ROOM = 4 << 20  # bytes by which the second half's highest may exceed the first half's
ANSWERED = 'llm_gateway_requests_total{provider="echo",model="m",status="200"}'


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_memory_is_flat_and_every_request_is_counted(count: int) -> None:
    echo = {"providers": {"echo": {"type": "echo", "models": {"m": {}}}}}
    with Gateway({**config_for(), **echo}) as gateway:
        rounds = [after_round(gateway, number, count) for number in range(ROUNDS)]
        assert rounds[-1][ANSWERED] == ROUNDS * count
        memory = [metrics['process_resident_memory_bytes{worker="1"}'] for metrics in rounds]
        assert max(memory[ROUNDS // 2 :]) - max(memory[: ROUNDS // 2]) < ROOM
        assert rounds[-1]['process_open_fds{worker="1"}'] <= rounds[0]['process_open_fds{worker="1"}']
        eventually(lambda: sum("model" in line for line in gateway.access) == ROUNDS * count)
        assert not [line for line in gateway.log if line["level"] in ("error", "warning")]


def after_round(gateway: Gateway, number: int, count: int) -> dict[str, float]:
    """The metrics once so many requests have been answered and all connections are closed."""
    files = gateway.metrics()['process_open_fds{worker="1"}']
    asyncio.run(load(gateway.port, random.Random(number), count))
    eventually(lambda: gateway.metrics()['process_open_fds{worker="1"}'] <= files)
    assert gateway.metrics()["llm_gateway_active_requests"] == 0
    return gateway.metrics()


async def load(port: int, dice: random.Random, count: int) -> None:
    """So many requests over a few kept connections: whole and streamed, small and large."""
    made = [request(stream=dice.random() < 0.5, padding=dice.choice((0, 2_000, 150_000))) for _ in range(64)]
    todo = iter(range(count))

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        for number in todo:
            writer.write(made[number % len(made)])
            await writer.drain()
            await answer(reader)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


async def answer(reader: asyncio.StreamReader) -> None:
    """Read one answer to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200")
    if b"content-length: " in head:
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
    else:
        await reader.readuntil(b"\r\n0\r\n\r\n")
