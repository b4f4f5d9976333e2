"""UUIDv7s: true ones, strictly rising, whatever the clock does."""

from __future__ import annotations

import os
import random
import uuid
from types import ModuleType

BLOCK = 4096


def test_the_format_is_rfc_9562(fast: ModuleType) -> None:
    source = fast.UuidSource(clock=lambda: 0x0123456789AB * 1_000_000 + 999_999, entropy=lambda size: b"\xff" * size)
    made = source.next()
    assert made == "01234567-89ab-7fff-bfff-ffffffffffff"
    assert uuid.UUID(made).variant == uuid.RFC_4122


def test_ids_rise_strictly_whatever_the_clock_does(fast: ModuleType) -> None:
    dice = random.Random(7)
    now = 1_700_000_000_000_000_000

    def clock() -> int:
        nonlocal now
        now += dice.choice((0, 0, 0, 1_000, 1_000_000, -5_000_000, 40_000_000))
        return now

    source = fast.UuidSource(clock=clock, entropy=dice.randbytes)
    made = [source.next() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert all(uuid.UUID(one).version == 7 and str(uuid.UUID(one)) == one for one in made[:500])


def test_a_full_millisecond_borrows_the_next(fast: ModuleType) -> None:
    source = fast.UuidSource(clock=lambda: 5_000_000, entropy=lambda size: b"\xff" * size)
    first, second = source.next(), source.next()
    assert first < second
    assert (uuid.UUID(first).int >> 80, uuid.UUID(second).int >> 80) == (5, 6)


def test_ids_rise_even_when_chance_says_zero(fast: ModuleType) -> None:
    source = fast.UuidSource(clock=lambda: 5_000_000, entropy=bytes)
    made = [source.next() for _ in range(10)]
    assert made == sorted(set(made))


def test_random_bytes_are_fetched_in_blocks_and_used_once(fast: ModuleType) -> None:
    blocks: list[int] = []

    def entropy(size: int) -> bytes:
        blocks.append(size)
        return os.urandom(size)

    ticks = iter(range(0, 10**12, 1_000_000))
    source = fast.UuidSource(clock=lambda: next(ticks), entropy=entropy)
    for _ in range(BLOCK // 10 + 1):
        source.next()
    assert blocks == [BLOCK, BLOCK]


def test_a_child_does_not_continue_its_parents_number(fast: ModuleType) -> None:
    """In one millisecond: an inherited tail would leave siblings only 32 random bits apart."""
    source = fast.UuidSource(clock=lambda: 5_000_000)
    last = int(source.next().replace("-", ""), 16)
    source.forget()
    assert abs(int(source.next().replace("-", ""), 16) - last) > 2**33
