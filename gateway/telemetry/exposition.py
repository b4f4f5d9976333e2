"""The registry as text: Prometheus exposition format 0.0.4.

The rules:

* It is the text of the whole machine: what other processes declared and counted is learned first, and a value is the
  sum over all workers, the one number they share, or a line for each worker (see meters).
* The text before a value (name and labels) is rendered at the first scrape and kept in the cell.
* ``render_slices`` hands out the text in pieces, each made in about ``slice_seconds``; between two of
  them the caller gives the loop to others (``await asyncio.sleep(0)``). A piece ends after a whole line, and is
  empty while there is much to learn. A histogram is never divided: its buckets and its count always agree, its sum may
  be a value ahead of them. Different cells may be a few milliseconds apart.
* Whole numbers are written as such, up to 2**53.
* A family that has no cell yet is left out altogether.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

from gateway._fast import CounterCell, GaugeCell, HistogramCell
from gateway.telemetry.families import WORKER, Family
from gateway.telemetry.meters import Meters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SLICE_SECONDS = 0.002  # well under the 5 ms that are allowed: the clock is read only now and then
LINES_BETWEEN_LOOKS = 50
EXACT = float(2**53)

_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_LABEL_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def render(meters: Meters) -> bytes:
    """The whole text at once: for tests and small registries."""
    return b"".join(render_slices(meters))


def render_slices(
    meters: Meters, *, slice_seconds: float = SLICE_SECONDS, clock: Callable[[], float] = time.perf_counter
) -> Iterator[bytes]:
    """The whole text in pieces; let the loop run between them."""
    began = clock()
    meters.refresh()
    while meters.adopt():
        if clock() - began >= slice_seconds:
            yield b""
            began = clock()
    lines: list[str] = []
    looked = 0
    for lines_of_one in _groups(meters):
        lines += lines_of_one
        if len(lines) - looked < LINES_BETWEEN_LOOKS:
            continue
        looked = len(lines)
        if clock() - began >= slice_seconds:
            yield _text(lines)
            lines, looked, began = [], 0, clock()
    if lines:
        yield _text(lines)


def _groups(meters: Meters) -> Iterator[list[str]]:
    """Lines that belong together: a family's head, then one list per cell."""
    for family in meters.families():
        series = family.series()
        if series:
            yield _head(family)
        lines = _each if family.shape.across == "each" else _histogram if family.kind == "histogram" else _number
        for values, cell in series:
            if not cell.prefixes:
                cell.prefixes = _prefixes(family, values, cell)
            yield lines(cell)


def _head(family: Family[Any]) -> list[str]:
    return [f"# HELP {family.name} {family.help.translate(_HELP_ESCAPES)}", f"# TYPE {family.name} {family.kind}"]


def _number(cell: CounterCell | GaugeCell) -> list[str]:
    return [cell.prefixes[0] + _figure(cell.value)]


def _each(cell: CounterCell | GaugeCell) -> list[str]:
    begin, end = cell.prefixes
    return [f"{begin}{column or 'supervisor'}{end}{_figure(value)}" for column, value in cell.columns()]


def _histogram(cell: HistogramCell) -> list[str]:
    cumulative = list(accumulate(cell.counts))
    cumulative.append(cumulative[-1])
    lines = [f"{prefix}{count}" for prefix, count in zip(cell.prefixes[:-1], cumulative, strict=True)]
    lines.append(cell.prefixes[-1] + _figure(cell.sum))
    return lines


def _prefixes(family: Family[Any], values: tuple[str, ...], cell: Any) -> tuple[str, ...]:
    """One per line: of a histogram the buckets, +Inf, the count, the sum; of `each`, before and after the worker."""
    labelled = zip(family.labels, values, strict=True)
    pairs = [f'{label}="{value.translate(_LABEL_ESCAPES)}"' for label, value in labelled]
    if family.shape.across == "each":
        begin, _, end = _prefix(family.name, [*pairs, f'{WORKER}="\n"']).partition("\n")
        return begin, end
    if not isinstance(cell, HistogramCell):
        return (_prefix(family.name, pairs),)
    bounds = [*(repr(bound) for bound in cell.bounds), "+Inf"]
    buckets = [_prefix(f"{family.name}_bucket", [*pairs, f'le="{bound}"']) for bound in bounds]
    return (*buckets, _prefix(f"{family.name}_count", pairs), _prefix(f"{family.name}_sum", pairs))


def _prefix(name: str, pairs: list[str]) -> str:
    return f"{name}{{{','.join(pairs)}}} " if pairs else f"{name} "


def _figure(value: float) -> str:
    if -EXACT <= value <= EXACT and value == int(value):
        return str(int(value))
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _text(lines: list[str]) -> bytes:
    return "".join([f"{line}\n" for line in lines]).encode()
