"""The questions of design §13, in the order of the table; each adds its rows, or a note why there is none."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from benchmarks import bodies, machine, measures, pace, streams, wrk
from benchmarks.measures import Row, Settings, Spread
from benchmarks.programs import Stage, Way, gateway_command, quiet_environ
from benchmarks.results import Results, rounds
from benchmarks.scaling import scaling


def ask_all(stage: Stage, settings: Settings, results: Results) -> None:
    idle = _memory(stage)
    throughput(stage, settings, results, "requests per CPU second, SDK head", bodies.SDK_HEADERS, ">= 0.40")
    throughput(stage, settings, results, "requests per CPU second, wrk head", bodies.BARE_HEADERS, "")
    stream_cost(stage, settings, results)
    latency(stage, settings, results)
    memory(stage, settings, results, idle)
    scaling(stage, settings, results)
    start_up(stage, results)


def throughput(
    stage: Stage, settings: Settings, results: Results, title: str, headers: dict[str, str], goal: str
) -> None:
    def ask(way: Way, seconds: float = settings.seconds) -> dict[str, float]:
        watch = _watch(stage, way, results)
        load = wrk.push(way, stage.cores.load, headers, settings.connections, seconds, watch)
        rate = measures.per_cpu_second(load.requests, load.cpu_seconds)
        return {"rate": load.rate, "p50": load.p50_ms, "p99": load.p99_ms} | ({"per_cpu": rate} if rate else {})

    numbers = rounds(settings, stage.proxies, results, ask)
    results.add(numbers, "per_cpu", title, "req/CPU-s", goal)
    results.add(numbers, "rate", "  as seen by wrk", "req/s")
    seen = numbers.get("rate", {}).get("gateway")
    if seen:
        results.gateway_rate = min([*seen, results.gateway_rate or seen[0]])


def stream_cost(stage: Stage, settings: Settings, results: Results) -> None:
    def ask(way: Way) -> dict[str, float]:
        flow = streams.flow(way, settings, _watch(stage, way, results))
        each = measures.micros_each(flow.cpu_seconds, flow.events)
        return {"each": each} if each else {}

    numbers = rounds(settings, stage.proxies, results, ask)
    title = f"CPU per event, {settings.streams} streams of {1000 // settings.interval_ms} events/s"
    results.add(numbers, "each", title, "us", "<= 1.30")


def latency(stage: Stage, settings: Settings, results: Results) -> None:
    """What each proxy adds to the straight way, at half of what the gateway can do."""
    rate = settings.easy_rate(results.gateway_rate)
    events = bodies.stream(1, 0)
    kinds = (("whole answer", bodies.chat("whole"), False, rate), ("first content", events, True, rate / 2))
    for title, body, streamed, speed in kinds:

        def ask(way: Way, body: bytes = body, streamed: bool = streamed, speed: float = speed) -> dict[str, float]:
            port = way.stream_port if streamed else way.whole_port
            outcome = pace.pace(port, body, speed, settings.seconds)
            times = outcome.first if streamed else outcome.whole
            return {part: measures.percentile(times, at) * 1e3 for part, at in (("p50", 0.5), ("p99", 0.99))}

        numbers = rounds(settings, [stage.direct, *stage.proxies], results, ask)
        for part, goal in (("p50", ""), ("p99", "<= 1 ms" if streamed else "")):
            extra = {part: added(numbers.get(part, {}))}
            question = f"added to {title}, {part.upper()} at {speed:.0f}/s"
            results.add(extra, part, question, "ms", goal, compare=False)  # what nginx adds is near the clock's tick


def added(by_way: dict[str, list[float]]) -> dict[str, list[float]]:
    """Each round less the straight way's of the same round."""
    straight = by_way.get("direct", [])
    return {
        name: [value - base for value, base in zip(values, straight, strict=False)]
        for name, values in by_way.items()
        if name != "direct"
    }


def memory(stage: Stage, settings: Settings, results: Results, idle: dict[str, float]) -> None:
    """Proportional memory of all processes of a proxy."""
    time.sleep(settings.settle_seconds)
    after = _memory(stage)
    highest = max(results.peak_mib, after.get("gateway", 0.0), idle.get("gateway", 0.0))
    peak = {"gateway": highest} if highest else {}
    looks = ((idle, "idle", "<= 80 MiB"), (peak, "at peak", ""), (after, f"{settings.settle_seconds:.0f} s after", ""))
    for look, when, goal in looks:
        by_way = {name: [value] for name, value in look.items()}
        results.add({"pss": by_way}, "pss", f"memory (PSS, all processes) {when}", "MiB", goal)


def start_up(stage: Stage, results: Results) -> None:
    version = [*gateway_command(), "version"]
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        done = subprocess.run(version, check=False, capture_output=True, env=quiet_environ())
        if done.returncode:
            break
        took.append(time.perf_counter() - began)
    results.rows.append(Row("llm-gateway version", "s", None, Spread.of(took), "<= 0.3 s"))
    results.rows.append(Row("first answer after start", "s", None, Spread.of(_starts(stage)), "<= 1.5 s"))


def _starts(stage: Stage) -> list[float]:
    if stage.gateway is None:
        return []
    took = []
    for turn in range(3):
        began = time.perf_counter()
        way = stage.gateway_with(f"start-{turn}", 1, stage.cores.proxy)
        took.append(time.perf_counter() - began)
        stage.leave(way)
    return took


def _memory(stage: Stage) -> dict[str, float]:
    found = {way.name: machine.pss_mib(way.pid) for way in stage.proxies}
    return {name: value for name, value in found.items() if value}


def _watch(stage: Stage, way: Way, results: Results) -> Callable[[], None]:
    """Look at the gateway's memory while it works."""

    def look() -> None:
        if way is stage.gateway:
            results.peak_mib = max(results.peak_mib, machine.pss_mib(way.pid) or 0.0)

    return look
