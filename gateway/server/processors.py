"""How many processors this process may keep busy: what ``server.workers: auto`` means.

The fewer of two: the processors it may run on (affinity: taskset, a container's cpuset) and the time its control
groups grant it, rounded up. The number of the machine's processors would be wrong in every container. A quota
counts in each group from ours up to the root of what we see; one that cannot be read counts as none.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MOST = 254  # workers, as `server.workers` allows


def usable(
    affinity: int | None = None, *, groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> int:
    """At least 1, at most as many as there can be workers."""
    allowed = len(os.sched_getaffinity(0)) if affinity is None else affinity
    quotas = [math.ceil(quota) for quota in _quotas(groups, mounted)]
    return max(1, min(allowed, MOST, *quotas))


def _quotas(groups: Path, mounted: Path) -> Iterator[float]:
    """Every quota that holds for us, in processors."""
    for line in _lines(groups):
        number, kinds, path = (line.split(":", 2) + ["", ""])[:3]
        if number == "0" and not kinds:
            for folder in _upwards(mounted, path):
                yield from _quota(" ".join(_lines(folder / "cpu.max")))
        elif "cpu" in kinds.split(","):
            for folder in (*_upwards(mounted / "cpu", path), *_upwards(mounted / kinds, path)):
                quota, period = (_lines(folder / f"cpu.cfs_{what}_us") for what in ("quota", "period"))
                yield from _quota(" ".join([*quota, *period]))


def _upwards(mounted: Path, path: str) -> Iterator[Path]:
    """A group's folder and those above it. In a container the path may be one that only the host sees."""
    inside = PurePosixPath(path.lstrip("/"))
    visible = [] if ".." in inside.parts else [inside, *inside.parents]
    yield from (mounted / each for each in dict.fromkeys([*visible, PurePosixPath()]))


def _quota(written: str) -> Iterator[float]:
    """``200000 100000`` is two processors; ``max`` and ``-1`` are no limit."""
    try:
        quota, period = (int(each) for each in written.split())
    except ValueError:
        return
    if quota > 0 and period > 0:
        yield quota / period


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except (OSError, ValueError):
        return []
