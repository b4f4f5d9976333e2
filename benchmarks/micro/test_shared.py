"""What one step in shared memory costs: alone, while a second process does the same to the same cells, and in the twin.

Run: python -m pytest benchmarks/micro/test_shared.py --benchmark-columns=min,median
A round is 10,000 calls, or 50 of a twin; goals are multiples of the empty call of the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro.loops import ROWS, beside, empty_call, measure
from gateway import _fast
from tests._fast import twins

NOW = 1_000_000_000_000_000
SECOND = 1_000_000_000
NAMES = [f"provider/model-{i}" for i in range(8)]
ALL = b"\1" * 8
KINDS = pytest.mark.parametrize("kind", ["compiled", "together", "python"])
Call = tuple[Any, ...]


def ask(benchmark: BenchmarkFixture, kind: str, make: Callable[[Any, Any], Call], goal: str = "") -> None:
    """`make` gives the bound method and its arguments, from the compiled module or from the twin."""
    module: ModuleType = twins if kind == "python" else _fast
    arena = module.Arena()
    call = make(module, arena)
    with beside(lambda: arena.join(1), *call) if kind == "together" else nullcontext():
        measure(benchmark, *call, goal=goal, rows=1 if kind == "python" else ROWS)


def test_empty_call(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    measure(benchmark, empty_call(tmp_path))


@KINDS
def test_counter_add(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: (module.CounterCell(arena, "requests").add,), "<= 2 x")


@KINDS
def test_histogram_record(benchmark: BenchmarkFixture, kind: str) -> None:
    def make(module: Any, arena: Any) -> Call:
        return module.Histogram(arena, "durations").record, 123_456_789, NOW

    ask(benchmark, kind, make, "<= 4 x")


@KINDS
def test_histogram_quantile(benchmark: BenchmarkFixture, kind: str) -> None:
    def make(module: Any, arena: Any) -> Call:
        histogram = module.Histogram(arena, "durations")
        for value in range(1, 200):
            histogram.record(value * 1_000_000, NOW)
        return histogram.quantile, 0.95

    ask(benchmark, kind, make)


@KINDS
def test_breaker_allow_when_closed(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: (module.Breaker(arena, "b").allow, NOW, module.BreakerRule()))


@KINDS
def test_breaker_success(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: (module.Breaker(arena, "b").success, NOW, module.BreakerRule(), 0))


@KINDS
def test_ewma_add(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: (module.Ewma(arena, "e", half_life=SECOND).add, 0.25, NOW))


@KINDS
def test_pick_smooth_weighted_of_8(benchmark: BenchmarkFixture, kind: str) -> None:
    def make(module: Any, arena: Any) -> Call:
        return module.RoundRobin(arena, "g").pick, ALL, module.Weights([5, 1, 1, 2, 3, 1, 1, 1])

    ask(benchmark, kind, make, "<= 15 x")


@KINDS
def test_pick_weighted_random_of_8(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: (module.Weights([5, 1, 1, 2, 3, 1, 1, 1]).pick, ALL), "<= 15 x")


def in_flight(module: Any, arena: Any, method: str, *arguments: object) -> Call:
    """Two workers' columns, some calls in flight."""
    arena.join(2)
    targets = module.InFlight(arena, NAMES)
    for i in range(8):
        for _ in range(i % 3):
            targets.acquire(i)
    return getattr(targets, method), ALL, module.Weights([1] * 8), *arguments


@KINDS
def test_pick_least_connections_of_8(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: in_flight(module, arena, "pick_least"), "<= 15 x")


@KINDS
def test_pick_power_of_two_of_8(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: in_flight(module, arena, "pick_of_two"), "<= 15 x")


@KINDS
def test_pick_bounded_hash_of_8(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: in_flight(module, arena, "pick_by_key", b"user-0123456789"), "<= 15 x")


@KINDS
def test_pick_beta_draws_of_8(benchmark: BenchmarkFixture, kind: str) -> None:
    def make(module: Any, arena: Any) -> Call:
        evidence = module.Evidence(arena, NAMES, half_life=60 * SECOND)
        for number in range(200):
            (evidence.failure if number % 7 == 0 else evidence.success)(number % 8, NOW - number * SECOND // 4)
        return evidence.pick, ALL, NOW

    ask(benchmark, kind, make, "<= 1500 ns")


def limits(module: Any, arena: Any, count: int) -> Call:
    """Token buckets of one second that never run dry, as a request with so many limits takes them."""
    table = module.LimitTable(arena, rows=1024)
    rules = [module.TokenBucket(f"rule {i}", limit=1_000_000, period=SECOND, burst=1_000_000_000) for i in range(count)]
    return table.take, [(table.slot(rule, "key-0123456789abcdef"), 1) for rule in rules], NOW


@KINDS
def test_take_one_limit(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: limits(module, arena, 1), "<= 12 x")


@KINDS
def test_take_a_set_of_three_limits(benchmark: BenchmarkFixture, kind: str) -> None:
    ask(benchmark, kind, lambda module, arena: limits(module, arena, 3), "<= 25 x")


@KINDS
def test_a_limits_slot_by_its_key(benchmark: BenchmarkFixture, kind: str) -> None:
    def make(module: Any, arena: Any) -> Call:
        return module.LimitTable(arena, rows=1024).slot, module.TokenBucket("r", limit=1, period=SECOND), "key"

    ask(benchmark, kind, make)
