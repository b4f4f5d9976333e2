"""Closed-loop load by wrk: how many requests a proxy answers for a second of its CPU."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bodies, machine
from benchmarks.programs import Missing, quiet_environ

SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Work:
    """What every connection asks, again and again. An answer of fewer bytes than `least` isn't whole."""

    port: int
    body: bytes
    headers: Mapping[str, str]
    connections: int
    least: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """One round's outcome."""

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def core(self) -> float:
        """How much of a core the proxy had to do."""
        return self.cpu_seconds / self.seconds


def parse(output: str, least: int = 0) -> dict[str, float]:
    """The line of JSON that wrk.lua prints; Missing when it isn't there, or requests failed or were cut short."""
    found = re.search(r"^RESULT (\{.*\})$", output, re.MULTILINE)
    if found is None:
        raise Missing(f"wrk gave no result: {output.strip()[-300:]}")
    result: dict[str, float] = json.loads(found[1])
    if result["bad_status"] or result["broken"] or not result["requests"]:
        raise Missing(
            f"{result['bad_status']} of {result['requests']} answers had a bad status and "
            f"{result['broken']} connections broke: no number"
        )
    if result["bytes"] < least * result["requests"]:
        each = result["bytes"] / result["requests"]
        raise Missing(f"{each:.0f} bytes an answer, and a whole one has {least} at least: no number")
    return result


def push(work: Work, pid: int, cpus: str, seconds: float, watch: Callable[[], None] = lambda: None) -> Load:
    """Load one proxy for a while, and account the processes from `pid` downwards; `watch` is called meanwhile."""
    if shutil.which("wrk") is None:
        raise Missing("wrk not found, so no requests/s: apt-get install wrk")
    url = f"http://127.0.0.1:{work.port}{bodies.PATH}"
    options = ["-t1", f"-c{work.connections}", f"-d{math.ceil(seconds)}s", "-s", str(SCRIPT)]
    lines = "\n".join(f"{name}: {value}" for name, value in work.headers.items())
    with tempfile.NamedTemporaryFile() as body:
        body.write(work.body)
        body.flush()
        environ = quiet_environ({"BENCH_BODY_FILE": body.name, "BENCH_HEADERS": lines})
        before = machine.cpu_seconds(pid)
        output = _run(["taskset", "-c", cpus, "wrk", *options, url], environ, seconds, watch)
        used = machine.cpu_seconds(pid) - before
    result = parse(output, work.least)
    return Load(int(result["requests"]), result["seconds"], used)


def _run(command: list[str], environ: Mapping[str, str], seconds: float, watch: Callable[[], None]) -> str:
    """What wrk says; it is looked at twice a second."""
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wrk:
        while wrk.poll() is None:
            time.sleep(0.5 if seconds >= 1 else 0.1)
            watch()
        return wrk.stdout.read() if wrk.stdout else ""
