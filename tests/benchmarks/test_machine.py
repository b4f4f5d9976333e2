"""What the benchmark reads of /proc, and who runs on which core."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import machine, scaling


def test_a_process_name_may_hold_blanks_and_brackets() -> None:
    assert machine.parse_stat("7 (a (b) c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1") == (3, 4330)


def test_what_others_use_is_all_work_but_our_own() -> None:
    assert machine.parse_used("cpu  1 2 4 8 16 32 64 128 0 0\ncpu0 9 9 9\n") == 1 + 2 + 4 + 32 + 64
    assert machine.others_seconds() > -1  # the kernel counts in hundredths, and not all at the same moment


def test_only_what_was_compiled_for_release_is_the_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fast, built = Path("fast"), Path("objects")
    for folder in (fast, built / "lib.linux" / fast):
        folder.mkdir(parents=True)
        (folder / "arena.so").write_bytes(b"compiled")
    assert machine.not_release(fast, built) is None
    (fast / "arena.so").write_bytes(b"for debugging")
    (fast / "sse.cpython-311.so").write_bytes(b"by hand")
    assert "not the release build of arena, sse," in (machine.not_release(fast, built) or "")


def test_pss_is_read_and_not_pss_dirty() -> None:
    assert machine.parse_pss("Rss:  9 kB\nPss:              1234 kB\nPss_Dirty:  99 kB\n") == 1234
    assert machine.parse_pss("") == 0


def test_descendants_are_found_at_any_depth() -> None:
    assert machine.descendants(1, {2: 1, 3: 2, 4: 3, 9: 8}) == {1, 2, 3, 4}


def test_this_process_has_cpu_time_and_memory() -> None:
    assert machine.cpu_seconds(1 << 30) == 0
    sum(math.sqrt(number) for number in range(2_000_000))
    own = os.getpid()
    assert machine.cpu_seconds(own) > 0
    assert (machine.pss_mib(own) or 1) > 0.5


@pytest.mark.parametrize(
    ("allowed", "proxy", "pair", "load", "apart"),
    [
        ({3}, "3", "3", "3", (False, False)),
        ({0, 1}, "1", "0,1", "0", (True, False)),
        ({2, 5, 7}, "7", "5,7", "2", (True, True)),
        ({0, 1, 2, 3}, "3", "2,3", "0,1", (True, True)),
    ],
)
def test_the_proxy_has_a_core_of_its_own_and_two_workers_two_if_there_are_so_many(
    allowed: set[int], proxy: str, pair: str, load: str, apart: tuple[bool, bool]
) -> None:
    found = machine.cores(allowed)
    assert found == machine.Cores(proxy, pair, load, *apart, count=len(allowed))
    assert (scaling.crowded(found) is None) == apart[1]


FAMILY = """
import mmap, os, sys, time
shared = mmap.mmap(-1, 32 << 20)
def touch():
    for place in range(0, len(shared), 4096):
        shared[place] = 1
touch()
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        touch()
        while time.process_time() < 0.2:
            pass
        print("child", os.getpid(), flush=True)
        time.sleep(60)
    os.waitpid(child, 0)
    print("reaped", child, flush=True)
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A parent that has a child for every line, and reaps it."""
    command = [sys.executable, "-c", FAMILY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        yield parent
        parent.kill()


def said(parent: subprocess.Popen[str], word: str) -> int:
    assert parent.stdout is not None
    found, pid = parent.stdout.readline().split()
    assert found == word
    return int(pid)


def birth(parent: subprocess.Popen[str]) -> int:
    assert parent.stdin is not None
    print("child", file=parent.stdin, flush=True)
    return said(parent, "child")


def test_a_replaced_child_counts_on(family: subprocess.Popen[str]) -> None:
    used = []
    for _ in range(3):
        child = birth(family)
        assert set(machine.tree(family.pid)) == {family.pid, child}
        used.append(machine.cpu_seconds(family.pid))
        os.kill(child, signal.SIGKILL)
        said(family, "reaped")
        used.append(machine.cpu_seconds(family.pid))
    assert used == sorted(used)
    assert used[-1] >= 3 * 0.19  # the kernel counts in hundredths
    assert set(machine.tree(family.pid)) == {family.pid}


def test_shared_memory_is_counted_once(family: subprocess.Popen[str]) -> None:
    child = birth(family)
    assert 32 <= (machine.pss_mib(family.pid) or 0) < 64
    os.kill(child, signal.SIGKILL)


def test_a_child_that_goes_while_we_look_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    both, reaped = {1: (0, 5), 2: (1, 7)}, {1: (0, 12)}
    looks = [both, reaped, reaped, reaped]
    monkeypatch.setattr(machine, "_stats", lambda: looks.pop(0))
    assert machine.tree(1) == {1: 12}
