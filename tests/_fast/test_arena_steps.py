"""The arena's steps in C: killed at every one of them while the mutex is held, and raced by threads under TSan."""

from __future__ import annotations

from pathlib import Path

from tests._fast.c_programs import built, needs_gcc, output

pytestmark = needs_gcc


def test_a_holder_killed_at_any_step_leaves_a_whole_directory(tmp_path: Path) -> None:
    lines = output(built("arena_steps", tmp_path, "-O2"), "kill").splitlines()
    deaths = {scenario: int(deaths.split()[0]) for scenario, deaths in (line.split(": ") for line in lines)}
    assert set(deaths) == {"new area", "area again", "cells again", "gauge again", "long name", "sweep", "turn"}
    assert min(deaths.values()) > 20


def test_who_waits_for_a_stopped_holder_gives_up_in_time(tmp_path: Path) -> None:
    assert output(built("arena_steps", tmp_path, "-O2"), "wait") == "waited\n"


def test_threads_race_without_a_race(tmp_path: Path) -> None:
    assert output(built("arena_steps", tmp_path, "-O2", "-fsanitize=thread"), "race") == "raced\n"
