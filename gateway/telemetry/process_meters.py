"""Each process as its operating system sees it: memory, CPU time, descriptors, start.

Every process stamps its own figures, under the names that every Prometheus dashboard knows and with the label
``worker`` (``supervisor``, ``1``, ``2`` …): before a scrape that it answers, and whenever its owner says so (the
heartbeat), so that what others show of it is no older than that. Where there is no /proc, or it may not be read, the
families are not exposed: no number is better than a wrong one. /proc/self is read anew each time, so they are right
also after a fork. The CPU time of a worker goes on where its predecessor's ended.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.telemetry.meters import Meters

STAT_UTIME, STAT_STIME, STAT_START, STAT_RSS = 11, 12, 19, 21  # counted after the command's closing parenthesis


class ProcessMeters:
    """Four families; `stamp` brings this process's figures up to date."""

    def __init__(self, meters: Meters, *, proc: Path = Path("/proc")) -> None:
        self._stat = proc / "self" / "stat"
        self._descriptors = proc / "self" / "fd"
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._readable = False
        try:
            self._booted = _boot_time(proc / "stat")
            self._fields()
        except (OSError, ValueError, IndexError):
            return
        self._memory = meters.gauge(
            "process_resident_memory_bytes", "Resident memory size in bytes.", across="each"
        ).cell()
        self._cpu = meters.counter(
            "process_cpu_seconds_total", "User and system CPU time spent in seconds.", across="each"
        ).cell()
        self._open = meters.gauge("process_open_fds", "Number of open file descriptors.", across="each").cell()
        self._start = meters.gauge(
            "process_start_time_seconds", "Start of the process, in seconds since the epoch.", across="each"
        ).cell()
        self._readable = True
        meters.before_scrape(self.stamp)

    def stamp(self) -> None:
        """As they are now; as they were, if there is no descriptor left to read them by."""
        if not self._readable:
            return
        try:
            fields, descriptors = self._fields(), self._count_descriptors()
        except OSError:
            return
        self._memory.set(int(fields[STAT_RSS]) * self._page)
        self._cpu.follow((int(fields[STAT_UTIME]) + int(fields[STAT_STIME])) / self._ticks)
        self._start.set(self._booted + int(fields[STAT_START]) / self._ticks)
        self._open.set(descriptors)

    def _fields(self) -> list[bytes]:
        # The command may contain spaces and parentheses; the last closing one ends it.
        return self._stat.read_bytes().rpartition(b")")[2].split()

    def _count_descriptors(self) -> int:
        # Linux 6.2 and later give the number as the folder's size; before it, 16,000 entries are listed.
        size = self._descriptors.stat().st_size
        return size if size > 0 else len(os.listdir(self._descriptors)) - 1  # the listing itself is one


def _boot_time(stat: Path) -> int:
    for line in stat.read_bytes().splitlines():
        if line.startswith(b"btime "):
            return int(line.split()[1])
    raise ValueError("no btime")
