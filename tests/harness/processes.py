"""What the kernel says of a process: its children, threads, open files, connections. Linux, from /proc."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """Those that live."""
    return [child for child in _listed(pid) if is_alive(child)]


def ended_children(pid: int) -> list[int]:
    """Those that nobody has waited for."""
    return [child for child in _listed(pid) if state(child) == "Z"]


def is_alive(pid: int) -> bool:
    return state(pid) not in ("", "Z", "X")


def state(pid: int) -> str:
    """``R``, ``S``, ``T`` (stopped), ``Z``; empty: there is no such process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def title(pid: int) -> str:
    """As ps shows it."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def threads(pid: int) -> list[int]:
    return sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())


def descriptors(pid: int) -> dict[int, str]:
    """Every open one and what it is, such as ``socket:[4711]``."""
    found = {}
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found[int(each.name)] = os.readlink(each)
    return found


def clients(pid: int, port: int) -> set[int]:
    """The ports of those whose connection to `port` this process has accepted. To be exact, stop it before."""
    mine = {what for what in descriptors(pid).values() if what.startswith("socket:")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, remote, _, *others = line.split()
            if f"socket:[{others[5]}]" in mine and _port(local) == port and _port(remote):
                found.add(_port(remote))
    return found


def users_of(folder: Path) -> set[int]:
    """Whoever has a file below it open, but this process."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with suppress(OSError):
                if any(what.startswith(f"{folder}/") for what in descriptors(int(process.name)).values()):
                    found.add(int(process.name))
    return found


def kill_known(pid: int, port: int) -> set[int]:
    """Kill -9, exactly between two of its steps, and say whose connections it had."""
    os.kill(pid, signal.SIGSTOP)
    while state(pid) not in ("T", "Z", ""):
        pass
    lost = clients(pid, port)
    os.kill(pid, signal.SIGKILL)
    return lost


def _listed(pid: int) -> list[int]:
    with suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
