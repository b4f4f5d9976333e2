"""A request is cancelled at each of its steps: everything is given back exactly once, whatever it waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.errors import CONNECTION_LOST, GatewayError
from tests.relay.chat import ANSWER, HELLO, ROLE, STOP, WORLD
from tests.relay.stage import JSON, SSE, TIMEOUTS, Answer, Client, Scene, Step, on_stage

LOST = GatewayError(CONNECTION_LOST, "p0 broke off its answer")


def calm(*steps: Step, status: int = 200, headers: Mapping[str, str] = SSE) -> Answer:
    """An answer that takes its time at each step."""
    return Answer(steps, status, headers, before_connection=[0.01], before_head=[0.01])


SCRIPTS: dict[str, tuple[list[Answer], bool]] = {
    "streamed": ([calm(0.01, ROLE, 0.01, HELLO, 0.01, WORLD, 0.01, STOP)], True),
    "whole": ([calm(0.01, b"{", 0.01, b"}", headers=JSON)], False),
    "failover": ([calm(0.01, ROLE, LOST), calm(0.01, ANSWER)], True),
    "refused": ([calm(0.01, b"{}", status=400, headers=JSON)], True),
    "cut": ([calm(HELLO, 0.01, WORLD, LOST)], True),
    "comments": ([calm(1.2, HELLO, 1.2, STOP)], True),
    "large whole": ([calm(b'{"a":"' + b"x" * 200_000 + b'"}', headers=JSON)], False),
}


@pytest.mark.parametrize("gone", [True, False], ids=["the client left", "drain"])
@pytest.mark.parametrize("script", SCRIPTS)
@on_stage
async def test_cancelled_at_every_step(script: str, gone: bool) -> None:
    answers, stream = SCRIPTS[script]
    steps = 0
    while True:
        scene = Scene(*answers, client=Client(pausing=True), keepalive_after=1.0)
        task = scene.start(stream=stream)
        if await _runs_out_within(scene, task, steps):
            break
        scene.client.gone = gone
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.sleep(0)
        if scene.settled:  # a task that never began has nothing to give back
            scene.check_nothing_is_left()
            assert scene.exchange.ended_by == ("client" if gone else "drain")
            assert all(attempt.ended is not None for attempt in scene.exchange.attempts)
        else:
            assert steps == 0
        steps += 1
    assert steps > 10
    scene.check_nothing_is_left()
    assert scene.client.ended == 1


async def _runs_out_within(scene: Scene, task: asyncio.Task[None], steps: int) -> bool:
    """Let the loop turn `steps` times, and time move on whenever nobody could go on without; is it done?"""
    for number in range(steps):
        if number % 4 == 3:
            scene.clock.skip(0.3)
        await asyncio.sleep(0)
        if task.done():
            return True
    return False


@pytest.mark.parametrize("moment", [0.1, 1.0, 2.0, 3.0])
@on_stage
async def test_a_deadline_and_a_cancellation_at_once_is_a_cancellation(moment: float) -> None:
    timeouts = replace(TIMEOUTS, connect=moment, first_content=moment, idle=moment)
    scene = Scene(Answer(before_head=["hang"]), timeouts=timeouts)
    task = scene.start()
    await scene.clock.advance(moment - 0.001)
    scene.client.gone = True
    scene.clock.skip(0.1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    scene.check_nothing_is_left()
    assert scene.exchange.ended_by == "client"


@on_stage
async def test_a_client_that_leaves_while_its_error_is_told() -> None:
    scene = Scene(Answer([b"{}"], status=400, headers=JSON))
    scene.client.stalled = True
    task = scene.start()
    await scene.clock.advance(0.1)
    assert scene.client.status == 400
    scene.client.gone = True
    task.cancel()
    await asyncio.wait([task])
    scene.check_nothing_is_left()
    assert scene.exchange.ended_by == "client"


@on_stage
async def test_a_connection_that_breaks_while_an_error_is_told() -> None:
    class Broken(Client):
        async def send(self, *_: object) -> None:
            raise ConnectionResetError

    scene = Scene(Answer([b"{}"], status=400, headers=JSON), client=Broken())
    await scene.play()
    assert scene.exchange.ended_by == "client"
    assert scene.exchange.error is not None


@on_stage
async def test_a_bug_is_an_internal_error_and_gives_everything_back() -> None:
    scene = Scene(Answer([ROLE + HELLO, ZeroDivisionError()]))
    client = await scene.play()
    assert b"internal_error" in client.data
    assert scene.exchange.error is not None
    scene = Scene(Answer(before_head=[ZeroDivisionError()]))
    client = await scene.play()
    assert (client.status, client.ended) == (500, 1)
    assert scene.exchange.attempts[0].outcome == "internal_error"
