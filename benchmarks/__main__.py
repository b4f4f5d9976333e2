"""The whole measurement in one run (design §13).

* nginx is the yardstick: the same upstreams, the same load, the same core, minutes apart at most. What
  counts is the ratio; absolute numbers only say what machine this was.
* Rounds alternate between the proxies, so that a machine that gets slower slows both; the table has
  medians, and the smallest and largest round beside them. The file in results/ has every round.
* The proxy has a core of its own; upstreams and load share the other ones.
* Nothing is invented: what cannot run is named with its cure, and its number is absent. An answer that isn't
  whole takes its row away.

BENCH_SECONDS (default 2) is the length of one round's measurement, BENCH_ROUNDS (default 5) their number, BENCH_ROWS a
choice of rows (whole, bare, tls, body, burst, streams, latency, memory, scaling, start, micro), BENCH_LANE the
gateway's `server.lane`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks import journal, machine, micro_table, questions, table
from benchmarks.measures import Settings
from benchmarks.programs import Missing, Stage
from benchmarks.results import Results


def main() -> int:
    try:
        settings = Settings.from_environ()
    except ValueError as error:
        print(error)
        return 2
    found, cores = machine.describe(), machine.cores()
    results = Results(notes=[note for note in (machine.busy(), machine.not_release()) if note])
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(core) for core in cores.load.split(",")})  # the clients run in this process
    print(machine.headline(found), flush=True)
    with tempfile.TemporaryDirectory(prefix="llm-gateway-bench-") as folder:
        try:
            with Stage(Path(folder), cores, results.notes, settings.lane) as stage:
                questions.ask_all(stage, settings, results)
        except Missing as missing:
            results.notes.append(str(missing))
    os.sched_setaffinity(0, allowed)  # two processes at once need two cores
    if "micro" in settings.rows:
        results.operations += micro_table.measured(results.notes)
    for drawn in (table.against_nginx(results.rows), table.from_one_to_two(results.scaling)):
        print(drawn, end="")
    print(table.operations(results.operations))
    print("\n".join(f"note: {note}" for note in results.notes))
    print(f"written to {journal.write(found, settings, results)}")
    return 0 if results.complete else 1


if __name__ == "__main__":
    sys.exit(main())
