"""What is measured, as plain values; arithmetic without I/O."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How long, how often, how many."""

    seconds: float = 3.0
    rounds: int = 3
    connections: int = 32
    streams: int = 200
    interval_ms: int = 20  # between two events of one stream
    most_rate: int = 2000  # requests/s of the latency client, at most; it is a Python program
    settle_seconds: float = 10.0  # from the end of the load to the last look at the memory

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        seconds = float(environ.get("BENCH_SECONDS", cls.seconds))
        rounds = int(environ.get("BENCH_ROUNDS", cls.rounds))
        return cls(seconds=seconds, rounds=rounds, settle_seconds=min(cls.settle_seconds, 4 * seconds))

    def easy_rate(self, most: float) -> float:
        """Half of what one worker can do, as far as the client can pace it."""
        return min(self.most_rate, most / 2) or 100.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Several rounds of one number: the median, and how far the others were."""

    median: float
    least: float
    most: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None for no values: an absent number stays absent."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), tuple(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One question, answered by the base (nginx, or one worker) and by what is compared with it."""

    question: str
    unit: str
    base: Spread | None = None
    ours: Spread | None = None
    goal: str = ""
    compare: bool = True  # the ratio means something

    @property
    def ratio(self) -> float | None:
        """Ours by the base's; the smaller the better only where the unit is a cost.

        Rounds were asked in turn, so each is divided by its neighbour and the median of these is taken.
        """
        if not self.compare or self.base is None or self.ours is None or self.base.least <= 0:
            return None
        if len(self.base.rounds) != len(self.ours.rounds):
            return self.ours.median / self.base.median
        return statistics.median(ours / base for ours, base in zip(self.ours.rounds, self.base.rounds, strict=True))


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the compiled core, in nanoseconds."""

    name: str
    alone: float
    together: float | None = None  # while a second process does the same to the same cells
    twin: float | None = None  # the same in plain Python
    empty: float | None = None  # a compiled call that does nothing
    goal: str = ""

    @property
    def multiple(self) -> float | None:
        """Of an empty compiled call."""
        return self.alone / self.empty if self.empty else None


def percentile(values: Sequence[float], part: float) -> float:
    """The value that `part` of all values don't exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)]


def per_cpu_second(requests: float, cpu_seconds: float) -> float | None:
    return requests / cpu_seconds if cpu_seconds > 0 else None


def micros_each(cpu_seconds: float, events: int) -> float | None:
    return cpu_seconds * 1e6 / events if events > 0 and cpu_seconds > 0 else None
