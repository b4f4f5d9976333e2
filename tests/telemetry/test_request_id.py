"""Request ids: the client's if sane; else strictly rising, unique over forks, and true UUIDv7s."""

from __future__ import annotations

import os
import random
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gateway.telemetry import request_id as module
from gateway.telemetry.request_id import BLOCK, UuidSource, correlation_id, request_id

SANE = ["a", "req_01H:x.y-z", "A" * 128, "dGVzdA+/==", "1-5759e988-bd862e3fe1be46a994272793"]
NOT_SANE = ["", "A" * 129, "a b", "a\n", "\na", "a\r\nset-cookie: x", "é", "a,b", 'a"b', "a\x00", "٣", "a;b", "<a>"]


@pytest.mark.parametrize("header", SANE)
def test_a_sane_id_is_kept(header: str) -> None:
    assert request_id(header) == header
    assert correlation_id(header) == header


@pytest.mark.parametrize("header", NOT_SANE)
def test_any_other_is_replaced(header: str) -> None:
    assert uuid.UUID(request_id(header)).version == 7
    assert correlation_id(header) is None


def test_no_header() -> None:
    assert uuid.UUID(request_id(None)).version == 7
    assert correlation_id(None) is None


@settings(deadline=None, derandomize=True)
@given(header=some.text())
def test_nothing_that_could_end_a_header_or_a_log_line_gets_through(header: str) -> None:
    kept = request_id(header)
    assert kept.isascii()
    assert kept.isprintable()
    assert not set(kept) & set(" \"\\,;<>'")


def test_the_format_is_rfc_9562() -> None:
    source = UuidSource(clock=lambda: 0x0123456789AB * 1_000_000 + 999_999, entropy=lambda size: b"\xff" * size)
    made = source.next()
    assert made == "01234567-89ab-7fff-bfff-ffffffffffff"
    assert uuid.UUID(made).variant == uuid.RFC_4122


def test_ids_rise_strictly_whatever_the_clock_does() -> None:
    dice = random.Random(7)
    now = 1_700_000_000_000_000_000

    def clock() -> int:
        nonlocal now
        now += dice.choice((0, 0, 0, 1_000, 1_000_000, -5_000_000, 40_000_000))
        return now

    source = UuidSource(clock=clock, entropy=dice.randbytes)
    made = [source.next() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert all(uuid.UUID(one).version == 7 and str(uuid.UUID(one)) == one for one in made[:500])


def test_a_full_millisecond_borrows_the_next() -> None:
    source = UuidSource(clock=lambda: 5_000_000, entropy=lambda size: b"\xff" * size)
    first, second = source.next(), source.next()
    assert first < second
    assert (uuid.UUID(first).int >> 80, uuid.UUID(second).int >> 80) == (5, 6)


def test_ids_rise_even_when_chance_says_zero() -> None:
    source = UuidSource(clock=lambda: 5_000_000, entropy=bytes)
    made = [source.next() for _ in range(10)]
    assert made == sorted(set(made))


def test_random_bytes_are_fetched_in_blocks_and_used_once() -> None:
    blocks: list[int] = []

    def entropy(size: int) -> bytes:
        blocks.append(size)
        return os.urandom(size)

    ticks = iter(range(0, 10**12, 1_000_000))
    source = UuidSource(clock=lambda: next(ticks), entropy=entropy)
    for _ in range(BLOCK // 10 + 1):
        source.next()
    assert blocks == [BLOCK, BLOCK]


def test_forked_siblings_give_out_different_ids_in_the_same_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._source, "_clock", lambda: 2**41 * 1_000_000)
    request_id(None)  # so that there is something to inherit
    made = [request_id(None) for _ in range(500)]
    for _ in range(4):
        made += _ids_of_a_child(500)
    made += [request_id(None) for _ in range(500)]
    assert len(made) == 3_000
    assert len(set(made)) == 3_000


def test_a_child_does_not_continue_its_parents_number() -> None:
    """In one millisecond: an inherited tail would leave siblings only 32 random bits apart."""
    source = UuidSource(clock=lambda: 5_000_000)
    last = int(source.next().replace("-", ""), 16)
    source.forget()
    assert abs(int(source.next().replace("-", ""), 16) - last) > 2**33


def _ids_of_a_child(count: int) -> list[str]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, "\n".join(request_id(None) for _ in range(count)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        ids = pipe.read().split()
    os.waitpid(pid, 0)
    return ids
