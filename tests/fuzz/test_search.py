"""The search itself: it is guided, it sees what is broken, and makes what it found small."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.planted import plays_until_found
from tests.fuzz.scenario import Scenario, bytes_of, joined, parse, render
from tests.fuzz.search import Search, one_by_one, same_however_read, smallest
from tests.fuzz.stage import Breach, Outcome
from tests.fuzz.stages import STAGES
from workshop.fuzz import build_collector

SEED = 6


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_it_finds_a_planted_bug_that_a_blind_one_does_not(tmp_path: Path) -> None:
    build_collector(tmp_path)
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "planted",
        "--seed",
        str(SEED),
        "--edges",
        str(tmp_path / "edges.so"),
    ]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    plays = int(said.stdout.split()[-2])
    assert plays_until_found(tmp_path / "blind.so", None, SEED, 2 * plays) == 0


class Refusing:
    """A connection with a flaw: it stumbles over a certain word, if it comes in one piece."""

    def play(self, scenario: Scenario) -> Outcome:
        for event in scenario:
            if event[0] == "data" and b"stumble" in bytes_of(event):
                raise Breach(f"at {bytes_of(event)!r}")
        return Outcome(tuple(event[0] for event in scenario), frozenset(), True)


def test_what_breaks_a_rule_is_made_small_and_told_once() -> None:
    search = Search(Refusing, (), random.Random(1))
    long = parse("turn\ndata b'GET / HTTP/1.1'\nturn\ndata b'and then they stumble and fall'\neof\n")
    search.look(long)
    search.look((*long, ("turn",)))
    (found,) = search.found.values()
    assert render(found.scenario) == "data b'stumble'\n"


def test_what_depends_on_the_reads_is_seen() -> None:
    class Counting(Refusing):
        def play(self, scenario: Scenario) -> Outcome:
            return Outcome((len(scenario),), frozenset(), True)

    with pytest.raises(Breach, match="other reads, another outcome"):
        same_however_read(Counting, parse("data b'abc'\n"), 0.5)


def test_pieces_are_joined_and_taken_apart() -> None:
    cut = parse("data b'a'\ndata b'b'\nturn\ndata b'c'\n")
    assert render(joined(cut)) == "data b'ab'\nturn\ndata b'c'\n"
    assert one_by_one(joined(cut)) == cut


def test_the_smallest_keeps_what_matters() -> None:
    scenario = parse("turn\nask patient 1\ndata b'0123456789'\nturn\n")
    made = smallest(scenario, lambda smaller: any(b"5" in bytes_of(event) for event in smaller if event[0] == "data"))
    assert render(made) == "data b'5'\n"


@pytest.mark.parametrize("name", STAGES)
def test_a_search_goes_on_from_the_corpus(name: str) -> None:
    """Blind here, and short: `make fuzz` searches for long and sees the edges."""
    stage = STAGES[name]
    search = Search(stage, stage.vocabulary, random.Random(20))
    search.begin([parse("ask patient 1\ndata b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n'\nturn\n")])
    for _ in range(5):
        search.step()
    assert search.plays > 1000
    assert not search.found, search.found
