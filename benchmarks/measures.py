"""What is measured, as plain values; arithmetic without I/O."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROWS = ("whole", "bare", "tls", "body", "burst", "streams", "latency", "memory", "scaling", "start", "micro")


@dataclass(frozen=True)
class Settings:
    """How long, how often, how many."""

    seconds: float = 2.0
    rounds: int = 5
    rows: tuple[str, ...] = ROWS
    lane: str = ""  # as the gateway's `server.lane`; empty for what it is without being told
    connections: tuple[int, ...] = (32, 128)
    streams: int = 200
    events: int = 100  # of one stream
    interval_ms: int = 10  # between two of them
    burst: int = 50  # events at once
    body_mib: int = 1
    most_rate: int = 2000  # requests/s of the latency client, at most; it is a Python program
    settle_seconds: float = 10.0  # from the end of the load to the last look at the memory

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """ValueError when BENCH_ROWS names what isn't there."""
        seconds = float(environ.get("BENCH_SECONDS") or cls.seconds)
        rounds = int(environ.get("BENCH_ROUNDS") or cls.rounds)
        rows = tuple(name.strip() for name in environ.get("BENCH_ROWS", "").split(",") if name.strip()) or ROWS
        if unknown := [name for name in rows if name not in ROWS]:
            raise ValueError(f"BENCH_ROWS: no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
        settle = min(cls.settle_seconds, 5 * seconds)
        return cls(seconds, rounds, rows, environ.get("BENCH_LANE", ""), settle_seconds=settle)

    def easy_rate(self, most: float) -> float:
        """Half of what one worker can do (0: nobody has asked), as far as the client can pace it."""
        return min(self.most_rate, most / 2) if most else self.most_rate


@dataclass(frozen=True, slots=True)
class Bound:
    """What a row promises: of the ratio, or when it has a unit of our own number."""

    least: float | None = None
    most: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        sign, value = ("<=", self.most) if self.least is None else (">=", self.least)
        return f"{sign} {value:g} {self.unit}".rstrip() if self.unit else f"{sign} {value:.2f}"

    def holds(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


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
    must: Bound | None = None
    aim: Bound | None = None
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

    def met(self, bound: Bound) -> bool | None:
        """None when there is no number to judge."""
        value = self.ratio if not bound.unit else None if self.ours is None else self.ours.median
        return None if value is None else bound.holds(value)


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


def micros_each(cpu_seconds: float, events: int) -> float | None:
    return cpu_seconds * 1e6 / events if events > 0 and cpu_seconds > 0 else None
