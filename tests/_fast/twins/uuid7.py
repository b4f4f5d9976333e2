"""Strictly rising UUIDv7s, with Python's own integers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

BLOCK = 4096
TAIL_BITS = 74
STEP_BYTES = 4


class UuidSource:
    """Strictly rising UUIDv7s. The clock gives nanoseconds, ``entropy`` random bytes."""

    def __init__(self, clock: Callable[[], int] = time.time_ns, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy
        self.forget()

    def forget(self) -> None:
        """Start anew: in a forked child, nothing inherited may be used again."""
        self._milliseconds = -1
        self._tail = 0
        self._block = b""
        self._used = 0

    def next(self) -> str:
        now = self._clock() // 1_000_000
        if now > self._milliseconds:
            self._milliseconds = now
            self._tail = self._random(10) >> (80 - TAIL_BITS)
        else:
            self._advance()
        return _format(self._milliseconds, self._tail)

    def _advance(self) -> None:
        self._tail += 1 + self._random(STEP_BYTES)
        if self._tail >> TAIL_BITS:  # the random bits are used up: borrow the next millisecond
            self._milliseconds += 1
            self._tail = self._random(10) >> (80 - TAIL_BITS)

    def _random(self, size: int) -> int:
        if self._used + size > len(self._block):
            self._block = self._entropy(BLOCK)
            self._used = 0
        self._used += size
        return int.from_bytes(self._block[self._used - size : self._used], "big")


def _format(milliseconds: int, tail: int) -> str:
    return (
        f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}"
        f"-7{tail >> 62:03x}-{0x8000 | (tail >> 48 & 0x3FFF):04x}-{tail & 0xFFFFFFFFFFFF:012x}"
    )
