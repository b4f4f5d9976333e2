"""The registry: shapes, bounds, and counters that only grow."""

from __future__ import annotations

import math

import pytest

from gateway.telemetry.exposition import render
from gateway.telemetry.families import LONGEST_LABEL_VALUE
from gateway.telemetry.meters import MAX_SERIES, Meters


def test_the_same_name_gives_the_same_family_and_the_same_cell() -> None:
    meters = Meters()
    first = meters.counter("acme_answers_total", "Answers.", ("mood",))
    again = meters.counter("acme_answers_total", "Another help.", labels=["mood"])
    assert again is first
    assert first.cell("cheerful") is again.cell("cheerful")
    assert first.cell(200) is first.cell("200")


@pytest.mark.parametrize(
    "ask",
    [
        lambda meters: meters.gauge("acme_answers_total", "", ("mood",)),
        lambda meters: meters.counter("acme_answers_total", "", ("colour",)),
        lambda meters: meters.counter("acme_answers_total", ""),
        lambda meters: meters.counter("acme_answers_total", "", ("mood",), across="each"),
        lambda meters: meters.histogram("acme_wait_seconds", "", buckets=(1, 3)),
    ],
)
def test_another_shape_under_a_known_name_is_refused(ask) -> None:  # type: ignore[no-untyped-def]
    meters = Meters()
    meters.counter("acme_answers_total", "", ("mood",))
    meters.histogram("acme_wait_seconds", "", buckets=(1, 2))
    with pytest.raises(ValueError, match="already"):
        ask(meters)


def test_a_counter_ends_in_total_but_for_the_documented_one() -> None:
    meters = Meters()
    with pytest.raises(ValueError, match="_total"):
        meters.counter("acme_answers", "")
    meters.counter("llm_gateway_cost_dollars", "")


@pytest.mark.parametrize("name", ["", "9lives_total", "a-b_total", "a b_total", "ä_total", "a_total\n"])
def test_a_name_that_prometheus_cannot_read_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name of a (metric|counter)"):
        Meters().counter(name, "")


@pytest.mark.parametrize("labels", [("__name__",), ("a-b",), ("a", "a"), ("",), ("a\n",)])
def test_labels_that_prometheus_cannot_read_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="labels"):
        Meters().counter("a_total", "", labels)


@pytest.mark.parametrize("buckets", [(), (2, 1), (1, 1), (1, math.inf), (math.nan,)])
def test_buckets_are_finite_and_rise(buckets: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="buckets"):
        Meters().histogram("a_seconds", "", buckets=buckets)


def test_a_histogram_has_le_for_itself() -> None:
    with pytest.raises(ValueError, match="le"):
        Meters().histogram("a_seconds", "", ("le",), buckets=(1,))


def test_the_label_worker_is_added_and_not_given() -> None:
    meters = Meters()
    assert meters.gauge("a", "", ("x",), across="each").shown_labels == ("x", "worker")
    assert meters.gauge("b", "", ("worker",)).shown_labels == ("worker",)
    with pytest.raises(ValueError, match="worker"):
        meters.gauge("c", "", ("worker",), across="each")


def test_lines_of_two_families_cannot_be_mixed() -> None:
    meters = Meters()
    meters.histogram("a_seconds", "", buckets=(1,))
    with pytest.raises(ValueError, match="mixed with those of a_seconds"):
        meters.gauge("a_seconds_count", "")
    meters.gauge("b_seconds_sum", "")
    with pytest.raises(ValueError, match="mixed with those of b_seconds_sum"):
        meters.histogram("b_seconds", "", buckets=(1,))


def test_the_number_of_label_values_is_the_number_of_labels() -> None:
    with pytest.raises(ValueError, match="labels"):
        Meters().counter("a_total", "", ("x",)).cell("1", "2")


@pytest.mark.parametrize("n", [-1, -0.001, math.nan])
def test_a_counter_is_never_taken_back(n: float) -> None:
    cell = Meters().counter("a_total", "").cell()
    cell.add(2)
    with pytest.raises(ValueError, match="counter"):
        cell.add(n)
    assert cell.value == 2


def test_a_total_counted_elsewhere_is_followed_upwards() -> None:
    cell = Meters().counter("a_total", "").cell()
    seen = []
    for total in (3, 2, 5, math.nan, 5, 6):
        cell.follow(total)
        seen.append(cell.value)
    assert seen == [3, 3, 5, 5, 5, 6]


def test_a_gauge_goes_both_ways() -> None:
    cell = Meters().gauge("a", "").cell()
    cell.add()
    cell.add(-3)
    assert cell.value == -2
    cell.set(7)
    assert cell.value == 7


def test_a_value_on_a_bound_belongs_below_it() -> None:
    cell = Meters().histogram("a_seconds", "", buckets=(1, 2)).cell()
    for value in (0, 1, 1.5, 2, 2.1, math.inf, -1):
        cell.observe(value)
    assert cell.counts == [3, 2, 2]
    assert cell.count == 7


def test_nan_is_not_observed() -> None:
    cell = Meters().histogram("a_seconds", "", buckets=(1,)).cell()
    cell.observe(math.nan)
    cell.observe(0.5)
    assert (cell.count, cell.sum) == (1, 0.5)


def test_series_are_bounded_and_every_refusal_is_counted() -> None:
    meters = Meters(max_series=3)
    family = meters.counter("a_total", "", ("x", "y"))
    for i in range(10):
        family.cell(i, "same").add()
    assert family.cell(9, "same") is family.cell("other", "other")
    assert [values for values, _ in family.series()] == [
        ("0", "same"),
        ("1", "same"),
        ("2", "same"),
        ("other", "other"),
    ]
    assert family.cell("other", "other").value == 7
    family.cell(1, "same").add()
    assert b'llm_gateway_metric_series_dropped_total{metric="a_total"} 8\n' in render(meters)


def test_the_default_bound_is_two_thousand() -> None:
    family = Meters().counter("a_total", "", ("x",))
    for i in range(MAX_SERIES + 500):
        family.cell(i)
    assert len(family.series()) == 2_000 + 1


def test_label_values_are_short_and_printable() -> None:
    family = Meters().counter("a_total", "", ("x",))
    assert family.cell("\udc80") is family.cell("\udc81"), "two cells would be one line"
    family.cell("é" * 10_000)
    assert [values for values, _ in family.series()] == [("?",), ("é" * LONGEST_LABEL_VALUE,)]


def test_a_failing_callback_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    meters = Meters()
    fetched = meters.gauge("a", "").cell()

    def fail() -> None:
        raise RuntimeError("no number today")

    meters.before_scrape(fail)
    meters.before_scrape(lambda: fetched.set(5))
    assert b"a 5\n" in render(meters)
    assert "no number today" in caplog.text
