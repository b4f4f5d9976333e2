"""How streams end: well, late, cut, with an error said inside; and who is told what."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.errors import CONNECTION_LOST, GatewayError
from gateway.relay import FINISH_GRACE
from tests.relay.chat import ANSWER, DONE, HELLO, ROLE, STOP, USAGE, WORLD, chunk, drip, event, last_error
from tests.relay.stage import HANG, JSON, Answer, Client, Scene, on_stage

LOST = GatewayError(CONNECTION_LOST, "p0 broke off its answer")
SHAPES = {
    "openai": (b'{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}', 429),
    "openai quota": (b'{"error":{"message":"pay","type":"insufficient_quota","code":"insufficient_quota"}}', 429),
    "openai server error": (b'{"error":{"message":"oops","type":"server_error","code":null}}', 502),
    "vllm": (b'{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}', 400),
    "vllm nested": (b'{"error":{"object":"error","message":"bad","type":"BadRequestError","code":400}}', 400),
    "groq": (b'{"error":{"message":"over capacity","type":"internal_server_error","status_code":503}}', 503),
    "openrouter": (b'{"error":{"code":429,"message":"limited"},"choices":[]}', 429),
    "openrouter in a choice": (
        b'{"error":{"code":"server_error","message":"gone"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}',
        502,
    ),
    "text": (b'{"error":"model crashed"}', 502),
    "overloaded": (b'{"error":{"type":"overloaded_error","message":"busy"}}', 503),
    "number as text": (b'{"error":{"code":"503","message":"busy"}}', 503),
}


@on_stage
async def test_a_finished_stream_without_done_gets_one() -> None:
    scene = Scene(Answer([ROLE + HELLO, STOP]))
    assert (await scene.play()).data == ROLE + HELLO + STOP + DONE
    assert scene.exchange.attempts[0].outcome == "ok"
    assert scene.meter("llm_gateway_stream_cut_total") == 0


@pytest.mark.parametrize("after", [b"", USAGE], ids=["nothing", "usage"])
@on_stage
async def test_done_is_added_even_if_the_upstream_keeps_the_connection_open(after: bytes) -> None:
    scene = Scene(Answer([ROLE + HELLO + STOP + after, HANG]))
    assert (await scene.play(FINISH_GRACE + 0.1)).data == ROLE + HELLO + STOP + DONE
    assert scene.exchange.attempts[0].outcome == "ok"


@on_stage
async def test_comments_after_the_finish_do_not_put_off_the_end() -> None:
    scene = Scene(Answer([ROLE + HELLO + STOP, *drip(50, 1.0, b": ping\n\n")]))
    client = await scene.play(FINISH_GRACE + 0.1)
    assert client.data.endswith(DONE)
    assert client.data.count(b"ping") <= FINISH_GRACE


@on_stage
async def test_what_breaks_after_the_finish_no_longer_matters() -> None:
    scene = Scene(Answer([ROLE + HELLO + STOP, LOST]))
    assert (await scene.play()).data == ROLE + HELLO + STOP + DONE
    assert scene.exchange.attempts[0].outcome == "ok"
    assert scene.meter("llm_gateway_stream_cut_total") == 0


@pytest.mark.parametrize("end", [[], [LOST]], ids=["ended", "broken"])
@on_stage
async def test_a_stream_cut_after_content_ends_with_an_error_and_is_counted(end: list[GatewayError]) -> None:
    scene = Scene(Answer([ROLE + HELLO, WORLD, *end]))
    client = await scene.play()
    assert client.data.startswith(ROLE + HELLO + WORLD + b'data: {"error"')
    assert last_error(client.data)["code"] == "stream_interrupted"
    assert b"[DONE]" not in client.data
    assert client.ended == 1
    assert scene.exchange.attempts[0].outcome == "stream_interrupted"
    assert scene.exchange.attempts[0].providers_fault
    assert scene.meter("llm_gateway_stream_cut_total") == 1


@on_stage
async def test_an_event_cut_in_the_middle_is_not_sent() -> None:
    client = await Scene(Answer([ROLE + HELLO, WORLD[:-9], LOST])).play()
    assert client.data.startswith(ROLE + HELLO + b'data: {"error"')


@pytest.mark.parametrize("end", [[], [LOST], [HANG]], ids=["ended", "broken", "silent"])
@on_stage
async def test_an_error_after_half_a_large_event_stands_on_a_line_of_its_own(end: list[GatewayError]) -> None:
    half = b'data: {"choices":[{"delta":{"content":"' + b"x" * 100_000
    client = await Scene(Answer([ROLE + HELLO, half, *end])).play(10)
    assert client.data.startswith(ROLE + HELLO + half + b'\n\ndata: {"error"')
    last_error(client.data)


@on_stage
async def test_a_whole_last_event_is_sent_before_the_break_is_told() -> None:
    client = await Scene(Answer([ROLE + HELLO, WORLD[:-2], LOST])).play()
    assert client.data.startswith(ROLE + HELLO + WORLD + b'data: {"error"')


@on_stage
async def test_a_finish_without_its_blank_line_is_a_finish() -> None:
    scene = Scene(Answer([ROLE + HELLO, STOP[:-2], LOST]))
    assert (await scene.play()).data == ROLE + HELLO + STOP + DONE
    assert scene.exchange.attempts[0].outcome == "ok"


@on_stage
async def test_two_choices_of_which_one_never_ends_are_cut() -> None:
    first, second = event(chunk("a")), event(chunk("b", index=1))
    scene = Scene(Answer([first + second + STOP]))
    client = await scene.play(n=2)
    assert last_error(client.data)["code"] == "stream_interrupted"
    assert scene.meter("llm_gateway_stream_cut_total") == 1


@on_stage
async def test_two_choices_of_which_one_never_begins_are_cut() -> None:
    client = await Scene(Answer([event(chunk("a")) + STOP])).play(n=2)
    assert last_error(client.data)["code"] == "stream_interrupted"


@on_stage
async def test_a_malformed_event_is_dropped_and_counted_and_the_rest_flows() -> None:
    scene = Scene(Answer([ROLE + HELLO + b"data: {broken\n\n" + WORLD + STOP + DONE]))
    assert (await scene.play()).data == ANSWER
    assert scene.meter("llm_gateway_stream_events_malformed_total") == 1
    assert scene.exchange.attempts[0].outcome == "ok"


@pytest.mark.parametrize("shape", SHAPES)
@on_stage
async def test_an_error_before_content_gets_its_true_status(shape: str) -> None:
    body, status = SHAPES[shape]
    scene = Scene(Answer([ROLE, b": processing\n\n", event(body), DONE]))
    client = await scene.play()
    assert (client.status, client.headers["content-type"]) == (status, "application/json")
    assert json.loads(client.data)["error"]["message"]
    assert scene.exchange.error is not None
    assert scene.exchange.attempts[0].outcome == scene.exchange.error.kind.code


@pytest.mark.parametrize("shape", [shape for shape, (_, status) in SHAPES.items() if status != 400])
@on_stage
async def test_an_error_before_content_is_tried_elsewhere(shape: str) -> None:
    scene = Scene(Answer([ROLE, event(SHAPES[shape][0])]), Answer([ANSWER]))
    client = await scene.play()
    assert (client.status, client.data) == (200, ANSWER)
    assert client.headers["x-gateway-provider"] == "p1"
    assert client.headers["x-gateway-attempts"] == "2"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("then", [[], [LOST], [HANG], [DONE]], ids=["ended", "broken", "silent", "done"])
@on_stage
async def test_an_error_after_content_is_passed_on_once(shape: str, then: list[bytes]) -> None:
    said = event(SHAPES[shape][0])
    scene = Scene(Answer([ROLE + HELLO, said, *then]))
    client = await scene.play(FINISH_GRACE + 0.1)
    assert client.data == ROLE + HELLO + said + b"".join(step for step in then if isinstance(step, bytes))
    assert client.ended == 1
    (attempt,) = scene.exchange.attempts
    assert scene.exchange.error is not None
    assert attempt.outcome == scene.exchange.error.kind.code != "ok"


@pytest.mark.parametrize("start", [[], [ROLE], [ROLE, b": wait\n\n", USAGE]], ids=["nothing", "role", "frames"])
@pytest.mark.parametrize("end", [[], [LOST]], ids=["ended", "broken"])
@on_stage
async def test_broken_before_content_is_a_clean_error_or_another_target(
    start: list[bytes], end: list[GatewayError]
) -> None:
    broken = Answer([*start, *end])
    client = await Scene(broken).play()
    assert (client.status, json.loads(client.data)["error"]["code"]) == (502, "provider_connection_lost")
    client = await Scene(broken, Answer([ANSWER])).play()
    assert (client.status, client.data) == (200, ANSWER)


@on_stage
async def test_lifecycle_frames_wait_for_content() -> None:
    scene = Scene(Answer([ROLE, 1.0, HELLO, 1.0, STOP + DONE]))
    task = scene.start()
    await scene.clock.advance(0.5)
    assert scene.client.status is None
    await scene.clock.advance(0.6)
    assert scene.client.data == ROLE + HELLO
    await scene.clock.advance(1.0)
    await task
    assert scene.client.data == ROLE + HELLO + STOP + DONE


@on_stage
async def test_an_empty_answer_is_an_answer() -> None:
    assert (await Scene(Answer([ROLE + STOP + DONE])).play()).data == ROLE + STOP + DONE
    assert (await Scene(Answer([ROLE + STOP])).play()).data == ROLE + STOP + DONE


@on_stage
async def test_frames_without_content_are_not_held_for_ever() -> None:
    frames = [b": " + b"x" * 60_000 + b"\n\n"] * 20
    scene = Scene(Answer([*frames, HANG]))
    task = scene.start()
    await scene.clock.advance(0.1)
    assert len(scene.client.data) > 1 << 20
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    "kind", ["application/json", "application/problem+json", "text/html; charset=utf-8", "image/png"]
)
@pytest.mark.parametrize("size", [10, 200_000])
@on_stage
async def test_what_is_no_event_stream_is_refused(kind: str, size: int) -> None:
    scene = Scene(Answer([b"<html>" + b"x" * size], headers={"content-type": kind}))
    client = await scene.play()
    assert (client.status, json.loads(client.data)["error"]["code"]) == (502, "provider_error")


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/plain"}, {"content-type": "Text/Event-Stream;charset=utf-8"}]
)
@on_stage
async def test_a_stream_may_be_ill_labelled(headers: dict[str, str]) -> None:
    assert (await Scene(Answer([ANSWER], headers=headers)).play()).data == ANSWER


@on_stage
async def test_an_error_in_one_json_document_gets_its_true_status() -> None:
    body = b'{"error":{"message":"no","type":"invalid_request_error","code":null}}'
    client = await Scene(Answer([body], headers=JSON)).play()
    assert client.status == 400


@pytest.mark.parametrize("stream", [True, False])
@on_stage
async def test_a_refusal_whose_body_breaks_keeps_its_status(stream: bool) -> None:
    body = b'{"error":{"message":"too lo'
    for end, seconds in ((LOST, 0.0), (HANG, 10.0)):
        client = await Scene(Answer([body, end], status=400, headers=JSON)).play(seconds, stream=stream)
        assert client.status == 400


@on_stage
async def test_the_client_leaves_while_it_is_written_to() -> None:
    class Leaving(Client):
        def write(self, data: bytes) -> None:
            self.gone = True
            raise ConnectionResetError

    scene = Scene(Answer([ROLE + HELLO, HANG]), client=Leaving())
    await scene.play()
    assert scene.exchange.ended_by == "client"
    assert scene.exchange.error is None
