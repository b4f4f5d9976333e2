"""Many paced streams at once: the CPU time that one event costs on its way through a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import uvloop

from benchmarks import bodies, client, machine, mock_upstream
from benchmarks.measures import Settings
from benchmarks.programs import Missing, Way

LEAD = 1.0  # seconds until all streams run


@dataclass(frozen=True, slots=True)
class Flow:
    """One round's outcome, while all streams ran."""

    events: int
    cpu_seconds: float


def flow(way: Way, settings: Settings, watch: Callable[[], None]) -> Flow:
    """Count events and CPU time in a window in which every stream is running; then every stream must end whole."""
    return uvloop.run(_flow(way, settings, watch))


async def _flow(way: Way, settings: Settings, watch: Callable[[], None]) -> Flow:
    ended: list[client.Client] = []
    clients = await client.connect(way.stream_port, settings.streams, ended.append)
    words = int((settings.seconds + 2 * LEAD) * 1000 / settings.interval_ms)
    request = bodies.request(way.stream_port, bodies.stream(words, settings.interval_ms), bodies.SDK_HEADERS)
    for each in clients:
        each.send(request, 0.0)
        await asyncio.sleep(LEAD / 2 / settings.streams)  # so that their events don't come in step
    await asyncio.sleep(LEAD / 2)
    events, cpu = sum(each.events for each in clients), machine.cpu_seconds(way.pid)
    await asyncio.sleep(settings.seconds)
    outcome = Flow(sum(each.events for each in clients) - events, machine.cpu_seconds(way.pid) - cpu)
    early = len(ended)
    watch()
    await _all_ended(ended, settings.streams, 10 * LEAD)
    for each in clients:
        each.close()
    if early:
        raise Missing(f"{early} streams ended while they were counted: no number")
    check(clients, words)
    return outcome


async def _all_ended(ended: list[client.Client], count: int, ceiling: float) -> None:
    for _ in range(int(ceiling / 0.02)):
        if len(ended) == count:
            return
        await asyncio.sleep(0.02)


def check(clients: list[client.Client], words: int) -> None:
    """Every stream complete: the words, the finish marker, usage and [DONE]."""
    wanted = words + mock_upstream.TRAILING
    torn = [each for each in clients if each.broken or each.status != 200 or each.events != wanted]
    if torn:
        seen = sorted({(each.status, each.events) for each in torn})[:4]
        raise Missing(
            f"{len(torn)} of {len(clients)} streams torn, (status, events) {seen}, wanted {wanted}: no number"
        )
