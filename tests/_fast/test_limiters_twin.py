"""The limit table against its twin: whatever is taken, settled, peeked at and in whichever order the clocks come.

The answers must be equal to the nanosecond, the waiting times too: the core computes them, the twin searches for them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import _fast
from tests._fast import twins

SECOND = 10**9
MINUTE, DAY = 60 * SECOND, 86_400 * SECOND
KINDS = ("TokenBucket", "LeakyBucket", "FixedWindow", "SlidingWindow", "Concurrency")
Step = tuple[Any, ...]


def small_arena() -> _fast.Arena:
    return _fast.Arena(reserve=4 << 20, seed=bytes(range(16)))


def rule(module: Any, kind: str, name: str, limit: int, period: int, burst: int, on_full: str) -> Any:
    more: dict[str, Any] = {} if kind == "Concurrency" else {"period": period}
    if kind in ("TokenBucket", "LeakyBucket"):
        more["burst" if kind == "TokenBucket" else "capacity"] = burst
    return getattr(module, kind)(name, limit=limit, on_full=on_full, **more)


def told(refusal: Any) -> tuple[Any, ...] | None:
    if refusal is None:
        return None
    return refusal.index, refusal.reason, refusal.remaining, refusal.reset, refusal.retry_after


class Both:
    """One table of each kind, given the same."""

    def __init__(self, **shape: int) -> None:
        arena = small_arena()
        self.tables = [module.LimitTable(arena, **shape) for module in (_fast, twins)]

    def run(self, steps: list[Step]) -> None:
        for step in steps:
            answers = [self.one(module, table, *step) for module, table in zip((_fast, twins), self.tables)]
            if answers[0] and answers[0][1:2] == ("full",):  # when there is room is known from below
                assert answers[0][4] <= answers[1][4]
                answers = [answer[:4] for answer in answers]
            assert answers[0] == answers[1], step

    def one(self, module: Any, table: Any, what: str, now: int, taken: int, items: list[Any]) -> Any:
        pairs = [(table.slot(rule(module, *shape), key), amount) for shape, key, amount in items]
        if what == "peek":
            return [table.peek(slot, now) for slot, _ in pairs]
        if what == "settle":
            return table.settle(pairs, now, min(taken, now))
        return told(table.take([(slot, abs(amount)) for slot, amount in pairs], now))


def shapes(periods: st.SearchStrategy[int], limits: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.sampled_from(KINDS), st.just("r"), limits, periods, limits, st.sampled_from(("refuse", "admit"))
    )


def sets(
    shape: st.SearchStrategy[Any], keys: int, amounts: st.SearchStrategy[int], times: st.SearchStrategy[int]
) -> st.SearchStrategy[list[Step]]:
    items = st.lists(st.tuples(shape, st.sampled_from([f"k{i}" for i in range(keys)]), amounts), min_size=1, max_size=5)
    what = st.sampled_from(("take", "take", "take", "settle", "peek"))
    return st.lists(st.tuples(what, times, times, items), min_size=1, max_size=20)


SMALL = sets(shapes(st.just(SECOND), st.just(10)), 2, st.integers(-12, 12), st.integers(0, 4 * SECOND))
CHANGING = sets(
    shapes(st.sampled_from((SECOND, 3 * SECOND, 7_000_003)), st.sampled_from((1, 7, 10))),
    2,
    st.integers(-12, 12),
    st.integers(0, 9 * SECOND),
)
VAST = sets(
    shapes(st.sampled_from((1_000_000, MINUTE, 31 * DAY)), st.sampled_from((1, 10_000_000, 2**62 - 1, 2**62))),
    1,
    st.integers(-(2**62), 2**62),
    st.integers(0, 2**62 - 1),
)


@given(SMALL)
@settings(max_examples=100)
def test_sets_in_any_order_of_time(steps: list[Step]) -> None:
    Both(rows=64, stripes=2).run(steps)


@given(CHANGING)
@settings(max_examples=100)
def test_rules_that_change_under_their_keys(steps: list[Step]) -> None:
    Both(rows=64, stripes=2).run(steps)


@given(VAST)
@settings(max_examples=100)
def test_the_largest_numbers(steps: list[Step]) -> None:
    Both(rows=64, stripes=2).run(steps)


@given(
    sets(shapes(st.just(SECOND), st.just(10)), 12, st.integers(-3, 6), st.integers(0, 3 * SECOND)),
    st.sampled_from((2, 4, 8, 16)),
)
@settings(max_examples=150)
def test_a_table_that_is_too_small(steps: list[Step], rows: int) -> None:
    Both(rows=rows, stripes=2 if rows > 2 else 1).run(steps)


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(KINDS))
def test_both_name_the_same_rows(name: str, key: str, kind: str) -> None:
    shape = (kind, name, 1, SECOND, 1, "refuse")
    arena = small_arena()
    table = _fast.LimitTable(arena, rows=64, stripes=2)
    slots = [table.slot(rule(_fast, *shape), each) for each in (key, key.encode())]
    twin = twins.LimitTable(arena).slot(rule(twins, *shape), key)
    assert {slot.key for slot in slots} == {twin.key}


def test_a_key_is_named_the_same_when_it_is_remembered_forgotten_or_of_another_seed() -> None:
    tables = [
        _fast.LimitTable(_fast.Arena(reserve=4 << 20, seed=bytes([seed] * 16)), rows=64, stripes=2) for seed in (1, 2)
    ]
    shared = _fast.TokenBucket("r", limit=1, period=SECOND)
    first = [table.slot(shared, "k").key for table in tables]
    for number in range(5000):  # more than are remembered
        tables[0].slot(shared, f"other {number}")
    assert [table.slot(shared, "k").key for table in tables] == first
    assert first[0] != first[1]
    assert len({tables[0].slot(shared, key).key for key in ("x" * 300, "x" * 301, "x" * 300)}) == 2
