"""The arena's steps in C: killed at every one of them while the mutex is held, and raced by threads under TSan."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway import _fast

HEADERS = Path(_fast.__file__).parent
SOURCE = Path(__file__).parent / "steps/arena_steps.c"
ENVIRON = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")


def output(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRON, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def harness(tmp_path: Path, *options: str) -> Path:
    program = tmp_path / "arena_steps"
    warnings = ("-Wall", "-Wextra", "-Werror")
    output("gcc", "-O2", "-g", *warnings, *options, f"-I{HEADERS}", str(SOURCE), "-o", str(program), "-pthread")
    return program


def test_a_holder_killed_at_any_step_leaves_a_whole_directory(tmp_path: Path) -> None:
    lines = output(harness(tmp_path), "kill").splitlines()
    deaths = {scenario: int(deaths.split()[0]) for scenario, deaths in (line.split(": ") for line in lines)}
    assert set(deaths) == {"new area", "area again", "cells again", "gauge again", "long name", "sweep", "turn"}
    assert min(deaths.values()) > 20


def test_who_waits_for_a_stopped_holder_gives_up_in_time(tmp_path: Path) -> None:
    assert output(harness(tmp_path), "wait") == "waited\n"


def test_threads_race_without_a_race(tmp_path: Path) -> None:
    assert output("setarch", "-R", harness(tmp_path, "-fsanitize=thread"), "race") == "raced\n"
