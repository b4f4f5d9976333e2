"""Each clock fires at its time and blames whom it should."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.relay import FINISH_GRACE
from gateway.whole import ERROR_PATIENCE
from tests.relay.chat import ANSWER, DONE, HELLO, ROLE, STOP, USAGE, WORLD, drip, last_error
from tests.relay.stage import HANG, JSON, LIMITS, TIMEOUTS, Answer, Client, Scene, on_stage

LATE = 0.05  # more than one tick of the wheel
WHOLE = b'{"choices":[]}'
SILENT: dict[str, tuple[Answer, float, str]] = {
    "no connection": (Answer(before_connection=[HANG]), TIMEOUTS.connect, "timeouts.connect"),
    "silent": (Answer(before_head=[HANG]), TIMEOUTS.first_content, "timeouts.first_content"),
    "slow connection, then silent": (
        Answer(before_connection=[1.5], before_head=[HANG]),
        1.5 + TIMEOUTS.first_content,
        "timeouts.first_content",
    ),
    "headers then silent": (Answer([HANG], before_head=[2.0]), TIMEOUTS.first_content, "timeouts.first_content"),
}
FRAMES: dict[str, tuple[Answer, float, str]] = {
    "lifecycle then silent": (Answer([ROLE, HANG]), TIMEOUTS.first_content, "timeouts.first_content"),
    "lifecycle for ever": (
        Answer([ROLE, *drip(100, 0.5, b": wait\n\n")]),
        TIMEOUTS.first_content,
        "timeouts.first_content",
    ),
}


async def _fails_at(scene: Scene, moment: float, words: str, **fields: Any) -> None:
    task = scene.start(**fields)
    await scene.clock.advance(moment - 0.01)
    assert not task.done(), "too early"
    await scene.clock.advance(0.01 + LATE)
    assert task.done(), "too late"
    scene.check_nothing_is_left()
    error = json.loads(scene.client.data)["error"]
    assert (scene.client.status, error["code"]) == (504, "timeout")
    assert words in error["message"]
    assert scene.exchange.attempts[0].providers_fault


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("case", SILENT)
@on_stage
async def test_before_content_each_clock_fires_at_its_time(case: str, stream: bool) -> None:
    answer, moment, words = SILENT[case]
    await _fails_at(Scene(answer), moment, words, stream=stream)


@pytest.mark.parametrize("case", FRAMES)
@on_stage
async def test_lifecycle_frames_do_not_stop_the_clock_of_the_first_content(case: str) -> None:
    answer, moment, words = FRAMES[case]
    await _fails_at(Scene(answer), moment, words)


@pytest.mark.parametrize("case", [*SILENT, *FRAMES])
@on_stage
async def test_before_content_a_second_target_takes_over(case: str) -> None:
    answer, moment, _ = (SILENT | FRAMES)[case]
    scene = Scene(answer, Answer([ANSWER]))
    client = await scene.play(moment + LATE)
    assert (client.status, client.data) == (200, ANSWER)
    assert [attempt.outcome for attempt in scene.exchange.attempts] == ["timeout", "ok"]


@on_stage
async def test_idle_in_a_whole_answer() -> None:
    scene = Scene(Answer([2.5, b'{"cho', 2.5, b'ices":', HANG], headers=JSON))
    await _fails_at(scene, 5.0 + TIMEOUTS.idle, "timeouts.idle", stream=False)


@on_stage
async def test_silence_in_a_stream_ends_it_with_an_error() -> None:
    scene = Scene(Answer([ROLE + HELLO, 2.9, WORLD, 2.9, WORLD, HANG]))
    task = scene.start()
    await scene.clock.advance(5.8 + TIMEOUTS.idle - 0.01)
    assert not task.done()
    await scene.clock.advance(LATE)
    assert task.done()
    scene.check_nothing_is_left()
    assert scene.client.data.startswith(ROLE + HELLO + WORLD + WORLD)
    assert "timeouts.idle" in last_error(scene.client.data)["message"]
    assert scene.meter("llm_gateway_stream_cut_total") == 1
    assert scene.exchange.attempts[0].providers_fault


@pytest.mark.parametrize("stream", [True, False])
@on_stage
async def test_total_ends_an_answer_that_never_ends(stream: bool) -> None:
    words = drip(200, HELLO if stream else b"x", 1.0)
    scene = Scene(Answer(words), Answer([ANSWER]))
    task = scene.start(stream=stream)
    await scene.clock.advance(TIMEOUTS.total - 0.01)
    assert not task.done()
    await scene.clock.advance(LATE)
    assert task.done()
    scene.check_nothing_is_left()
    error = last_error(scene.client.data) if stream else json.loads(scene.client.data)["error"]
    assert "timeouts.total" in error["message"]
    assert len(scene.exchange.attempts) == 1
    assert scene.exchange.ended_by == "total"


@on_stage
async def test_total_counts_over_all_attempts() -> None:
    timeouts = replace(TIMEOUTS, total=8.0)
    scene = Scene(Answer(before_head=[HANG]), Answer(before_head=[HANG]), Answer([ANSWER]), timeouts=timeouts)
    await scene.play(8.0 + LATE)
    assert "timeouts.total" in json.loads(scene.client.data)["error"]["message"]
    assert len(scene.exchange.attempts) == 2
    assert scene.exchange.ended_by == "total"


@on_stage
async def test_a_client_that_takes_nothing_is_cut_at_its_own_fault() -> None:
    scene = Scene(Answer([ROLE + HELLO, HANG]))
    scene.client.stalled = True
    task = scene.start()
    await scene.clock.advance(LIMITS.client_write - 0.01)
    assert TIMEOUTS.idle < LIMITS.client_write
    assert not task.done(), "the upstream's clock ran meanwhile"
    await scene.clock.advance(LATE)
    assert task.done()
    scene.check_nothing_is_left()
    assert scene.client.aborted == 1
    assert scene.exchange.ended_by == "client"
    assert scene.exchange.attempts[0].providers_fault is False
    assert scene.meter("llm_gateway_stream_cut_total") == 0


@on_stage
async def test_a_client_that_takes_again_goes_on_and_the_idle_clock_starts_anew() -> None:
    scene = Scene(Answer([ROLE + HELLO, 2.5, WORLD + STOP + DONE]))
    scene.client.stalled = True
    task = scene.start()
    await scene.clock.advance(3.5)
    scene.client.take()
    await scene.clock.advance(2.4)
    assert not task.done()
    await scene.clock.advance(0.2)
    await task
    assert scene.client.data == ANSWER


@pytest.mark.parametrize("end", [[STOP + DONE], [STOP], [STOP, HANG]], ids=["done", "finish", "open"])
@on_stage
async def test_a_client_that_stalls_at_the_very_end_is_cut(end: list[bytes]) -> None:
    scene = Scene(Answer([ROLE + HELLO, 1.0, *end]))
    task = scene.start()
    await scene.clock.advance(0.5)
    scene.client.stalled = True
    await scene.clock.advance(0.5 + LIMITS.client_write + LATE)
    assert task.done()
    scene.check_nothing_is_left()
    assert scene.client.aborted == 1
    assert scene.exchange.ended_by == "client"
    assert not scene.exchange.attempts[0].providers_fault


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("status", [200, 400])
@on_stage
async def test_a_client_that_takes_nothing_of_a_whole_answer_is_cut(size: int, status: int) -> None:
    body = json.dumps({"error" if status == 400 else "choices": {"message": "x" * size}}).encode()
    scene = Scene(Answer([body], headers=JSON, status=status))
    scene.client.stalled = True
    task = scene.start(stream=False)
    await scene.clock.advance(LIMITS.client_write + LATE)
    assert task.done()
    scene.check_nothing_is_left()
    assert scene.client.aborted == 1
    assert scene.exchange.ended_by == "client"


@on_stage
async def test_a_client_that_takes_not_even_the_error_is_cut() -> None:
    scene = Scene(Answer([ROLE + HELLO, HANG]))
    task = scene.start()
    await scene.clock.advance(1.0)
    scene.client.stalled = True
    await scene.clock.advance(TIMEOUTS.idle + LIMITS.client_write + LATE)
    assert task.done()
    scene.check_nothing_is_left()
    assert scene.client.aborted == 1


@on_stage
async def test_total_that_passes_while_the_client_stalls_is_not_the_providers_fault() -> None:
    scene = Scene(Answer([ROLE + HELLO, 1.0, WORLD, HANG]), timeouts=replace(TIMEOUTS, total=3.0))
    task = scene.start()
    await scene.clock.advance(0.5)
    scene.client.stalled = True
    await scene.clock.advance(2.5 + LATE)
    assert task.done()
    scene.check_nothing_is_left()
    assert scene.exchange.attempts[0].providers_fault is False
    assert scene.client.aborted == 1


@on_stage
async def test_a_slow_client_does_not_use_up_the_grace_of_the_end() -> None:
    scene = Scene(Answer([ROLE + HELLO + STOP, FINISH_GRACE - 1, DONE]), client_write=100.0)
    scene.client.stalled = True
    task = scene.start()
    await scene.clock.advance(FINISH_GRACE + 3)
    scene.client.take()
    await scene.clock.advance(FINISH_GRACE - 1)
    assert task.done()
    assert scene.client.data == ROLE + HELLO + STOP + DONE


@on_stage
async def test_nor_does_one_that_lags_within_the_grace() -> None:
    scene = Scene(Answer([ROLE + HELLO + STOP, 1.0, b": bye\n\n", FINISH_GRACE - 2, USAGE + DONE]), client_write=100.0)
    task = scene.start()
    await scene.clock.advance(0.5)
    scene.client.stalled = True
    await scene.clock.advance(FINISH_GRACE + 3)
    scene.client.take()
    await scene.clock.advance(FINISH_GRACE - 1.5)
    assert task.done()
    assert scene.client.data == ROLE + HELLO + STOP + b": bye\n\n" + DONE
    assert scene.exchange.usage is not None, "the end was not waited for"


class StallingEnd(Client):
    """Takes everything but the end."""

    async def end(self) -> None:
        self.stalled = True
        await super().end()


@pytest.mark.parametrize("end", [STOP + DONE, STOP], ids=["done", "finish"])
@on_stage
async def test_a_client_that_does_not_take_the_mere_end_is_cut(end: bytes) -> None:
    scene = Scene(Answer([ROLE + HELLO, end]), client=StallingEnd(), keepalive_after=1.0)
    await scene.play(LIMITS.client_write + LATE)
    assert scene.client.aborted == 1
    assert scene.exchange.ended_by == "client"
    assert not scene.exchange.attempts[0].providers_fault


@on_stage
async def test_a_whole_answer_gives_the_client_its_time_for_each_piece() -> None:
    body = json.dumps({"choices": "x" * 300_000}).encode()
    scene = Scene(Answer([body], headers=JSON))
    scene.client.stalled = True
    task = scene.start(stream=False)
    for _ in range(6):
        await scene.clock.advance(LIMITS.client_write - 1)
        assert not task.done()
        scene.client.take()
        scene.client.stalled = True
    scene.client.take()
    await scene.clock.advance(0)
    assert task.done()
    assert scene.client.data == body


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("rest", [[HANG], drip(100, 1.0, b" ")], ids=["silent", "dripping"])
@on_stage
async def test_the_rest_of_a_refusal_is_not_waited_for_long(rest: list[Any], stream: bool) -> None:
    refusal = Answer([b'{"error":', *rest], status=503, headers=JSON)
    scene = Scene(refusal, timeouts=replace(TIMEOUTS, idle=30.0))
    task = scene.start(stream=stream)
    await scene.clock.advance(ERROR_PATIENCE - 0.01)
    assert not task.done(), "too early"
    await scene.clock.advance(0.01 + LATE)
    assert task.done(), "too late"
    assert (scene.client.status, scene.exchange.ended_by) == (503, None)
    scene.check_nothing_is_left()


@on_stage
async def test_large_parts_give_the_client_its_time_for_each_piece() -> None:
    event = HELLO.replace(b"Hello", b"x" * 50_000) * 5
    scene = Scene(Answer([ROLE + HELLO, event + STOP + DONE]))
    task = scene.start()
    scene.client.stalled = True
    for _ in range(3):
        await scene.clock.advance(LIMITS.client_write - 1)
        scene.client.take()
        scene.client.stalled = True
    scene.client.take()
    await scene.clock.advance(0)
    assert task.done()
    assert scene.client.data == ROLE + HELLO + event + STOP + DONE


@on_stage
async def test_text_that_goes_on_after_the_finish_reason_is_not_cut_off() -> None:
    late = [part for _ in range(4) for part in (FINISH_GRACE - 1, WORLD)]
    scene = Scene(Answer([ROLE + HELLO + STOP, *late, DONE]))
    client = await scene.play(4 * FINISH_GRACE)
    assert client.data == ROLE + HELLO + STOP + WORLD * 4 + DONE
