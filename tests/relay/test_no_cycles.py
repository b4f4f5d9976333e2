"""An exchange that is over frees what it held at once: no cycle leaves it to the garbage collector.

A cycle around an exchange holds its body, its parsed fields and its answer; finding it again cost 18 µs a request.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest

from tests.relay.chat import ANSWER, HELLO, ROLE, STOP
from tests.relay.stage import JSON, Answer, Scene, on_stage

WHOLE = b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
OURS = {"Attempt", "Call", "Exchange", "Relay", "StreamReply", "Waiting", "Deadline", "Guard", "_Collected"}


@pytest.mark.parametrize(
    ("answers", "stream", "seconds"),
    [
        ([Answer([WHOLE], headers=JSON)], False, 0.0),
        ([Answer([ANSWER])], True, 0.0),
        ([Answer([ROLE, 2.0, HELLO, 2.0, STOP, 10.0])], True, 20.0),
    ],
    ids=["whole", "stream", "stream with comments"],
)
@on_stage
async def test_what_is_over_is_free(answers: Sequence[Answer], stream: bool, seconds: float) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            scene = Scene(*answers, keepalive_after=1.0)
            await scene.play(seconds, stream=stream)
            scene.settled.clear()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        garbage = [type(found).__name__ for found in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert OURS.isdisjoint(garbage), sorted(OURS.intersection(garbage))
