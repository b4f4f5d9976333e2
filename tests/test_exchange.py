"""One request's record: what it says about the call, the attempts, and our own time."""

from __future__ import annotations

import pytest

from gateway import errors
from gateway.errors import GatewayError, Kind, ProviderWords, from_upstream
from tests.stand_ins import CHAT, call, exchange, snapshot, target, tried


@pytest.mark.parametrize(
    ("options", "wants"),
    [
        (None, False),
        ({}, False),
        ({"include_usage": True}, True),
        ({"include_usage": False}, False),
        ({"include_usage": 1}, False),
        ([], False),
    ],
)
def test_who_asked_for_usage(options: object, wants: bool) -> None:
    assert call({**CHAT, "stream_options": options}).wants_usage is wants


def test_the_model_is_safe_as_a_label() -> None:
    one = exchange(snapshot({"m": [target()]}))
    one.call = call({**CHAT, "model": "who knows"})
    assert one.model == "other"
    one.plan = one.snapshot.plans["m"]
    assert one.model == "m"


def test_a_target_is_tried_by_identity() -> None:
    one, first, twin = exchange(), target(), target()
    assert not one.tried(first)
    tried(one, first)
    assert one.tried(first)
    assert not one.tried(twin)


@pytest.mark.parametrize(
    ("kind", "status", "fault"),
    [
        (errors.CONNECT_FAILED, None, True),
        (errors.TIMEOUT, None, True),
        (errors.NONSENSE, 200, True),
        (errors.UPSTREAM_LIMIT, 429, None),  # it asks for less: says nothing about its health
        (errors.UPSTREAM_BUSY, 503, None),
        (errors.UPSTREAM_AUTH, 401, None),  # our key's fault
        (Kind(400, "t", "c", errors.Whose.CLIENT), 400, False),  # well enough to refuse a bad request
        (errors.VALIDATION, None, None),  # refused before it was asked
        (errors.CLIENT_STALLED, 200, False),
    ],
)
def test_whose_fault_a_failed_attempt_is(kind: Kind, status: int | None, fault: bool | None) -> None:
    attempt = tried(exchange(), target())
    attempt.status = status
    attempt.failed(GatewayError(kind, "x"))
    assert (attempt.outcome, attempt.providers_fault) == (kind.code, fault)


@pytest.mark.parametrize(("status", "outcome"), [(400, "request_refused"), (500, "provider_error")])
def test_a_providers_own_code_is_no_outcome(status: int, outcome: str) -> None:
    attempt = tried(exchange(), target())
    attempt.failed(from_upstream("p", status, ProviderWords("no", "its_type", "one-of-very-many")))
    assert attempt.outcome == outcome  # a label of a metric: bounded


def test_a_good_attempt_speaks_for_its_provider_and_an_unfinished_one_says_nothing() -> None:
    attempt = tried(exchange(), target())
    assert (attempt.outcome, attempt.providers_fault) == ("cancelled", None)
    attempt.succeeded()
    assert (attempt.outcome, attempt.providers_fault) == ("ok", False)
