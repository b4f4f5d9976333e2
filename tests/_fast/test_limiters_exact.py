"""Many processes on one limit admit exactly what the definition says: the twin computes it.

Why the twin can know. Freely racing processes are told one constant `now` in each phase and ask for one unit each: such
takes commute, so every order admits as many as the twin's. Where order matters (unequal costs, sets, late clocks), a
word in the arena, held over drawing the number and taking, says which it was, and the twin replays it number by number,
each answer compared whole. The first kind races in the table, the second does not, and both share its memory.
"""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from gateway import _fast
from gateway._fast import Arena, LimitTable, Words
from tests._fast import twins
from tests._fast.forks import finish, fork

SECOND = 10**9
NOW = 1_000_000 * SECOND
KINDS = ("TokenBucket", "LeakyBucket", "FixedWindow", "SlidingWindow")
WORKERS = 8


def rules(module: Any, limit: int) -> list[Any]:
    return [getattr(module, kind)("hammered", limit=limit, period=SECOND) for kind in KINDS]


def phases(count: int) -> list[int]:
    """Moments apart by nothing, parts of a period, and several periods."""
    draw, now, moments = random.Random(11), NOW, []
    for _ in range(count):
        now += draw.choice((0, 1, SECOND // 13, SECOND // 3, SECOND, 2 * SECOND + 7))
        moments.append(now)
    return moments


def expected(limit: int, moments: list[int], asked: int) -> list[int]:
    """How many of `asked` takes of one unit pass in each phase, for each kind."""
    table = twins.LimitTable(Arena(reserve=4 << 20))
    admitted = []
    for now in moments:
        for rule in rules(twins, limit):
            slot, passed = table.slot(rule, "all"), 0
            while passed < asked and table.take([(slot, 1)], now) is None:
                passed += 1
            admitted.append(passed)
    return admitted


def hammer(workers: int, limit: int, moments: list[int], each: int) -> list[int]:
    arena = Arena(reserve=64 << 20)
    limits = LimitTable(arena, rows=64, stripes=2)
    slots = [limits.slot(rule, "all") for rule in rules(_fast, limit)]
    admitted = Words(arena, "admitted", len(moments) * len(slots))
    gates = Words(arena, "gates", len(moments))

    def child(column: int) -> None:
        arena.join(column)
        for phase, now in enumerate(moments):
            gates.add(phase)
            while gates.load(phase) < workers:
                time.sleep(0.0002)
            for kind, slot in enumerate(slots):
                passed = sum(limits.take([(slot, 1)], now) is None for _ in range(each))
                admitted.add(phase * len(slots) + kind, passed)

    finish(*(fork(lambda column=column: child(column)) for column in range(1, workers + 1)))  # type: ignore[misc]
    assert limits.usage()["busy"] == 0
    return [admitted.load(i) for i in range(admitted.count)]


def test_racing_workers_admit_exactly_the_limit() -> None:
    moments, each, limit = phases(25), 50, 263
    found = hammer(WORKERS, limit, moments, each)  # 40,000 takes
    assert found == expected(limit, moments, WORKERS * each)


@pytest.mark.soak
def test_a_million_takes_of_32_processes() -> None:
    moments, each, limit = phases(50), 160, 4_321
    found = hammer(4 * WORKERS, limit, moments, each)  # 1,024,000 takes
    assert found == expected(limit, moments, 4 * WORKERS * each)


def drawn(number: int) -> tuple[list[tuple[int, str, int]], int]:
    """The set that this number asks for, and when: the clock goes on, and a third of the time it is late."""
    draw = random.Random(number)
    now = NOW + number * SECOND // 50 - (draw.randrange(SECOND) if draw.random() < 0.3 else 0)
    return [(draw.randrange(4), draw.choice("abc"), draw.randrange(12)) for _ in range(draw.randint(1, 4))], now


def told(refusal: Any) -> tuple[int, ...]:
    if refusal is None:
        return (-1, 0, 0, 0)
    return refusal.index, refusal.remaining, refusal.reset, -1 if refusal.retry_after is None else refusal.retry_after


@pytest.mark.parametrize("count", [1_500, pytest.param(40_000, marks=pytest.mark.soak)])
def test_sets_in_a_known_order_are_answered_as_the_twin_answers(count: int) -> None:
    arena = Arena(reserve=64 << 20)
    limits = LimitTable(arena, rows=256, stripes=8)
    slots = {key: [limits.slot(rule, key) for rule in rules(_fast, 20)] for key in "abc"}
    order, answers = Words(arena, "order", 2), Words(arena, "answers", 4 * count)

    def child(column: int) -> None:
        arena.join(column)
        while True:
            while not order.swap(0, 0, column):
                time.sleep(0)
            number = order.add(1) - 1
            if number < count:
                items, now = drawn(number)
                answer = told(limits.take([(slots[key][kind], cost) for kind, key, cost in items], now))
                for i, value in enumerate(answer):
                    answers.store(4 * number + i, value)
            order.store(0, 0)
            if number >= count:
                return

    finish(*(fork(lambda column=column: child(column)) for column in range(1, 5)))  # type: ignore[misc]
    twin = twins.LimitTable(arena)
    known = {key: [twin.slot(rule, key) for rule in rules(twins, 20)] for key in "abc"}
    refused = 0
    for number in range(count):
        items, now = drawn(number)
        answer = told(twin.take([(known[key][kind], cost) for kind, key, cost in items], now))
        assert tuple(answers.load(4 * number + i) for i in range(4)) == answer, number
        refused += answer[0] >= 0
    assert count // 10 < refused < count
