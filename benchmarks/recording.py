"""What the gateway's worker does with its time: perf's symbols, or py-spy's functions, as a short list."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine
from benchmarks.programs import Missing, Way, quiet_environ

HERTZ = 1999
Lines = list[str]


def worker(way: Way) -> int:
    """The busiest process below the first one; alone, the first."""
    ticks = machine.tree(way.pid)
    below = {pid: used for pid, used in ticks.items() if pid != way.pid}
    return max(below, key=lambda pid: below[pid]) if below else way.pid


@contextlib.contextmanager
def perf(way: Way, top: int, lines: Lines, keep: Path | None = None) -> Iterator[None]:
    """The symbols that take most of the worker's time while the body runs, kernel included."""
    _require("perf", "apt-get install linux-perf")
    with tempfile.TemporaryDirectory(prefix="llm-gateway-perf-") as folder:
        data = str(keep or Path(folder) / "perf.data")
        command = ["perf", "record", "-q", "-F", str(HERTZ), "-o", data, "-p", str(worker(way))]
        with _recording([*command, "-g"] if keep else command):
            yield
        report = ["perf", "report", "-i", data, "--no-children", "--stdio", "-q", "-g", "none", "-s", "dso,symbol"]
        done = subprocess.run(report, check=False, capture_output=True, text=True, env=quiet_environ())
        found = [line.rstrip(" -") for line in done.stdout.splitlines() if re.match(r"\s*\d+\.\d+%", line)]
        lines += [*shares(found), *found[:top]] if found else [done.stderr.strip() or "perf saw nothing"]


def shares(found: Lines) -> Lines:
    """How much of the time each library has."""
    by_library: Counter[str] = Counter()
    for line in found:
        share, library = line.split()[:2]
        by_library[library] += round(float(share.rstrip("%")) * 100)
    return ["by library: " + ", ".join(f"{name} {part / 100:.1f}%" for name, part in by_library.most_common(12))]


@contextlib.contextmanager
def py_spy(way: Way, top: int, lines: Lines, _: Path | None = None) -> Iterator[None]:
    """The Python functions that take most of the worker's time, alone and with what they call."""
    _require("py-spy", "pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="llm-gateway-spy-") as folder:
        raw = Path(folder) / "stacks"
        command = ["py-spy", "record", "-p", str(worker(way)), "-r", "500", "-f", "raw", "-o", str(raw), "-d", "3600"]
        with _recording([*command, "--nonblocking"]):
            yield
        lines += functions(raw.read_text() if raw.exists() else "", top)


def functions(stacks: str, top: int) -> Lines:
    """Of py-spy's folded stacks: per function the share of samples in it, and in it or below."""
    alone, within = Counter[str](), Counter[str]()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        alone[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    total = sum(alone.values())
    if not total:
        return ["py-spy saw nothing"]
    shown = [
        f"{100 * alone[name] / total:6.1f}% alone {100 * within[name] / total:6.1f}% with calls  {name}"
        for name, _ in within.most_common(top)
    ]
    return sorted(shown, reverse=True)


@contextlib.contextmanager
def _recording(command: list[str]) -> Iterator[None]:
    """A recorder that is asked to end as by Ctrl-C, so that it writes what it has."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quiet_environ()) as made:
        try:
            yield
        finally:
            made.send_signal(2)
            made.wait(30)


def _require(program: str, cure: str) -> None:
    if shutil.which(program) is None:
        raise Missing(f"{program} not found, so nothing is recorded: {cure}")
