"""Request ids: the client's if sane; else ours, unique over forks."""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gateway._fast import UuidSource
from gateway.telemetry import request_id as module
from gateway.telemetry.request_id import correlation_id, request_id

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


def test_forked_siblings_give_out_different_ids_in_the_same_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_source", UuidSource(clock=lambda: 2**41 * 1_000_000))
    request_id(None)  # so that there is something to inherit
    made = [request_id(None) for _ in range(500)]
    for _ in range(4):
        made += _ids_of_a_child(500)
    made += [request_id(None) for _ in range(500)]
    assert len(made) == 3_000
    assert len(set(made)) == 3_000


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
