"""The corpus: each lane refuses it and closes, whole or byte by byte, alone and behind nginx; what hides stays so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from tests.equivalence.conversation import Outcome, Said, bytewise, hold, one
from tests.equivalence.corpus import HIDDEN, HONEST, LENGTH, SMUGGLED, Case, head
from tests.equivalence.corpus_heads import EVERY, SOUND
from tests.equivalence.stage import CHAT, LANES, Side, Stage
from tests.harness import eventually
from tests.harness.fake_provider import Seen
from tests.harness.nginx import Nginx

GIVES_UP = 1.5  # seconds; behind nginx a case may wait for what never comes
Heard = dict[tuple[str, str, str], Outcome]  # by lane, way of sending and case


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as running:
        yield running


@pytest.fixture(scope="module")
def heard(stage: Stage) -> Heard:
    """Every case with both lanes; what hides in one would have had its turn by the time that this is done."""
    scripts = {
        **{("hiding", name): one(case.raw) for name, case in EVERY.items()},
        **{("alone", name): one(alone(case), closer=False) for name, case in EVERY.items()},
        **{("byte by byte", name): one(*bytewise(case.raw)) for name, case in EVERY.items() if len(case.raw) < 5_000},
        **{("sound", name): one(raw) for name, raw in SOUND.items()},
    }
    outcomes = stage.hold(list(scripts.values()))
    stage.each(lambda side: settled(side, side.gateway.port))
    return {
        (side.lane, *way): each[number]
        for number, side in enumerate(stage.sides)
        for way, each in zip(scripts, outcomes, strict=True)
    }


def alone(case: Case) -> bytes:
    """Without what hides in it, so that nothing else can be the reason for its refusal."""
    return case.raw.removesuffix(SMUGGLED)


def test_all_of_it_is_refused_and_the_connection_ends(heard: Heard) -> None:
    for (lane, way, name), outcome in heard.items():
        if way != "sound":
            status = EVERY[name].alone if way == "alone" else EVERY[name].status
            patient = (lane, way) == ("aiohttp", "byte by byte")  # "a broken body" in docs/lanes.md
            assert outcome.statuses in ([status], [408 if patient else status]), (lane, way, name, outcome.statuses)
            assert (outcome.end, outcome.rest) == ("closed", b""), (lane, way, name)
            says_so(outcome.answers[0])


def says_so(answer: Said) -> None:
    """In our shape, with the end of the connection, and without a word of the client's."""
    assert answer.header("connection") == "close"
    assert answer.header("content-type") == "application/json"
    if answer.body:  # none after HEAD
        assert set(json.loads(answer.body)) == {"error"}
    assert b"smuggled" not in answer.body
    assert b"gateway.test" not in answer.body


def test_what_is_sound_after_all_is_served(heard: Heard) -> None:
    for (lane, way, name), outcome in heard.items():
        if way == "sound":
            assert outcome.statuses[0] == 200, (lane, name)
            assert json.loads(outcome.answers[0].body)["choices"]


def test_nobody_serves_what_hides(stage: Stage, heard: Heard) -> None:
    for side in stage.sides:
        assert words(side.provider.seen) == {"honest"}
        assert not [line for line in side.gateway.access if "smuggled" in json.dumps(line)]
        assert not [line for line in side.gateway.log if line["level"] in ("error", "warning")]


@pytest.mark.parametrize("number", range(len(LANES)), ids=LANES)
def test_what_stands_behind_an_offered_upgrade_is_no_request(stage: Stage, number: int) -> None:
    """aiohttp drops what came in the same read, and would take the rest of it, which comes later, for a request."""
    side = stage.sides[number]
    outer = head(b"Content-Length: %d" % (len(HONEST) + len(SMUGGLED)), body=HONEST)
    offered = head(b"Upgrade: h2c", b"Connection: Upgrade", line=b"GET /live HTTP/1.1\r\n")
    (outcome,) = hold(side.gateway.port, [one(offered + outer, SMUGGLED, in_turn=True)])
    assert outcome.statuses[0] == 200
    settled(side, side.gateway.port)
    assert words(side.provider.seen) <= {"honest"}


@pytest.mark.parametrize("number", range(len(LANES)), ids=LANES)
@pytest.mark.parametrize(
    "trailer", [b"X-Request-Id: leaked", b"User-Agent: leaked", b"Content-Encoding: br", b"Expect: x"]
)
def test_a_trailer_is_no_header_of_the_next_request(stage: Stage, number: int, trailer: bytes) -> None:
    """aiohttp takes the last one for one; its connection ends before."""
    side = stage.sides[number]
    chunks = head(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n" + trailer + b"\r\n\r\n")
    (outcome,) = hold(side.gateway.port, [one(chunks, head(LENGTH, body=HONEST), in_turn=True)])
    assert outcome.statuses[0] == 400
    assert outcome.statuses[1:] in ([], [200, 200])
    settled(side, side.gateway.port)
    assert not [line for line in side.gateway.access if "leaked" in json.dumps(line)]


@pytest.mark.skipif(Nginx.program is None, reason="nginx is not installed")
@pytest.mark.parametrize("number", range(len(LANES)), ids=LANES)
def test_nor_is_it_served_behind_nginx(stage: Stage, number: int) -> None:
    """nginx refuses some by itself and makes others sound, so that what hid is plainly a request to it.

    What must not be is a disagreement: a call that nginx does not know to have passed on, or one with another's body.
    """
    side = stage.sides[number]
    before = len(side.provider.seen)
    options = "client_body_timeout 1s; proxy_request_buffering off;"
    with Nginx(f"127.0.0.1:{side.gateway.port}", options=options) as nginx:
        outcomes = hold(nginx.port, [one(case.raw) for case in EVERY.values()], ceiling=GIVES_UP)
        settled(side, nginx.port)
        calls = side.provider.seen[before:]
        passed_on = [
            line
            for line in (nginx.folder / "access.log").read_text().splitlines()
            if f"{CHAT} HTTP" in line and '" 200 ' in line
        ]
        assert len(calls) == len(passed_on)
        assert {call.body for call in calls} <= {HONEST, HIDDEN}
        served = [name for name, outcome in zip(EVERY, outcomes, strict=True) if 200 in outcome.statuses]
        assert len(served) < len(EVERY) / 3, served
        sound = hold(nginx.port, [one(raw) for raw in SOUND.values()], ceiling=GIVES_UP)
        assert sum(outcome.statuses[:1] == [200] for outcome in sound) > len(SOUND) / 2


def words(seen: Sequence[Seen]) -> set[str]:
    """Of every call that reached a provider."""
    return {each.json["messages"][0]["content"] for each in seen}


def settled(side: Side, port: int) -> None:
    """A sound call, made after all others, is answered and written down, and nothing runs any more."""
    name = f"mark-{len(side.gateway.access)}"
    mark = head(b"X-Request-Id: " + name.encode(), LENGTH, body=HONEST)
    (answered,) = hold(port, [one(mark)])
    assert answered.statuses[:1] == [200]
    side.gateway.access_of(name)
    eventually(lambda: side.gateway.metrics()["llm_gateway_active_requests"] == 0)
