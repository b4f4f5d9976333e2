"""The rows that wrk measures, what is said with them, and the lists of what was recorded."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from benchmarks import footprint, machine, mock_upstream, recording, streams, throughput, wrk
from benchmarks.measures import ROWS, Settings
from benchmarks.programs import Missing, Stage, Way
from benchmarks.results import Results
from benchmarks.settings_files import Ports

QUESTIONS = throughput.questions(Settings())


def test_the_rows_are_those_that_can_be_chosen_with_their_promises() -> None:
    assert set(QUESTIONS) < set(ROWS)
    promised = {name: [(str(each.must), str(each.aim)) for each in asked] for name, asked in QUESTIONS.items()}
    assert promised == {
        "whole": [(">= 0.40", ">= 0.60")] * 2,
        "bare": [("None", "None")] * 2,
        "tls": [(">= 0.35", ">= 0.60")],
        "body": [(">= 0.50", ">= 0.80")],
        "burst": [(">= 0.40", ">= 0.70")],
    }
    assert [each.connections for each in QUESTIONS["whole"]] == [32, 128]


def test_every_question_goes_to_the_upstream_that_its_model_names() -> None:
    for asked in QUESTIONS.values():
        for question in asked:
            assert json.loads(question.body)["model"] == question.port
            assert question.work(Way("w", 1, Ports(1, 2, 3, 4))) is not None
    assert QUESTIONS["tls"][0].work(Way("w", 1, Ports(1, 2, 3))) is None


def test_a_burst_must_have_all_its_events() -> None:
    (burst,) = QUESTIONS["burst"]
    pace = json.loads(burst.body)["metadata"]
    answer = mock_upstream.burst(int(pace["events"]))
    assert (pace["interval_ms"], burst.events, answer.count(b"data: ")) == ("0", 50, 50)
    assert len(answer) - 50 * 20 < burst.least < len(answer)


def test_work_is_counted_in_its_unit_and_absent_without_cpu_time() -> None:
    load = wrk.Load(requests=300, seconds=2.0, cpu_seconds=1.5)
    assert throughput.per_cpu_second(load, 2) == {"rate": 300, "core": 0.75, "per_cpu": 400}
    assert "per_cpu" not in throughput.per_cpu_second(wrk.Load(300, 2.0, 0.0), 1)


@pytest.mark.parametrize(
    ("shares", "note"),
    [
        ({"nginx": [0.95, 0.5, 0.99], "gateway": [1.0]}, None),
        ({"nginx": [0.5, 0.6, 0.99], "gateway": [1.0]}, "it used only nginx 60% of its core"),
        ({"nginx": [0.5], "gateway": [0.89]}, "nginx 50% of its core, gateway 89% of its core"),
        ({}, None),
    ],
)
def test_a_proxy_that_was_not_the_limit_is_named(shares: dict[str, list[float]], note: str | None) -> None:
    said = throughput.idle("speed", {"core": shares})
    assert said is None if note is None else note in (said or "")


def test_a_question_adds_its_row_and_the_slowest_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([100, 50, 100, 40])
    monkeypatch.setattr(wrk, "push", lambda *_: wrk.Load(next(rates), 1.0, 1.0))
    stage = Stage.__new__(Stage)
    stage.nginx, stage.gateway = (Way(name, os.getpid(), Ports(1, 1, 1)) for name in ("nginx", "gateway"))
    stage.cores = throughput_cores()
    results = Results()
    throughput.ask(QUESTIONS["whole"][0], stage, Settings(rounds=2), results, lambda _: None)
    (row,) = results.rows
    assert row.ratio == pytest.approx(0.45)
    assert results.gateway_rate == 40
    throughput.ask(QUESTIONS["tls"][0], stage, Settings(rounds=2), results, lambda _: None)
    assert results.rows[1].ratio is None
    assert any("nginx: there is no such upstream" in note for note in results.notes)


def throughput_cores() -> machine.Cores:
    return machine.Cores("0", "0", "0", False, False, 1)


def test_functions_are_listed_alone_and_with_what_they_call() -> None:
    stacks = "main;serve;parse 30\nmain;serve 10\nmain;serve;parse;parse 60\n"
    serve, parse = (
        next(line for line in recording.functions(stacks, 9) if name in line) for name in ("serve", "parse")
    )
    assert parse.split() == ["90.0%", "alone", "90.0%", "with", "calls", "parse"]
    assert serve.split()[:3] == ["10.0%", "alone", "100.0%"]
    assert recording.functions("", 9) == ["py-spy saw nothing"]


def test_symbols_are_summed_by_library() -> None:
    lines = ["  30.50%  libpython  [.] eval", "   9.50%  [kernel]  [k] send", "  10.00%  libpython  [.] malloc"]
    assert recording.shares(lines) == ["by library: libpython 40.5%, [kernel] 9.5%"]


def test_without_a_recorder_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    way = Way("w", os.getpid(), Ports(1, 1, 1))
    with pytest.raises(Missing, match="apt-get install linux-perf"), recording.perf(way, 9, []):
        pass
    with pytest.raises(Missing, match="pip install py-spy"), recording.py_spy(way, 9, []):
        pass


def test_the_page_names_every_row_with_its_promises() -> None:
    page = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    promised = {row.strip("`"): (must, aim) for row, _, _, must, aim in cells if row != "`BENCH_ROWS`"}
    assert tuple(promised) == ROWS
    for name, asked in QUESTIONS.items():
        assert promised[name] == tuple(str(bound or "") for bound in (asked[0].must, asked[0].aim))
    assert promised["streams"] == tuple(map(str, streams.COST))
    assert promised["memory"] == tuple(map(str, footprint.IDLE))
