"""Who works here: one row per worker slot in shared memory, so that any process can say it without asking.

A row is eight words, a cache line of its own. Its worker writes it, the supervisor clears it when the worker has
died and before the slot is used again. Each field is one word, stored and loaded by itself: a reader may see a
row between two of its writer's stores, and nothing here needs more.

Times are `time.monotonic_ns`, which every process of a machine reads alike and which stands still while the
machine is suspended.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from gateway._fast import Arena, Words

ROWS = 256  # as many as the arena has columns; row 0 is the supervisor's
WIDTH = 8


class State(IntEnum):
    """What a worker does."""

    NOBODY = 0
    STARTING = 1
    READY = 2
    RETIRING = 3  # takes no new connections, finishes what runs
    DRAINING = 4  # the same, and the whole gateway with it


class Field(IntEnum):
    """Where a row keeps what."""

    PID = 0
    STATE = 1
    GENERATION = 2
    QUIET = 3
    HEARTBEAT = 4
    STARTED = 5


class Row(NamedTuple):
    """One worker as its row tells it."""

    slot: int
    pid: int
    state: State
    generation: int  # of the configuration it has adopted
    quiet: int  # no exchange of an older generation runs in it
    heartbeat: int
    started: int


class Roster:
    """The rows of all slots. Made before the fork, or with the same arena in any process."""

    def __init__(self, arena: Arena) -> None:
        self._words = Words(arena, "roster", ROWS * WIDTH)

    def starts(self, slot: int, pid: int, now: int) -> None:
        """Said by the worker itself: the supervisor, which may be kept waiting, would say it too late."""
        self._set(slot, Field.PID, pid)
        self._set(slot, Field.STARTED, now)
        self._set(slot, Field.HEARTBEAT, now)
        self._words.swap(slot * WIDTH + Field.STATE, State.NOBODY, State.STARTING)

    def clear(self, slot: int) -> None:
        """It has died."""
        for field in (Field.STATE, Field.PID, Field.GENERATION, Field.QUIET, Field.HEARTBEAT, Field.STARTED):
            self._set(slot, field, 0)

    def becomes(self, slot: int, state: State) -> None:
        self._set(slot, Field.STATE, state)

    def adopts(self, slot: int, generation: int) -> None:
        self._set(slot, Field.GENERATION, generation)

    def is_quiet(self, slot: int, generation: int) -> None:
        """No exchange older than `generation` runs in this worker, nor will one."""
        self._set(slot, Field.QUIET, generation)

    def beat(self, slot: int, now: int) -> None:
        self._set(slot, Field.HEARTBEAT, now)

    def heartbeat(self, slot: int) -> int:
        return self._words.load(slot * WIDTH + Field.HEARTBEAT)

    def row(self, slot: int) -> Row:
        load, at = self._words.load, slot * WIDTH
        return Row(
            slot,
            load(at + Field.PID),
            State(load(at + Field.STATE)),
            load(at + Field.GENERATION),
            load(at + Field.QUIET),
            load(at + Field.HEARTBEAT),
            load(at + Field.STARTED),
        )

    def rows(self) -> Iterator[Row]:
        """Those of the workers there are."""
        for slot in range(1, ROWS):
            if self._words.load(slot * WIDTH + Field.STATE) != State.NOBODY:
                yield self.row(slot)

    def _set(self, slot: int, field: Field, value: int) -> None:
        if not 0 < slot < ROWS:
            raise ValueError(f"there is no slot {slot}")
        self._words.store(slot * WIDTH + field, value)
