"""A drain, and clients that leave or fall silent: both lanes end their connections alike."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.equivalence import normal
from tests.equivalence.cases import call, page
from tests.equivalence.conversation import one
from tests.equivalence.stage import Side, Stage
from tests.harness import eventually
from tests.server.raw import Answer, Wire

NAMED = {"X-Request-Id": "left"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage(drain_delay="1s", drain_timeout="2s") as running:
        yield running


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("play", ["hang", "hang within"])
def test_a_client_that_leaves_is_written_down_alike(stage: Stage, play: str, stream: bool) -> None:
    """While the provider is silent, before its answer or within it; the provider's connection goes, too."""
    name = f"{play}-{stream}".replace(" ", "-")

    def leave(side: Side) -> dict[str, Any]:
        before = len(side.provider.seen)
        with Wire(side.gateway.port) as wire:
            wire.send(call(play, stream=stream, headers={"X-Request-Id": name}))
            eventually(lambda: len(side.provider.seen) > before)
            if stream and play == "hang within":
                assert b"HTTP/1.1 200" in wire.line()
        assert side.provider.seen[before].left.wait(20)
        return normal.access_line(side.gateway.access_of(name))

    fast, aiohttp = stage.each(leave)
    assert fast == aiohttp
    assert (fast["ended_by"], fast["attempts"][0]["outcome"]) == ("client", "cancelled")


def test_a_client_that_leaves_with_its_request_is_not_served(stage: Stage) -> None:
    """Its FIN is its leaving; what has been answered by then may still come."""
    for outcomes in stage.hold([one(call("stream with pauses", stream=True), leaves=True)] * 5):
        assert [outcome.end for outcome in outcomes] == ["closed", "closed"]
    stage.each(lambda side: eventually(lambda: side.gateway.metrics()["llm_gateway_active_requests"] == 0))


def test_a_drain(stage: Stage) -> None:
    """The last test here: idle ones are closed, kept ones told, what runs goes on, what hangs is told why."""
    fast, aiohttp = stage.each(drained)
    assert fast == aiohttp
    assert fast["code"] == 0
    assert [each["connection"] for each in fast["answers"]] == ["close"] * 3


def drained(side: Side) -> dict[str, Any]:
    with (
        Wire(side.gateway.port) as idle,
        Wire(side.gateway.port) as kept,
        Wire(side.gateway.port) as streaming,
        Wire(side.gateway.port) as stuck,
    ):
        for wire in (idle, kept):
            assert wire.ask(page()).status == 200
        streaming.send(call("stream with pauses", stream=True))
        before = len(side.provider.seen)
        stuck.send(call("hang"))
        eventually(lambda: len(side.provider.seen) > before)
        side.gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: _not_ready(side))
        answers = [kept.ask(call())]
        assert kept.is_closed()
        with Wire(side.gateway.port) as new:
            answers.append(new.ask(page("/v1/models")))
            assert new.is_closed()
        stream = streaming.answer()
        assert idle.is_closed()
        answers.append(stuck.answer())
        assert stuck.is_closed()
        return {
            "answers": [
                {"status": each.status, "connection": each.headers.get("connection"), "body": _told(each)}
                for each in answers
            ],
            "stream": (stream.status, stream.body),
            "code": side.gateway.stop(),
        }


def _told(answer: Answer) -> str:
    return normal.CREATED.sub("", answer.body.decode())


def _not_ready(side: Side) -> bool:
    with Wire(side.gateway.port) as wire:
        return wire.ask(page("/health/ready")).status == 503
