"""Overload: exact at its limits, over all workers, and everything counted is given back once."""

from __future__ import annotations

import random

import pytest

from gateway._fast import Arena, LimitTable
from gateway.errors import OVERLOADED, GatewayError
from gateway.exchange import Exchange
from gateway.policies.overload import Overload
from tests._fast.forks import run
from tests.stand_ins import LIMITS, exchange


def overload(limits: LimitTable | None = None, **bounds: int) -> Overload:
    return Overload(**bounds, limits=limits or LimitTable(Arena(reserve=8 << 20), rows=64, stripes=2))


def sized(size: int, **headers: str) -> Exchange:
    return exchange(headers={"content-length": str(size), **headers})


def refused(policy: Overload, one: Exchange) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        policy.on_head(one)
    assert caught.value.kind is OVERLOADED
    assert caught.value.headers() == {"x-should-retry": "true", "retry-after": "1"}
    return caught.value


def test_one_more_than_max_in_flight_is_refused_until_one_is_released() -> None:
    policy = overload(max_in_flight=3, max_buffered=10**9)
    inside = [sized(1) for _ in range(3)]
    for one in inside:
        policy.on_head(one)
    late = sized(1)
    assert "server.max_in_flight" in refused(policy, late).message
    policy.release(late)  # a refused one is released too, and gives nothing back
    refused(policy, sized(1))
    policy.release(inside[0])
    policy.on_head(sized(1))
    refused(policy, sized(1))


def test_one_byte_more_than_max_buffered_is_refused() -> None:
    policy = overload(max_in_flight=100, max_buffered=1_000)
    first = sized(600)
    policy.on_head(first)
    assert "server.max_buffered" in refused(policy, sized(401)).message
    policy.on_head(sized(400))
    assert policy.buffered == 1_000
    refused(policy, sized(1))
    policy.release(first)
    policy.release(first)
    assert policy.buffered == 400
    assert policy.in_flight == 1


def test_no_place_among_the_requests_is_taken_without_room_for_the_body() -> None:
    policy = overload(max_in_flight=2, max_buffered=1_000)
    policy.on_head(sized(600))
    for _ in range(5):
        assert "server.max_buffered" in refused(policy, sized(500)).message
    policy.on_head(sized(400))
    assert "server.max_in_flight" in refused(policy, sized(1)).message


def test_a_single_request_always_fits() -> None:
    """Otherwise a `max_buffered` below `max_body` would refuse it for ever."""
    policy = overload(max_in_flight=100, max_buffered=10)
    large = sized(500)
    policy.on_head(large)
    refused(policy, sized(1))
    policy.release(large)
    assert policy.buffered == 0
    small = sized(1)
    policy.on_head(small)
    refused(policy, large)
    policy.release(small)
    policy.on_head(large)


def test_the_bounds_are_those_of_the_machine_and_the_dead_give_back() -> None:
    arena = Arena(reserve=8 << 20)
    limits = LimitTable(arena, rows=64, stripes=2)
    policy = overload(limits, max_in_flight=3, max_buffered=1_000)

    def worker() -> None:
        arena.join(1)
        policy.on_head(sized(600))
        policy.on_head(sized(100))

    run(worker)
    assert (policy.in_flight, policy.buffered) == (2, 700)
    assert "server.max_buffered" in refused(policy, sized(301)).message
    mine = sized(300)
    policy.on_head(mine)
    assert "server.max_in_flight" in refused(policy, sized(0)).message
    assert limits.recover(1)
    assert (policy.in_flight, policy.buffered) == (1, 300)
    policy.release(mine)
    assert (policy.in_flight, policy.buffered) == (0, 0)


def test_after_a_reload_new_bounds_hold_for_what_is_held_already() -> None:
    limits = LimitTable(Arena(reserve=8 << 20), rows=64, stripes=2)
    before, after = (overload(limits, max_in_flight=n, max_buffered=1_000) for n in (3, 2))
    inside = [sized(10) for _ in range(3)]
    for one in inside:
        before.on_head(one)
    refused(after, sized(10))
    before.release(inside[0])
    before.release(inside[1])
    after.on_head(sized(10))
    refused(after, sized(10))
    assert (after.in_flight, after.buffered) == (2, 20)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"transfer-encoding": "chunked"},
        {"content-length": "nonsense"},
        {"content-length": "-1"},
        {"content-length": "999999999"},  # refused later, before it is read
        {"content-length": "10", "content-encoding": "gzip"},  # what it unpacks to is not declared
    ],
)
def test_an_unknown_size_counts_as_the_largest(headers: dict[str, str]) -> None:
    policy = overload(max_in_flight=100, max_buffered=10**9)
    policy.on_head(exchange(headers=headers))
    assert policy.buffered == LIMITS.max_body


def test_nothing_is_left_after_any_order_of_events() -> None:
    chance = random.Random(7)
    policy = overload(max_in_flight=5, max_buffered=2_000)
    inside: list[Exchange] = []
    for _ in range(2_000):
        if inside and chance.random() < 0.5:
            policy.release(inside.pop(chance.randrange(len(inside))))
        else:
            one = sized(chance.randrange(1_000))
            try:
                policy.on_head(one)
                inside.append(one)
            except GatewayError:
                policy.release(one)
        assert len(inside) <= 5
        assert policy.buffered == sum(int(one.headers["content-length"]) for one in inside)
        assert policy.buffered <= 2_000
    for one in inside:
        policy.release(one)
    assert policy.buffered == 0
    policy.on_head(sized(2_000))
