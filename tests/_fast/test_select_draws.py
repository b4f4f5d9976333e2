"""What is drawn has the distribution it should have, with fixed seeds; and no two processes draw the same.

Chi-square and Kolmogorov-Smirnov by hand. The seeds are fixed, so a test here fails always or never; the limits are
those of one in a thousand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import pytest

from gateway import _fast
from tests._fast import forks
from tests._fast.twins.select import Xoshiro

SECOND = 1_000_000_000
NOW = 1_000_000 * SECOND
DRAWS = 60_000
CHI = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 7: 24.32, 9: 27.88}  # 0.999 of chi-square, by degrees of freedom


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    _fast.seed_random(b"fixed")
    yield
    _fast.seed_random()


def chi_square(counts: list[int], shares: list[float]) -> float:
    total = sum(counts)
    return sum((count - share * total) ** 2 / (share * total) for count, share in zip(counts, shares, strict=True))


def counted(picks: list[int], count: int) -> list[int]:
    found = Counter(picks)
    assert set(found) <= set(range(count))
    return [found[i] for i in range(count)]


def test_uniform_is_uniform() -> None:
    values = sorted(_fast.uniform() for _ in range(DRAWS))
    assert 0 <= values[0] <= values[-1] < 1
    distance = max(abs(value - rank / DRAWS) for rank, value in enumerate(values))
    assert distance * math.sqrt(DRAWS) < 1.95


def test_weighted_random() -> None:
    weights = [1, 2, 3, 4, 0]
    counts = counted([_fast.Weights(weights).pick(b"\1" * 5) for _ in range(DRAWS)], 5)
    assert counts[4] == 0
    assert chi_square(counts[:4], [0.1, 0.2, 0.3, 0.4]) < CHI[3]
    masked = counted([_fast.Weights(weights).pick(b"\1\0\1\0\1") for _ in range(DRAWS)], 5)
    assert chi_square([masked[0], masked[2]], [0.25, 0.75]) < CHI[1]


def test_power_of_two_draws_each_pair_equally() -> None:
    targets, weights = _fast.InFlight(_fast.Arena(seed=bytes(16)), "abcd"), _fast.Weights([1] * 4)
    for i in range(4):
        for _ in range(i):
            targets.acquire(i)
    counts = counted([targets.pick_of_two(b"\1" * 4, weights) for _ in range(DRAWS)], 4)
    assert counts[3] == 0  # the busiest never wins against a different one
    assert chi_square(counts[:3], [3 / 6, 2 / 6, 1 / 6]) < CHI[2]


def test_least_connections_draws_by_weight_among_equals() -> None:
    targets = _fast.InFlight(_fast.Arena(seed=bytes(16)), "abc")
    counts = counted([targets.pick_least(b"\1\1\1", _fast.Weights([1, 2, 5])) for _ in range(DRAWS)], 3)
    assert chi_square(counts, [1 / 8, 2 / 8, 5 / 8]) < CHI[2]


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 1), (3, 5), (40, 2)])
def test_beta_draws_against_the_exact_distribution(a: int, b: int) -> None:
    """For whole a and b the distribution is a binomial tail: P(X <= x) = P(at least a of a + b - 1 succeed)."""
    generator, count = Xoshiro(), 20_000
    generator.seed(f"beta {a} {b}".encode())
    n = a + b - 1

    def cumulative(x: float) -> float:
        return sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))

    values = sorted(generator.beta(a, b) for _ in range(count))
    distance = max(abs(cumulative(value) - (rank + 0.5) / count) for rank, value in enumerate(values))
    assert distance * math.sqrt(count) < 1.95


@pytest.mark.parametrize(("first", "second"), [((3, 1), (1, 3)), ((0, 0), (0, 0)), ((9, 1), (7, 3))])
def test_thompson_picks_as_often_as_a_target_is_likely_to_be_the_best(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    """The compiled draws: P(X > Y) of two betas with whole parameters is a finite sum (Evan Miller's formula)."""
    evidence = _fast.Evidence(_fast.Arena(seed=bytes(16)), "ab", half_life=3600 * SECOND)
    for i, (successes, failures) in enumerate((first, second)):
        for _ in range(successes):
            evidence.success(i, NOW)
        for _ in range(failures):
            evidence.failure(i, NOW)
    (a, b), (c, d) = ((1 + seen[0], 1 + seen[1]) for seen in (first, second))

    def beta(x: int, y: int) -> float:
        return math.factorial(x - 1) * math.factorial(y - 1) / math.factorial(x + y - 1)

    wins = sum(beta(c + i, b + d) / ((b + i) * beta(1 + i, b) * beta(c, d)) for i in range(a))
    counts = counted([evidence.pick(b"\1\1", NOW) for _ in range(DRAWS)], 2)
    assert chi_square(counts, [wins, 1 - wins]) < CHI[1]


def test_much_evidence_is_counted_as_well_as_little() -> None:
    """Beyond 2**24 a float that one is added to stays what it is: 95 in 100 would become 1 in 2."""
    evidence = _fast.Evidence(_fast.Arena(seed=bytes(16)), "a", half_life=3600 * SECOND)
    for _ in range(2**24 + 2**20):
        evidence.success(0, NOW)
    assert evidence.look(0, NOW)[0] == pytest.approx(2**24 + 2**20, rel=1e-3)


def test_keys_spread_evenly() -> None:
    targets = _fast.InFlight(_fast.Arena(seed=bytes(16)), [f"10.0.0.{i}:8080" for i in range(8)])
    picks = [targets.pick_by_key(b"\1" * 8, _fast.Weights([1] * 8), b"%d" % key, 0) for key in range(DRAWS)]
    assert chi_square(counted(picks, 8), [1 / 8] * 8) < CHI[7]


def test_the_same_seed_draws_the_same() -> None:
    def draws(seed: bytes) -> list[float]:
        _fast.seed_random(seed)
        return [_fast.uniform() for _ in range(5)]

    assert draws(b"one") == draws(b"one") != draws(b"two")
    assert draws(bytes(32)) != draws(bytes(31))


def test_no_two_forks_draw_the_same() -> None:
    words = _fast.Words(_fast.Arena(seed=bytes(16)), "draws", 4)
    forks.finish(*(forks.fork(lambda i=i: words.store(i, int(_fast.uniform() * 2**53))) for i in range(3)))  # type: ignore[misc]
    words.store(3, int(_fast.uniform() * 2**53))
    assert len({words.load(i) for i in range(4)}) == 4
