"""The corpus: each lane refuses it and closes, alone and behind nginx, and nothing that hides in it is ever served."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from tests.equivalence.conversation import Outcome, hold, one
from tests.equivalence.corpus import HONEST, Case, head
from tests.equivalence.corpus_heads import EVERY, SOUND
from tests.equivalence.stage import LANES, Side, Stage
from tests.harness import FakeProvider, eventually
from tests.harness.nginx import Nginx

MARK = head(b"X-Request-Id: mark-%d", b"Content-Length: %d" % len(HONEST), body=HONEST)
GIVES_UP = 3.0  # seconds; behind nginx a case may wait for what never comes


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as running:
        yield running


@pytest.fixture(scope="module")
def heard(stage: Stage) -> dict[str, dict[str, Outcome]]:
    """Every case, alone on its connection, with both lanes; what hides behind it would have had its turn by now."""
    cases = EVERY | {f"sound: {name}": case for name, case in SOUND.items()}
    outcomes = stage.hold([one(case.raw) for case in cases.values()])
    stage.each(_has_settled)
    return {
        side.lane: dict(zip(cases, (each[number] for each in outcomes), strict=True))
        for number, side in enumerate(stage.sides)
    }


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("name", EVERY)
def test_it_is_refused_and_the_connection_ends(heard: dict[str, dict[str, Outcome]], lane: str, name: str) -> None:
    outcome, case = heard[lane][name], EVERY[name]
    assert outcome.end == "closed"
    assert len(outcome.answers) == 1, outcome.statuses
    (answer,) = outcome.answers
    assert answer.status in case.expects
    assert answer.header("connection") == "close"
    assert answer.header("content-type") == "application/json"
    assert set(json.loads(answer.body)) == {"error"}
    assert b"smuggled" not in answer.body
    assert b"gateway.test" not in answer.body, "the client's bytes are not quoted"
    assert not outcome.rest


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("name", SOUND)
def test_it_is_sound_and_served(heard: dict[str, dict[str, Outcome]], lane: str, name: str) -> None:
    outcome = heard[lane][f"sound: {name}"]
    assert outcome.statuses[0] == 200
    assert json.loads(outcome.answers[0].body)["choices"]


def test_nobody_serves_what_hides(stage: Stage, heard: object) -> None:
    for side in stage.sides:
        assert calls(side.provider.seen) == {"honest"}
        assert not [line for line in side.gateway.access if "smuggled" in json.dumps(line)]
        assert not [line for line in side.gateway.log if line["level"] in ("error", "warning")]


@pytest.mark.skipif(Nginx.program is None, reason="nginx is not installed")
@pytest.mark.parametrize("number", range(len(LANES)), ids=LANES)
def test_nor_behind_nginx(stage: Stage, number: int) -> None:
    """nginx refuses some by itself and makes others sound; the rest must not be understood in two ways by the two."""
    side = stage.sides[number]
    before = len(side.provider.seen)
    options = "client_body_timeout 1s; proxy_request_buffering off;"
    with Nginx(f"127.0.0.1:{side.gateway.port}", options=options) as nginx:
        raws = [case.raw for case in EVERY.values()]
        outcomes = hold(nginx.port, [one(raw) for raw in raws], ceiling=GIVES_UP)
        _has_settled(side, nginx.port)
        seen = side.provider.seen[before:]
        assert calls(seen) <= {"honest"}
        assert len(seen) <= len(raws) + 1, "more calls than clients made"
        assert not [line for line in side.gateway.access if line["request_id"] == "smuggled"]
        assert sum(400 in outcome.statuses for outcome in outcomes) > len(raws) / 2
        sound = hold(nginx.port, [one(case.raw) for case in SOUND.values()], ceiling=GIVES_UP)
        assert sum(outcome.statuses[:1] == [200] for outcome in sound) > len(SOUND) / 2


def calls(seen: Sequence[object]) -> set[str]:
    """The words of every call that reached a provider."""
    return {each.json["messages"][0]["content"] for each in seen}  # type: ignore[attr-defined]


def _has_settled(side: Side, port: int | None = None) -> None:
    """A sound call, made after all others, has been answered and written down, and nothing runs any more."""
    mark = MARK.replace(b"%d", b"%d" % len(side.gateway.access), 1)
    name = f"mark-{len(side.gateway.access)}"
    (answered,) = hold(port or side.gateway.port, [one(mark)])
    assert answered.statuses[:1] == [200]
    if port is None:
        side.gateway.access_of(name)
    eventually(lambda: side.gateway.metrics()["llm_gateway_active_requests"] == 0)
