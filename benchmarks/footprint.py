"""What the gateway takes without being asked anything: memory, and the time it needs to start."""

from __future__ import annotations

import subprocess
import time

from benchmarks import machine
from benchmarks.measures import Bound, Row, Settings, Spread
from benchmarks.programs import Stage, Way, gateway_command, quiet_environ
from benchmarks.results import Results

STARTS = 3
IDLE = Bound(most=80, unit="MiB"), Bound(most=64, unit="MiB")
VERSION, ANSWER = Bound(most=0.3, unit="s"), Bound(most=1.5, unit="s")


class Memory:
    """Proportional memory of all processes of a proxy: before the load, at the most, and after it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._idle = self._looked()
        self._peak = self._idle.get("gateway", 0.0)

    def watch(self, way: Way) -> None:
        """Look at the gateway's memory while it works."""
        if way is self._stage.gateway:
            self._peak = max(self._peak, machine.pss_mib(way.pid) or 0.0)

    def ask(self, settings: Settings, results: Results) -> None:
        time.sleep(settings.settle_seconds)
        after = self._looked()
        highest = max(self._peak, after.get("gateway", 0.0))
        looks = (
            (self._idle, "idle", IDLE),
            ({"gateway": highest} if highest else {}, "at peak", (None, None)),
            (after, f"{settings.settle_seconds:.0f} s after", (None, None)),
        )
        for look, when, (must, aim) in looks:
            by_way = {name: [value] for name, value in look.items()}
            results.add({"pss": by_way}, "pss", f"memory (PSS, all processes) {when}", "MiB", must, aim)

    def _looked(self) -> dict[str, float]:
        found = {way.name: machine.pss_mib(way.pid) for way in self._stage.proxies}
        return {name: value for name, value in found.items() if value}


def start_up(stage: Stage, results: Results) -> None:
    version = [*gateway_command(), "version"]
    took: list[float] = []
    for _ in range(STARTS):
        began = time.perf_counter()
        done = subprocess.run(version, check=False, capture_output=True, env=quiet_environ())
        if done.returncode:
            break
        took.append(time.perf_counter() - began)
    results.rows.append(Row("llm-gateway version", "s", None, Spread.of(took), VERSION))
    results.rows.append(Row("first answer after start", "s", None, Spread.of(_starts(stage)), ANSWER))


def _starts(stage: Stage) -> list[float]:
    if stage.gateway is None:
        return []
    took = []
    for turn in range(STARTS):
        began = time.perf_counter()
        way = stage.gateway_with(f"start-{turn}", 1, stage.cores.proxy)
        took.append(time.perf_counter() - began)
        stage.leave(way)
    return took
