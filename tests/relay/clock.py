"""A clock moved by hand, for the timer wheel and for whoever sleeps on it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any


class HandClock:
    """A clock that stands still until it is moved; what falls due on the way is run at its moment."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._due: list[tuple[float, int, _Handle]] = []
        self._count = itertools.count()

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, function: Callable[[], None]) -> Any:
        handle = _Handle(function)
        heapq.heappush(self._due, (self.time + delay, next(self._count), handle))
        return handle

    async def sleep(self, seconds: float) -> None:
        over = asyncio.get_running_loop().create_future()
        handle = self.call_later(seconds, lambda: None if over.done() else over.set_result(None))
        try:
            await over
        finally:
            handle.cancel()

    def skip(self, seconds: float) -> None:
        """Time goes by for timers alone."""
        end = self.time + seconds
        while self._due and self._due[0][0] <= end:
            moment, _, handle = heapq.heappop(self._due)
            self.time = max(self.time, moment)
            handle.run()
        self.time = end

    async def advance(self, seconds: float) -> None:
        """Everybody runs as far as they can, before, at each due moment, and after."""
        end = self.time + seconds
        await rest()
        while self._due and self._due[0][0] <= end:
            moment, _, handle = heapq.heappop(self._due)
            self.time = max(self.time, moment)
            handle.run()
            await rest()
        self.time = end
        await rest()


class _Handle:
    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function

    def cancel(self) -> None:
        self._function = None

    def run(self) -> None:
        if self._function is not None:
            self._function()


async def rest(turns: int = 12) -> None:
    """Let every task run until it waits for something."""
    for _ in range(turns):
        await asyncio.sleep(0)
