"""Cells: counters that only grow, gauges of three kinds, histograms; over columns that one process joins in turn."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest

BOUNDS = (1.0, 2.0)


@pytest.fixture
def arena(fast: ModuleType) -> Any:
    return fast.Arena()


def test_a_counter_is_the_sum_of_its_columns(fast: ModuleType, arena: Any) -> None:
    cell = fast.CounterCell(arena, "a")
    for column in (0, 1, 200):
        arena.join(column)
        cell.add()
        cell.add(column)
    assert cell.value == 204
    assert cell.columns() == [(0, 1), (1, 2), (200, 201)]


@pytest.mark.parametrize("n", [-1, -0.001, math.nan])
def test_a_counter_is_never_taken_back(fast: ModuleType, arena: Any, n: float) -> None:
    cell = fast.CounterCell(arena, "a")
    cell.add(2)
    with pytest.raises(ValueError, match=r"nan|-"):
        cell.add(n)
    cell.follow(n)
    assert cell.value == 2


def test_a_counter_is_exact_to_two_to_the_53(fast: ModuleType, arena: Any) -> None:
    cell = fast.CounterCell(arena, "a")
    cell.add(2**53 - 1)
    cell.add()
    assert int(cell.value) == 2**53


def test_a_replacement_goes_on_where_its_predecessor_ended(fast: ModuleType, arena: Any) -> None:
    """Also what it follows: its own total begins at zero again."""
    counted, followed = fast.CounterCell(arena, "a"), fast.CounterCell(arena, "b")
    gauge, own = fast.GaugeCell(arena, "c"), fast.GaugeCell(arena, "d", "each")
    for life in range(3):
        arena.join(1)
        assert (gauge.value, own.value) == (0, 0)
        for total in (1, 5, 3, 5):
            counted.add()
            followed.follow(total)
            gauge.add()
            own.set(total)
        assert counted.value == 4 * (life + 1)
        assert followed.value == 5 * (life + 1)
        arena.leave(1)
        assert (gauge.value, own.columns()) == (0, [(0, 0)])


def test_a_gauge_is_summed_or_one_or_each(fast: ModuleType, arena: Any) -> None:
    cells = {across: fast.GaugeCell(arena, across, across) for across in ("summed", "one", "each")}
    assert fast.GaugeCell(arena, "summed").across == "summed"
    for column in (0, 1, 2):
        arena.join(column)
        for cell in cells.values():
            cell.set(column)
            cell.add(0.5)
    assert {across: cell.value for across, cell in cells.items()} == {"summed": 4.5, "one": 2.5, "each": 2.5}
    assert cells["one"].columns() == [(0, 2.5)]
    assert cells["each"].columns() == [(0, 0.5), (1, 1.5), (2, 2.5)]
    arena.leave(1)
    assert cells["summed"].value == 3
    assert cells["each"].columns() == [(0, 0.5), (2, 2.5)]
    with pytest.raises(ValueError, match=r"all|one or each"):
        fast.GaugeCell(arena, "x", "all")


def test_a_gauge_takes_any_number(fast: ModuleType, arena: Any) -> None:
    for across in ("summed", "one", "each"):
        cell = fast.GaugeCell(arena, across, across)
        for value in (math.inf, -math.inf, -0.5, 1e22, True):
            cell.set(value)
            assert cell.value == value
        cell.set(math.nan)
        cell.add(1)
        assert math.isnan(cell.value)
        cell.set(3)
        assert cell.value == 3


def test_a_value_on_a_bound_belongs_below_it(fast: ModuleType, arena: Any) -> None:
    cell = fast.HistogramCell(arena, "a", BOUNDS)
    for column, value in enumerate((0, 1, 1.5, 2, 2.1, math.inf, -1, math.nan)):
        arena.join(column)
        cell.observe(value)
    assert (cell.counts, cell.count, cell.bounds) == ([3, 2, 2], 7, BOUNDS)
    assert cell.sum == math.inf
    assert fast.HistogramCell(arena, "no bounds", ()).counts == [0]


def test_the_same_name_is_the_same_cell(fast: ModuleType, arena: Any) -> None:
    fast.CounterCell(arena, "a").add(5)
    assert fast.CounterCell(arena, "a").value == 5
    for other, rest in ((fast.GaugeCell, ()), (fast.HistogramCell, (BOUNDS,))):
        with pytest.raises(ValueError, match="a"):
            other(arena, "a", *rest)


def test_a_known_cell_is_read_and_not_claimed(fast: ModuleType, arena: Any) -> None:
    makers: list[Any] = [
        lambda name, **known: fast.CounterCell(arena, name, **known),
        lambda name, **known: fast.GaugeCell(arena, name, "one", **known),
        lambda name, **known: fast.HistogramCell(arena, name, BOUNDS, **known),
    ]
    arena.generation = 1
    for i, make in enumerate(makers):
        make(f"{i}")
    arena.generation = 2
    for i, make in enumerate(makers):
        make(f"{i}", known=True)
        with pytest.raises(KeyError):
            make("nobody's", known=True)
    assert arena.sweep(2) == len(makers)
    assert arena.entries() == {}


def test_words_are_integers_of_64_bits(fast: ModuleType, arena: Any) -> None:
    words = fast.Words(arena, "a", 4)
    assert [words.load(i) for i in range(4)] == [0, 0, 0, 0]
    words.store(1, -(2**63))
    assert words.add(1, -1) == 2**63 - 1
    assert words.add(2) == 1
    assert not words.swap(2, 0, 9)
    assert words.swap(2, 1, 9)
    assert [fast.Words(arena, "a", 4).load(i) for i in range(4)] == [0, 2**63 - 1, 9, 0]
    for i in (-1, 4, 10**12):
        with pytest.raises(IndexError):
            words.load(i)
    for count in (0, -1, 5, 2**61 + 4):  # the last one's bytes are those of 4
        with pytest.raises(ValueError):  # noqa: PT011
            fast.Words(arena, "a", count)
    with pytest.raises(Exception, match=r"large|argument"):
        words.store(0, 2**63)
