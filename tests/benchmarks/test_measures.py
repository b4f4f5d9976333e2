"""The benchmark's arithmetic: medians, ratios, rounds, and the journal of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import journal, machine, measures, questions, scaling
from benchmarks.measures import Row, Settings, Spread
from benchmarks.programs import Missing, Way
from benchmarks.results import Results, rounds


def test_a_spread_is_the_median_and_the_range() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0, (3.0, 1.0, 10.0))
    assert Spread.of([]) is None


@pytest.mark.parametrize(("part", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_nearest_rank(part: float, value: float) -> None:
    assert measures.percentile(list(range(100, 0, -1)), part) == value


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        measures.percentile([], 0.5)


def test_costs_are_absent_when_nothing_was_used() -> None:
    assert measures.per_cpu_second(300, 1.5) == 200
    assert measures.per_cpu_second(300, 0) is None
    assert measures.micros_each(0.5, 50_000) == 10
    assert measures.micros_each(0.5, 0) is None


def test_a_ratio_needs_both_sides() -> None:
    two, one = Spread.of([2.0]), Spread.of([1.0])
    assert Row("", "", two, one).ratio == 0.5
    assert Row("", "", two, None).ratio is None
    assert Row("", "", None, one).ratio is None
    assert Row("", "", Spread.of([0.0]), one).ratio is None


def test_settings_come_from_the_environment() -> None:
    assert Settings.from_environ({}) == Settings()
    short = Settings.from_environ({"BENCH_SECONDS": "0.5", "BENCH_ROUNDS": "1"})
    assert (short.seconds, short.rounds, short.settle_seconds) == (0.5, 1, 2.0)


def test_a_ratio_is_the_median_of_neighbours() -> None:
    slower = Row("", "", Spread.of([10.0, 20.0, 40.0]), Spread.of([11.0, 20.0, 48.0]))
    assert slower.ratio == pytest.approx(1.1)  # the medians alone would say 1.0


def test_the_easy_rate_is_half_of_the_most_and_what_the_client_can_pace() -> None:
    assert [Settings(most_rate=2000).easy_rate(most) for most in (9000.0, 800.0, 0.0)] == [2000, 400, 100]


def test_a_way_that_fails_once_has_no_number_and_a_note() -> None:
    def ask(way: Way) -> dict[str, float]:
        if way.name == "gateway":
            raise Missing("it broke")
        return {"rate": 5.0}

    results = Results()
    ways = [Way("nginx", 1, 1, 1), Way("gateway", 2, 2, 2)]
    assert rounds(Settings(rounds=2), ways, results, ask) == {"rate": {"nginx": [5.0, 5.0]}}
    assert results.notes == ["gateway: it broke"]


def test_what_a_proxy_adds_is_counted_round_by_round() -> None:
    by_way = {"direct": [1.0, 5.0], "nginx": [1.5, 5.25], "gateway": [3.0]}
    assert questions.added(by_way) == {"nginx": [0.5, 0.25], "gateway": [2.0]}
    assert questions.added({"nginx": [1.0]}) == {"nginx": []}


def test_a_run_is_written_with_its_machine_and_every_round(tmp_path: Path) -> None:
    results = Results(rows=[Row("q", "s", Spread.of([2.0, 4.0]), Spread.of([1.0]))])
    path = journal.write({"cpu": "x", "commit": "abc"}, Settings(), results, tmp_path)
    found = json.loads(path.read_text())
    assert path.name.endswith("Z-abc.json")
    assert found["machine"]["cpu"] == "x"
    (row,) = found["against_nginx"]
    assert row["base"]["rounds"] == [2.0, 4.0]
    assert row["ratio"] == pytest.approx(1 / 3)


def test_two_workers_are_measured_only_if_there_are_two() -> None:
    alone = Way(scaling.TWO, os.getpid(), 1, 1)
    there = len(machine.tree(os.getpid()))
    scaling.require(alone, processes=there)
    with pytest.raises(Missing, match=f"with 2 workers is {there} processes"):
        scaling.require(alone, processes=there + 2)
