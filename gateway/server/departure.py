"""How a worker leaves.

Retiring: others have its sockets. Every answer asks its client to come back on another connection; one that stays
idle is closed after `RETIRE_IDLE`. nginx keeps an idle connection for 60 seconds and does not repeat a POST that it
has sent over one that we had closed, so we must be the slower. What runs may run on, without bound.

Draining: readiness is 503 at once; for `drain_delay` all is served, so that load balancers turn away first. Then
nothing new is accepted, idle connections are closed, and what runs has `drain_timeout`. Past it every wait of an
exchange ends with an error that its client is told, in the stream if one has begun; what does not react in `TELL`
seconds is cut.

Stopping: what runs is cut now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from gateway.server.doors import Doors
from gateway.server.handshakes import under_way
from gateway.snapshot import Runtime

RETIRE_IDLE = 65.0  # seconds
LATECOMER = 1.0  # seconds that a connection which has asked nothing yet is given in a drain
SETTLED = 0.1  # seconds of idleness after which a connection has nothing on its way in a drain
LOOK = 0.05
TELL = 3.0  # seconds for those whose exchange was ended to be told
CUT = 2.0  # seconds for what is cut to close its connections and write its log lines


class Mode(IntEnum):
    """What a worker is about; it only ever gets more urgent."""

    SERVING = 0
    RETIRING = 1
    DRAINING = 2
    STOPPING = 3


@dataclass(frozen=True, slots=True)
class Left:
    """What came of it: exchanges that were ended before their time, and those of them that were cut."""

    ended: int
    cut: int


class Exchanges(Protocol):
    """What runs."""

    @property
    def active(self) -> int: ...
    async def cut(self, patience: float) -> int: ...


class Connections(Protocol):
    """Where it runs."""

    @property
    def connections(self) -> Sized: ...
    def close_idle(self, served: float, fresh: float) -> None: ...


class Departure:
    """The way out of one worker."""

    def __init__(
        self,
        runtime: Runtime,
        exchanges: Exchanges,
        connections: Connections,
        doors: Doors,
        *,
        retire_idle: float = RETIRE_IDLE,
    ) -> None:
        self.mode = Mode.SERVING
        self._runtime = runtime
        self._exchanges = exchanges
        self._connections = connections
        self._doors = doors
        self._retire_idle = retire_idle
        self._changed = asyncio.Event()

    def urge(self, mode: Mode) -> bool:
        """From now on it is this, unless it is more urgent already; whether that is news."""
        if mode <= self.mode:
            return False
        self.mode = mode
        self._runtime.leaving = True
        self._runtime.draining = mode >= Mode.DRAINING
        self._changed.set()
        return True

    async def run(self, drain_delay: float, drain_timeout: float) -> Left:
        """Begin when `urge` has been called; return when nobody is left."""
        if self.mode is Mode.RETIRING:
            await self._retire()
        if self.mode is Mode.DRAINING:
            await self._drain(drain_delay, drain_timeout)
        if self.mode is Mode.STOPPING:
            return await self._end(tell=False)
        return await self._end(tell=True)

    async def wait(self, seconds: float | None = None) -> None:
        """Until the next `urge`, or so long."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    async def _retire(self) -> None:
        self._doors.release(self._doors.numbers)
        await self.wait(LOOK)  # one that was accepted this very moment is not among the connections yet
        while self.mode is Mode.RETIRING and (self._connections.connections or under_way()):
            await self.wait(LOOK)
            self._connections.close_idle(self._retire_idle, self._retire_idle)

    async def _drain(self, delay: float, timeout: float) -> None:
        await self.wait(delay)
        self._doors.refusing = True
        finishing = asyncio.create_task(self._doors.finish(self._doors.numbers))
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while self.mode is Mode.DRAINING and loop.time() < end and self._somebody_comes_or_stays(finishing):
            await self.wait(min(LOOK, max(0.0, end - loop.time())))
            self._connections.close_idle(SETTLED, LATECOMER)
        if self.mode is Mode.DRAINING:
            await finishing

    def _somebody_comes_or_stays(self, finishing: asyncio.Task[None]) -> bool:
        return bool(self._connections.connections) or under_way() or not finishing.done()

    async def _end(self, *, tell: bool) -> Left:
        """Whatever is left, ends."""
        self._doors.release(self._doors.numbers)
        ended = cut = self._exchanges.active
        if tell and self._connections.connections:
            self._runtime.wheel.end()
            cut = await self._told()
        await self._exchanges.cut(CUT)
        return Left(ended, cut)

    async def _told(self) -> int:
        """Wait for those that end by themselves; how many do not."""
        loop = asyncio.get_running_loop()
        end = loop.time() + TELL
        while self.mode is not Mode.STOPPING and self._connections.connections and loop.time() < end:
            await self.wait(LOOK)
            self._connections.close_idle(SETTLED, LATECOMER)
        return self._exchanges.active
