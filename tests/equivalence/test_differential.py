"""Generated conversations, sound, odd and broken, with both lanes: what they answer differs only as docs/lanes.md says.

What differs in the crowd is held once more, alone: a pause of the machine may have let a clock run out. So there is a
second rule: such chance differences are few.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.equivalence import generator, normal
from tests.equivalence.conversation import Outcome, Script, bytewise, hold, one
from tests.equivalence.differences import DIFFERENCES, judged
from tests.equivalence.stage import Side, Stage
from tests.harness import eventually

BATCH = 500
SHARE_OF_CHANCE = 0.01
RARE = {
    "a late head",
    "a broken answer's reason",
    "too much behind",
    "trailers",
    "Sec-WebSocket-Key1",
    "an odd authority",
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as running:
        yield running
        running.each(_is_well)


@pytest.mark.parametrize(("count", "seed"), [(2_500, 1), pytest.param(40_000, 2, marks=pytest.mark.soak)])
def test_both_lanes_answer_alike(stage: Stage, count: int, seed: int) -> None:
    dice = random.Random(seed)
    used: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    chance, different = 0, []
    for _ in range(count // BATCH):
        scripts = [generator.script(dice) for _ in range(BATCH)]
        for script, (fast, aiohttp) in zip(scripts, stage.hold(scripts), strict=True):
            same, excuses = judged(script, fast, aiohttp)
            used.update(excuses)
            statuses.update(fast.statuses)
            if not same and (shown := again(stage, script)) is not None:
                different.append(shown)
            elif not same:
                chance += 1
    assert not different, f"{len(different)}, the shortest:\n{min(different, key=len)}"
    assert chance <= count * SHARE_OF_CHANCE
    assert {200, 400, 404, 405, 413, 429, 502} <= statuses.keys(), "the generator has become tame"
    assert statuses[200] > count / 2
    assert {each.name for each in DIFFERENCES} - used.keys() <= RARE, used


def again(stage: Stage, script: Script) -> str | None:
    """The script alone, three times: how it differs, if it does every time."""
    for _ in range(3):
        ((fast, aiohttp),) = stage.hold([script])
        if judged(script, fast, aiohttp)[0]:
            return None
    return f"{script}\n{normal.outcome(fast)}\n{normal.outcome(aiohttp)}"


@pytest.mark.parametrize(("count", "seed"), [(300, 3), pytest.param(10_000, 4, marks=pytest.mark.soak)])
def test_the_fast_lane_reads_the_same_however_it_is_cut(stage: Stage, count: int, seed: int) -> None:
    """In one piece and byte by byte; only whether a body is awaited, or seen to be unread, may depend on that."""
    side, dice = stage.sides[0], random.Random(seed)
    wholes = [b"".join(generator.request(dice) for _ in range(dice.choice((1, 2)))) for _ in range(count)]
    wholes = [whole for whole in wholes if len(whole) < 4_000]
    scripts = [one(whole) for whole in wholes]
    cut = [one(*bytewise(whole)) for whole in wholes]
    for script, pieces, first, second in zip(
        scripts, cut, hold(side.gateway.port, scripts), hold(side.gateway.port, cut), strict=True
    ):
        if not _agree(script, first, second):
            (first,), (second,) = hold(side.gateway.port, [script]), hold(side.gateway.port, [pieces])
            assert _agree(script, first, second), f"{script}\n{normal.outcome(first)}\n{normal.outcome(second)}"


def _agree(script: Script, whole: Outcome, cut: Outcome) -> bool:
    orders = (whole, cut), (cut, whole)
    return any(judged(script, *order, allowed=("100 Continue", "an unread body"))[0] for order in orders)


def _is_well(side: Side) -> None:
    """Nothing is left of what was asked, and nobody has complained."""
    eventually(lambda: side.gateway.metrics()["llm_gateway_active_requests"] == 0)
    assert not [line for line in side.gateway.log if line["level"] in ("error", "warning")]
    assert not [seen for seen in side.provider.seen if seen.method != "POST" or not seen.path.startswith("/v1/")]
