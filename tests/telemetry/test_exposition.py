"""The text that Prometheus reads: exact lines, escapes, slices; an official parser as second reader."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gateway._fast import Arena
from gateway.telemetry.exposition import render, render_slices
from gateway.telemetry.meters import Meters

labels = some.text(some.characters(exclude_categories=()), max_size=30)
numbers = some.floats() | some.integers(-(2**70), 2**70)


def test_every_line_of_a_small_registry() -> None:
    meters = Meters()
    meters.counter("a_total", 'Back\\slash, "quotes" and\nnewline.', ("x",)).cell('\\ " \n').add(2)
    meters.gauge("b", "B.").cell().set(0.5)
    wait = meters.histogram("c_seconds", "C.", ("y",), buckets=(0.00001, 1)).cell("z")
    for value in (0, 0.5, 3):
        wait.observe(value)
    meters.counter("never_asked_total", "No cell, no line.", ("x",))
    assert render(meters).decode() == (
        '# HELP a_total Back\\\\slash, "quotes" and\\nnewline.\n'
        "# TYPE a_total counter\n"
        'a_total{x="\\\\ \\" \\n"} 2\n'
        "# HELP b B.\n"
        "# TYPE b gauge\n"
        "b 0.5\n"
        "# HELP c_seconds C.\n"
        "# TYPE c_seconds histogram\n"
        'c_seconds_bucket{y="z",le="1e-05"} 1\n'
        'c_seconds_bucket{y="z",le="1.0"} 2\n'
        'c_seconds_bucket{y="z",le="+Inf"} 3\n'
        'c_seconds_count{y="z"} 3\n'
        'c_seconds_sum{y="z"} 3.5\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (True, "1"),
        (2**53, "9007199254740992"),
        (-0.5, "-0.5"),
        (1e22, "1e+22"),
    ],
)
def test_numbers_as_prometheus_writes_them(value: float, text: str) -> None:
    meters = Meters()
    meters.gauge("a", "").cell().set(value)
    assert f"\na {text}\n" in render(meters).decode()


@settings(deadline=None, derandomize=True)
@given(help=labels, values=some.lists(some.tuples(labels, labels, numbers), max_size=8))
def test_an_official_parser_reads_back_what_was_counted(help: str, values: list[tuple[str, str, float]]) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
    meters = Meters()
    family = meters.gauge("a", help, ("x", "y"))
    expected = {}
    for x, y, value in values:
        family.cell(x, y).set(value)
        expected[_readable(x), _readable(y)] = float(value)
    samples = [
        sample for parsed in parser.text_string_to_metric_families(render(meters).decode()) for sample in parsed.samples
    ]
    assert {(sample.labels["x"], sample.labels["y"]): _same(float(sample.value)) for sample in samples} == {
        key: _same(value) for key, value in expected.items()
    }


@settings(deadline=None, derandomize=True)
@given(waits=some.lists(some.floats(0, 100), max_size=50))
def test_the_parser_sees_a_rising_histogram(waits: list[float]) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
    meters = Meters()
    cell = meters.histogram("a_seconds", "A.", buckets=(0.1, 1, 10)).cell()
    for wait in waits:
        cell.observe(wait)
    (family,) = parser.text_string_to_metric_families(render(meters).decode())
    assert family.type == "histogram"
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name == "a_seconds_bucket"}
    expected = {str(float(le)): sum(wait <= le for wait in waits) for le in (0.1, 1, 10)}
    assert buckets == {**expected, "+Inf": len(waits)}
    assert {s.name: s.value for s in family.samples if not s.labels} == {
        "a_seconds_count": len(waits),
        "a_seconds_sum": pytest.approx(sum(waits)),
    }


def test_slices_are_whole_lines_and_together_the_whole_text() -> None:
    meters = _large(Meters(max_series=10_000))
    whole = render(meters)
    slices = list(render_slices(meters, slice_seconds=0.0))
    assert b"".join(slices) == whole
    assert len(slices) > 50
    assert all(piece.endswith(b"\n") for piece in slices)


def test_the_clock_decides_where_a_slice_ends() -> None:
    meters = _large(Meters(max_series=10_000))
    looks = []

    def clock() -> float:
        looks.append(1)
        return len(looks) * 0.001

    pieces = list(render_slices(meters, slice_seconds=0.0035, clock=clock))
    assert len(looks) >= 5_000 / 70, "the clock is looked at every 50 lines or so"
    assert len(looks) / len(pieces) == pytest.approx(5, abs=0.5), "four looks make more than 3.5 ms, one starts anew"


def test_what_appears_between_two_slices_disturbs_nothing() -> None:
    meters = _large(Meters(max_series=100_000))
    slices: Iterator[bytes] = render_slices(meters, slice_seconds=0.0)
    next(slices)
    for family in meters.families():
        if family.labels and family.kind == "counter":
            family.cell(*["late"] * len(family.labels))
    rest = b"".join(slices)
    assert rest.endswith(b"\n")


def test_five_thousand_lines_are_rendered_in_moments() -> None:
    """The promise is 20 ms in all and 5 ms at once; the ceilings are ten times that, of this thread's own time."""
    meters = _large(Meters(max_series=10_000))
    render(meters)
    began = time.thread_time()
    longest = 0.0
    slices = render_slices(meters)
    while True:
        slice_began = time.thread_time()
        if next(slices, None) is None:
            break
        longest = max(longest, time.thread_time() - slice_began)
    assert longest < 0.05
    assert time.thread_time() - began < 0.2


def test_prefixes_are_rendered_once() -> None:
    meters = Meters()
    cell = meters.counter("a_total", "", ("x",)).cell("y")
    render(meters)
    kept = cell.prefixes
    assert kept == ('a_total{x="y"} ',)
    cell.add()
    assert b'a_total{x="y"} 1\n' in render(meters)
    assert cell.prefixes is kept


def test_each_workers_own_number_is_a_line_of_its_own() -> None:
    arena = Arena()
    meters = Meters(arena)
    generation = meters.gauge("a", "A.", ("x",), across="each").cell('"')
    cpu = meters.counter("b_total", "", across="each").cell()
    for column in (0, 3, 12):
        arena.join(column)
        generation.set(column / 2)
        cpu.add(column)
    arena.leave(3)
    assert render(meters).decode() == (
        "# HELP a A.\n# TYPE a gauge\n"
        'a{x="\\"",worker="supervisor"} 0\n'
        'a{x="\\"",worker="12"} 6\n'
        "# HELP b_total \n# TYPE b_total counter\n"
        'b_total{worker="supervisor"} 0\n'
        'b_total{worker="3"} 3\n'
        'b_total{worker="12"} 12\n'
    )


def test_what_others_counted_is_learned_in_slices() -> None:
    arena = Arena()
    _large(Meters(arena, max_series=10_000))
    meters = Meters(arena, max_series=10_000)
    slices = list(render_slices(meters, slice_seconds=0.0))
    assert slices.count(b"") > 10, "the loop runs while the directory is read"
    text = b"".join(slices)
    assert text == render(meters)
    assert text.count(b"\n") > 5_000


def _large(meters: Meters) -> Meters:
    """5,000 lines and some: 3,000 counters and 100 histograms of 20 lines."""
    counters = meters.counter("a_total", "A.", ("x", "y"))
    for i in range(3_000):
        counters.cell(f"provider-{i}", "y").add(i)
    waits = meters.histogram("b_seconds", "B.", ("x",), buckets=range(1, 18))
    for i in range(100):
        waits.cell(i).observe(i % 20)
    return meters


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _same(value: float) -> float | str:
    return "NaN" if math.isnan(value) else value
