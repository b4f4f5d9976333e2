"""Overload: exact at its limits, and everything counted is given back once."""

from __future__ import annotations

import random

import pytest

from gateway.errors import OVERLOADED, GatewayError
from gateway.exchange import Exchange
from gateway.policies.overload import Overload
from tests.stand_ins import LIMITS, exchange


def sized(size: int, **headers: str) -> Exchange:
    return exchange(headers={"content-length": str(size), **headers})


def refused(policy: Overload, one: Exchange) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        policy.on_head(one)
    assert caught.value.kind is OVERLOADED
    assert caught.value.headers() == {"x-should-retry": "true", "retry-after": "1"}
    return caught.value


def test_one_more_than_max_in_flight_is_refused_until_one_is_settled() -> None:
    policy = Overload(max_in_flight=3, max_buffered=10**9)
    inside = [sized(1) for _ in range(3)]
    for one in inside:
        policy.on_head(one)
    late = sized(1)
    assert "server.max_in_flight" in refused(policy, late).message
    policy.settle(late)  # a refused one settles too, and gives nothing back
    refused(policy, sized(1))
    policy.settle(inside[0])
    policy.on_head(sized(1))
    refused(policy, sized(1))


def test_one_byte_more_than_max_buffered_is_refused() -> None:
    policy = Overload(max_in_flight=100, max_buffered=1_000)
    first = sized(600)
    policy.on_head(first)
    assert "server.max_buffered" in refused(policy, sized(401)).message
    policy.on_head(sized(400))
    assert policy.buffered == 1_000
    refused(policy, sized(1))
    policy.settle(first)
    policy.settle(first)
    assert policy.buffered == 400


def test_a_single_request_always_fits() -> None:
    """Otherwise a `max_buffered` below `max_body` would refuse it for ever."""
    policy = Overload(max_in_flight=100, max_buffered=10)
    policy.on_head(sized(500))
    refused(policy, sized(1))


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
    policy = Overload(max_in_flight=100, max_buffered=10**9)
    policy.on_head(exchange(headers=headers))
    assert policy.buffered == LIMITS.max_body


def test_nothing_is_left_after_any_order_of_events() -> None:
    chance = random.Random(7)
    policy = Overload(max_in_flight=5, max_buffered=2_000)
    inside: list[Exchange] = []
    for _ in range(2_000):
        if inside and chance.random() < 0.5:
            policy.settle(inside.pop(chance.randrange(len(inside))))
        else:
            one = sized(chance.randrange(1_000))
            try:
                policy.on_head(one)
                inside.append(one)
            except GatewayError:
                policy.settle(one)
        assert len(inside) <= 5
        assert policy.buffered == sum(int(one.headers["content-length"]) for one in inside)
        assert policy.buffered <= 2_000
    for one in inside:
        policy.settle(one)
    assert policy.buffered == 0
    policy.on_head(sized(2_000))
