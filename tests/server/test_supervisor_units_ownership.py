"""Who accepts on which socket: everybody's share is fair, every socket has an owner, little changes hands."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.server.ownership import gained, shared_out


def test_each_worker_has_one() -> None:
    assert shared_out([10, 11, 12], [1, 2, 3], {}) == {10: 1, 11: 2, 12: 3}


def test_a_sibling_takes_the_orphan_and_nothing_else_moves() -> None:
    assert shared_out([10, 11, 12], [1, 3], {10: 1, 11: 2, 12: 3}) == {10: 1, 11: 1, 12: 3}


def test_the_replacement_gets_one_back() -> None:
    assert shared_out([10, 11, 12], [1, 2, 3], {10: 1, 11: 1, 12: 3}) in (
        {10: 1, 11: 2, 12: 3},
        {10: 2, 11: 1, 12: 3},
    )


def test_nobody_is_left() -> None:
    assert shared_out([10, 11], [], {10: 1, 11: 2}) == {}


@given(
    st.lists(st.integers(1, 40), unique=True, min_size=1, max_size=20),
    st.sets(st.integers(1, 12), min_size=1),
    st.dictionaries(st.integers(1, 40), st.integers(1, 14)),
)
def test_fair_complete_and_calm(sockets: list[int], slots: set[int], owner: dict[int, int]) -> None:
    new = shared_out(sockets, slots, owner)
    assert set(new) == set(sockets)
    counts = Counter(new.values())
    shares = [counts[slot] for slot in slots]
    assert set(counts) <= slots
    assert max(shares) - min(shares) <= 1
    assert shared_out(sockets, slots, new) == new  # at rest
    kept = Counter(owner[each] for each in sockets if owner.get(each) in slots)
    fair = len(sockets) // len(slots)
    for slot, count in kept.items():
        still = sum(1 for each in sockets if owner.get(each) == slot == new[each])
        assert still >= min(count, fair)  # nobody gives away what is within its share


def test_differences() -> None:
    old, new = {1: {10, 11}, 2: {12}}, {1: {10}, 2: {11, 12}, 3: set[int]()}
    assert [(change.slot, change.sockets) for change in gained(old, new)] == [(2, (11,))]
    assert [(change.slot, change.sockets) for change in gained(new, old)] == [(1, (11,))]
