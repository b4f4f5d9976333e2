"""arena.pyx once more, for one process: names in a dictionary, columns as dictionaries of numbers, areas as bytearrays.
Nothing is ever used again, so that what the compiled one shows of a predecessor would differ from here.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass

LINE = 64
LONGEST_NAME = 4096


@dataclass
class Entry:
    kind: str
    size: int
    offset: int
    stamp: int
    slot: int


class Arena:
    COLUMNS = 256

    def __init__(self, *, reserve: int = 1 << 30, seed: bytes | None = None) -> None:
        self.seed = os.urandom(16) if seed is None else seed
        if not 0 <= reserve <= 1 << 40 or len(self.seed) != 16:
            raise ValueError(reserve, seed)
        self.column = self.joins = self.generation = 0
        self.numbers: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        self.areas: dict[int, bytearray] = {}
        self._alive = {0}
        self._columns = 1
        self._names: dict[str, Entry] = {}
        self._resting: set[int] = set()
        self._next = LINE
        self.history: list[tuple[int, str | None]] = []

    def join(self, column: int) -> None:
        self._turn(column)
        self._alive.add(column)
        self.column = column
        self.joins += 1

    def leave(self, column: int) -> None:
        self._turn(column)
        self._alive.discard(column)

    def alive(self) -> list[int]:
        return sorted(self._alive)

    def area(self, name: str, size: int) -> int:
        return self.claim(name, "area", size)

    def cells(self, name: str, count: int, *, gauge: bool) -> int:
        return self.claim(name, "gauges" if gauge else "counters", count)

    def stamp(self, name: str) -> bool:
        if name not in self._names:
            return False
        self._stamp(self._names[name])
        return True

    def sweep(self, before: int) -> int:
        self._resting.clear()
        stale = [name for name, entry in self._names.items() if 0 != entry.stamp < before]
        for name in stale:
            entry = self._names.pop(name)
            self._resting.add(entry.slot)
            self.history.append((entry.slot, None))
        return len(stale)

    def entries(self) -> dict[str, int]:
        return {name: entry.size for name, entry in self._names.items()}

    def watch(self) -> Watch:
        return Watch(self)

    def usage(self) -> dict[str, int]:
        return {"entries": len(self._names), "resting": len(self._resting), "columns": self._columns}

    def claim(self, name: str, kind: str, size: int, known: bool = False) -> int:
        if not 0 < len(name.encode()) <= LONGEST_NAME or size < 1:
            raise ValueError(name, size)
        if name in self._names:
            entry = self._names[name]
            if (entry.kind, entry.size) != (kind, size):
                raise ValueError(name, kind, size)
            if not known:
                self._stamp(entry)
            return entry.offset
        if known:
            raise KeyError(name)
        entry = self._names[name] = Entry(kind, size, self._next, self.generation, len(self.history))
        self._next += (size * 8 + LINE - 1) // LINE * LINE
        self.areas[entry.offset] = bytearray(size if kind == "area" else 0)
        self.history.append((entry.slot, name))
        return entry.offset

    def sum(self, offset: int) -> float:
        return sum(self.numbers[column][offset] for column in range(self._columns))

    def columns_of(self, offset: int, *, counter: bool) -> list[tuple[int, float]]:
        found = [(column, self.numbers[column][offset]) for column in range(self._columns)]
        return [(column, value) for column, value in found if column in self._alive or (counter and value != 0)]

    def _turn(self, column: int) -> None:
        if not 0 <= column < self.COLUMNS:
            raise ValueError(column)
        self._columns = max(self._columns, column + 1)
        for entry in self._names.values():
            if entry.kind == "gauges":
                for i in range(entry.size):
                    self.numbers[column][entry.offset + 8 * i] = 0

    def _stamp(self, entry: Entry) -> None:
        if self.generation == 0:
            entry.stamp = 0
        elif entry.stamp != 0:
            entry.stamp = max(entry.stamp, self.generation)


class Watch:
    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._read = 0

    def changes(self, limit: int = 256) -> list[tuple[int, str | None]]:
        found = self._arena.history[self._read :][:limit]
        self._read += len(found)
        return found
