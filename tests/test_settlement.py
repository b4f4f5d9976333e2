"""Settling: once, in reverse order, whatever a policy does; then the meters and the log line."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from gateway import errors
from gateway.contracts import Phase
from gateway.conversation import Usage
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.settlement import release, settle
from gateway.snapshot import Runtime
from gateway.telemetry.exposition import render_slices
from tests.stand_ins import CHAT, Lines, call, exchange, runtime, snapshot, target, tried


def metrics(run: Runtime) -> dict[str, float]:
    text = b"".join(render_slices(run.scrape)).decode()
    pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def answered(using: Any = None) -> Exchange:
    """A request that went well."""
    one = exchange(using or snapshot({"m": [target("p", "theirs")]}))
    one.call = call(CHAT)
    one.plan = one.snapshot.plans["m"]
    attempt = tried(one, one.plan.targets[0])
    attempt.answered = attempt.ended = one.now()
    attempt.status = one.status = 200
    attempt.succeeded()
    one.usage = Usage(5, 3, 2, 1)
    return one


def test_policies_settle_in_reverse_order_and_a_failing_one_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    order: list[str] = []

    def hook(name: str) -> Callable[[Exchange], None]:
        return lambda _: order.append(name)

    def fail(_: Exchange) -> None:
        order.append("failing")
        raise RuntimeError

    using = snapshot({"m": [target()]}, {Phase.SETTLE: [hook("first"), fail, hook("last")]})
    lines = Lines()
    with caplog.at_level(logging.ERROR, logger="gateway"):
        settle(answered(using), runtime(using, lines))
    assert order == ["last", "failing", "first"]
    assert "a policy failed to settle" in caplog.text
    assert len(lines) == 1


def test_what_is_held_is_released_once_and_before_anything_is_settled() -> None:
    order: list[str] = []
    hooks = {Phase.RELEASE: [lambda _: order.append("release")], Phase.SETTLE: [lambda _: order.append("settle")]}
    one = answered(snapshot({"m": [target()]}, hooks))
    release(one)
    assert order == ["release"]
    settle(one, runtime(one.snapshot, Lines()))
    assert order == ["release", "settle"]
    forgotten = answered(one.snapshot)
    settle(forgotten, runtime(one.snapshot, Lines()))
    assert order == ["release", "settle"] * 2


def test_a_second_settlement_does_nothing() -> None:
    one, lines = answered(), Lines()
    run = runtime(one.snapshot, lines)
    settle(one, run)
    settle(one, run)
    assert len(lines) == 1
    assert metrics(run)['llm_gateway_requests_total{provider="p",model="m",status="200"}'] == 1


def test_what_is_counted_and_logged() -> None:
    one, lines = answered(), Lines()
    run = runtime(one.snapshot, lines)
    one.read_time = 0.001
    settle(one, run)
    counted = metrics(run)
    labels = 'provider="p",model="m"'
    assert counted[f"llm_gateway_request_duration_seconds_count{{{labels}}}"] == 1
    for kind, tokens in {"input": 5, "output": 3, "cached_input": 2, "reasoning": 1}.items():
        assert counted[f'llm_gateway_tokens_total{{{labels},type="{kind}"}}'] == tokens
    assert counted['llm_gateway_overhead_seconds_count{part="read"}'] == 1
    line = json.loads(lines[0])
    assert {name: line[name] for name in ("request_id", "status", "model", "provider", "upstream_model")} == {
        "request_id": "an-id",
        "status": 200,
        "model": "m",
        "provider": "p",
        "upstream_model": "theirs",
    }
    assert (line["input_tokens"], line["output_tokens"], line["cached_tokens"], line["overhead_ms"]) == (5, 3, 2, 1.0)
    assert [attempt["outcome"] for attempt in line["attempts"]] == ["ok"]


def test_an_error_is_named_and_costs_no_provider() -> None:
    one, lines = exchange(), Lines()
    run = runtime(one.snapshot, lines)
    one.error = GatewayError(errors.MODEL_NOT_FOUND, "x")
    one.status = 404
    settle(one, run)
    assert metrics(run)['llm_gateway_requests_total{provider="none",model="other",status="404"}'] == 1
    line = json.loads(lines[0])
    assert (line["error_code"], line["error_type"]) == ("model_not_found", "invalid_request_error")
    assert "provider" not in line


@pytest.mark.parametrize("phase", ["body", "upstream", "first_content", "relay"])
def test_a_client_that_left_is_counted_by_how_far_it_came(phase: str) -> None:
    one, lines = exchange(snapshot({"m": [target()]})), Lines()
    run = runtime(one.snapshot, lines)
    one.ended_by = "client"
    if phase != "body":
        one.body_read = one.now()
        attempt = tried(one, target())
        attempt.answered = None if phase == "upstream" else one.now()
    if phase == "relay":
        one.first_content = one.now()
        one.status = 200
    settle(one, run)
    assert metrics(run)[f'llm_gateway_client_disconnects_total{{phase="{phase}"}}'] == 1
    line = json.loads(lines[0])
    assert (line["status"], line["ended_by"]) == (200 if phase == "relay" else 499, "client")


def test_without_an_access_log_there_is_no_line() -> None:
    one = answered()
    settle(one, runtime(one.snapshot, None))
    assert one.settled


def test_even_a_log_that_fails_does_not_raise(caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def write(self, line: bytes) -> None:
            raise OSError

    one = answered()
    with caplog.at_level(logging.ERROR, logger="gateway"):
        settle(one, runtime(one.snapshot, Full()))
    assert "could not be accounted for" in caplog.text
