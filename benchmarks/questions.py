"""The questions of design §13 that need the programs running, in the order of the table.

Each adds its rows, or a note why there is none; which are asked is chosen by their names (BENCH_ROWS).
"""

from __future__ import annotations

from benchmarks import footprint, latency, streams, throughput
from benchmarks.measures import Settings
from benchmarks.programs import Stage
from benchmarks.results import Results
from benchmarks.scaling import scaling


def ask_all(stage: Stage, settings: Settings, results: Results) -> None:
    memory = footprint.Memory(stage)
    for name, asked in throughput.questions(settings).items():
        for question in asked if name in settings.rows else ():
            throughput.ask(question, stage, settings, results, memory.watch)
    if "streams" in settings.rows:
        streams.ask(stage, settings, results, memory.watch)
    if "latency" in settings.rows:
        latency.ask(stage, settings, results)
    if "memory" in settings.rows:
        memory.ask(settings, results)
    if "scaling" in settings.rows:
        scaling(stage, settings, results)
    if "start" in settings.rows:
        footprint.start_up(stage, results)
