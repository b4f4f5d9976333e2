"""Closed-loop load by wrk: how many requests a proxy answers for a second of its CPU."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bodies, machine
from benchmarks.programs import Missing, Way, quiet_environ

SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """One round's outcome."""

    requests: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def parse(output: str) -> dict[str, float]:
    """The line of JSON that wrk.lua prints; Missing when it isn't there or requests failed."""
    found = re.search(r"^RESULT (\{.*\})$", output, re.MULTILINE)
    if found is None:
        raise Missing(f"wrk gave no result: {output.strip()[-300:]}")
    result: dict[str, float] = json.loads(found[1])
    if result["bad_status"] or result["broken"] or not result["requests"]:
        raise Missing(
            f"{result['bad_status']} of {result['requests']} answers had a bad status and "
            f"{result['broken']} connections broke: no number"
        )
    return result


def push(
    way: Way, cpus: str, headers: dict[str, str], connections: int, seconds: float, watch: Callable[[], None]
) -> Load:
    """Load one way for a while; `watch` is called twice a second meanwhile."""
    if shutil.which("wrk") is None:
        raise Missing("wrk not found, so no requests/s: apt-get install wrk")
    url = f"http://127.0.0.1:{way.whole_port}{bodies.PATH}"
    command = [
        "taskset",
        "-c",
        cpus,
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{math.ceil(seconds)}s",
        "-s",
        str(SCRIPT),
        url,
    ]
    lines = "\n".join(f"{name}: {value}" for name, value in headers.items())
    environ = quiet_environ({"BENCH_BODY": bodies.chat("whole").decode(), "BENCH_HEADERS": lines})
    before = machine.cpu_seconds(way.pid)
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wrk:
        while wrk.poll() is None:
            time.sleep(0.5 if seconds >= 1 else 0.1)
            watch()
        output = wrk.stdout.read() if wrk.stdout else ""
    used = machine.cpu_seconds(way.pid) - before
    result = parse(output)
    return Load(int(result["requests"]), result["seconds"], used, result["p50_ms"], result["p99_ms"])
