"""What /proc and the machine tell: cores, CPU time and memory of a tree of processes, versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LOOKS = 20
BUSY = 0.25  # of the cores
PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PACKAGES = ("aiohttp", "uvloop", "httptools", "orjson", "pydantic", "Cython")


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where. Where one or two workers are not apart from the load, the numbers disturb each other."""

    proxy: str
    pair: str  # of a gateway with two workers
    load: str
    apart: bool
    pair_apart: bool
    count: int


def cores(allowed: set[int] | None = None) -> Cores:
    """The last core for the proxy, the last two for two workers, the others for upstreams and load."""
    usable = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    load = usable[:-2] or usable[:-1] or usable
    proxy, pair, others = (",".join(map(str, some)) for some in (usable[-1:], usable[-2:], load))
    return Cores(proxy, pair, others, apart=len(usable) > 1, pair_apart=len(usable) > 2, count=len(usable))


def parse_stat(text: str) -> tuple[int, int]:
    """(parent, clock ticks used by the process and its reaped children) of a /proc/<pid>/stat."""
    fields = text[text.rindex(")") + 2 :].split()  # a program's name may hold blanks and brackets
    return int(fields[1]), sum(int(ticks) for ticks in fields[11:15])


def parse_pss(text: str) -> int:
    """KiB of a smaps_rollup's Pss line."""
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def descendants(root: int, parents: Mapping[int, int]) -> set[int]:
    """`root` and everything below it."""
    tree = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in tree} - tree
        if not more:
            return tree
        tree |= more


def _stats() -> dict[int, tuple[int, int]]:
    found = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = parse_stat(path.read_text())
        except (OSError, ValueError):
            continue  # it ended while we looked
    return found


def tree(root: int) -> dict[int, int]:
    """The clock ticks of each process from `root` downwards.

    A child's time moves to its parent when it is reaped: one that goes while we look would be seen in neither, so we
    look until nothing has come or gone.
    """
    for _ in range(LOOKS):
        stats, again = _stats(), _stats()
        pids = descendants(root, {pid: parent for pid, (parent, _) in stats.items()})
        if pids == descendants(root, {pid: parent for pid, (parent, _) in again.items()}):
            break
    return {pid: stats[pid][1] for pid in pids if pid in stats}


def cpu_seconds(root: int) -> float:
    """User and system time of the whole tree; a process that ended counts on in the parent that reaped it."""
    return sum(tree(root).values()) / TICKS


def parse_used(text: str) -> int:
    """Clock ticks that all cores spent at work, of /proc/stat: neither idle, nor waiting, nor taken by the host."""
    user, nice, system, _, _, irq, softirq = (int(ticks) for ticks in text.split("\n", 1)[0].split()[1:8])
    return user + nice + system + irq + softirq


def others_seconds() -> float:
    """CPU time of everything on this machine that isn't this process and its children."""
    return parse_used(_text(PROC / "stat")) / TICKS - cpu_seconds(os.getpid())


def pss_mib(root: int) -> float | None:
    """Proportional memory of the whole tree: shared pages count once. None where the kernel won't tell."""
    total = 0
    for pid in tree(root):
        try:
            total += parse_pss((PROC / str(pid) / "smaps_rollup").read_text())
        except OSError:
            continue
    return total / 1024 if total else None


def describe() -> dict[str, object]:
    """What the numbers belong to."""
    model = re.search(r"^model name\s*: (.+)$", _text(PROC / "cpuinfo"), re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "nginx": _first_line(["nginx", "-v"]),
        "wrk": _first_line(["wrk", "-v"]),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _first_line(["git", "rev-parse", "--short=12", "HEAD"]),
        "uncommitted": bool(_first_line(["git", "status", "--porcelain"])),
        "modules": [path.name for path in sorted(Path("gateway/_fast").glob("*.so"))],
    }


def busy() -> str | None:
    """A note when others are using the machine as we begin."""
    load = os.getloadavg()[0]
    if load < BUSY * len(os.sched_getaffinity(0)):
        return None
    return (
        f"the machine was busy when this began (load average {load:.1f}): expect disturbed numbers, latencies above all"
    )


def not_release(fast: Path = Path("gateway/_fast"), built: Path = Path("build/objects-release")) -> str | None:
    """A note when what runs isn't what setup.py compiled for release."""
    odd = [
        module.stem.partition(".")[0]
        for module in sorted(fast.glob("*.so"))
        if not any(same.read_bytes() == module.read_bytes() for same in built.glob(f"lib*/{fast}/{module.name}"))
    ]
    return f"not the release build of {', '.join(odd)}, so slower than what users run: make build" if odd else None


def headline(found: Mapping[str, object]) -> str:
    return (
        f"{found['cpu']}, {found['cores']} cores, Linux {found['kernel']}, Python {found['python']}, "
        f"{found['nginx'] or 'no nginx'}, {found['wrk'] or 'no wrk'}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _first_line(command: list[str]) -> str | None:
    """The first line a program says, if it is there. wrk prints its version with an exit status of 1."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    if not lines or (command[0] == "git" and done.returncode):
        return None
    return lines[0].removeprefix("nginx version: ").split(" Copyright")[0].split(" [")[0]
