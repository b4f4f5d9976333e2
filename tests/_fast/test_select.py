"""The picks where nothing is left to chance, and every pick beside the twin's with the same seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import _fast
from tests._fast import forks, twins

SECOND = 1_000_000_000
NOW = 1_000_000 * SECOND
NAMES = ["a", "b", "c"]
ALL = b"\1\1\1"


def group(fast: ModuleType, names: list[str] = NAMES) -> Any:
    return fast.InFlight(fast.Arena(), names)


def letters(picks: list[int]) -> str:
    return "".join("-" if pick < 0 else "abc"[pick] for pick in picks)


def test_round_robin_in_nginx_order(fast: ModuleType) -> None:
    robin, weights = fast.RoundRobin(fast.Arena(), "group"), fast.Weights([5, 1, 1])
    assert letters([robin.pick(ALL, weights) for _ in range(14)]) == "aabacaa" * 2
    equal = fast.RoundRobin(fast.Arena(), "equal")
    assert letters([equal.pick(ALL, fast.Weights([1, 1, 1])) for _ in range(6)]) == "abcabc"


def test_round_robin_with_targets_down_goes_on_where_it_was(fast: ModuleType) -> None:
    """Worked out by hand from nginx's ngx_http_upstream_get_peer."""
    robin, weights = fast.RoundRobin(fast.Arena(), "group"), fast.Weights([2, 1, 1])
    picks = [robin.pick(mask, weights) for mask in (ALL, b"\0\1\1", b"\0\1\1", ALL, ALL, b"\0\0\0", b"\1\0\0", ALL)]
    assert letters(picks) == "abcbc-aa"


def test_other_weights_begin_anew(fast: ModuleType) -> None:
    robin = fast.RoundRobin(fast.Arena(), "group")
    assert letters([robin.pick(ALL, fast.Weights([5, 1, 1])) for _ in range(3)]) == "aab"
    assert letters([robin.pick(ALL, fast.Weights([1, 1, 3])) for _ in range(5)]) == "cacbc"
    assert letters([robin.pick(ALL, fast.Weights([5, 1, 1])) for _ in range(7)]) == "aabacaa"


def test_a_weight_of_zero_is_never_picked(fast: ModuleType) -> None:
    weights, targets = fast.Weights([0, 1, 0]), group(fast)
    robin = fast.RoundRobin(fast.Arena(), "group")
    for mask, expected in ((ALL, 1), (b"\1\0\1", -1), (b"\0\0\0", -1)):
        picks = [robin.pick(mask, weights), weights.pick(mask), targets.pick_least(mask, weights)]
        picks += [targets.pick_of_two(mask, weights), targets.pick_by_key(mask, weights, b"key")]
        assert picks == [expected] * 5


def test_least_connections_by_weight(fast: ModuleType) -> None:
    targets, weights = group(fast), fast.Weights([4, 2, 1])
    picks = []
    for _ in range(7):
        picks.append(targets.pick_least(ALL, weights))
        targets.acquire(picks[-1])
    assert Counter(picks) == {0: 4, 1: 2, 2: 1}
    targets.release(1)
    assert (targets.pick_least(ALL, weights), [targets.load(i) for i in range(3)]) == (1, [4, 1, 1])
    assert targets.pick_least(b"\1\0\0", weights) == 0


def test_a_release_too_many_does_not_make_room(fast: ModuleType) -> None:
    targets = group(fast)
    targets.release(0)
    targets.acquire(0)
    assert targets.load(0) == 1
    for call in (targets.acquire, targets.release, targets.load):
        for i in (-1, 3):
            with pytest.raises(IndexError):
                call(i)


def test_power_of_two_takes_the_better_of_two_different_ones(fast: ModuleType) -> None:
    targets, weights = group(fast), fast.Weights([1, 1, 1])
    targets.acquire(0)
    assert {targets.pick_of_two(ALL, weights) for _ in range(100)} == {1, 2}
    assert {targets.pick_of_two(b"\1\0\1", weights) for _ in range(50)} == {2}
    assert targets.pick_of_two(b"\1\0\0", weights) == 0


def test_names_hold_what_is_in_flight_whatever_their_order() -> None:
    arena = _fast.Arena(seed=bytes(16))
    before, after = _fast.InFlight(arena, ["a", "b"]), _fast.InFlight(arena, ["new", "b", "a"])
    before.acquire(0)
    assert [after.load(i) for i in range(3)] == [0, 0, 1]
    after.release(2)
    assert before.load(0) == 0


def test_what_a_dead_worker_had_in_flight_is_gone_with_its_column() -> None:
    arena = _fast.Arena(seed=bytes(16))
    targets = _fast.InFlight(arena, NAMES)
    targets.acquire(0)

    def work() -> None:
        arena.join(3)
        for i in (0, 1, 1):
            targets.acquire(i)

    forks.run(work)
    assert [targets.load(i) for i in range(3)] == [2, 2, 0]
    forks.run(lambda: arena.join(3))
    assert [targets.load(i) for i in range(3)] == [1, 0, 0]


KEYS = [f"user {number}".encode() for number in range(4000)]


def owners(targets: Any, mask: bytes, weights: Any) -> list[int]:
    return [targets.pick_by_key(mask, weights, key, 0) for key in KEYS]


def test_a_target_that_goes_moves_its_own_keys_only() -> None:
    names = [f"target {i}" for i in range(5)]
    targets, weights = group(_fast, names), _fast.Weights([1] * 5)
    before = owners(targets, b"\1" * 5, weights)
    after = owners(targets, b"\1\1\0\1\1", weights)
    assert [(old, new) for old, new in zip(before, after) if old != 2 and old != new] == []
    fewer = group(_fast, [name for name in names if name != "target 2"])
    assert [names.index(names[i + (i >= 2)]) for i in owners(fewer, b"\1" * 4, _fast.Weights([1] * 4))] == after


def test_more_weight_only_wins_keys() -> None:
    targets = group(_fast, ["a", "b", "c"])
    before, after = (owners(targets, ALL, _fast.Weights([1, weight, 1])) for weight in (1, 3))
    assert {new for old, new in zip(before, after) if old != new} == {1}
    shares = Counter(after)
    assert [shares[i] / len(KEYS) for i in range(3)] == pytest.approx([0.2, 0.6, 0.2], abs=0.03)


@pytest.mark.parametrize("bound", [1.0, 1.25, 2.0])
def test_no_target_has_more_than_its_bounded_share(fast: ModuleType, bound: float) -> None:
    targets, weights, dice = group(fast), fast.Weights([2, 1, 1]), random.Random(3)
    for number in range(1, 301):
        key = b"hot" if dice.random() < 0.7 else KEYS[dice.randrange(50)]
        targets.acquire(targets.pick_by_key(ALL, weights, key, bound))
        for i, share in enumerate((0.5, 0.25, 0.25)):
            assert targets.load(i) < bound * number * share + 1


@pytest.mark.parametrize("bound", [-1.0, 0.5, float("nan")])
def test_a_bound_below_one_could_refuse_everyone(fast: ModuleType, bound: float) -> None:
    with pytest.raises(ValueError, match="bound"):
        group(fast).pick_by_key(ALL, fast.Weights([1, 1, 1]), b"key", bound)


def test_evidence_halves(fast: ModuleType) -> None:
    evidence = fast.Evidence(fast.Arena(), NAMES, half_life=10 * SECOND)
    for _ in range(4):
        evidence.success(1, NOW)
    evidence.failure(1, NOW + 10 * SECOND)
    evidence.failure(1, NOW)
    assert evidence.look(1, NOW + 10 * SECOND) == pytest.approx((2.0, 1.5))
    assert evidence.look(1, NOW + 20 * SECOND) == pytest.approx((1.0, 0.75))
    assert evidence.look(0, NOW) == (0, 0)
    assert evidence.pick(b"\0\0\0", NOW) == -1


def test_what_does_not_fit_is_refused(fast: ModuleType) -> None:
    weights, targets = fast.Weights([1, 1, 1]), group(fast)
    evidence = fast.Evidence(fast.Arena(), NAMES, half_life=SECOND)
    wrong: list[Callable[[], object]] = [
        lambda: fast.Weights([]),
        lambda: fast.Weights([1] * 1025),
        lambda: fast.Weights([-1]),
        lambda: fast.Weights([65536]),
        lambda: weights.pick(b"\1\1"),
        lambda: fast.RoundRobin(fast.Arena(), "group").pick(b"\1" * 4, weights),
        lambda: targets.pick_least(b"\1\1", fast.Weights([1, 1])),
        lambda: group(fast, []),
        lambda: group(fast, ["a", "a"]),
        lambda: evidence.pick(b"\1", NOW),
        lambda: fast.Evidence(fast.Arena(), NAMES, half_life=1),
    ]
    for call in wrong:
        with pytest.raises(ValueError):  # noqa: PT011
            call()
    for weight in (0.5, 1.0, "1", None):
        with pytest.raises(TypeError):
            fast.Weights([1, weight])
    for call in (evidence.success, evidence.failure, evidence.look):
        for i in (-1, 3):
            with pytest.raises(IndexError):
                call(i, NOW)


STEPS = st.tuples(
    st.sampled_from(["robin", "random", "least", "two", "key", "evidence", "acquire", "release", "success", "failure"]),
    st.binary(min_size=5, max_size=5).map(lambda mask: bytes(byte % 3 for byte in mask)),
    st.integers(0, 4),
    st.integers(0, 1),
)
WEIGHTS = st.lists(st.sampled_from([0, 1, 1, 2, 5, 65535]), min_size=5, max_size=5)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(seed=st.binary(max_size=40), weights=st.tuples(WEIGHTS, WEIGHTS), steps=st.lists(STEPS, max_size=50))
def test_every_pick_is_the_twins(seed: bytes, weights: tuple[list[int], ...], steps: list[Any]) -> None:
    try:
        seen = [walk(module, seed, weights, steps) for module in (_fast, twins)]
    finally:
        _fast.seed_random()
    assert seen[0] == seen[1]


def walk(module: Any, seed: bytes, values: tuple[list[int], ...], steps: list[Any]) -> list[object]:
    module.seed_random(seed)
    arena, names = module.Arena(), list("vwxyz")
    robin, targets, made = module.RoundRobin(arena, "r"), module.InFlight(arena, names), [*map(module.Weights, values)]
    evidence, seen, now = module.Evidence(arena, names, half_life=10 * SECOND), list[object](), NOW
    calls: dict[str, Any] = {
        "robin": lambda mask, i, of: robin.pick(mask, made[of]),
        "random": lambda mask, i, of: made[of].pick(mask),
        "least": lambda mask, i, of: targets.pick_least(mask, made[of]),
        "two": lambda mask, i, of: targets.pick_of_two(mask, made[of]),
        "key": lambda mask, i, of: targets.pick_by_key(mask, made[of], mask, (0, 1.25)[of]),
        "evidence": lambda mask, i, of: evidence.pick(mask, now),
        "acquire": lambda mask, i, of: targets.acquire(i),
        "release": lambda mask, i, of: targets.release(i),
        "success": lambda mask, i, of: evidence.success(i, now - 3 * SECOND * of),
        "failure": lambda mask, i, of: evidence.failure(i, now),
    }
    for what, mask, i, of in steps:
        now += i * SECOND
        seen += [calls[what](mask, i, of), targets.load(i), evidence.look(i, now)]
    return [*seen, module.uniform()]
