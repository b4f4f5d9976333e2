"""Durations: how far a quantile may be off, what lies outside, what is recent, and that no value is lost."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import _fast
from tests._fast import forks, twins

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
NOW = 50_000 * SECOND


@pytest.fixture
def histogram(fast: ModuleType) -> Any:
    return fast.Histogram(fast.Arena(), "durations", slices=4, slice_time=15 * SECOND)


def test_nothing_recorded(histogram: Any) -> None:
    assert (histogram.count, histogram.sum, histogram.outside, histogram.buckets()) == (0, 0, (0, 0), [])
    assert (histogram.mean(), histogram.quantile(0.5)) == (None, None)
    assert (histogram.recent_count(NOW), histogram.recent_mean(NOW), histogram.recent_quantile(1, NOW)) == (
        0,
        None,
        None,
    )


def test_the_value_at_a_quantile(histogram: Any) -> None:
    for value in range(1, 101):
        histogram.record(value * SECOND, NOW)
    for q, exact in ((0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.95, 95), (0.99, 99), (1, 100)):
        assert histogram.quantile(q) == pytest.approx(exact * SECOND, rel=1 / 64)
        assert histogram.recent_quantile(q, NOW) == pytest.approx(exact * SECOND, rel=1 / 32)
    assert histogram.mean() == 50.5 * SECOND
    assert histogram.recent_mean(NOW) == pytest.approx(50.5 * SECOND, rel=1 / 32)


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_a_quantile_is_a_share(histogram: Any, q: float) -> None:
    histogram.record(SECOND, NOW)
    with pytest.raises(ValueError, match="0 to 1"):
        histogram.quantile(q)
    with pytest.raises(ValueError, match="0 to 1"):
        histogram.recent_quantile(q, NOW)


@pytest.mark.parametrize("wrong", [{"slices": -1}, {"slices": 61}, {"slice_time": 999_999_999}])
def test_impossible_slices(fast: ModuleType, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="slice"):
        fast.Histogram(fast.Arena(), "durations", **wrong)


def test_every_value_in_the_range_is_within_its_error() -> None:
    dice = random.Random(1)
    values = [1000, 1001, HOUR - 1, HOUR, *(2**power + step for power in range(10, 41) for step in (-1, 0, 1))]
    values += [round(10 ** dice.uniform(3, 12.55)) for _ in range(3000)]
    arena = _fast.Arena(seed=bytes(16))
    for number, value in enumerate(values):
        one = _fast.Histogram(arena, f"value {number}", slices=1)
        one.record(value, NOW)
        fine, coarse = one.quantile(0.5), one.recent_quantile(0.5, NOW)
        assert fine is not None
        assert coarse is not None
        assert abs(fine - value) <= value / 64 <= value * 0.016
        assert abs(coarse - value) <= value / 32
        assert one.outside == (0, 0)


def test_outside_the_range_counts_as_its_end(histogram: Any) -> None:
    for value in (-5, 0, 999, HOUR + 1, 2**62):
        histogram.record(value, NOW)
    assert (histogram.count, histogram.outside) == (5, (3, 2))
    assert histogram.buckets() == [(1000, 3), (HOUR, 2)]
    assert histogram.sum == 3 * 1000 + 2 * HOUR
    assert (histogram.quantile(0.6), histogram.quantile(0.61)) == (1000, HOUR)
    assert (histogram.recent_quantile(0.6, NOW), histogram.recent_quantile(0.61, NOW)) == (1000, HOUR)


def test_the_window_moves_by_slices(histogram: Any) -> None:
    start = NOW // (15 * SECOND) * 15 * SECOND
    for slice_number in range(8):
        histogram.record(SECOND, start + slice_number * 15 * SECOND)
        histogram.record(SECOND, start + slice_number * 15 * SECOND + 14 * SECOND)
        assert histogram.recent_count(start + slice_number * 15 * SECOND + 14 * SECOND) == 2 * min(slice_number + 1, 4)
    assert [histogram.recent_count(start + (7 + later) * 15 * SECOND) for later in range(5)] == [8, 6, 4, 2, 0]
    assert histogram.recent_count(start + 1000 * 15 * SECOND) == 0
    assert histogram.count == 16


def test_a_late_value_goes_to_its_own_slice_and_one_too_late_is_not_recent(histogram: Any) -> None:
    histogram.record(SECOND, NOW)
    histogram.record(SECOND, NOW - 45 * SECOND)
    assert (histogram.recent_count(NOW), histogram.recent_count(NOW + 15 * SECOND)) == (2, 1)
    histogram.record(SECOND, NOW - 60 * SECOND)
    assert (histogram.recent_count(NOW), histogram.count) == (2, 3)


def test_after_any_pause_nothing_of_before_is_recent(histogram: Any) -> None:
    histogram.record(SECOND, NOW)
    for slices in (4, 8, 16, 256, 4 * 256, 65536, 2**24):
        assert histogram.recent_count(NOW + slices * 15 * SECOND) == 0


def test_a_reload_to_other_slices_begins_anew() -> None:
    arena = _fast.Arena()
    _fast.Histogram(arena, "durations", slices=4, slice_time=15 * SECOND).record(SECOND, NOW)
    for slices, slice_time in ((4, 60 * SECOND), (4, SECOND), (8, 15 * SECOND), (0, 15 * SECOND)):
        other = _fast.Histogram(arena, "durations", slices=slices, slice_time=slice_time)
        other.record(SECOND, NOW + 10 * SECOND)
        assert (other.count, other.recent_count(NOW + 10 * SECOND)) == (1, min(slices, 1))
        assert other.recent_count(NOW + 1000 * SECOND) == 0
    assert _fast.Histogram(arena, "durations", slices=4, slice_time=15 * SECOND).recent_count(NOW) == 1
    assert _fast.Histogram(arena, "durations", slices=0, slice_time=60 * SECOND).count == 1


def test_without_slices_nothing_is_recent(fast: ModuleType) -> None:
    histogram = fast.Histogram(fast.Arena(), "durations", slices=0)
    histogram.record(SECOND, NOW)
    assert (histogram.count, histogram.recent_count(NOW), histogram.recent_mean(NOW)) == (1, 0, None)


VALUES = st.integers(-10, 2000) | st.integers(1000, HOUR + 10**9) | st.integers(0, 41).map(lambda power: 2**power)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    steps=st.lists(st.tuples(VALUES, st.integers(0, 12 * 15)), max_size=60),
    q=st.floats(0, 1),
    slices=st.integers(1, 5),
)
def test_every_answer_is_the_twins(steps: list[tuple[int, int]], q: float, slices: int) -> None:
    both = [module.Histogram(module.Arena(), "d", slices=slices) for module in (_fast, twins)]
    for value, seconds in steps:
        for one in both:
            one.record(value, NOW + seconds * SECOND)
    compiled, twin = (
        [one.count, one.sum, one.mean(), one.outside, one.buckets(), one.quantile(q)]
        + [answer for later in (0, 60, 90, 180, 200) for answer in recent(one, q, NOW + later * SECOND)]
        for one in both
    )
    assert compiled == twin


def recent(histogram: Any, q: float, now: int) -> tuple[object, ...]:
    mean = histogram.recent_mean(now)
    return histogram.recent_count(now), histogram.recent_quantile(q, now), mean and pytest.approx(mean, rel=1e-12)


def test_four_processes_lose_no_value() -> None:
    arena = _fast.Arena(seed=bytes(16))
    histogram = _fast.Histogram(arena, "durations")

    def work() -> None:
        mine = _fast.Histogram(arena, "durations")
        for number in range(20_000):
            mine.record(1000 + number, NOW)

    forks.finish(*(forks.fork(work) for _ in range(4)))
    assert (histogram.count, histogram.recent_count(NOW)) == (80_000, 80_000)
    assert histogram.sum == 4 * sum(range(1000, 21_000))


def test_memory_is_what_the_head_says() -> None:
    arena = _fast.Arena(seed=bytes(16))
    _fast.Histogram(arena, "durations")
    _fast.Histogram(arena, "no recent ones", slices=0)
    sizes = list(arena.entries().values())
    assert [size <= most for size, most in zip(sizes, (24 * 1024, 8 * 1024), strict=True)] == [True, True]
