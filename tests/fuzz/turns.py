"""An event loop without I/O: its turns are taken when it is told to, and its clock goes when it is moved on.

It has what futures, tasks and protocols ask of a loop, and nothing else: whoever asks for more fails. What is told to
the exception handler is kept in `problems`; for a stage each of them is a failure.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

Result = TypeVar("Result")
TURNS_MOST = 10_000  # callbacks until everything rests: more is a loop that never ends


class NeverRests(Exception):
    """Callbacks go on and on without anything having come from outside."""


class TurnLoop:
    def __init__(self) -> None:
        self.problems: list[dict[str, Any]] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = 0
        self._now = 1000.0

    # for a stage

    @contextmanager
    def running(self) -> Iterator[None]:
        asyncio._set_running_loop(self.as_asked())
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    def rest(self) -> None:
        """Take turns until nobody has anything to do."""
        for _ in range(TURNS_MOST):
            if not self._ready:
                return
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()
        raise NeverRests(f"still {len(self._ready)} callbacks, the next is {self._ready[0]!r}")

    def move(self, seconds: float) -> None:
        """Let time pass, with every timer at its moment."""
        end = self._now + seconds
        while self._later and self._later[0][0] <= end:
            when, _, handle = heapq.heappop(self._later)
            self._now = max(self._now, when)
            if not handle.cancelled():
                self._ready.append(handle)
                self.rest()
        self._now = end

    @property
    def timers(self) -> int:
        """Those that still wait."""
        return sum(not handle.cancelled() for _, _, handle in self._later)

    def as_asked(self) -> asyncio.AbstractEventLoop:
        """For those who name the type."""
        return cast(asyncio.AbstractEventLoop, self)

    # what asyncio asks

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self.as_asked(), context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self.as_asked(), context)
        self._number += 1
        heapq.heappush(self._later, (when, self._number, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its moment comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self.as_asked())

    def create_task(
        self, coro: Coroutine[Any, Any, Result], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Result]:
        return asyncio.Task(coro, loop=self.as_asked(), name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.problems.append(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.problems.append(context)
