"""The table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measures import Row, Spread

HEAD = ("", "unit", "nginx", "gateway", "gateway / nginx", "goal")
ABSENT = "-"


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


def cells(row: Row) -> tuple[str, ...]:
    ratio = ABSENT if row.ratio is None else f"{row.ratio:.3f}"
    return row.question, row.unit, spread(row.nginx), spread(row.gateway), ratio, row.goal


def render(rows: Sequence[Row], notes: Sequence[str]) -> str:
    lines = [HEAD, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    drawn.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(["", *drawn, "", *(f"note: {note}" for note in notes)])
