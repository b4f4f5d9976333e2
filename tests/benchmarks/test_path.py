"""The quick look at the hot path: every round as it ends, the medians, and how much more it costs."""

from __future__ import annotations

import argparse

import pytest

from benchmarks import path
from benchmarks.programs import Missing, Stage, Way
from benchmarks.settings_files import Ports


def stage() -> Stage:
    found = Stage.__new__(Stage)
    found.nginx, found.gateway = (Way(name, 1, Ports(1, 2, 3)) for name in ("nginx", "gateway"))
    return found


def asked(**options: object) -> argparse.Namespace:
    return argparse.Namespace(
        **{"rounds": 3, "seconds": 1, "row": "whole", "connections": 32, "gateway": False} | options
    )


def test_both_are_asked_in_turn_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    costs = iter([10.0, 25.0, 12.0, 24.0, 11.0, 22.0])
    path.compare(stage(), asked(), lambda *_: (next(costs), 0.9))
    *rounds, medians, ratio = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in rounds] == ["nginx", "gateway"] * 3
    assert medians == "whole: nginx 90,909/CPU-s = 11.0 us, gateway 41,667/CPU-s = 24.0 us"
    assert ratio == "per CPU second, gateway / nginx 0.500 (0.400..0.500); it costs 2.00 times as much"


def test_nginx_may_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    path.compare(stage(), asked(gateway=True, rounds=1), lambda *_: (20.0, 1.0))
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["gateway", "gateway"]


@pytest.mark.parametrize("row", ["whole", "bare", "tls", "body", "burst", "streams"])
def test_every_row_of_the_bench_that_costs_cpu_can_be_asked(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["path", "--row", row, "--connections", "7"])
    chosen = path.arguments()
    assert (chosen.row, chosen.rounds, chosen.perf) == (row, 5, False)
    ask = path.question(chosen)
    if row == "tls":
        with pytest.raises(Missing, match="no such upstream"):
            ask(stage(), stage().nginx, 1.0)
