"""From one worker to two: what a request costs then, and how many there can be.

Two gateways of their own, with `workers: 1` and `workers: 2`, on the same two cores and asked in turn. The cost is that
of all their processes at one fixed rate, which a single worker carries easily: shared memory that is touched by both
workers, and fewer requests per turn of each loop, are what it can grow by. Figures with two workers mean something
only if there are two, so the processes are counted first.
"""

from __future__ import annotations

from benchmarks import bodies, machine, measures, pace, throughput, wrk
from benchmarks.measures import Bound, Row, Settings
from benchmarks.programs import Missing, Stage, Way
from benchmarks.results import Results, rounds, spreads

ONE, TWO = "1 worker", "2 workers"


def scaling(stage: Stage, settings: Settings, results: Results) -> None:
    if stage.gateway is None:
        return
    if note := crowded(stage.cores):
        results.notes.append(note)
    ways: list[Way] = []
    try:
        for workers, name in ((1, ONE), (2, TWO)):
            ways.append(stage.gateway_with(name, workers))
            require(ways[-1], processes=1 + workers)
        _ask(stage, settings, results, ways)
    except Missing as missing:
        results.notes.append(f"scaling: {missing}")
    finally:
        for way in ways:
            stage.leave(way)


def _ask(stage: Stage, settings: Settings, results: Results, ways: list[Way]) -> None:
    rate = settings.easy_rate(results.gateway_rate)
    paced = rounds(
        "from one worker to two, paced", settings, ways, results, lambda way: paced_cost(way, settings, rate)
    )
    loaded = rounds("from one worker to two, loaded", settings, ways, results, lambda way: most(way, stage, settings))
    for numbers, measure, question, unit, must in (
        (paced, "each", f"CPU per request at {rate:,.0f}/s", "us", Bound(most=1.10)),
        (loaded, "rate", "requests/s as seen by wrk", "req/s", None),
        (loaded, "per_cpu", "requests per CPU second, wrk", "req/CPU-s", None),
    ):
        one, two = spreads(numbers, measure, (ONE, TWO))
        results.scaling.append(Row(question, unit, one, two, must))


def paced_cost(way: Way, settings: Settings, rate: float) -> dict[str, float]:
    """CPU time of the supervisor and the workers for one request, those that warm the connections included."""
    before = machine.cpu_seconds(way.pid)
    outcome = pace.pace(way.ports.whole, bodies.chat("whole"), rate, settings.seconds)
    used = machine.cpu_seconds(way.pid) - before
    each = measures.micros_each(used, len(outcome.whole) + pace.CONNECTIONS)
    return {"each": each} if each else {}


def most(way: Way, stage: Stage, settings: Settings) -> dict[str, float]:
    work = wrk.Work(way.ports.whole, bodies.chat("whole"), bodies.SDK_HEADERS, settings.connections[0])
    load = wrk.push(work, way.pid, stage.cores.load, settings.seconds)
    return throughput.per_cpu_second(load, 1)


def require(way: Way, processes: int) -> None:
    found = machine.tree(way.pid)
    if len(found) != processes:
        raise Missing(f"the gateway with {way.name} is {len(found)} processes, not a supervisor and its workers")


def crowded(cores: machine.Cores) -> str | None:
    """What two workers cannot have here."""
    if cores.pair_apart:
        return None
    return (
        f"scaling: on {cores.count} cores two workers cannot be apart from upstream and load, which share a core with "
        "one of them. Their CPU per request can be compared; their requests/s would be more on more cores"
    )
