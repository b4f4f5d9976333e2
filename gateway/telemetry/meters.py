"""The registry of meters: families by name, cells by label values, in memory that all processes share.

How to count something, also from a plug-in::

    answers = meters.counter("acme_answers_total", "Answers given, by mood.", labels=("mood",))
    cheerful = answers.cell("cheerful")      # once, when the route is built
    cheerful.add()                           # per request: no look-up, no dictionary

The rules:

* Asking for the same name again gives the same family; asking for another shape raises ValueError.
* A counter's name ends in ``_total``. ``llm_gateway_cost_dollars`` is the one exception: the
  specification names it so, and dashboards may read either name (see request_meters).
* ``across`` says what several workers make of it: ``summed`` (unless said otherwise), ``one`` number that all of them
  change (a gauge only), or ``each``: one line per worker, with the label ``worker``; the supervisor is one of them.
* Any process shows everything that any process counted: families and series that others declared are learned from
  the arena's directory before each scrape. What this process declares wins over what it only learned.
* The cells of a family are bounded (``max_series``, on this machine). Label values that would make one more are
  counted in one cell whose labels all say ``other``, and
  ``llm_gateway_metric_series_dropped_total{metric}`` counts how often a cell was refused.
* Numbers that somebody else keeps are fetched by callbacks, before each scrape. A callback that is a method goes with
  its object, which the registry does not hold: an extension that a reload has dropped is asked no more.
* A reload: ``keep(generation, labels)`` once the new configuration is adopted, ``forget()`` once no older exchange
  runs here, and then ``Arena.sweep(generation)`` once every worker has said so. Until it is swept a series is shown.
  Who holds cells with one of these labels drops them when ``when_forgetting`` says so. A plug-in need not know of
  this: only metrics of the gateway itself are swept.
* Use it from the thread of the event loop only.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from inspect import ismethod
from typing import Any, Literal
from weakref import WeakMethod

from gateway._fast import Arena, CounterCell, GaugeCell, HistogramCell
from gateway.telemetry.directory import Directory
from gateway.telemetry.families import OTHER, WORKER, Across, Family, Shape, Values, clean

MAX_SERIES = 2_000
OURS = "llm_gateway_"
NO_PROVIDER = "none"
SPARE_BYTES = 16 << 20
COUNTERS_WITHOUT_TOTAL = frozenset({"llm_gateway_cost_dollars"})

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_log = logging.getLogger("gateway.telemetry")


class Meters:
    """Every family of this machine. Without an arena: of this process."""

    def __init__(self, arena: Arena | None = None, *, max_series: int = MAX_SERIES) -> None:
        self.arena = Arena() if arena is None else arena
        self.max_series = max_series
        self._families: dict[str, Family[Any]] = {}
        self._by_shape: dict[str, Family[Any]] = {}
        self._before_scrape: list[Callable[[], Callable[[], None] | None]] = []
        self._forgetting: list[Callable[[], None]] = []
        self._kept: dict[str, frozenset[str]] = {}
        self._spare: Arena | None = None
        self._complained = False
        self._directory = Directory(self.arena, self)
        self._refusals = self.counter(
            "llm_gateway_metric_series_dropped_total",
            "Label values that found no place in their metric and were counted as `other`, by metric.",
            ("metric",),
        )

    def counter(
        self, name: str, help: str, labels: Sequence[str] = (), *, across: Literal["summed", "each"] = "summed"
    ) -> Family[CounterCell]:
        if not name.endswith("_total") and name not in COUNTERS_WITHOUT_TOTAL:
            raise ValueError(f"{name}: the name of a counter ends in _total")
        return self._family(Shape(name, "counter", tuple(labels), across=across), help)

    def gauge(
        self, name: str, help: str, labels: Sequence[str] = (), *, across: Across = "summed"
    ) -> Family[GaugeCell]:
        return self._family(Shape(name, "gauge", tuple(labels), across=across), help)

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, buckets: Iterable[float]
    ) -> Family[HistogramCell]:
        """``buckets``: finite upper bounds, rising; the last one, infinity, is understood."""
        bounds = tuple(float(bound) for bound in buckets)
        if not bounds or list(bounds) != sorted(set(bounds)) or not all(math.isfinite(bound) for bound in bounds):
            raise ValueError(f"{name}: buckets are one or more finite bounds, each above the one before")
        if "le" in labels:
            raise ValueError(f"{name}: a histogram cannot have the label le")
        return self._family(Shape(name, "histogram", tuple(labels), bounds), help)

    def families(self) -> list[Family[Any]]:
        return list(self._families.values())

    def before_scrape(self, fetch: Callable[[], None]) -> None:
        """Call this before each scrape, on the loop: to copy into cells what is counted elsewhere."""
        self._before_scrape.append(WeakMethod(fetch) if ismethod(fetch) else lambda: fetch)

    def refresh(self) -> None:
        held = [(refer, fetch) for refer in self._before_scrape if (fetch := refer()) is not None]
        self._before_scrape = [refer for refer, _ in held]
        for _, fetch in held:
            try:
                fetch()
            except Exception:  # one plug-in's mistake must not hide everybody's numbers
                _log.exception("a callback of /metrics failed: %r", fetch)

    def adopt(self) -> bool:
        """Learn some of what other processes declared and counted; whether there may be more."""
        try:
            return self._directory.follow()
        except TimeoutError as error:
            self.complain(error)
            return False

    def adopt_all(self) -> None:
        """All of it. Raises TimeoutError."""
        while self._directory.follow():
            pass

    def keep(self, generation: int, labels: Mapping[str, Collection[str]]) -> None:
        """From this generation on, of these labels (``provider``, ``model``) only these values' series are wanted.

        Raises TimeoutError when the directory is held: then nothing may be swept in the name of this process.
        """
        self.arena.generation = generation
        self._kept = {label: frozenset(map(clean, values)) | {NO_PROVIDER, OTHER} for label, values in labels.items()}
        self.adopt_all()
        for family in self.families():
            self.arena.stamp(family.shape.declaration(family.help))
            for values, _ in family.series():
                if self._keeps(family, values):
                    self.arena.stamp(family.shape.series_name(values))

    def keeps(self, labels: Sequence[str], values: Sequence[str]) -> bool:
        """Does the configuration know all of these values?"""
        pairs = zip(labels, values, strict=True)
        return all(label not in self._kept or clean(value) in self._kept[label] for label, value in pairs)

    def when_forgetting(self, drop: Callable[[], None]) -> None:
        """Call this when cells of label values that are not kept must be held no longer."""
        self._forgetting.append(drop)

    def forget(self) -> None:
        """Drop the cells of what is not kept, here and wherever they are held."""
        for drop in self._forgetting:
            drop()
        for family in self.families():
            family.forget(self._keeps)

    def refused(self, family: str) -> None:
        """A series found no place."""
        if family != self._refusals.name:
            self._refusals.cell(family).add()

    def complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            _log.error("a number finds no place: %s", error)

    @property
    def spare(self) -> Arena:
        if self._spare is None:
            self._spare = Arena(reserve=SPARE_BYTES)
        return self._spare

    def was_declared(self, shape: Shape, help: str) -> None:
        known = self._families.get(shape.name)
        if (known is None or (not known.ours and known.shape != shape)) and not self._clash(shape):
            self._install(Family(shape, help, self, ours=False))

    def was_claimed(self, fingerprint: str, values: Values, name: str) -> None:
        family = self._by_shape.get(fingerprint)
        if family is not None:
            family.see(values, name)

    def was_freed(self, fingerprint: str, values: Values) -> None:
        family = self._by_shape.get(fingerprint)
        if family is not None:
            family.lose(values)

    def _keeps(self, family: Family[Any], values: Values) -> bool:
        return not family.name.startswith(OURS) or self.keeps(family.labels, values)

    def _family(self, shape: Shape, help: str) -> Family[Any]:
        known = self._families.get(shape.name)
        if known is not None and known.ours:
            if known.shape != shape:
                raise ValueError(f"{shape.name} is already {known.shape}, and cannot be {shape} as well")
            return known
        self._check(shape)
        try:
            self.arena.area(shape.declaration(help), 1)
        except (MemoryError, TimeoutError) as error:  # then only this process shows it
            self.complain(error)
        family: Family[Any] = Family(shape, help, self, ours=True)
        self._install(family)
        if not shape.labels:
            family.cell()
        return family

    def _check(self, shape: Shape) -> None:
        name, labels = shape.name, shape.labels
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a metric")
        if len(set(labels)) != len(labels) or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"{name}: {labels} cannot be the labels of a metric")
        if shape.across == "each" and WORKER in labels:
            raise ValueError(f"{name}: the label {WORKER} is added to what each worker has; labels cannot have it")
        if clash := self._clash(shape):
            raise ValueError(f"{name}: the lines of this metric would be mixed with those of {clash}")

    def _clash(self, shape: Shape) -> str | None:
        """Another family of ours that has lines of the same name."""
        others = (other for other in self._families.values() if other.ours and other.name != shape.name)
        return next((other.name for other in others if shape.line_names & other.shape.line_names), None)

    def _install(self, family: Family[Any]) -> None:
        """Show it, and no other that has lines of the same name."""
        lines = family.shape.line_names
        for other in self.families():
            if other.shape.line_names & lines:
                del self._families[other.name], self._by_shape[other.shape.fingerprint]
        self._families[family.name] = self._by_shape[family.shape.fingerprint] = family
        for values, name in self._directory.series(family.shape.fingerprint):
            family.see(values, name)
