"""Generated lives of an arena: the compiled one and its twin agree in everything that can be seen."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from gateway import _fast
from tests._fast import twins

BOUNDS = (0.5, 1.0, 10.0)
NAMES = some.sampled_from(["a", "b", "c", "ä" * 30, "d" * 500])
NUMBERS = some.integers(-8, 80).map(lambda n: n / 4) | some.sampled_from([math.nan, 1e300])
KNOWN = some.booleans()
STEPS = some.one_of(
    some.tuples(some.just("claim_area"), NAMES, some.integers(-1, 300)),
    some.tuples(some.just("claim_cells"), NAMES, some.integers(0, 3), some.booleans()),
    some.tuples(some.sampled_from(["sweep", "begin"]), some.integers(0, 6)),
    some.tuples(some.sampled_from(["join", "leave"]), some.integers(-1, 3)),
    some.tuples(some.just("stamp"), NAMES),
    some.tuples(some.sampled_from(["count", "follow", "observe"]), NAMES, NUMBERS, KNOWN),
    some.tuples(
        some.sampled_from(["set", "change"]), NAMES, some.sampled_from(["summed", "one", "each"]), NUMBERS, KNOWN
    ),
)


class Life:
    """One arena and the cells held of it. By the rules nobody holds a cell over a sweep."""

    def __init__(self, fast: ModuleType) -> None:
        self._fast = fast
        self._arena = fast.Arena(reserve=1 << 20, seed=bytes(16))
        self._watch = self._arena.watch()
        self._known: dict[int, str] = {}
        self._cells: dict[tuple[str, ...], Any] = {}

    def step(self, what: str, *rest: Any) -> str:
        """What it gave, or the kind of its error, and what can be seen afterwards."""
        try:
            found = getattr(self, what)(*rest)
        except (ValueError, KeyError) as error:
            found = type(error)
        for slot, name in self._watch.changes():
            self._known.pop(slot, None)
            self._known.update({} if name is None else {slot: name})
        entries, usage = sorted(self._arena.entries().items()), self._arena.usage()
        assert sorted(self._known.values()) == [name for name, _ in entries]
        return repr((found, entries, self._arena.alive(), usage["entries"], usage["resting"], usage["columns"]))

    def claim_area(self, name: str, size: int) -> bool:
        return bool(self._arena.area(name, size) == self._arena.area(name, size))

    def claim_cells(self, name: str, count: int, gauge: bool) -> bool:
        return bool(self._arena.cells(name, count, gauge=gauge) == self._arena.cells(name, count, gauge=gauge))

    def stamp(self, name: str) -> Any:
        return self._arena.stamp(name)

    def sweep(self, before: int) -> Any:
        self._cells.clear()
        return self._arena.sweep(before)

    def begin(self, generation: int) -> None:
        self._arena.generation = generation

    def join(self, column: int) -> None:
        self._arena.join(column)

    def leave(self, column: int) -> None:
        self._arena.leave(column)

    def count(self, name: str, n: float, known: bool) -> Any:
        cell = self._cell("CounterCell", name, known=known)
        cell.add(n)
        return [cell.value, cell.columns()]

    def follow(self, name: str, total: float, known: bool) -> Any:
        cell = self._cell("CounterCell", name, known=known)
        cell.follow(total)
        return [cell.value, cell.columns()]

    def observe(self, name: str, value: float, known: bool) -> Any:
        cell = self._cell("HistogramCell", name, BOUNDS, known=known)
        cell.observe(value)
        return [cell.counts, cell.count, cell.sum]

    def set(self, name: str, across: str, value: float, known: bool) -> Any:
        cell = self._cell("GaugeCell", name, across, known=known)
        cell.set(value)
        return [cell.value, cell.columns()]

    def change(self, name: str, across: str, n: float, known: bool) -> Any:
        cell = self._cell("GaugeCell", name, across, known=known)
        cell.add(n)
        return [cell.value, cell.columns()]

    def _cell(self, kind: str, name: str, *rest: Any, known: bool) -> Any:
        key = (kind, name, *map(str, rest))
        if key not in self._cells:
            self._cells[key] = getattr(self._fast, kind)(self._arena, name, *rest, known=known)
        return self._cells[key]


@settings(deadline=None, derandomize=True, max_examples=300)
@given(some.lists(STEPS, max_size=40))
def test_every_step_is_the_twins(steps: list[tuple[Any, ...]]) -> None:
    compiled, twin = Life(_fast), Life(twins)
    for step in steps:
        assert compiled.step(*step) == twin.step(*step), step
