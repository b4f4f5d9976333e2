"""The benchmark's arithmetic: medians, ratios, rounds, and the journal of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import journal, machine, measures, scaling
from benchmarks.measures import Bound, Operation, Row, Settings, Spread
from benchmarks.programs import Missing, Way
from benchmarks.results import Results, added, rounds
from benchmarks.settings_files import Ports

PORTS = Ports(1, 1, 1)


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
    assert measures.micros_each(0.5, 50_000) == 10
    assert measures.micros_each(0.5, 0) is None


def test_a_ratio_needs_both_sides() -> None:
    two, one = Spread.of([2.0]), Spread.of([1.0])
    assert Row("", "", two, one).ratio == 0.5
    assert Row("", "", two, None).ratio is None
    assert Row("", "", None, one).ratio is None
    assert Row("", "", Spread.of([0.0]), one).ratio is None


@pytest.mark.parametrize(
    ("bound", "held", "broken", "text"),
    [
        (Bound(least=0.4), 0.4, 0.39, ">= 0.40"),
        (Bound(most=1.3), 1.3, 1.31, "<= 1.30"),
        (Bound(most=0.15, unit="ms"), 0.15, 0.16, "<= 0.15 ms"),
        (Bound(most=80, unit="MiB"), 79.9, 80.1, "<= 80 MiB"),
    ],
)
def test_a_bound_is_kept_or_not_and_says_itself(bound: Bound, held: float, broken: float, text: str) -> None:
    assert (bound.holds(held), bound.holds(broken), str(bound)) == (True, False, text)


def test_a_bound_without_a_unit_is_of_the_ratio_and_with_one_of_our_own_number() -> None:
    row = Row("", "", Spread.of([10.0]), Spread.of([5.0]))
    assert [row.met(Bound(least=least)) for least in (0.5, 0.6)] == [True, False]
    assert [row.met(Bound(most=most, unit="ms")) for most in (5, 4)] == [True, False]
    alone = Row("", "", None, Spread.of([5.0]))
    assert (alone.met(Bound(least=0.5)), alone.met(Bound(most=5, unit="ms"))) == (None, True)
    assert Row("", "", Spread.of([10.0]), None).met(Bound(most=5, unit="ms")) is None


def test_settings_come_from_the_environment() -> None:
    assert Settings.from_environ({}) == Settings()
    assert Settings().rounds >= 5
    short = Settings.from_environ({"BENCH_SECONDS": "0.5", "BENCH_ROUNDS": "1", "BENCH_LANE": "aiohttp"})
    assert (short.seconds, short.rounds, short.settle_seconds, short.lane) == (0.5, 1, 2.5, "aiohttp")
    assert Settings.from_environ({"BENCH_ROWS": "tls, burst"}).rows == ("tls", "burst")
    with pytest.raises(ValueError, match="no row toast; there are whole, bare"):
        Settings.from_environ({"BENCH_ROWS": "tls,toast"})


def test_a_ratio_is_the_median_of_neighbours() -> None:
    slower = Row("", "", Spread.of([10.0, 20.0, 40.0]), Spread.of([11.0, 20.0, 48.0]))
    assert slower.ratio == pytest.approx(1.1)  # the medians alone would say 1.0


def test_the_easy_rate_is_half_of_the_most_and_what_the_client_can_pace() -> None:
    assert [Settings(most_rate=2000).easy_rate(most) for most in (9000.0, 800.0, 0.0)] == [2000, 400, 2000]


def test_a_way_that_fails_once_has_no_number_and_a_note() -> None:
    def ask(way: Way) -> dict[str, float]:
        if way.name == "gateway":
            raise Missing("it broke")
        return {"rate": 5.0}

    results = Results()
    ways = [Way("nginx", 1, PORTS), Way("gateway", 2, PORTS)]
    assert rounds("speed", Settings(rounds=2), ways, results, ask) == {"rate": {"nginx": [5.0, 5.0]}}
    assert results.numbers == {"speed": {"rate": {"nginx": [5.0, 5.0]}}}
    assert [note for note in results.notes if "meanwhile" not in note] == ["speed, gateway: it broke"]


def test_rounds_alternate_and_whoever_else_is_at_work_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, used = [], iter(range(0, 600, 100))
    monkeypatch.setattr(machine, "others_seconds", lambda: next(used))

    def ask(way: Way) -> dict[str, float]:
        asked.append(way.name)
        return {}

    results = Results()
    rounds("speed", Settings(rounds=3), [Way("a", 1, PORTS)], results, ask)
    assert asked == ["a"] * 3
    assert "others used up to" in results.notes[0]
    monkeypatch.setattr(machine, "others_seconds", lambda: 5.0)
    rounds("speed", Settings(rounds=2), [Way("b", 1, PORTS), Way("c", 2, PORTS)], results, ask)
    assert asked[3:] == ["b", "c", "b", "c"]
    assert len(results.notes) == 1


def test_what_a_proxy_adds_is_counted_round_by_round() -> None:
    by_way = {"direct": [1.0, 5.0], "nginx": [1.5, 5.25], "gateway": [3.0]}
    assert added(by_way) == {"nginx": [0.5, 0.25], "gateway": [2.0]}
    assert added({"nginx": [1.0]}) == {"nginx": []}


def test_a_run_is_written_with_its_machine_and_every_round(tmp_path: Path) -> None:
    row = Row("q", "s", Spread.of([2.0, 4.0]), Spread.of([1.0]), Bound(least=0.5), Bound(most=1, unit="s"))
    results = Results(rows=[row], numbers={"q": {"p50": {"nginx": [1.0, 2.0]}}})
    path = journal.write({"cpu": "x", "commit": "abc"}, Settings(), results, tmp_path)
    found = json.loads(path.read_text())
    assert path.name.endswith("Z-abc.json")
    assert found["machine"]["cpu"] == "x"
    (written,) = found["against_nginx"]
    assert written["base"]["rounds"] == [2.0, 4.0]
    assert written["ratio"] == pytest.approx(1 / 3)
    assert written["must"] == {"bound": ">= 0.50", "met": False}
    assert written["aim"] == {"bound": "<= 1 s", "met": True}
    assert found["rounds"] == {"q": {"p50": {"nginx": [1.0, 2.0]}}}


def test_two_workers_are_measured_only_if_there_are_two() -> None:
    alone = Way(scaling.TWO, os.getpid(), PORTS)
    there = len(machine.tree(os.getpid()))
    scaling.require(alone, processes=there)
    with pytest.raises(Missing, match=f"with 2 workers is {there} processes"):
        scaling.require(alone, processes=there + 2)


@pytest.mark.parametrize(
    ("rows", "operations", "complete"),
    [
        ([], False, False),
        ([], True, True),
        ([Row("q", "s", Spread.of([1.0]), None)], True, False),
        ([Row("q", "s", None, Spread.of([1.0]))], False, True),
    ],
)
def test_a_run_is_complete_when_the_gateway_was_measured(rows: list[Row], operations: bool, complete: bool) -> None:
    found = [Operation("add", 10.0)] if operations else []
    assert Results(rows=rows, operations=found).complete is complete
