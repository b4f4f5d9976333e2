"""What came out of a run, and how a question is asked: every way in turn, several times over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.measures import Operation, Row, Settings, Spread
from benchmarks.programs import Missing, Way

Numbers = dict[str, dict[str, list[float]]]  # by measure, then by way


@dataclass(slots=True)
class Results:
    """The rows of the three tables, and what must be said with them."""

    rows: list[Row] = field(default_factory=list)
    scaling: list[Row] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    gateway_rate: float = 0.0  # requests/s of the slowest round
    peak_mib: float = 0.0

    @property
    def complete(self) -> bool:
        return any(row.ours is not None and row.base is not None for row in self.rows)

    def add(
        self, numbers: Numbers, measure: str, question: str, unit: str, goal: str = "", *, compare: bool = True
    ) -> None:
        """A row of the gateway beside nginx."""
        base, ours = spreads(numbers, measure, ("nginx", "gateway"))
        self.rows.append(Row(question, unit, base, ours, goal, compare))


def spreads(numbers: Numbers, measure: str, ways: Sequence[str]) -> list[Spread | None]:
    by_way = numbers.get(measure, {})
    return [Spread.of(by_way.get(name, [])) for name in ways]


def rounds(settings: Settings, ways: list[Way], results: Results, ask: Callable[[Way], dict[str, float]]) -> Numbers:
    """Ask every way in turn, several times over. A way that fails once is not asked again, and has no number."""
    numbers: Numbers = {}
    failed: set[str] = set()
    for _ in range(settings.rounds):
        for way in ways:
            if way.name in failed:
                continue
            try:
                for measure, value in ask(way).items():
                    numbers.setdefault(measure, {}).setdefault(way.name, []).append(value)
            except (Missing, OSError) as problem:
                failed.add(way.name)
                results.notes.append(f"{way.name}: {problem}")
    for by_way in numbers.values():
        for name in failed:
            by_way.pop(name, None)
    return numbers
