"""The registry of meters: families by name, cells by label values.

How to count something, also from a plug-in::

    answers = meters.counter("acme_answers_total", "Answers given, by mood.", labels=("mood",))
    cheerful = answers.cell("cheerful")      # once, when the route is built
    cheerful.add()                           # per request: no look-up, no dictionary

The rules:

* Asking for the same name again gives the same family; asking for another shape raises ValueError.
* A counter's name ends in ``_total``. ``llm_gateway_cost_dollars`` is the one exception: the
  specification names it so, and dashboards may read either name (see request_meters).
* The cells of a family are bounded (``max_series``). Label values that would make one more are
  counted in one cell whose labels all say ``other``, and
  ``llm_gateway_metric_series_dropped_total{metric}`` counts how often a cell was refused.
* A label value is text of at most 200 characters, without lone surrogates: cleaned here, so that no two
  cells come out as the same line and no value can make a scrape fail.
* Numbers that somebody else keeps are fetched by callbacks, before each scrape.
* Use it from the thread of the event loop only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar, cast

from gateway.telemetry.cells import CounterCell, GaugeCell, HistogramCell

OTHER = "other"
MAX_SERIES = 2_000
LONGEST_LABEL_VALUE = 200
COUNTERS_WITHOUT_TOTAL = frozenset({"llm_gateway_cost_dollars"})

Cell = TypeVar("Cell", bound=CounterCell | GaugeCell | HistogramCell)

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_log = logging.getLogger("gateway.telemetry")


class Family(Generic[Cell]):
    """All cells of one name. Made by Meters."""

    def __init__(
        self, name: str, help: str, kind: str, labels: tuple[str, ...], make: Callable[[], Cell], max_series: int
    ) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.labels = labels
        self.refused = _nobody_listens
        self._make = make
        self._max_series = max_series
        self._cells: dict[tuple[str, ...], Cell] = {}
        if not labels:
            self.cell()

    def cell(self, *values: object) -> Cell:
        """The cell of these label values, in the order of the labels. Keep it: this is a look-up."""
        key = tuple([_clean(value) for value in values])
        found = self._cells.get(key)
        return self._add(key) if found is None else found

    def series(self) -> list[tuple[tuple[str, ...], Cell]]:
        """Label values and cells as they are now; later cells do not disturb who walks over it."""
        return list(self._cells.items())

    def _add(self, key: tuple[str, ...]) -> Cell:
        if len(key) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {len(key)} of them")
        if len(self._cells) >= self._max_series:
            self.refused(self.name)
            key = (OTHER,) * len(key)
        return self._cells.setdefault(key, self._make())


class Meters:
    """Every family of this process."""

    def __init__(self, *, max_series: int = MAX_SERIES) -> None:
        self._max_series = max_series
        self._families: dict[str, Family[Any]] = {}
        self._bounds: dict[str, tuple[float, ...]] = {}
        self._before_scrape: list[Callable[[], None]] = []
        self._refusals = self.counter(
            "llm_gateway_metric_series_dropped_total",
            "Label values that found no place in their metric and were counted as `other`, by metric.",
            ("metric",),
        )

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Family[CounterCell]:
        if not name.endswith("_total") and name not in COUNTERS_WITHOUT_TOTAL:
            raise ValueError(f"{name}: the name of a counter ends in _total")
        return self._family(name, help, "counter", labels, CounterCell)

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Family[GaugeCell]:
        return self._family(name, help, "gauge", labels, GaugeCell)

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, buckets: Iterable[float]
    ) -> Family[HistogramCell]:
        """``buckets``: finite upper bounds, rising; the last one, infinity, is understood."""
        bounds = tuple(float(bound) for bound in buckets)
        if not bounds or list(bounds) != sorted(set(bounds)) or not all(abs(bound) < float("inf") for bound in bounds):
            raise ValueError(f"{name}: buckets are one or more finite bounds, each above the one before")
        if "le" in labels:
            raise ValueError(f"{name}: a histogram cannot have the label le")
        if self._bounds.get(name, bounds) != bounds:
            raise ValueError(f"{name} is already a histogram with other buckets")
        family = self._family(name, help, "histogram", labels, lambda: HistogramCell(bounds))
        self._bounds[name] = bounds
        return family

    def families(self) -> list[Family[Any]]:
        return list(self._families.values())

    def before_scrape(self, fetch: Callable[[], None]) -> None:
        """Call this before each scrape, on the loop: to copy into cells what is counted elsewhere."""
        self._before_scrape.append(fetch)

    def refresh(self) -> None:
        for fetch in self._before_scrape:
            try:
                fetch()
            except Exception:  # one plug-in's mistake must not hide everybody's numbers
                _log.exception("a callback of /metrics failed: %r", fetch)

    def _family(self, name: str, help: str, kind: str, labels: Sequence[str], make: Callable[[], Cell]) -> Family[Cell]:
        known = self._families.get(name)
        if known is None:
            return self._new(name, help, kind, tuple(labels), make)
        if (known.kind, known.labels) != (kind, tuple(labels)):
            raise ValueError(f"{name} is already a {known.kind} with the labels {known.labels}")
        return cast("Family[Cell]", known)

    def _new(self, name: str, help: str, kind: str, labels: tuple[str, ...], make: Callable[[], Cell]) -> Family[Cell]:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a metric")
        if len(set(labels)) != len(labels) or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"{name}: {labels} cannot be the labels of a metric")
        if clash := self._clash(name, kind):
            raise ValueError(f"{name}: the lines of this metric would be mixed with those of {clash}")
        family = Family(name, help, kind, labels, make, self._max_series)
        family.refused = self._count_refusal
        self._families[name] = family
        return family

    def _clash(self, name: str, kind: str) -> str | None:
        mine = _line_names(name, kind)
        return next((other.name for other in self.families() if mine & _line_names(other.name, other.kind)), None)

    def _count_refusal(self, name: str) -> None:
        if name != self._refusals.name:
            self._refusals.cell(name).add()


def _line_names(name: str, kind: str) -> set[str]:
    return {name, *(f"{name}{end}" for end in ("_bucket", "_sum", "_count"))} if kind == "histogram" else {name}


def _clean(value: object) -> str:
    text = str(value)[:LONGEST_LABEL_VALUE]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _nobody_listens(name: str) -> None:
    """A family that belongs to no registry."""
