"""The steps in C without Python: every order of a few actors, a death at every step, threads under ThreadSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

STEPS = Path(__file__).parent / "steps"
ENVIRON = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def output(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRON, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(name: str, tmp_path: Path, *options: str) -> Path:
    warnings = ("-Wall", "-Wextra", "-Werror")
    output("gcc", "-g", *options, *warnings, str(STEPS / f"{name}.c"), "-o", str(tmp_path / name), "-pthread", "-lm")
    return tmp_path / name


@pytest.mark.parametrize(
    "name", ["interleave_itself", "breaker_interleave", "histogram_interleave", "select_interleave"] + ["select_killed"]
)
def test_every_order_and_every_death(name: str, tmp_path: Path) -> None:
    assert output(built(name, tmp_path, "-O2")).endswith("right\n")


@pytest.mark.parametrize("name", ["breaker_threads", "histogram_threads", "select_threads"])
def test_threads_race_without_a_race(name: str, tmp_path: Path) -> None:
    assert output("setarch", "-R", built(name, tmp_path, "-O1", "-fsanitize=thread")).endswith("right\n")
