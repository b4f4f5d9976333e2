"""The tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measures import Bound, Operation, Row, Spread
from benchmarks.scaling import ONE, TWO

ABSENT = "-"
VERDICT = {True: "met", False: "MISSED", None: "not measured"}


def number(value: float) -> str:
    """Three figures that mean something; thousands readable."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def spread(value: Spread | None) -> str:
    """Median, and the range when there were several rounds."""
    if value is None:
        return ABSENT
    if len(value.rounds) == 1:
        return number(value.median)
    return f"{number(value.median)} ({number(value.least)}..{number(value.most)})"


def optional(value: float | None) -> str:
    return ABSENT if value is None else number(value)


def against_nginx(rows: Sequence[Row]) -> str:
    return drawn(("", "unit", "nginx", "gateway", "gateway / nginx", "must", "aim"), [compared(row) for row in rows])


def from_one_to_two(rows: Sequence[Row]) -> str:
    return drawn(("scaling", "unit", ONE, TWO, "2 / 1", "must", "aim"), [compared(row) for row in rows])


def compared(row: Row) -> tuple[str, ...]:
    ratio = ABSENT if row.ratio is None else f"{row.ratio:.3f}"
    return row.question, row.unit, spread(row.base), spread(row.ours), ratio, kept(row, row.must), kept(row, row.aim)


def kept(row: Row, bound: Bound | None) -> str:
    """A promise, and what came of it."""
    if bound is None:
        return ""
    return f"{bound}  {VERDICT[row.met(bound)]}"


def operations(found: Sequence[Operation]) -> str:
    """In nanoseconds; the goal is for one process alone."""
    head = ("compiled core", "ns", "x empty call", "goal", "ns, two processes", "ns in Python", "Python / compiled")
    return drawn(head, [operation(each) for each in found])


def operation(each: Operation) -> tuple[str, ...]:
    faster = each.twin / each.alone if each.twin is not None and each.alone > 0 else None
    multiple, together, twin = optional(each.multiple), optional(each.together), optional(each.twin)
    return each.name, number(each.alone), multiple, each.goal, together, twin, optional(faster)


def drawn(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be; nothing at all for no rows."""
    if not rows:
        return ""
    widths = [max(len(line[column]) for line in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(["", *(line.rstrip() for line in padded), ""])
