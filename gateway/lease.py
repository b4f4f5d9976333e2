"""What must run once per machine is done by the worker that holds its lease.

Who holds a lease, and until when, is one word: milliseconds of the monotonic clock, and the slot in the lowest
eight bits. It is taken and renewed by compare-and-swap, so there is never a second holder. A holder that hangs
loses it when it runs out; the leases of one that died are given up by the supervisor at once, which also keeps
the next worker of the same slot from taking them for its own.

A lease's place is found by a hash of its name in a table of `ROWS`; a row once named keeps its name.
"""

from __future__ import annotations

import time
from hashlib import blake2b

from gateway._fast import Arena, Words

ROWS = 64
WIDTH = 2  # the name's hash, the holder
SLOT_BITS = 8
TTL = 5.0  # seconds


class Lease:
    """One thing that one worker does. `slot` is who asks here."""

    def __init__(self, arena: Arena, name: str, *, slot: int, ttl: float = TTL) -> None:
        self._words = _table(arena)
        self._at = _place(self._words, name)
        self._slot = slot
        self._ttl = int(ttl * 1000)

    def hold(self, now: int | None = None) -> bool:
        """Take it, or keep it; False: somebody else has it. Ask again well within `ttl`. `now`: monotonic ns."""
        moment = (time.monotonic_ns() if now is None else now) // 1_000_000
        held = self._words.load(self._at)
        holder, until = _unpacked(held)
        if holder not in (0, self._slot) and until > moment:
            return False
        return self._words.swap(self._at, held, _packed(self._slot, moment + self._ttl))

    @property
    def holder(self) -> int:
        """The slot that had it last; 0: nobody."""
        return _unpacked(self._words.load(self._at))[0]

    def give_up(self) -> None:
        _release(self._words, self._at, self._slot)


def give_up_all(arena: Arena, slot: int) -> None:
    """The supervisor's part: whatever a dead worker held is free."""
    words = _table(arena)
    for row in range(ROWS):
        _release(words, row * WIDTH + 1, slot)


def _release(words: Words, at: int, slot: int) -> None:
    held = words.load(at)
    while _unpacked(held)[0] == slot and not words.swap(at, held, 0):
        held = words.load(at)


def _table(arena: Arena) -> Words:
    """Claimed for ever, whoever comes first: no sweep after a reload may free it under those who hold a lease."""
    generation, arena.generation = arena.generation, 0
    try:
        return Words(arena, "leases", ROWS * WIDTH)
    finally:
        arena.generation = generation


def _place(words: Words, name: str) -> int:
    key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 2 or 1  # fits a signed word, is not 0
    for probe in range(ROWS):
        at = (key + probe) % ROWS * WIDTH
        if words.load(at) in (0, key) and (words.swap(at, 0, key) or words.load(at) == key):
            return at + 1
    raise ValueError(f"more than {ROWS} leases")


def _packed(slot: int, until: int) -> int:
    return until << SLOT_BITS | slot


def _unpacked(word: int) -> tuple[int, int]:
    return word & (1 << SLOT_BITS) - 1, word >> SLOT_BITS
