"""Limits, one by one and in sets: what passes, what a refusal says, what comes back. Every case over core and twin."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import _fast

SECOND = 10**9
NOW = 1_700_000_000 * SECOND
KINDS = ("TokenBucket", "LeakyBucket", "FixedWindow", "SlidingWindow")


def table(fast: Any, **shape: int) -> Any:
    return fast.LimitTable(_fast.Arena(reserve=4 << 20, seed=bytes(16)), **{"rows": 64, "stripes": 2, **shape})


def told(refusal: Any) -> tuple[Any, ...]:
    assert refusal is not None
    return refusal.index, refusal.reason, refusal.remaining, refusal.reset, refusal.retry_after


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_as_the_limit_pass_and_it_comes_back(fast: Any, kind: str) -> None:
    limits = table(fast)
    slot = limits.slot(getattr(fast, kind)("r", limit=10, period=SECOND), "k")
    assert limits.peek(slot, NOW) == (10, 0)
    for left in reversed(range(10)):
        assert limits.take([(slot, 1)], NOW) is None
        assert limits.peek(slot, NOW)[0] == left
    assert told(limits.take([(slot, 1)], NOW))[:3] == (0, "limit", 0)
    assert limits.take([(slot, 10)], NOW + 2 * SECOND) is None


@pytest.mark.parametrize(
    ("kind", "reset", "retry_after"),
    [
        ("TokenBucket", SECOND, 3 * SECOND // 10),
        ("LeakyBucket", SECOND, 3 * SECOND // 10),
        ("FixedWindow", SECOND, SECOND),
        ("SlidingWindow", 2 * SECOND, SECOND + 3 * SECOND // 10),
        ("Concurrency", 0, 0),
    ],
)
def test_a_refusal_says_when(fast: Any, kind: str, reset: int, retry_after: int) -> None:
    limits = table(fast)
    period = {} if kind == "Concurrency" else {"period": SECOND}
    slot = limits.slot(getattr(fast, kind)("r", limit=10, **period), "k")
    limits.take([(slot, 10)], NOW)
    assert told(limits.take([(slot, 3)], NOW)) == (0, "limit", 0, reset, retry_after)
    if retry_after:
        assert limits.take([(slot, 3)], NOW + retry_after - 1) is not None
        assert limits.take([(slot, 3)], NOW + retry_after) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_cost_above_the_limit_never_passes_and_a_cost_of_0_changes_nothing(fast: Any, kind: str) -> None:
    limits = table(fast)
    slot = limits.slot(getattr(fast, kind)("r", limit=10, period=SECOND), "k")
    assert told(limits.take([(slot, 11)], NOW)) == (0, "limit", 10, 0, None)
    assert limits.take([(slot, 10)], NOW) is None
    assert limits.take([(slot, 0)], NOW) is None
    limits.settle([(slot, 5)], NOW)  # past the limit: nothing refuses a settlement
    assert told(limits.take([(slot, 0)], NOW))[:3] == (0, "limit", 0)
    limits.settle([(slot, -100)], NOW)  # and nothing gets better than new
    assert limits.peek(slot, NOW) == (10, 0)


def test_a_burst_is_how_much_passes_at_once(fast: Any) -> None:
    limits = table(fast)
    slots = [
        limits.slot(fast.TokenBucket("r", limit=10, period=SECOND, burst=25), "k"),
        limits.slot(fast.LeakyBucket("r", limit=10, period=SECOND, capacity=25), "k"),
    ]
    for slot in slots:
        assert limits.take([(slot, 25)], NOW) is None
        assert told(limits.take([(slot, 1)], NOW)) == (0, "limit", 0, 25 * SECOND // 10, SECOND // 10)
        assert told(limits.take([(slot, 26)], NOW))[4] is None


def test_a_refused_request_consumes_nothing_elsewhere(fast: Any) -> None:
    """rpm=1 for each key and two at once: A runs, B (A's key) is refused, C after A must pass."""
    limits = table(fast)
    rpm, running = fast.FixedWindow("rpm", limit=1, period=60 * SECOND), fast.Concurrency("running", limit=2)
    at_once = limits.slot(running, "all")
    a, c = ([(at_once, 1), (limits.slot(rpm, key), 1)] for key in ("key of A and B", "key of C"))
    assert limits.take(a, NOW) is None
    for _ in range(5):
        assert told(limits.take(a, NOW))[:2] == (1, "limit")
        assert limits.peek(at_once, NOW) == (1, 0)
    limits.settle([(at_once, -1)], NOW)
    assert limits.take(c, NOW) is None
    assert limits.peek(at_once, NOW) == (1, 0)


def test_the_first_that_refuses_is_named_and_the_order_is_the_callers(fast: Any) -> None:
    limits = table(fast)
    slots = [limits.slot(fast.FixedWindow(f"r{i}", limit=10 - i, period=SECOND), "k") for i in range(10)]
    assert told(limits.take([(slot, 5) for slot in slots], NOW))[:3] == (6, "limit", 4)
    assert told(limits.take([(slot, 5) for slot in reversed(slots)], NOW))[:3] == (0, "limit", 1)
    assert [limits.peek(slot, NOW)[0] for slot in slots] == list(range(10, 0, -1))


def test_a_slot_listed_twice_is_one_limit(fast: Any) -> None:
    limits = table(fast)
    slot, again = (limits.slot(fast.FixedWindow("r", limit=10, period=SECOND), "k") for _ in range(2))
    assert told(limits.take([(slot, 6), (again, 5)], NOW))[:3] == (1, "limit", 4)
    assert limits.take([(slot, 6), (again, 4)], NOW) is None
    limits.settle([(slot, -1), (slot, -1)], NOW)
    assert limits.peek(slot, NOW)[0] == 2
    assert limits.take([], NOW) is None


def test_a_clock_that_is_late_gains_nothing(fast: Any) -> None:
    limits = table(fast)
    for kind in KINDS:
        slot = limits.slot(getattr(fast, kind)("r", limit=10, period=SECOND), "k")
        assert limits.take([(slot, 10)], NOW + 5 * SECOND) is None
        assert limits.take([(slot, 1)], NOW) is not None  # an earlier window is not begun again
        assert limits.take([(slot, 10)], NOW + 7 * SECOND) is None


def test_what_was_taken_in_a_window_that_is_over_is_not_given_back_to_the_next(fast: Any) -> None:
    limits = table(fast)
    fixed = limits.slot(fast.FixedWindow("r", limit=10, period=SECOND), "k")
    sliding = limits.slot(fast.SlidingWindow("r", limit=10, period=SECOND), "k")
    later = NOW + SECOND
    for slot in (fixed, sliding):
        limits.take([(slot, 10)], NOW)
        limits.settle([(slot, 4)], later)
        limits.settle([(slot, -10)], later, NOW)
    assert limits.peek(fixed, later)[0] == 6
    assert limits.peek(sliding, later)[0] == 6  # there, the window before is what it was taken in


def test_rules_change_and_the_state_stays(fast: Any) -> None:
    limits = table(fast)
    for kind in KINDS:
        small, large, slow = (
            limits.slot(getattr(fast, kind)("r", limit=limit, period=period), "k")
            for limit, period in ((10, SECOND), (100, SECOND), (10, 4 * SECOND))
        )
        assert small.key == large.key == slow.key
        limits.take([(small, 8)], NOW)
        assert limits.peek(large, NOW)[0] == 92
        assert limits.peek(slow, NOW)[0] == 2
    rules = [getattr(fast, kind)(name, limit=1, period=SECOND) for kind in KINDS for name in ("r", "s")]
    assert len({limits.slot(rule, key).key for rule in rules for key in ("k", "l")}) == 4 * len(KINDS)


def test_another_period_is_counted_no_less_than_before(fast: Any) -> None:
    limits = table(fast)
    before = limits.slot(fast.TokenBucket("r", limit=10, period=SECOND), "k")
    after = limits.slot(fast.TokenBucket("r", limit=1, period=7_000_003, burst=10), "k")
    limits.take([(before, 1)], NOW)
    limits.take([(before, 1)], NOW + 1)  # a hundred millionth of a unit has come back
    assert limits.peek(after, NOW + 1) == (8, 2 * 7_000_003)


def test_a_full_table_refuses_or_admits_and_evicts_only_what_is_as_good_as_new(fast: Any) -> None:
    limits = table(fast, rows=8, stripes=1)  # seven rows for all but concurrency
    rule = fast.TokenBucket("r", limit=10, period=SECOND)
    admits = fast.TokenBucket("s", limit=10, period=SECOND, on_full="admit")
    slots = [limits.slot(rule, f"k{i}") for i in range(7)]
    for cost, slot in enumerate(slots, 1):
        assert limits.take([(slot, cost)], NOW) is None
    new = limits.slot(rule, "new")
    assert told(limits.take([(slots[6], 1), (new, 1)], NOW))[:2] == (1, "full")
    assert limits.peek(slots[6], NOW)[0] == 3
    assert limits.take([(limits.slot(admits, "new"), 1)] * 3, NOW) is None
    assert 0 < told(limits.take([(new, 1)], NOW))[4] <= SECOND // 10
    limits.settle([(slots[5], -6)], NOW)  # given back wholly: as good as new from now on
    assert limits.take([(new, 1)], NOW) is None
    assert told(limits.take([(limits.slot(rule, "newer"), 1)], NOW))[:2] == (0, "full")
    # the row that is as good as new later is wanted by the same set
    assert limits.take([(limits.slot(rule, "newer"), 1), (slots[0], 1)], NOW + SECOND // 10) is None
    assert [limits.peek(slot, NOW + SECOND // 10)[0] for slot in slots[:3]] == [9, 9, 8]


def test_an_evicted_key_is_not_reborn_in_the_past(fast: Any) -> None:
    limits = table(fast, rows=4, stripes=1)  # three rows
    a, b, c, d = (limits.slot(fast.FixedWindow("r", limit=10, period=SECOND), key) for key in "abcd")
    assert limits.take([(a, 10), (b, 10), (c, 10)], NOW) is None
    assert limits.take([(d, 1)], NOW + 2 * SECOND) is None  # forgets `a` as it was then
    assert limits.take([(a, 10)], NOW + 3 * SECOND // 2) is None  # a late clock: it counts where `a` was forgotten
    assert told(limits.take([(a, 1)], NOW + 2 * SECOND))[1] == "limit"
