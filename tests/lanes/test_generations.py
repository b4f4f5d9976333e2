"""When nothing older runs: told once for each configuration, as soon as it is true."""

from __future__ import annotations

import random

import pytest

from gateway.lanes.generations import Generations


def test_at_once_when_nothing_runs() -> None:
    quiet: list[int] = []
    generations = Generations(quiet.append)
    generations.adopt(1)
    generations.adopt(2)
    assert quiet == [1, 2]


def test_after_the_last_of_the_old() -> None:
    quiet: list[int] = []
    generations = Generations(quiet.append)
    generations.adopt(1)
    generations.began(1)
    generations.began(1)
    generations.adopt(2)
    generations.began(2)
    generations.ended(1)
    generations.ended(2)
    assert quiet == [1]
    generations.ended(1)
    assert quiet == [1, 2]
    generations.began(2)
    generations.ended(2)
    assert quiet == [1, 2]


def test_the_latest_stands_for_all() -> None:
    quiet: list[int] = []
    generations = Generations(quiet.append)
    generations.adopt(1)
    generations.began(1)
    generations.adopt(2)
    generations.began(2)
    generations.adopt(3)
    generations.ended(1)
    assert quiet == [1]
    generations.ended(2)
    assert quiet == [1, 3]


@pytest.mark.parametrize("seed", range(20))
def test_it_is_true_whenever_it_is_said_and_said_whenever_it_is_true(seed: int) -> None:
    chance = random.Random(seed)
    running: list[int] = []
    told: list[int] = []

    def quiet(generation: int) -> None:
        assert all(other >= generation for other in running)
        told.append(generation)

    generations, current = Generations(quiet), 0
    for _ in range(500):
        turn = chance.random()
        if turn < 0.05 or not current:
            current += 1
            generations.adopt(current)
        elif turn < 0.5:
            running.append(current)
            generations.began(current)
        elif running:
            generations.ended(running.pop(chance.randrange(len(running))))
        assert (told[-1] == current) == all(each >= current for each in running)
    assert told == sorted(set(told))
