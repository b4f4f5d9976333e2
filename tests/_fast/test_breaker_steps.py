"""The steps in C without Python: every order of a few actors, a death at every step, threads under ThreadSanitizer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._fast.c_programs import built, needs_gcc, output

pytestmark = needs_gcc


@pytest.mark.parametrize(
    "name", ["interleave_itself", "breaker_interleave", "histogram_interleave", "select_interleave"] + ["select_killed"]
)
def test_every_order_and_every_death(name: str, tmp_path: Path) -> None:
    assert output(built(name, tmp_path, "-O2")).endswith("right\n")


@pytest.mark.parametrize("name", ["breaker_threads", "histogram_threads", "select_threads"])
def test_threads_race_without_a_race(name: str, tmp_path: Path) -> None:
    assert output(built(name, tmp_path, "-O1", "-fsanitize=thread")).endswith("right\n")
