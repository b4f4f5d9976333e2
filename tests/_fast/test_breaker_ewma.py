"""A moving average that halves by the clock, for the whole machine."""

from __future__ import annotations

import math
import random
from types import ModuleType
from typing import Any

import pytest

from gateway import _fast
from tests._fast import forks, twins

SECOND = 1_000_000_000
NOW = 1_000_000 * SECOND


@pytest.fixture
def average(fast: ModuleType) -> Any:
    return fast.Ewma(fast.Arena(), "latency", half_life=10 * SECOND)


def test_before_the_first_value(average: Any) -> None:
    assert (average.value(), average.value(7.5)) == (0.0, 7.5)


def test_the_first_value_is_the_average_and_a_zero_is_a_value(average: Any) -> None:
    average.add(0.0, NOW)
    assert average.value(7.5) == 0.0
    assert math.copysign(1, average.value(7.5)) == 1
    average.add(8.0, NOW + 10 * SECOND)
    assert average.value() == 4.0


def test_half_the_weight_after_each_half_life(average: Any) -> None:
    average.add(100.0, NOW)
    for number in range(1, 6):
        average.add(0.0, NOW + number * 10 * SECOND)
        assert average.value() == pytest.approx(100 / 2**number)


def test_values_of_one_instant_and_of_a_clock_behind_weigh_little_but_something(average: Any) -> None:
    average.add(1.0, NOW)
    for now in (NOW, NOW - SECOND):
        before = average.value()
        average.add(2.0, now)
        assert before < average.value() < before + 1e-4
    average.add(2.0, NOW + 1000 * SECOND)
    assert average.value() == pytest.approx(2.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_does_not_count(average: Any, value: float) -> None:
    average.add(value, NOW)
    assert average.value(7.5) == 7.5


def test_no_half_life(fast: ModuleType) -> None:
    with pytest.raises(ValueError, match="half_life"):
        fast.Ewma(fast.Arena(), "latency", half_life=0)


def test_every_step_is_the_twins() -> None:
    dice = random.Random(5)
    both = [module.Ewma(module.Arena(), "a", half_life=SECOND) for module in (_fast, twins)]
    now = NOW
    for _ in range(5000):
        value, now = (
            dice.choice([0.0, -0.0, dice.gauss(0, 1), dice.expovariate(1)]),
            now + dice.randrange(-1000, SECOND),
        )
        for one in both:
            one.add(value, now)
        assert both[0].value() == pytest.approx(both[1].value(), rel=1e-9, abs=1e-12)


def test_the_machine_decays_by_the_clock_however_many_add() -> None:
    """Each stretch of time is claimed once: four processes that share 400 seconds decay it as much as one."""
    arena = _fast.Arena(seed=bytes(16))
    average = _fast.Ewma(arena, "latency", half_life=100 * SECOND)
    average.add(16.0, NOW)
    clock = _fast.Words(arena, "clock", 1)

    def work() -> None:
        mine = _fast.Ewma(arena, "latency", half_life=100 * SECOND)
        while (tick := clock.add(0)) <= 4000:
            mine.add(0.0, NOW + tick * SECOND // 10)

    forks.finish(*(forks.fork(work) for _ in range(4)))
    assert average.value() == pytest.approx(1.0, rel=0.35)  # late ones decay by 1/10,000 half-life more
    assert average.value() <= 1.0 + 1e-9
