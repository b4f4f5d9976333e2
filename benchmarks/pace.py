"""Open-loop load at a fixed rate: what a proxy adds to the latency.

Requests leave by the clock, whether or not answers have come; one that finds no free connection waits,
and its waiting counts. The clock ticks every millisecond (libuv's timers know no finer one): requests
that are due in the same tick leave together, the same way for every proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections import deque
from dataclasses import dataclass, field

import uvloop

from benchmarks import bodies, client
from benchmarks.programs import Missing

CONNECTIONS = 64
TICK = 0.001


@dataclass(slots=True)
class Pace:
    """Seconds to the end of the answer, for every request."""

    whole: list[float] = field(default_factory=list)
    failed: int = 0

    def note(self, answered: client.Client) -> None:
        if answered.broken or answered.status != 200:
            self.failed += 1
            return
        self.whole.append(answered.ended_at - answered.sent_at)


def pace(port: int, body: bytes, rate: float, seconds: float) -> Pace:
    """Send `rate` requests a second for so long. Missing when one failed or never ended."""
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(_Pacer(bodies.request(port, body, bodies.SDK_HEADERS), rate, seconds).run(port))
    finally:
        gc.enable()


class _Pacer:
    def __init__(self, request: bytes, rate: float, seconds: float) -> None:
        self._request = request
        self._rate = rate
        self._seconds = seconds
        self._free: list[client.Client] = []
        self._waiting: deque[float] = deque()
        self._outcome = Pace()
        self._wanted = 1 << 62
        self._all_here = asyncio.Event()

    async def run(self, port: int) -> Pace:
        clients = await client.connect(port, CONNECTIONS, self._answered)
        await self._warm(clients)
        self._free = clients.copy()
        began, due = time.perf_counter(), 0
        while (now := time.perf_counter()) < began + self._seconds:
            target = int((now - began) * self._rate)
            for _ in range(target - due):
                self._leave(now)
            due = target
            await asyncio.sleep(TICK)
        await self._last_answers(due)
        for each in clients:
            each.close()
        return self._outcome

    async def _warm(self, clients: list[client.Client]) -> None:
        """One request on each connection that doesn't count: connections behind the proxy get opened."""
        for each in clients:
            each.send(self._request, time.perf_counter())
        await self._last_answers(len(clients))
        self._outcome = Pace()
        self._wanted = 1 << 62
        self._all_here.clear()

    def _leave(self, now: float) -> None:
        if self._free:
            self._free.pop().send(self._request, now)
        else:
            self._waiting.append(now)

    def _answered(self, answered: client.Client) -> None:
        self._outcome.note(answered)
        self._count()
        if answered.broken:
            return
        if self._waiting:
            answered.send(self._request, self._waiting.popleft())
        else:
            self._free.append(answered)

    async def _last_answers(self, count: int) -> None:
        self._wanted = count
        self._count()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_here.wait(), 10)
        lost = count - len(self._outcome.whole)
        if lost:
            raise Missing(f"{lost} of {count} paced requests failed or never ended: no number")

    def _count(self) -> None:
        if len(self._outcome.whole) + self._outcome.failed >= self._wanted:
            self._all_here.set()
