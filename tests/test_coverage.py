"""The coverage of `make test` sees into forked processes, and survives those that are killed.

A worker is forked, may end by ``os._exit`` or a signal, and may be killed at any moment, even while its numbers are
being written. Only the frames that were running at the fork are not followed into the child.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAMILY = """
import os, signal, sys

def exits():
    sys.exit(marked_exits())

def marked_exits():
    return 0

def leaves():
    os._exit(marked_leaves())

def marked_leaves():
    return 0

def is_told_to_end():
    marked_told()
    os.kill(os.getpid(), signal.SIGTERM)

def marked_told():
    return 0

def is_killed():
    marked_killed()
    os.kill(os.getpid(), signal.SIGKILL)

def marked_killed():
    return 0

def has_a_child():
    child(leaves)
    os._exit(0)

def child(end):
    if os.fork() == 0:
        end()
    os.wait()

for end in (has_a_child, is_told_to_end, is_killed, exits):
    child(end)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway/__init__.py").write_text("")
    (tmp_path / "gateway/family.py").write_text(FAMILY)
    return tmp_path


def coverage(project: Path, *arguments: str) -> str:
    """What it said; the coverage that may be measuring us stays out of it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-m", "coverage", *arguments],
        cwd=project,
        env={**environ, "COVERAGE_FILE": str(project / "data/.coverage")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_forked_processes_are_measured_however_they_end(project: Path) -> None:
    coverage(project, "run", "-m", "gateway.family")
    data = project / "data"
    whole = next(data.iterdir()).read_bytes()
    (data / ".coverage.host.pid7.Xtorn.Hx").write_bytes(whole[: len(whole) // 2])
    (data / ".coverage.host.pid8.Xempty.Hx").write_bytes(b"")
    coverage(project, "combine", "-q")
    coverage(project, "json", "-q", "-o", "seen.json")
    seen = json.loads((project / "seen.json").read_text())["files"]["gateway/family.py"]
    measured = {name: found["summary"]["covered_lines"] for name, found in seen["functions"].items()}
    assert (measured["marked_leaves"], measured["marked_told"], measured["marked_exits"]) == (1, 1, 1)
    assert measured["marked_killed"] == 0  # nobody can write anything after SIGKILL
