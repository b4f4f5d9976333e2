"""The limit table between processes, and what one process remembers: holds of the dead, what passed uncounted.

The steps that kill, stop and race at chosen points are in C (test_limiters_steps.py); here they happen to real users.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from gateway import _fast
from gateway._fast import Arena, Concurrency, FixedWindow, LimitTable, SlidingWindow, Slot, TokenBucket, Words
from tests._fast.forks import finish, fork, run

SECOND = 10**9
NOW = 1_000 * SECOND


def in_column(arena: Arena, column: int, work: Callable[[], object]) -> None:
    def child() -> None:
        arena.join(column)
        work()

    run(child)


@pytest.fixture
def arena() -> Arena:
    return Arena(reserve=64 << 20)


def test_what_a_dead_process_held_comes_back_and_only_that(arena: Arena) -> None:
    limits = LimitTable(arena, rows=1 << 12, stripes=8)
    rule = Concurrency("running", limit=2**62)
    slots = [limits.slot(rule, f"k{i}") for i in range(50)]
    windows = limits.slot(FixedWindow("w", limit=10, period=SECOND), "k")
    for column in (1, 2):
        in_column(arena, column, lambda: [limits.take([(slot, 10**15), (windows, 0)], NOW) for slot in slots])
    limits.take([(slots[0], 7), (windows, 3)], NOW)
    limits.settle([(slots[0], -(10**16))], NOW)  # more than we hold: no one else's
    assert limits.recover(1)
    assert {limits.peek(slot, NOW) for slot in slots} == {(2**62 - 10**15, 0)}
    assert limits.recover(2)
    assert limits.recover(2)
    assert {limits.peek(slot, NOW) for slot in slots} == {(2**62, 0)}
    assert limits.peek(windows, NOW) == (7, SECOND)


def test_killed_anywhere_the_sums_are_right(arena: Arena) -> None:
    """Real kills, at any moment, of a process that takes and settles all the time."""
    limits = LimitTable(arena, rows=1 << 8, stripes=8)
    rule = Concurrency("running", limit=1000)
    slots = [limits.slot(rule, f"k{i}") for i in range(6)]
    begun = Words(arena, "begun", 1)

    def child() -> None:
        arena.join(1)
        while True:
            limits.take([(slot, 1) for slot in slots], NOW)
            limits.settle([(slot, -1) for slot in slots], NOW)
            begun.add(0)

    for i in range(40):
        before = begun.load(0)
        victim = fork(child)
        while begun.load(0) < before + 20 + i:
            pass
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        assert limits.take([(slots[0], 0)], NOW) is None  # a neighbour goes on before anyone recovers
        left = {limits.peek(slot, NOW) for slot in slots}
        assert left in ({(1000, 0)}, {(999, 0)})
        assert limits.recover(1)
        assert {limits.peek(slot, NOW) for slot in slots} == {(1000, 0)}


def test_a_process_recovers_the_column_it_joins_and_once(arena: Arena) -> None:
    limits = LimitTable(arena, rows=64, stripes=2)
    slot = limits.slot(Concurrency("running", limit=10), "k")
    in_column(arena, 1, lambda: limits.take([(slot, 7)], NOW))
    assert limits.peek(slot, NOW) == (3, 0)  # nobody has recovered column 1

    def successor() -> None:
        assert limits.take([(slot, 2)], NOW) is None
        again = LimitTable(arena, rows=64, stripes=2)  # as after a reload
        assert again.take([(again.slot(slot.rule, "k"), 1)], NOW) is None
        assert limits.peek(slot, NOW) == (7, 0)

    in_column(arena, 1, successor)
    assert limits.peek(slot, NOW) == (7, 0)


def test_all_processes_name_the_same_rows_and_slots_outlive_evictions(arena: Arena) -> None:
    rule = FixedWindow("r", limit=5, period=SECOND)
    limits = LimitTable(arena, rows=4, stripes=2)
    slots = [limits.slot(rule, f"k{i}") for i in range(20)]

    def take(i: int) -> None:
        mine = LimitTable(arena, rows=4, stripes=2)
        assert mine.take([(mine.slot(rule, f"k{i}".encode()), 2)], NOW + i * SECOND) is None

    for i, slot in enumerate(slots):
        in_column(arena, 1, partial(take, i))
        assert limits.peek(slot, NOW + i * SECOND) == (3, SECOND)
    usage = limits.usage()
    assert (usage["used"], usage["rows"], usage["evicted"]) == (2, 4, 18)


def test_what_was_let_pass_uncounted_is_not_given_back(arena: Arena) -> None:
    counted: dict[str, float] = {}
    limits = LimitTable(arena, rows=2, stripes=1)  # one concurrency key
    limits.tell(
        {name: Counter(counted, name) for name in ("evicted", "refused_full", "admitted_full", "busy", "repaired")}
    )
    admits, refuses = Concurrency("a", limit=3, on_full="admit"), Concurrency("b", limit=3)
    first, second = limits.slot(refuses, "first"), limits.slot(admits, "second")
    assert limits.take([(first, 1)], NOW) is None
    assert limits.take([(second, 1)], NOW) is None
    refusal = limits.take([(limits.slot(refuses, "third"), 1)], NOW)
    assert refusal is not None
    assert (refusal.reason, refusal.retry_after) == ("full", 0)
    limits.settle([(first, -1)], NOW)
    assert limits.take([(second, 2)], NOW) is None  # now it has a row
    limits.settle([(second, -1)], NOW)  # the one that was never counted
    assert limits.peek(second, NOW) == (1, 0)
    limits.settle([(second, -2)], NOW)
    assert limits.peek(second, NOW) == (3, 0)
    assert counted == {"admitted_full": 1, "refused_full": 1, "evicted": 1}
    assert [limits.usage()[name] for name in counted] == [1, 1, 1]


@contextmanager
def stopped_holder(arena: Arena, limits: LimitTable) -> Iterator[None]:
    """A process that is stopped with the table's only lock in its hand, and killed in the end."""
    busy = [(limits.slot(FixedWindow("busy", limit=2**62, period=SECOND), f"k{i}"), 1) for i in range(32)]
    probe = limits.slot(FixedWindow("probe", limit=1, period=SECOND), "k")
    begun = Words(arena, "begun", 1)

    def hold_most_of_the_time() -> None:
        arena.join(1)
        while True:
            limits.take(busy, NOW)
            begun.store(0, 1)

    child = fork(hold_most_of_the_time)
    try:
        while not begun.load(0):
            pass
        refusal = None
        while refusal is None or refusal.reason != "busy":
            os.kill(child, signal.SIGCONT)
            os.kill(child, signal.SIGSTOP)
            os.waitpid(child, os.WUNTRACED)
            refusal = limits.take([(probe, 0)], NOW)
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_while_a_holder_is_stopped_settlements_are_owed_and_paid_later(arena: Arena) -> None:
    limits = LimitTable(arena, rows=512, stripes=1, patience=2_000_000)
    held, admits = (
        limits.slot(Concurrency("held", limit=10), "k"),
        limits.slot(Concurrency("a", limit=1, on_full="admit"), "k"),
    )
    assert limits.take([(held, 4), (admits, 1)], NOW) is None
    with stopped_holder(arena, limits):
        refusal = limits.take([(held, 0)], NOW)
        assert refusal is not None
        assert (refusal.reason, refusal.index, refusal.retry_after) == ("busy", 0, 2_000_000)
        assert limits.take([(admits, 5)], NOW) is None
        assert limits.peek(held, NOW) is None
        assert not limits.recover(2)
        for wrong in ([(held, -1), (held, 2**63 - 1)], [(admits, -1), (admits, 1.0)]):
            with pytest.raises((ValueError, TypeError)):
                limits.settle(wrong, NOW)  # type: ignore[arg-type]
        limits.settle([(held, -3), (admits, -1)], NOW)
        limits.settle([(held, -1), (admits, -5)], NOW)
    assert limits.take([(held, 0)], NOW) is None
    assert limits.peek(held, NOW) == (10, 0)
    assert limits.peek(admits, NOW) == (1, 0)
    assert limits.usage()["repaired"] == 1


def test_what_cannot_be_locked_is_not_looked_at(arena: Arena) -> None:
    """A limit that lets pass, too: an unlocked row may be torn, and a key that was never taken has none."""
    limits = LimitTable(arena, rows=512, stripes=1, patience=2_000_000)
    known, unknown = (limits.slot(Concurrency("a", limit=9, on_full="admit"), key) for key in "ku")
    window = limits.slot(FixedWindow("w", limit=9, period=SECOND, on_full="admit"), "k")
    assert limits.take([(known, 4)], NOW) is None
    with stopped_holder(arena, limits):
        assert [limits.peek(slot, NOW) for slot in (known, unknown, window)] == [None, None, None]
    assert limits.peek(known, NOW) == (5, 0)


def test_who_cannot_enter_lets_pass_what_may_pass_and_owes_only_what_is_sound(arena: Arena) -> None:
    """A worker that comes up while another one is stopped, in a column whose last process held something."""
    limits = LimitTable(arena, rows=512, stripes=1, patience=2_000_000)
    held, admits = (
        limits.slot(Concurrency("held", limit=10), "k"),
        limits.slot(Concurrency("a", limit=2, on_full="admit"), "k"),
    )
    in_column(arena, 2, lambda: limits.take([(held, 7), (admits, 1)], NOW))
    entered = Words(arena, "entered", 2)

    def successor() -> None:
        arena.join(2)
        assert limits.take([(admits, 1)], NOW) is None
        assert limits.take([(admits, 1)], NOW) is None
        refusal = limits.take([(admits, 1), (held, 1)], NOW)
        assert refusal is not None
        assert (refusal.index, refusal.reason, refusal.retry_after) == (1, "busy", 2_000_000)
        with pytest.raises(ValueError, match="amount"):
            limits.settle([(held, 2**63 - 1)], NOW)
        limits.settle([(admits, -1)], NOW)
        entered.store(0, 1)
        while not entered.load(1):
            pass
        assert limits.take([(held, 1), (admits, 1)], NOW) is None
        limits.settle([(admits, -1)], NOW)  # the second one that was never counted
        assert (limits.peek(held, NOW), limits.peek(admits, NOW)) == ((9, 0), (1, 0))

    with stopped_holder(arena, limits):
        child = fork(successor)
        while not entered.load(0) and os.waitpid(child, os.WNOHANG) == (0, 0):
            pass
    entered.store(1, 1)
    finish(child)


class Counter:
    def __init__(self, counted: dict[str, float], name: str) -> None:
        self.counted, self.name = counted, name

    def add(self, n: float, /) -> None:
        self.counted[self.name] = self.counted.get(self.name, 0) + n


@pytest.mark.parametrize("seconds", [1, 2, 60])
@pytest.mark.parametrize("chance", ["even", "late bursts"])
def test_the_sliding_windows_error_is_within_its_bound(seconds: int, chance: str) -> None:
    """Against a log of every take: never twice the limit in a period, and off by less than the window before."""
    draw, limit, period = random.Random(seconds), 50, seconds * SECOND
    limits = LimitTable(Arena(reserve=4 << 20), rows=64, stripes=1)
    slot = limits.slot(SlidingWindow("r", limit=limit, period=period), "k")
    now, log = NOW, []
    for _ in range(3_000):
        gap = period // 40 if chance == "even" else draw.choice((0, 0, 0, 0, 0, 0, 0, period // 7, period))
        now += gap
        if limits.take([(slot, 1)], now) is None:
            log.append(now)
        recent = sum(1 for at in log[-2 * limit :] if at > now - period)
        start = now - now % period
        before = sum(1 for at in log[-3 * limit :] if start - period <= at < start)
        passed = (now - start) / period
        error = (limit - limits.peek(slot, now)[0]) - recent  # type: ignore[index]
        assert -before * passed - 1 <= error <= before * (1 - passed) + 1
        assert recent < 2 * limit
        assert chance != "even" or now < NOW + 3 * period or abs(error) <= 2


def test_arguments_are_checked_before_anything_is_changed(arena: Arena) -> None:
    limits, other = LimitTable(arena, rows=64, stripes=2), LimitTable(arena, name="other", rows=64, stripes=2)
    slot = limits.slot(TokenBucket("r", limit=10, period=SECOND), "k")
    foreign = other.slot(slot.rule, "k")
    wrong: list[Any] = [[(slot, -1)], [(slot, 2**62 + 1)], [(foreign, 1)], [(slot, 1)] * 33]
    for items in wrong:
        with pytest.raises(ValueError, match=r"amount|another table|at most"):
            limits.take(items, NOW)
    for items in ([slot], [(slot,)], [(slot, 1.0)], [(slot, None)], [[slot, 1]], 5, None, [("k", 1)]):
        with pytest.raises(TypeError):
            limits.take(items, NOW)  # type: ignore[arg-type]
    for now in (-1, 2**62):
        with pytest.raises(ValueError, match="now"):
            limits.take([(slot, 1)], now)
    with pytest.raises((TypeError, OverflowError)):
        limits.take([(slot, 1)], 2**70)
    assert limits.peek(slot, NOW) == (10, 0)
    for shape in ({"rows": 100}, {"stripes": 3}, {"stripes": 128}, {"rows": 64, "stripes": 64}, {"patience": -1}):
        with pytest.raises(ValueError, match=r"rows|stripes"):
            LimitTable(arena, name="x", **shape)
    with pytest.raises(ValueError, match="another size"):
        LimitTable(arena, rows=128, stripes=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 2**62 + 1},
        {"period": 999_999},
        {"period": 32 * 86_400 * SECOND},
        {"burst": 0},
        {"on_full": "x"},
    ],
)
def test_rules_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"limit|period|burst|on_full"):
        TokenBucket("r", **{"limit": 1, "period": SECOND, **wrong})


def test_half_made_ones_do_not_exist(arena: Arena) -> None:
    for kind in (_fast.Rule, Slot, LimitTable, TokenBucket, _fast.Refusal):
        with pytest.raises(TypeError):
            kind()  # type: ignore[call-arg]
    limits = LimitTable(arena, rows=64, stripes=1)
    for key in (5, None, bytearray(b"x")):
        with pytest.raises(TypeError):
            limits.slot(TokenBucket("r", limit=1, period=SECOND), key)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        limits.slot(TokenBucket("r", limit=1, period=SECOND), "\ud800")
