"""The limit table's steps in C, without Python: killed at every one, in every order, stopped, and raced by threads."""

from __future__ import annotations

from pathlib import Path

from tests._fast.c_programs import built, needs_gcc, output

pytestmark = needs_gcc


def numbers(text: str) -> dict[str, int]:
    return {name: int(rest.split()[0]) for name, rest in (line.split(": ") for line in text.splitlines())}


def test_killed_at_any_step_a_set_is_taken_wholly_or_not_at_all(tmp_path: Path) -> None:
    kills = numbers(output(built("limit_crash", tmp_path, "-O2")))
    assert set(kills) == {
        "the first keys",
        "a take over stripes",
        "new keys beside old",
        "new keys evict",
        "a settlement",
        "a settlement evicts",
        "recover itself",
        "a successor",
    }
    assert min(kills.values()) > 100


def test_in_every_order_and_after_every_death_the_table_is_right(tmp_path: Path) -> None:
    runs = numbers(output(built("limit_interleave", tmp_path, "-O2")))
    assert len(runs) == 8
    assert min(runs.values()) > 1_000


def test_a_stopped_holder_is_waited_for_once(tmp_path: Path) -> None:
    assert output(built("limit_stuck", tmp_path, "-O2")) == "1003 met a stuck stripe\n"


def test_threads_race_without_a_race(tmp_path: Path) -> None:
    assert output(built("limit_threads", tmp_path, "-O1", "-fsanitize=thread")).endswith("repairs\n")
