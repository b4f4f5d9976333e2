"""Every scenario of the corpus, once more: what a search has found stays found, and how the bytes are read changes
nothing."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from tests.fuzz import scenario
from tests.fuzz.scenario import Scenario
from tests.fuzz.search import same_however_read
from tests.fuzz.stages import STAGES

CORPUS = Path(__file__).parent / "corpus"
ROUNDS = 6
ROOM = 100  # objects that the interpreter may keep for itself, of hundreds of scenarios


def corpus(name: str) -> list[tuple[str, Scenario]]:
    return [each for file in sorted(CORPUS.glob(f"{name}*.txt")) for each in scenario.read(file)]


@pytest.mark.parametrize("name", STAGES)
def test_the_corpus_breaks_no_rule(name: str) -> None:
    played = corpus(name)
    assert len(played) > 100
    for number, (title, each) in enumerate(played):
        try:
            STAGES[name]().play(each)
        except Exception as problem:
            problem.add_note(f"scenario {number} {title}\n{scenario.render(each)}")
            raise


@pytest.mark.parametrize("name", STAGES)
def test_it_is_the_same_however_it_is_read(name: str) -> None:
    exact = 0
    for number, (_, each) in enumerate(corpus(name)):
        same_however_read(STAGES[name], each, number)
        exact += STAGES[name]().play(each).exact
    assert exact > 40


@pytest.mark.parametrize("name", STAGES)
def test_the_same_scenario_has_the_same_outcome(name: str) -> None:
    for _, each in corpus(name):
        assert STAGES[name]().play(each) == STAGES[name]().play(each)


@pytest.mark.parametrize("name", STAGES)
def test_nothing_is_left_of_them(name: str) -> None:
    """Objects alive after each round: their number stands still."""
    played = corpus(name)
    alive = []
    for _ in range(ROUNDS):
        for _, each in played:
            STAGES[name]().play(each)
        gc.collect()
        alive.append(sys.getallocatedblocks())
    assert alive[-1] - alive[-3] < ROOM, alive


def test_a_scenario_is_read_as_it_was_written() -> None:
    for name in STAGES:
        for _, each in corpus(name):
            assert scenario.parse(scenario.render(each)) == each
