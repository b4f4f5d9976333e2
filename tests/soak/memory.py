"""What a process holds, as the kernel counts it."""

from __future__ import annotations

import re
from pathlib import Path

KiB = 1024
MiB = 1024 * 1024


def pss(pid: int) -> int:
    """Bytes: its own pages, and its share of those that it has with others."""
    return _of(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def rss(pid: int) -> int:
    return _of(Path(f"/proc/{pid}/status"), "VmRSS")


def _of(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * KiB
