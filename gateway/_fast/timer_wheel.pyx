"""Deadlines as numbers, served by one timer wheel.

Why not `asyncio.timeout` per wait: a stream would arm and cancel a timer for every chunk (1.2 µs each).
Here a chunk only writes a number. The rules:

* A `Deadline` is a moment (`at`, monotonic seconds) and the name of the clock it stands for. It sits in one slot of the
  wheel; when its slot comes round and the moment has moved on, it moves on too. Only a moment that comes *before* the
  slot costs a new place.
* The wheel sleeps when it is empty and wakes for its earliest slot. A deadline fires at its moment or up to one tick
  after, never before.
* ``with wheel.guard() as deadline`` cancels the waiting task when it fires, and turns exactly that cancellation into
  `DeadlinePassed`; a cancellation by anyone else passes through as it is.
* ``wheel.end()`` is the end of a drain: every guarded wait, now and later, runs out by the clock DRAIN, so that it ends
  on the same ways as any other that took too long. Only CLIENT_WRITE goes on: what has been begun is said.

Slots are numbered from the clock's zero. They share `RING` lists, linked through the deadlines themselves: to come and
to go costs no memory and no search. A moment further off than the ring goes round shares a list with a nearer one, and
is passed over until its turn. `_turned` is the last slot that has been dealt with.
"""

import asyncio
import math
import time
from enum import Enum

from cython cimport final
from libc.math cimport INFINITY, ceil, floor
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef enum:
    RING = 4096

cdef object current_task = asyncio.current_task
cdef object CancelledError = asyncio.CancelledError


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


cdef object the_total = Clock.TOTAL, the_drain = Clock.DRAIN, the_client_write = Clock.CLIENT_WRITE


class DeadlinePassed(Exception):
    """`clock` ran out."""

    def __init__(self, clock):
        super().__init__(clock.value)
        self.clock = clock


cdef class Deadline:
    """One moment that can be moved. Its function is called at most once, when it has passed."""

    def __cinit__(self, TimerWheel wheel not None, fire=None):
        self._wheel = wheel
        self._fire = fire
        self._slot = -1
        self.at = self.latest = INFINITY
        self.clock = the_total

    cpdef set(self, clock, double seconds):
        """From now on `clock` runs out in `seconds`, or TOTAL at `latest` if that comes first."""
        cdef TimerWheel wheel = self._wheel
        cdef double at = wheel.moment()
        cdef double now = at
        at += seconds
        if at > self.latest:
            at, clock = self.latest, the_total
        if at > wheel.over and self._guards and clock is not the_client_write:
            at, clock = wheel.over, the_drain
        self.at = at if at > now else now
        self.clock = clock
        wheel.place(self)

    cpdef stop(self):
        """Forget it: what has ended holds no memory until a moment that no longer matters."""
        self.at = INFINITY
        self._wheel.remove(self)

    def close(self):
        """Stopped for good: whoever it would have called is let go, so that the two are no cycle."""
        self.stop()
        self._fire = None

    cdef int drain(self) except -1:
        """It runs out now, if it limits a wait that a drain ends."""
        if self._guards and self.clock is not the_client_write:
            self.at, self.clock = min(self.at, self._wheel.over), the_drain
            self._wheel.place(self)
        return 0

    cpdef run_out(self):
        """What happens when its moment has passed."""
        self._fire()


@final
cdef class Guard(Deadline):
    """Cancels the task that entered it when it runs out."""

    def __cinit__(self, TimerWheel wheel not None, fire=None):
        self._guards = True

    def __enter__(self):
        self._task = current_task(self._wheel.loop)
        self._cancelling = self._task.cancelling()
        return self

    def __exit__(self, kind, error, trace):
        cdef object task = self._task
        self.at = INFINITY
        self._wheel.remove(self)
        self._task = None
        if not self._fired:
            return
        if task.uncancel() <= self._cancelling and isinstance(error, CancelledError):
            raise DeadlinePassed(self.clock) from error

    cpdef run_out(self):
        self._fired = True
        self._task.cancel()


@final
cdef class TimerWheel:
    """All deadlines of one event loop. `now` and `call_later` are the process's clock, or a test's."""

    def __cinit__(self, *, double tick=0.02, now=time.monotonic, call_later=None):
        self.tick = tick
        self.now = now
        self.over = INFINITY  # when every guarded wait ends
        self._real = now is time.monotonic
        self.loop = asyncio.get_running_loop()
        self._call_later = self.loop.call_later if call_later is None else call_later
        self._lists = [None] * RING
        self._turned = <long long> floor(self.moment() / tick) - 1
        self._armed = -1

    def guard(self, *, double latest=INFINITY):
        """Cancels the task inside it when its deadline passes; no clock may pass `latest`."""
        cdef Guard guard = Guard.__new__(Guard, self)
        guard.latest = latest
        return guard

    def watch(self, fire):
        """A deadline that calls `fire`."""
        return Deadline(self, fire)

    def end(self):
        """All guarded waits end, those to come at once."""
        cdef Deadline each
        self.over = self.moment()
        waiting = []
        for each in self._lists:
            while each is not None:
                waiting.append(each)
                each = each._next
        for each in waiting:
            each.drain()

    def __len__(self):
        return self._count

    @property
    def asleep(self):
        """No alarm is set."""
        return self._armed < 0

    cdef double moment(self) except? -1.0:
        cdef timespec moment
        if self._real:
            clock_gettime(CLOCK_MONOTONIC, &moment)
            return moment.tv_sec + moment.tv_nsec * 1e-9
        return self.now()

    cdef int place(self, Deadline deadline) except -1:
        """Make sure that `deadline` is looked at no later than its moment."""
        cdef long long slot
        cdef Deadline first
        if deadline.at == INFINITY:
            return 0
        slot = <long long> ceil(deadline.at / self.tick)
        if 0 <= deadline._slot <= slot:
            return 0
        self.remove(deadline)
        first = <Deadline> self._lists[slot % RING]
        deadline._next = first
        if first is not None:
            first._before = deadline
        self._lists[slot % RING] = deadline
        deadline._slot = slot
        self._count += 1
        if slot <= self._turned:
            self._turned = slot - 1
        if self._armed < 0 or slot < self._armed:
            self._arm(slot)
        return 0

    cdef int remove(self, Deadline deadline) except -1:
        cdef Deadline before = deadline._before, after = deadline._next
        if deadline._slot < 0:
            return 0
        if before is None:
            self._lists[deadline._slot % RING] = after
        else:
            before._next = after
        if after is not None:
            after._before = before
        deadline._before = deadline._next = None
        deadline._slot = -1
        self._count -= 1
        return 0

    cdef int _arm(self, long long slot) except -1:
        """Wake for `slot`; for none, if it is negative."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._armed = slot
        if slot >= 0:
            self._alarm = self._call_later(max(0.0, slot * self.tick - self.moment()), self._turn)
        return 0

    def _turn(self):
        cdef double now = self.moment()
        cdef long long last = <long long> floor(now / self.tick)
        cdef long long slot = self._turned + 1
        if last * self.tick > now:  # floor of a quotient that was rounded
            last -= 1
        elif (last + 1) * self.tick <= now:
            last += 1
        if slot <= last - RING:
            slot = last - RING + 1  # a ring that went round more than once is looked at once
        self._turned = last  # first, because what is placed meanwhile may put the hand back
        try:
            while slot <= last and self._count:
                self._deal_with(slot, now)
                slot += 1
        finally:
            self._turned = min(self._turned, slot - 1) if self._count else last
            self._arm(self._earliest(self._turned + 1))

    cdef int _deal_with(self, long long slot, double now) except -1:
        cdef Deadline each = <Deadline> self._lists[slot % RING]
        if each is None:
            return 0
        due = []
        while each is not None:
            if each._slot <= slot:
                due.append(each)
            each = each._next
        for each in due:
            if each._slot < 0 or each._slot > slot:  # one that fired before it has stopped or moved it
                continue
            self.remove(each)
            if each.at <= now:
                each.at = INFINITY
                each.run_out()
            else:
                self.place(each)
        return 0

    cdef long long _earliest(self, long long slot):
        """The first slot from here on whose list is not empty; -1 if all are."""
        cdef long long step
        if self._count == 0:
            return -1
        for step in range(RING):
            if self._lists[(slot + step) % RING] is not None:
                return slot + step
        return -1
