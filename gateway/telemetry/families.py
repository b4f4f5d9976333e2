"""Families of meters: their shape, their cells by label values, and how both are named in shared memory.

A family and each of its series stand in the arena's directory by name, so that every process can show what any other
counted, also one that is dead:

    family ["acme_answers_total", "counter", ["mood"], [], "summed", "Answers given, by mood."]
    series 0f3a9c… ["cheerful"]        the second word is the fingerprint of the shape

The rules:

* ``_cells`` are what this process has claimed and hands out; ``_seen`` is every series known on this machine, and what
  a scrape shows. What is only seen is claimed before it is handed out, so that no sweep frees what somebody uses.
* A label value is text of at most 200 characters, without lone surrogates: cleaned here, so that no two cells come
  out as the same line and no value can make a scrape fail.
* What finds no place (too many series on this machine, or no room in the arena) is counted in the cell whose labels all
  say ``other``; where not even that has room, in a spare cell that nobody reads: no request fails for a number.
  Processes that add at the same moment may pass the bound by one series each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Generic, Literal, Protocol, TypeVar

from gateway._fast import Arena, CounterCell, GaugeCell, HistogramCell

OTHER = "other"
WORKER = "worker"
LONGEST_LABEL_VALUE = 200
LONGEST_HELP = 500
LONGEST_NAME = 4_000  # in the arena, in bytes

Across = Literal["summed", "one", "each"]
Values = tuple[str, ...]
Cell = TypeVar("Cell", bound=CounterCell | GaugeCell | HistogramCell)


class Registry(Protocol):
    """What a family needs of the Meters it belongs to."""

    arena: Arena
    max_series: int

    @property
    def spare(self) -> Arena: ...
    def refused(self, family: str) -> None: ...
    def complain(self, error: Exception) -> None: ...
    def adopt_all(self) -> None: ...


@dataclass(frozen=True)
class Shape:
    """What two families of one name must agree in."""

    name: str
    kind: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()
    across: Across = "summed"

    @cached_property
    def fingerprint(self) -> str:
        return blake2b(_json(self._parts()).encode(), digest_size=8).hexdigest()

    @property
    def line_names(self) -> set[str]:
        ends = ("", "_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return {f"{self.name}{end}" for end in ends}

    def declaration(self, help: str) -> str:
        return f"family {_json([*self._parts(), clean(help, LONGEST_HELP)])}"

    def __str__(self) -> str:
        buckets = f" and the buckets {self.bounds}" if self.bounds else ""
        return f"a {self.kind} with the labels {self.labels}{buckets}, {self.across}"

    def series_name(self, values: Values) -> str:
        return f"series {self.fingerprint} {_json(values)}"

    def make(self, arena: Arena, name: str, *, known: bool = False) -> Any:
        """The cell of this name. ``known``: only if there is one (else KeyError), and without claiming it."""
        if self.kind == "histogram":
            return HistogramCell(arena, name, self.bounds, known=known)
        if self.kind == "gauge":
            return GaugeCell(arena, name, self.across, known=known)
        return CounterCell(arena, name, known=known)

    def _parts(self) -> list[Any]:
        return [self.name, self.kind, self.labels, self.bounds, self.across]


def declared(text: str) -> tuple[Shape, str]:
    """Shape and help of a declaration, read without its first word."""
    name, kind, labels, bounds, across, help = json.loads(text)
    return Shape(name, kind, tuple(labels), tuple(bounds), across), help


class Family(Generic[Cell]):
    """All cells of one name. Made by Meters. ``ours``: declared by this process, not only seen in the directory."""

    def __init__(self, shape: Shape, help: str, registry: Registry, *, ours: bool) -> None:
        self.shape = shape
        self.name = shape.name
        self.kind = shape.kind
        self.labels = shape.labels
        self.help = clean(help, LONGEST_HELP)
        self.ours = ours
        self._registry = registry
        self._other = (OTHER,) * len(shape.labels)
        self._cells: dict[Values, Cell] = {}
        self._seen: dict[Values, Cell] = {}

    @property
    def shown_labels(self) -> tuple[str, ...]:
        """The labels of its lines."""
        return (*self.labels, WORKER) if self.shape.across == "each" else self.labels

    def cell(self, *values: object) -> Cell:
        """The cell of these label values, in the order of the labels. Keep it: this is a look-up."""
        key = tuple([clean(value) for value in values])
        found = self._cells.get(key)
        return self._add(key) if found is None else found

    def series(self) -> list[tuple[Values, Cell]]:
        """Label values and cells as they are now; later cells do not disturb who walks over it."""
        return list(self._seen.items())

    def see(self, values: Values, name: str) -> None:
        """Somebody on this machine has claimed this series, under this name in the arena."""
        if values not in self._seen and len(values) == len(self.labels):
            self._seen[values] = self.shape.make(self._registry.arena, name, known=True)

    def lose(self, values: Values) -> None:
        """It was freed."""
        self._seen.pop(values, None)
        self._cells.pop(values, None)

    def forget(self, kept: Callable[[Family[Any], Values], bool]) -> None:
        """Hand out no more, without claiming it again, what is not kept."""
        self._cells = {values: cell for values, cell in self._cells.items() if kept(self, values)}

    def _add(self, key: Values) -> Cell:
        if len(key) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {len(key)} of them")
        try:
            return self._claim(key)
        except (MemoryError, TimeoutError) as error:
            self._registry.complain(error)
        spare: Cell = self.shape.make(self._registry.spare, self.shape.fingerprint)
        return spare

    def _claim(self, key: Values) -> Cell:
        self._registry.adopt_all()
        if key not in self._seen and not self._has_place(key):
            self._registry.refused(self.name)
            key = self._other
        try:
            cell: Cell = self.shape.make(self._registry.arena, self.shape.series_name(key))
        except MemoryError as error:
            self._registry.complain(error)
            self._registry.refused(self.name)
            key = self._other
            cell = self.shape.make(self._registry.arena, self.shape.series_name(key))
        self._cells[key] = self._seen[key] = cell
        return cell

    def _has_place(self, key: Values) -> bool:
        there = len(self._seen) - (self._other in self._seen)
        return there < self._registry.max_series and len(self.shape.series_name(key).encode()) <= LONGEST_NAME


def clean(value: object, longest: int = LONGEST_LABEL_VALUE) -> str:
    text = str(value)[:longest]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
