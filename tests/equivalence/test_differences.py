"""The table of differences in docs/lanes.md, row by row: each is known to the tests, and each still exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.equivalence import normal
from tests.equivalence.differences import DIFFERENCES, Difference, judged
from tests.equivalence.stage import Stage
from tests.harness import eventually

PAGE = Path(__file__).parents[2] / "docs/lanes.md"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as running:
        yield running


def test_the_table_is_the_list() -> None:
    table = PAGE.read_text().partition("\n## What differs\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*?) \| .* \| .* \| .+ \|$", table, re.MULTILINE)
    assert [row for row in rows if row not in ("what", "---")] == [each.name for each in DIFFERENCES]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda each: each.name)
def test_it_still_exists_and_excuses_what_it_is_about(stage: Stage, difference: Difference) -> None:
    """And is needed for it: without this excuse the lanes would not be the same."""

    def shown() -> bool:
        ((fast, aiohttp),) = stage.hold([difference.example])
        others = [each.name for each in DIFFERENCES if each is not difference]
        assert judged(difference.example, fast, aiohttp)[0], (normal.outcome(fast), normal.outcome(aiohttp))
        return not judged(difference.example, fast, aiohttp, allowed=others)[0]

    eventually(shown, what="a difference; if there is none any more, take its row out of the table")
