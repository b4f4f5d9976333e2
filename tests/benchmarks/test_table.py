"""The benchmark's tables, and what becomes of the micro-benchmarks' report."""

from __future__ import annotations

import pytest

from benchmarks import micro_table, table
from benchmarks.measures import Bound, Operation, Row, Spread


def test_the_table_of_operations_counts_in_empty_calls() -> None:
    counted = [Operation("count", 30.0, 60.0, 300.0, 20.0, "<= 2 x"), Operation("scan", 1000.0)]
    count, scan = table.operations(counted).splitlines()[3:5]
    assert count.split() == ["count", "30.0", "1.50", "<=", "2", "x", "60.0", "300", "10.0"]
    assert scan.split() == ["scan", "1,000", "-", "-", "-", "-"]


def test_the_table_shows_ratio_range_promises_and_absence() -> None:
    must, aim = Bound(least=0.40), Bound(least=0.60)
    rows = [
        Row("speed", "req/s", Spread.of([50_000.0, 60_000.0]), Spread.of([22_000.0]), must, aim),
        Row("start", "s", None, Spread.of([0.123])),
        Row("cost", "us", Spread.of([1.0]), None, must),
    ]
    speed, start, cost = (" ".join(line.split()) for line in table.against_nginx(rows).splitlines()[3:6])
    assert speed == "speed req/s 55,000 (50,000..60,000) 22,000 0.400 >= 0.40 met >= 0.60 MISSED"
    assert start == "start s - 0.12 -"
    assert cost == "cost us 1.00 - - >= 0.40 not measured"
    assert table.from_one_to_two([]) == ""


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (0.1234, "0.12")])
def test_numbers_have_the_figures_that_mean_something(value: float, text: str) -> None:
    assert table.number(value) == text


def case(name: str, micros: float, **info: object) -> dict[str, object]:
    return {"name": name, "stats": {"median": micros / 1e6}, "extra_info": info}


def test_operations_are_read_from_the_report_with_their_twins() -> None:
    found = micro_table.operations(
        [
            case("test_empty_call", 2.0, calls=100),
            case("test_counter_add[compiled]", 0.3, goal="<= 2 x", calls=10),
            case("test_counter_add[python]", 0.3),
            case("test_counter_add[together]", 0.06),
            case("test_top_level[600 B-compiled]", 1.0),
            case("test_top_level[600 B-python]", 7.0),
            case("test_only_a_twin[python]", 1.0),
        ]
    )
    assert [each.name for each in found] == ["empty call", "counter add", "top level 600 B"]
    _, add, scan = found
    assert (add.alone, add.together, add.twin, add.multiple) == pytest.approx((30, 60, 300, 1.5))
    assert scan.twin == pytest.approx(7000)
    assert (add.goal, scan.goal, scan.together, scan.multiple) == ("<= 2 x", "", None, None)
