"""Round robin: fair to the targets, whatever fails, and never the same target twice for one request."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.round_robin import RoundRobin
from tests.stand_ins import exchange, target, tried


@given(st.integers(1, 6), st.lists(st.integers(1, 7), max_size=40))
def test_first_attempts_are_fair_and_no_target_is_tried_twice(count: int, attempts: list[int]) -> None:
    """`attempts`: how many tries each request makes, if there are as many targets."""
    targets = [target(f"p{number}") for number in range(count)]
    strategy = RoundRobin()
    first: Counter[str] = Counter({each.provider.name: 0 for each in targets})
    for tries in attempts:
        one = exchange()
        for _ in range(tries):
            chosen = strategy.choose(targets, one)
            if chosen is None:
                assert len(one.attempts) == count
                break
            assert not one.tried(chosen)
            tried(one, chosen)
        first[one.attempts[0].target.provider.name] += 1
    assert max(first.values()) - min(first.values()) <= 1


def test_a_dead_target_takes_its_turn_only() -> None:
    """Two targets, the first always fails: every other request meets it first, not every one."""
    dead, well = targets = [target("dead"), target("well")]
    strategy = RoundRobin()
    tries = []
    for _ in range(6):
        one = exchange()
        while (chosen := strategy.choose(targets, one)) is dead:
            tried(one, chosen)
        assert chosen is well
        tries.append(len(one.attempts) + 1)
    assert tries == [2, 1] * 3


def test_retries_go_on_from_where_the_request_began() -> None:
    targets = [target(name) for name in "abc"]
    strategy = RoundRobin()
    strategy.choose(targets, exchange())
    one, order = exchange(), []
    while (chosen := strategy.choose(targets, one)) is not None:
        order.append(chosen.provider.name)
        tried(one, chosen)
    assert order == ["b", "c", "a"]


def test_without_targets_there_is_none() -> None:
    assert RoundRobin().choose([], exchange()) is None


def test_targets_may_change_between_two_tries() -> None:
    """Later versions pass the eligible ones only: the last one tried need not be among them."""
    a, b, c = (target(name) for name in "abc")
    strategy, one = RoundRobin(), exchange()
    tried(one, a)
    assert strategy.choose([b, c], one) in (b, c)
