"""Deadlines as numbers, served by one timer wheel.

Why not `asyncio.timeout` per wait: a stream would arm and cancel a timer for every chunk (1.2 µs each).
Here a chunk only writes a number. The rules:

* A `Deadline` is a moment (`at`, monotonic seconds) and the name of the clock it stands for. It sits in
  one slot of the wheel; when its slot comes round and the moment has moved on, it moves on too. Only a
  moment that comes *before* the slot costs a new place.
* The wheel sleeps when it is empty and wakes for its earliest slot. A deadline fires at its moment or up
  to one tick after, never before.
* ``with wheel.guard() as deadline`` cancels the waiting task when it fires, and turns exactly that
  cancellation into `DeadlinePassed`; a cancellation by anyone else passes through as it is.
* ``wheel.end()`` is the end of a drain: every guarded wait, now and later, runs out by the clock DRAIN, so that it
  ends on the same ways as any other that took too long. Only CLIENT_WRITE goes on: what has been begun is said.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from enum import Enum
from types import TracebackType


class Clock(Enum):
    """Which wait a deadline limits."""

    BODY = "body"  # the client delivers its request
    QUEUE = "queue"  # for one of the connections that may be open at once
    CONNECT = "connect"
    FIRST_CONTENT = "first_content"
    IDLE = "idle"  # silence between two parts of an answer
    TOTAL = "total"
    CLIENT_WRITE = "client_write"  # the client takes nothing of its answer
    FINISH = "finish"  # the answer is complete, only its formal end is missing
    DRAIN = "drain"  # the process ends


class DeadlinePassed(Exception):
    """`clock` ran out."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock.value)
        self.clock = clock


class Deadline:
    """One moment that can be moved. `fire` is called at most once, when it has passed."""

    __slots__ = ("_fire", "_guards", "_slot", "_wheel", "at", "clock", "latest")

    def __init__(self, wheel: TimerWheel, fire: Callable[[], None], *, guards: bool = False) -> None:
        self._wheel = wheel
        self._fire = fire
        self._guards = guards
        self._slot: int | None = None
        self.at = math.inf
        self.latest = math.inf  # TOTAL: no other clock may move beyond it
        self.clock = Clock.TOTAL

    def set(self, clock: Clock, seconds: float) -> None:
        """From now on `clock` runs out in `seconds`, or TOTAL at `latest` if that comes first."""
        at = self._wheel.now() + seconds
        if at > self.latest:
            at, clock = self.latest, Clock.TOTAL
        if at > self._wheel.over and self._guards and clock is not Clock.CLIENT_WRITE:
            at, clock = self._wheel.over, Clock.DRAIN
        self.at = at
        self.clock = clock
        self._wheel.place(self)

    def drain(self) -> None:
        """It runs out now, if it limits a wait that a drain ends."""
        if self._guards and self.clock is not Clock.CLIENT_WRITE:
            self.at, self.clock = min(self.at, self._wheel.over), Clock.DRAIN
            self._wheel.place(self)

    def stop(self) -> None:
        self.at = math.inf
        self._wheel.remove(self)

    def close(self) -> None:
        self.stop()
        self._fire = lambda: None


class TimerWheel:
    """All deadlines of one event loop. `now` and `call_later` are the process's clock, or a test's."""

    def __init__(
        self,
        *,
        tick: float = 0.02,
        now: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle] | None = None,
    ) -> None:
        self.tick = tick
        self.now = now
        self.over = math.inf  # when every guarded wait ends
        self._call_later = call_later or asyncio.get_running_loop().call_later
        self._slots: dict[int, set[Deadline]] = {}
        self._armed: tuple[int, asyncio.TimerHandle] | None = None

    def place(self, deadline: Deadline) -> None:
        """Make sure that `deadline` is looked at no later than its moment."""
        if deadline.at == math.inf:
            return
        slot = math.ceil(deadline.at / self.tick)
        if deadline._slot is not None and deadline._slot <= slot:
            return
        self.remove(deadline)
        deadline._slot = slot
        self._slots.setdefault(slot, set()).add(deadline)
        if self._armed is None or slot < self._armed[0]:
            self._arm(slot)

    def remove(self, deadline: Deadline) -> None:
        """Forget it: what has ended holds no memory until a moment that no longer matters."""
        if deadline._slot is None:
            return
        waiting = self._slots.get(deadline._slot)
        if waiting is not None:
            waiting.discard(deadline)
            if not waiting:
                del self._slots[deadline._slot]
        deadline._slot = None

    def guard(self, *, latest: float = math.inf) -> Guard:
        """Cancels the task inside it when its deadline passes; no clock may pass `latest`."""
        return Guard(self, latest)

    def watch(self, fire: Callable[[], None]) -> Deadline:
        """A deadline that calls `fire`."""
        return Deadline(self, fire)

    def end(self) -> None:
        """All guarded waits end, those to come at once."""
        self.over = self.now()
        for deadline in [each for waiting in self._slots.values() for each in waiting]:
            deadline.drain()

    def __len__(self) -> int:
        return sum(len(deadlines) for deadlines in self._slots.values())

    def _arm(self, slot: int | None) -> None:
        if self._armed is not None:
            self._armed[1].cancel()
            self._armed = None
        if slot is not None:
            delay = max(0.0, slot * self.tick - self.now())
            self._armed = (slot, self._call_later(delay, self._turn))

    def _turn(self) -> None:
        now = self.now()
        try:
            for slot in sorted(slot for slot in self._slots if slot * self.tick <= now):
                for deadline in self._slots.pop(slot, ()):
                    self._look_at(deadline, now)
        finally:
            self._arm(min(self._slots, default=None))  # of all: those placed meanwhile are not the only ones

    def _look_at(self, deadline: Deadline, now: float) -> None:
        deadline._slot = None
        if deadline.at <= now:
            deadline.stop()
            deadline._fire()
        else:
            self.place(deadline)


class Guard:
    """Cancels the task that entered it when its deadline passes."""

    __slots__ = ("_cancelling", "_fired", "_task", "deadline")

    def __init__(self, wheel: TimerWheel, latest: float) -> None:
        self.deadline = Deadline(wheel, self._fire, guards=True)
        self.deadline.latest = latest
        self._fired = False

    def __enter__(self) -> Deadline:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        return self.deadline

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deadline.stop()
        if not self._fired:
            return
        mine_alone = self._task.uncancel() <= self._cancelling
        if mine_alone and isinstance(error, asyncio.CancelledError):
            raise DeadlinePassed(self.deadline.clock) from error

    def _fire(self) -> None:
        self._fired = True
        self._task.cancel()
