"""A quick look at the hot path, for work on it: ``python -m benchmarks.path``. It is no measurement to quote.

nginx and the gateway are started once and asked in turn, for short rounds, on the cores that ``make bench`` gives them;
every round is printed as it ends, and the medians at last. With ``--perf`` (or ``--profile``, when py-spy is installed)
the gateway's worker is recorded in one more round, which doesn't count.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import machine, measures, recording, streams, throughput, wrk
from benchmarks.measures import ROWS, Settings
from benchmarks.programs import Missing, Stage, Way

STREAMS = "streams"
Ask = Callable[[Stage, Way, float], tuple[float, float]]  # for so long: microseconds of CPU for one, part of a core


def main() -> int:
    asked, cores = arguments(), machine.cores()
    notes = [note for note in (machine.not_release(),) if note]
    failed = False
    os.sched_setaffinity(0, {int(core) for core in cores.load.split(",")})
    with tempfile.TemporaryDirectory(prefix="llm-gateway-path-") as folder:
        try:
            with Stage(Path(folder), cores, notes, asked.lane) as stage:
                failed = stage.gateway is None
                if not failed:
                    ask = question(asked)
                    compare(stage, asked, ask)
                    record(stage, asked, ask)
        except Missing as missing:
            notes.append(str(missing))
            failed = True
    for note in notes:
        print(f"note: {note}")
    return 1 if failed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.path", description=__doc__)
    rows = [name for name in ROWS if name in (*throughput.questions(Settings()), STREAMS)]
    parser.add_argument("--row", choices=rows, default="whole", help="what is asked (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1, help="of one round of one proxy")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--lane", default="", help="the gateway's server.lane")
    parser.add_argument("--gateway", action="store_true", help="leave nginx out")
    parser.add_argument("--perf", action="store_true", help="the worker's top symbols, by perf")
    parser.add_argument("--keep", type=Path, help="with --perf: leave perf's data, with call graphs, in this file")
    parser.add_argument("--profile", action="store_true", help="the worker's top functions, by py-spy")
    parser.add_argument("--top", type=int, default=40, help="lines of --perf and --profile")
    return parser.parse_args()


def question(asked: argparse.Namespace) -> Ask:
    """The same as in `make bench`."""
    settings = dataclasses.replace(Settings(), connections=(asked.connections,))
    if asked.row == STREAMS:

        def paced(_: Stage, way: Way, seconds: float) -> tuple[float, float]:
            outcome = streams.flow(way, dataclasses.replace(settings, seconds=seconds))
            return measures.micros_each(outcome.cpu_seconds, outcome.events) or 0.0, outcome.cpu_seconds / seconds

        return paced
    (chosen,) = throughput.questions(settings)[asked.row]

    def pushed(stage: Stage, way: Way, seconds: float) -> tuple[float, float]:
        work = chosen.work(way)
        if work is None:
            raise Missing("there is no such upstream")
        load = wrk.push(work, way.pid, stage.cores.load, seconds)
        return measures.micros_each(load.cpu_seconds, load.requests) or 0.0, load.core

    return pushed


def compare(stage: Stage, asked: argparse.Namespace, ask: Ask) -> None:
    found: dict[str, list[float]] = {}
    for turn in range(asked.rounds):
        for way in stage.proxies:
            if asked.gateway and way is stage.nginx:
                continue
            cost, core = ask(stage, way, asked.seconds)
            found.setdefault(way.name, []).append(cost)
            print(
                f"{turn + 1}: {way.name:8} {1e6 / cost:10,.0f}/CPU-s {cost:8.1f} us each   core {core:4.0%}", flush=True
            )
    medians = {name: statistics.median(costs) for name, costs in found.items()}
    print(f"{asked.row}: {shown(medians)}")
    ratios = [base / ours for ours, base in zip(found.get("gateway", []), found.get("nginx", []), strict=False)]
    if ratios:
        middle, span = statistics.median(ratios), f"({min(ratios):.3f}..{max(ratios):.3f})"
        print(f"per CPU second, gateway / nginx {middle:.3f} {span}; it costs {1 / middle:.2f} times as much")


def shown(medians: dict[str, float]) -> str:
    return ", ".join(f"{name} {1e6 / cost:,.0f}/CPU-s = {cost:.1f} us" for name, cost in medians.items())


def record(stage: Stage, asked: argparse.Namespace, ask: Ask) -> None:
    if stage.gateway is None:
        return
    for wanted, recorder in ((asked.perf, recording.perf), (asked.profile, recording.py_spy)):
        if wanted:
            lines: list[str] = []
            with recorder(stage.gateway, asked.top, lines, asked.keep):
                ask(stage, stage.gateway, 3 * asked.seconds)
            print("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
