"""Keep-alive comments: when, where, and never where they would do harm."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import CONNECTION_LOST, GatewayError
from gateway.stream_reply import COMMENT
from tests.relay.chat import ANSWER, DONE, HELLO, ROLE, STOP, WORLD, event, last_error
from tests.relay.stage import HANG, TIMEOUTS, Answer, Client, Scene, on_stage

LOST = GatewayError(CONNECTION_LOST, "p0 broke off its answer")
AFTER = 1.0  # second of silence
HALF = b'data: {"choices":[{"delta":{"content":"' + b"x" * 100_000


@on_stage
async def test_before_content_a_comment_commits_200_and_tells_no_provider() -> None:
    scene = Scene(Answer([ANSWER], before_head=[2.5]), keepalive_after=AFTER)
    client = await scene.play(3.0)
    assert client.data == COMMENT * 2 + ANSWER
    assert (client.status, client.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert client.headers["x-request-id"] == "the-request"
    assert not [name for name in client.headers if name.startswith("x-gateway-")]


@on_stage
async def test_after_a_comment_another_target_may_still_answer() -> None:
    scene = Scene(Answer([ROLE, 1.5, LOST]), Answer([ANSWER], before_head=[1.0]), keepalive_after=AFTER)
    client = await scene.play(3.0)
    assert client.data == COMMENT * 2 + ANSWER
    assert [attempt.outcome for attempt in scene.exchange.attempts] == ["provider_connection_lost", "ok"]


@pytest.mark.parametrize(
    "broken", [Answer([1.5, LOST]), Answer(before_head=[HANG]), Answer([b"no"], before_head=[1.5], status=429)]
)
@on_stage
async def test_after_a_comment_a_final_error_is_told_in_the_stream(broken: Answer) -> None:
    scene = Scene(broken, keepalive_after=AFTER)
    client = await scene.play(TIMEOUTS.first_content + 0.1)
    assert client.status == 200
    assert client.data.startswith(COMMENT + (COMMENT * 3 if len(client.data) > 600 else b""))
    assert last_error(client.data)["code"] in ("provider_connection_lost", "timeout", "rate_limit_exceeded")
    assert client.ended == 1
    assert b"[DONE]" not in client.data
    assert scene.meter("llm_gateway_stream_cut_total") == 0


@on_stage
async def test_comments_stand_between_events() -> None:
    scene = Scene(Answer([ROLE + HELLO + WORLD[:20], 2.5, WORLD[20:], 1.5, STOP + DONE]), keepalive_after=AFTER)
    assert (await scene.play(5.0)).data == ROLE + HELLO + COMMENT * 2 + WORLD + COMMENT + STOP + DONE


@on_stage
async def test_never_inside_a_large_event_that_is_partly_out() -> None:
    rest = b'"}}]}\n\n'
    scene = Scene(Answer([ROLE + HELLO, HALF, 2.9, b"y", 2.9, rest, 1.5, STOP + DONE]), keepalive_after=AFTER)
    assert (await scene.play(8.0)).data == ROLE + HELLO + HALF + b"y" + rest + COMMENT + STOP + DONE


@on_stage
async def test_never_to_a_client_that_lags() -> None:
    scene = Scene(Answer([ROLE + HELLO, STOP + DONE]), keepalive_after=AFTER)
    scene.client.stalled = True
    task = scene.start()
    await scene.clock.advance(3.5)
    scene.client.take()
    await scene.clock.advance(0)
    await task
    assert scene.client.data == ROLE + HELLO + STOP + DONE


@on_stage
async def test_a_comment_that_the_client_does_not_take_is_followed_by_no_other() -> None:
    scene = Scene(Answer([ROLE + HELLO, 2.9, WORLD, 2.9, STOP + DONE]), keepalive_after=AFTER)
    task = scene.start()
    await scene.clock.advance(0.5)
    scene.client.stalled = True
    await scene.clock.advance(3.0)
    assert scene.client.data == ROLE + HELLO + COMMENT, "the event waits for the comment"
    scene.client.take()
    await scene.clock.advance(3.0)
    await task
    assert scene.client.data.startswith(ROLE + HELLO + COMMENT + WORLD)


@pytest.mark.parametrize("moment", [0.99, 1.0, 1.01, 1.02, 1.03])
@pytest.mark.parametrize("what", ["large", "end", "refusal", "event"])
@on_stage
async def test_comment_and_event_at_the_same_moment(what: str, moment: float) -> None:
    steps: dict[str, list[bytes | float | BaseException]] = {
        "large": [HELLO, moment, HALF, 1.5, b'"}}]}\n\n' + STOP + DONE],
        "end": [HELLO + STOP, moment, DONE],
        "refusal": [ROLE, moment, LOST],
        "event": [HELLO, moment, WORLD + STOP + DONE],
    }
    scene = Scene(Answer(steps[what]), keepalive_after=AFTER, client=Client(pausing=True))
    client = await scene.play(4.0)
    if what == "refusal":
        assert client.status == (502 if COMMENT not in client.data else 200)
        return
    assert client.data.replace(COMMENT, b"") == b"".join(step for step in steps[what] if isinstance(step, bytes))
    for piece in client.data.split(COMMENT)[:-1]:
        assert piece.endswith(b"\n\n")


@on_stage
async def test_a_client_that_left_is_not_written_to() -> None:
    scene = Scene(Answer(before_head=[HANG]), keepalive_after=AFTER)
    task = scene.start()
    await scene.clock.advance(0.5)
    scene.client.gone = True
    await scene.clock.advance(2.0)
    assert scene.client.data == b""
    task.cancel()
    await asyncio.wait([task])
    scene.check_nothing_is_left()


@on_stage
async def test_a_comment_that_meets_a_broken_connection_harms_nobody() -> None:
    class Broken(Client):
        def write(self, data: bytes) -> None:
            raise ConnectionResetError

    scene = Scene(Answer([HANG]), keepalive_after=AFTER, client=Broken())
    task = scene.start()
    await scene.clock.advance(2.0)
    task.cancel()
    await asyncio.wait([task])
    scene.check_nothing_is_left()


@on_stage
async def test_whole_answers_get_no_comments() -> None:
    scene = Scene(
        Answer([b"{}"], headers={"content-type": "application/json"}, before_head=[3.0]), keepalive_after=AFTER
    )
    assert (await scene.play(3.5, stream=False)).data == b"{}"


def test_a_comment_is_one() -> None:
    assert COMMENT.startswith(b":")
    assert COMMENT.endswith(b"\n\n")
    assert event({}) != COMMENT
