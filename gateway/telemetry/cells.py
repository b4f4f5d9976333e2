"""The cells of a meter: one number, or one histogram. The hot path holds them and calls one method.

The rules:

* One writer: the thread of the event loop. There is no lock; a count made in another thread reaches a
  cell through ``Meters.before_scrape`` and ``CounterCell.follow``.
* A counter never goes down. ``add`` refuses a negative number and NaN, because either would be read
  as a restart of the process, or poison the sum for ever.
* A histogram's cell counts each value once, in the first bucket whose bound is not below it (Prometheus
  bounds are inclusive); the cumulative ``le`` values are made when somebody reads.
* ``prefixes`` belongs to the exposition: the text before the value, rendered once and kept here.
"""

from __future__ import annotations

from bisect import bisect_left


class CounterCell:
    """A total that only grows."""

    __slots__ = ("prefixes", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.prefixes: tuple[str, ...] = ()

    def add(self, n: float = 1) -> None:
        if not n >= 0:
            raise ValueError(f"a counter cannot be changed by {n}")
        self.value += n

    def follow(self, total: float) -> None:
        """Take over a total that is counted elsewhere. A smaller one changes nothing."""
        if total > self.value:
            self.value = total


class GaugeCell:
    """A number that goes up and down."""

    __slots__ = ("prefixes", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self.prefixes: tuple[str, ...] = ()

    def set(self, value: float) -> None:
        self.value = value

    def add(self, n: float = 1) -> None:
        self.value += n


class HistogramCell:
    """How often values fell between the bounds, and their sum."""

    __slots__ = ("bounds", "counts", "prefixes", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0.0
        self.prefixes: tuple[str, ...] = ()

    def observe(self, value: float) -> None:
        if value != value:  # NaN would make the sum NaN for ever
            return
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)
