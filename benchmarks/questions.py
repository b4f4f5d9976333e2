"""The questions of design §13, in the order of the table; each adds its rows, or a note why there is none."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import bodies, machine, measures, pace, streams, wrk
from benchmarks.measures import Row, Settings, Spread
from benchmarks.programs import Missing, Stage, Way, gateway_command, quiet_environ, stop

MICRO = Path(__file__).with_name("micro")
Numbers = dict[str, dict[str, list[float]]]  # by measure, then by way


@dataclass(slots=True)
class Results:
    """What came out."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    gateway_rate: float = 0.0  # requests/s of the slowest round
    peak_mib: float = 0.0

    @property
    def complete(self) -> bool:
        return any(row.gateway is not None and row.nginx is not None for row in self.rows)

    def add(
        self, numbers: Numbers, measure: str, question: str, unit: str, goal: str = "", *, compare: bool = True
    ) -> None:
        by_way = numbers.get(measure, {})
        nginx, gateway = (Spread.of(by_way.get(name, [])) for name in ("nginx", "gateway"))
        self.rows.append(Row(question, unit, nginx, gateway, goal, compare))


def ask_all(stage: Stage, settings: Settings, results: Results) -> None:
    idle = _memory(stage)
    throughput(stage, settings, results, "requests per CPU second, SDK head", bodies.SDK_HEADERS, ">= 0.40")
    throughput(stage, settings, results, "requests per CPU second, wrk head", bodies.BARE_HEADERS, "")
    stream_cost(stage, settings, results)
    latency(stage, settings, results)
    memory(stage, settings, results, idle)
    start_up(stage, results)


def rounds(settings: Settings, ways: list[Way], results: Results, ask: Callable[[Way], dict[str, float]]) -> Numbers:
    """Ask every way in turn, several times over. A way that fails once is not asked again, and has no number."""
    numbers: Numbers = {}
    failed: set[str] = set()
    for _ in range(settings.rounds):
        for way in ways:
            if way.name in failed:
                continue
            try:
                for measure, value in ask(way).items():
                    numbers.setdefault(measure, {}).setdefault(way.name, []).append(value)
            except (Missing, OSError) as problem:
                failed.add(way.name)
                results.notes.append(f"{way.name}: {problem}")
    for by_way in numbers.values():
        for name in failed:
            by_way.pop(name, None)
    return numbers


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
    rate = min(settings.most_rate, results.gateway_rate / 2) or 100.0
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
        results.add({"pss": by_way}, "pss", f"memory (PSS) {when}", "MiB", goal)


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
    results.rows.append(Row("listening after start", "s", None, Spread.of(_starts(stage)), "<= 1.5 s"))


def _starts(stage: Stage) -> list[float]:
    if stage.gateway is None:
        return []
    took = []
    for turn in range(3):
        began = time.perf_counter()
        process, _ = stage.start_gateway(f"start-{turn}", stage.folder / "gateway.yaml")
        took.append(time.perf_counter() - began)
        stop(process)
    return took


def micro_benchmarks(notes: list[str]) -> list[Row]:
    """The pytest-benchmark files in micro/: medians, in microseconds."""
    if not any(MICRO.glob("test_*.py")):
        return []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "micro.json"
        command = [sys.executable, "-m", "pytest", str(MICRO), "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "--benchmark-only", f"--benchmark-json={report}"], check=False, capture_output=True, text=True
        )
        if done.returncode or not report.exists():
            notes.append(f"micro-benchmarks failed: {done.stdout.strip()[-400:]}")
            return []
        found = json.loads(report.read_text())["benchmarks"]
    ours = [each for each in found if "python" not in each["name"]]  # the twins are oracles, not the product
    return [micro_row(each["name"], each["stats"]) for each in ours]


def micro_row(name: str, stats: dict[str, float]) -> Row:
    low, middle, high = (stats[part] * 1e6 for part in ("q1", "median", "q3"))
    return Row(name.removeprefix("test_").replace("_", " "), "us", None, Spread(middle, low, high, (low, middle, high)))


def _memory(stage: Stage) -> dict[str, float]:
    found = {way.name: machine.pss_mib(way.pid) for way in stage.proxies}
    return {name: value for name, value in found.items() if value}


def _watch(stage: Stage, way: Way, results: Results) -> Callable[[], None]:
    """Look at the gateway's memory while it works."""

    def look() -> None:
        if way is stage.gateway:
            results.peak_mib = max(results.peak_mib, machine.pss_mib(way.pid) or 0.0)

    return look
