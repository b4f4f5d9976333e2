"""What `workers: auto` means, on machines and in containers of every kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config import Server
from gateway.server.processors import MOST, usable


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/", {}, 8),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "250000 100000"}, 3),  # rounded up: half a processor is not to lie idle
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/", {"cpu.max": "9000000 100000"}, 8),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),  # a parent's quota counts
        ("0::/a/b", {"a/b/cpu.max": "100000 100000", "a/cpu.max": "300000 100000"}, 1),
        ("0::/only/the/host/sees", {"cpu.max": "400000 100000"}, 4),
        ("0::/../../outside", {"cpu.max": "400000 100000", "outside/cpu.max": "100000 100000"}, 4),
        ("0::/", {"cpu.max": "nonsense"}, 8),
        ("0::/", {"cpu.max": "-5 100000"}, 8),
        ("0::/", {"cpu.max": "5 0"}, 8),
        ("0::/", {"cpu.max": ""}, 8),
        ("nonsense", {"cpu.max": "200000 100000"}, 8),
        (
            "4:cpu,cpuacct:/docker/x",
            {"cpu/docker/x/cpu.cfs_quota_us": "150000", "cpu/docker/x/cpu.cfs_period_us": "100000"},
            2,
        ),
        ("4:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "50000"}, 1),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("4:cpuset:/\n2:memory:/", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 8),
        # Both hierarchies at once, as systemd mounts them in its hybrid mode.
        ("4:cpu:/\n0::/", {"cpu/cpu.cfs_quota_us": "500000", "cpu/cpu.cfs_period_us": "100000"}, 5),
    ],
)
def test_the_fewer_of_affinity_and_quota(groups: str, files: dict[str, str], expected: int, machine: Path) -> None:
    write(machine, {"groups": groups, **{f"mounted/{name}": text for name, text in files.items()}})
    assert usable(8, groups=machine / "groups", mounted=machine / "mounted") == expected
    assert usable(1, groups=machine / "groups", mounted=machine / "mounted") == 1


def test_where_nothing_can_be_read_affinity_decides(machine: Path) -> None:
    nowhere = machine / "nowhere"
    assert usable(3, groups=nowhere, mounted=nowhere) == 3
    assert usable(0, groups=nowhere, mounted=nowhere) == 1
    assert usable(10_000, groups=nowhere, mounted=nowhere) == MOST


def test_here() -> None:
    assert 1 <= usable() <= len(os.sched_getaffinity(0))
    assert Server(workers=MOST).workers == MOST
