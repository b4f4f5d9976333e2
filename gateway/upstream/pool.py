"""The connections to one address: at most `limit` at once, kept for a while when nobody uses them.

* The one used last is used first: the others grow old and are closed. One sweep serves all of a pool, and only while it
  keeps any. A server that says for how long it keeps a connection is believed, with a margin.
* A place is what counts against the limit: it is held from before a connection is made until it is closed. Who finds
  no place waits, in order, for whatever is free first: a connection, or a place for a new one.
* A waiter that is cancelled at the moment it is given something gives it on.
* A connection that dies while it is kept tells the pool itself (`lost`) and is never given out. One that dies in use
  keeps its place until its user leaves it, so that whoever must try again (`again`) does not wait behind others.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable

from gateway._fast import UpstreamConnection
from gateway.deadlines import Clock

Dial = Callable[["Pool"], Awaitable[UpstreamConnection]]
Waiting = Callable[[Clock], None]
MARGIN = 1.0  # seconds before a server's own limit: it must not be the first to close


class Pool:
    """Made inside the running loop. `dial` makes connections whose owner is the pool."""

    def __init__(self, dial: Dial, *, limit: int, keep_alive: float) -> None:
        self._dial = dial
        self._limit = limit
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._kept: list[UpstreamConnection] = []
        self._places = 0  # in use
        self._waiters: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self._handed: set[UpstreamConnection] = set()  # given to a waiter that has not run yet
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> UpstreamConnection | None:
        """A kept connection, if there is one."""
        while self._kept:
            connection = self._kept.pop()
            if connection.usable and connection.until > self._loop.time():
                return connection
            connection.close()
        return None

    async def wait(self, waiting: Waiting) -> UpstreamConnection:
        """A connection, new or kept, when none was kept a moment ago. `waiting` is told what for."""
        if not self._limit or self._places < self._limit:
            self._places += 1
            return await self.again(waiting)
        waiting(Clock.QUEUE)
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            connection: UpstreamConnection | None = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give_on(waiter.result())
            raise
        if connection is not None:
            self._handed.remove(connection)
            if connection.usable:
                return connection
        return await self.again(waiting)

    async def again(self, waiting: Waiting) -> UpstreamConnection:
        """A new connection in a place that is held already."""
        waiting(Clock.CONNECT)
        try:
            connection = await self._dial(self)
        except BaseException:
            self._leave()
            raise
        connection.until = math.inf  # from now on `lost` gives its place back
        return connection

    def close(self) -> None:
        """Nothing is kept any more. What is in use is closed when it is given back."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        while self._kept:
            self._kept.pop().close()

    # the connections' calls

    def give(self, connection: UpstreamConnection, patience: float) -> None:
        """It is free. `patience`: for how long the server says it keeps it; below 0 it says nothing."""
        seconds = self._keep_alive
        if patience >= 0:
            seconds = min(seconds, patience - min(MARGIN, patience / 2))
        if self._closed or seconds <= 0:
            connection.close()
            return
        connection.until = self._loop.time() + seconds
        if self._waiters and (waiter := self._next()) is not None:
            self._handed.add(connection)
            waiter.set_result(connection)
            return
        self._kept.append(connection)
        if self._sweeping is None:
            self._sweeping = self._loop.call_at(connection.until, self._sweep)

    def lost(self, connection: UpstreamConnection) -> None:
        """It is closed."""
        if not connection.until:
            return  # it was being made: whoever does that has the place
        if connection in self._handed:
            return  # its taker has the place
        if connection in self._kept:
            self._kept.remove(connection)
        self._leave()

    # within

    def _give_on(self, connection: UpstreamConnection | None) -> None:
        """What a waiter was given that does not want it any more."""
        if connection is not None:
            self._handed.remove(connection)
            if connection.usable:
                self.give(connection, connection.until - self._loop.time() + MARGIN)
                return
        self._leave()

    def _leave(self) -> None:
        """A place is free."""
        if (waiter := self._next()) is not None:
            waiter.set_result(None)
        else:
            self._places -= 1

    def _next(self) -> asyncio.Future[UpstreamConnection | None] | None:
        """The first that still waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _sweep(self) -> None:
        """Close what was kept for long enough."""
        now = self._loop.time()
        old = [connection for connection in self._kept if connection.until <= now]
        for connection in old:
            connection.close()
        first = min((connection.until for connection in self._kept), default=None)
        self._sweeping = None if first is None else self._loop.call_at(first, self._sweep)
