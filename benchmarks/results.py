"""What came out of a run, and how a question is asked: every way in turn, several times over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks import machine
from benchmarks.measures import Bound, Operation, Row, Settings, Spread
from benchmarks.programs import Missing, Way

DISTURBED = 0.15  # of a core, by whoever else works on this machine
Numbers = dict[str, dict[str, list[float]]]  # by measure, then by way


@dataclass(slots=True)
class Results:
    """The rows of the three tables, and what must be said with them."""

    rows: list[Row] = field(default_factory=list)
    scaling: list[Row] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, Numbers] = field(default_factory=dict)  # every measure of every round, by question
    gateway_rate: float = 0.0  # requests/s of the slowest round

    @property
    def complete(self) -> bool:
        """The gateway has been measured, where it was asked for."""
        asked = (*self.rows, *self.scaling)
        return any(row.ours is not None for row in asked) if asked else bool(self.operations)

    def add(
        self,
        numbers: Numbers,
        measure: str,
        question: str,
        unit: str,
        must: Bound | None = None,
        aim: Bound | None = None,
        *,
        compare: bool = True,
    ) -> None:
        """A row of the gateway beside nginx."""
        base, ours = spreads(numbers, measure, ("nginx", "gateway"))
        self.rows.append(Row(question, unit, base, ours, must, aim, compare))


def spreads(numbers: Numbers, measure: str, ways: Sequence[str]) -> list[Spread | None]:
    by_way = numbers.get(measure, {})
    return [Spread.of(by_way.get(name, [])) for name in ways]


def rounds(
    question: str, settings: Settings, ways: Sequence[Way], results: Results, ask: Callable[[Way], dict[str, float]]
) -> Numbers:
    """Ask every way in turn, several times over. A way that fails once is not asked again, and has no number."""
    numbers: Numbers = {}
    failed: set[str] = set()
    disturbed: list[float] = []
    for _ in range(settings.rounds):
        for way in ways:
            if way.name in failed:
                continue
            began, others = time.monotonic(), machine.others_seconds()
            try:
                for measure, value in ask(way).items():
                    numbers.setdefault(measure, {}).setdefault(way.name, []).append(value)
            except (Missing, OSError) as problem:
                failed.add(way.name)
                results.notes.append(f"{question}, {way.name}: {problem}")
            disturbed.append((machine.others_seconds() - others) / (time.monotonic() - began))
    if max(disturbed, default=0) > DISTURBED:
        results.notes.append(f"{question}: others used up to {max(disturbed):.0%} of a core meanwhile")
    for by_way in numbers.values():
        for name in failed:
            by_way.pop(name, None)
    results.numbers[question] = numbers
    return numbers


def added(by_way: dict[str, list[float]]) -> dict[str, list[float]]:
    """Each round less the straight way's of the same round."""
    straight = by_way.get("direct", [])
    return {
        name: [value - base for value, base in zip(values, straight, strict=False)]
        for name, values in by_way.items()
        if name != "direct"
    }
