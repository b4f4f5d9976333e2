"""counters.pyx once more: a histogram sorts its values into buckets from above; a cell keeps only its offset."""

from __future__ import annotations

import math
import struct

from tests._fast.twins.arena import Arena


class Words:
    def __init__(self, arena: Arena, name: str, count: int) -> None:
        if count > 1 << 37:
            raise ValueError(count)
        self.count = count
        self._bytes = arena.areas[arena.area(name, count * 8)]

    def load(self, i: int) -> int:
        if not 0 <= i < self.count:
            raise IndexError(i)
        (value,) = struct.unpack_from("q", self._bytes, 8 * i)
        return int(value)

    def store(self, i: int, value: int) -> None:
        self.load(i)
        struct.pack_into("q", self._bytes, 8 * i, value)

    def add(self, i: int, n: int = 1) -> int:
        wrapped = (self.load(i) + n + 2**63) % 2**64 - 2**63
        self.store(i, wrapped)
        return wrapped

    def swap(self, i: int, expected: int, new: int) -> bool:
        if self.load(i) != expected:
            return False
        self.store(i, new)
        return True


class CounterCell:
    def __init__(self, arena: Arena, name: str, *, known: bool = False) -> None:
        self.prefixes: tuple[str, ...] = ()
        self._arena = arena
        self._offset = arena.claim(name, "counters", 1, known)
        self._followed: dict[int, float] = {}  # by join

    @property
    def value(self) -> float:
        return self._arena.sum(self._offset)

    def add(self, n: float = 1) -> None:
        if math.isnan(n) or n < 0:
            raise ValueError(n)
        self._arena.numbers[self._arena.column][self._offset] += n

    def follow(self, total: float) -> None:
        before = self._followed.get(self._arena.joins, 0)
        if total > before:
            self.add(total - before)
            self._followed[self._arena.joins] = total

    def columns(self) -> list[tuple[int, float]]:
        return self._arena.columns_of(self._offset, counter=True)


class GaugeCell:
    def __init__(self, arena: Arena, name: str, across: str = "summed", *, known: bool = False) -> None:
        if across not in ("summed", "one", "each"):
            raise ValueError(across)
        self.prefixes: tuple[str, ...] = ()
        self.across = across
        self._arena = arena
        self._offset = arena.claim(name, "area" if across == "one" else "gauges", 8 if across == "one" else 1, known)

    @property
    def _column(self) -> int:
        return -1 if self.across == "one" else self._arena.column

    @property
    def value(self) -> float:
        if self.across == "summed":
            return sum(value for _, value in self.columns())
        return self._arena.numbers[self._column][self._offset]

    def set(self, value: float) -> None:
        self._arena.numbers[self._column][self._offset] = value

    def add(self, n: float = 1) -> None:
        self._arena.numbers[self._column][self._offset] += n

    def columns(self) -> list[tuple[int, float]]:
        return [(0, self.value)] if self.across == "one" else self._arena.columns_of(self._offset, counter=False)


class HistogramCell:
    def __init__(self, arena: Arena, name: str, bounds: tuple[float, ...], *, known: bool = False) -> None:
        self.prefixes: tuple[str, ...] = ()
        self.bounds = bounds
        self._arena = arena
        self._offset = arena.claim(name, "counters", len(bounds) + 2, known)

    def observe(self, value: float) -> None:
        if math.isnan(value):
            return
        place = sum(bound < value for bound in self.bounds)
        column = self._arena.numbers[self._arena.column]
        column[self._offset + 8 * (place + 1)] += 1
        column[self._offset] += value

    @property
    def counts(self) -> list[int]:
        return [int(self._arena.sum(self._offset + 8 * i)) for i in range(1, len(self.bounds) + 2)]

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def sum(self) -> float:
        return self._arena.sum(self._offset)
