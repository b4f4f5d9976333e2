"""Durations by sorted edges: where the compiled one computes a bucket from bits, this one searches a list."""

from __future__ import annotations

import math
from bisect import bisect_right

LEAST, MOST = 1_000, 3_600_000_000_000


def edges(parts: int) -> list[int]:
    """The lower edges of all buckets, `parts` of equal width to each power of two; at the end that of the too long."""
    powers = range(math.floor(math.log2(LEAST)), math.ceil(math.log2(MOST)))
    lows = [2**power + part * 2**power // parts for power in powers for part in range(parts)]
    first, last = bisect_right(lows, LEAST) - 1, bisect_right(lows, MOST)
    return [0, *lows[first:last], lows[last] if last < len(lows) else 2 ** (powers[-1] + 1)]


FINE, COARSE = edges(32), edges(16)


def bucket(value: int, lows: list[int]) -> int:
    if value < LEAST:
        return 0
    return len(lows) - 1 if value > MOST else bisect_right(lows[:-1], value) - 1


def worth(index: int, lows: list[int]) -> int:
    if index in (0, len(lows) - 1):
        return LEAST if index == 0 else MOST
    return min((lows[index] + lows[index + 1]) // 2, MOST)


def quantile(values: list[int], q: float) -> int | None:
    if not 0 <= q <= 1:
        raise ValueError("a quantile is a number from 0 to 1")
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1] if values else None


class Histogram:
    def __init__(self, arena: object, name: str, *, slices: int = 4, slice_time: int = 15_000_000_000) -> None:
        if not 0 <= slices <= 60 or slice_time < 1_000_000_000:
            raise ValueError("slices are 0 to 60, of a second or more")
        self._slices, self._slice_time = slices, slice_time
        self._found: list[int] = []  # the number of each value's bucket
        self._recent: dict[tuple[int, int], tuple[int, int]] = {}  # bucket and place of a slice: slice, count
        self.sum = 0.0

    def record(self, value: int, now: int, /) -> None:
        self._found.append(bucket(value, FINE))
        self.sum += min(max(value, LEAST), MOST)
        if not self._slices:
            return
        number = max(now, 0) // self._slice_time
        place = bucket(value, COARSE), number % self._slices
        seen, count = self._recent.get(place, (number, 0))
        if seen <= number:
            self._recent[place] = number, count + 1 if seen == number else 1

    @property
    def count(self) -> int:
        return len(self._found)

    @property
    def outside(self) -> tuple[int, int]:
        return self._found.count(0), self._found.count(len(FINE) - 1)

    def mean(self) -> float | None:
        return self.sum / self.count if self._found else None

    def quantile(self, q: float, /) -> int | None:
        return quantile([worth(index, FINE) for index in self._found], q)

    def buckets(self) -> list[tuple[int, int]]:
        return [(worth(index, FINE), self._found.count(index)) for index in sorted(set(self._found))]

    def recent_count(self, now: int, /) -> int:
        return len(self._window(now))

    def recent_mean(self, now: int, /) -> float | None:
        values = self._window(now)
        return math.fsum(values) / len(values) if values else None

    def recent_quantile(self, q: float, now: int, /) -> int | None:
        return quantile(self._window(now), q)

    def _window(self, now: int) -> list[int]:
        oldest = max(now, 0) // self._slice_time - self._slices
        kept = [(index, count) for (index, _), (number, count) in self._recent.items() if number > oldest]
        return [worth(index, COARSE) for index, count in kept for _ in range(count)]
