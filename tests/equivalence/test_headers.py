"""No header of a client's reaches a provider, none of a provider's reaches a client, and none can end a line early.

The provider is asked with a head that the configuration alone decides: whatever the client says, it is the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.equivalence.acts import PRIVATE
from tests.equivalence.cases import EVERYBODYS, body, call, page
from tests.equivalence.conversation import Said, hold, one
from tests.equivalence.generator import NAMES, VALUES
from tests.equivalence.stage import CHAT, LANES, Side, Stage, configuration
from tests.harness import Gateway
from tests.server.raw import chunked

OURS = {
    "date",
    "server",
    "content-type",
    "x-request-id",
    "x-gateway-provider",
    "x-gateway-model",
    "x-gateway-attempts",
    "server-timing",
}
FRAMING = {"content-length", "transfer-encoding", "connection"}
STREAMS = {"cache-control", "x-accel-buffering"}
ERRORS = {"x-should-retry", "retry-after"}
UNUSUAL = [
    {"Connection": "X-Secret, close", "X-Secret": "hop"},
    {"Connection": "keep-alive, X-Secret", "X-Secret": "hop"},
    {"Keep-Alive": "timeout=1", "Proxy-Connection": "close", "Proxy-Authorization": "Basic secret"},
    {"TE": "trailers, deflate", "Trailer": "X-Secret", "Upgrade": "websocket", "Connection": "Upgrade"},
    {"Authorization": "Bearer secret", "Cookie": "secret", "X-Api-Key": "secret", "OpenAI-Organization": "secret"},
    {
        "X-Forwarded-For": "secret",
        "Forwarded": "for=secret",
        "Via": "secret",
        "X-Real-Ip": "secret",
        "X-Forwarded-Host": "secret",
    },
    {"Content-Type": "text/plain; secret", "Accept": "text/secret", "Accept-Encoding": "br", "Range": "bytes=0-1"},
    {
        "X-Gateway-Peer": "secret",
        "X-Gateway-Method": "HEAD",
        "X-Gateway-Error": "secret secret",
        "X-Gateway-Provider": "secret",
    },
    {"X-Request-Id": "a\x0bX-Secret: 1", "X-Correlation-Id": "a\x85X-Secret: 1", "User-Agent": 'a"}\x0c{"secret":"'},
    EVERYBODYS,
]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as running:
        yield running


@pytest.fixture(params=range(len(LANES)), ids=LANES)
def side(stage: Stage, request: pytest.FixtureRequest) -> Side:
    number: int = request.param
    return stage.sides[number]


def ask(side: Side, *raws: bytes) -> list[Said]:
    """Each over a connection of its own; the first answer of each."""
    return [outcome.answers[0] for outcome in hold(side.gateway.port, [one(raw) for raw in raws])]


def test_a_provider_hears_no_header_of_a_client(side: Side) -> None:
    (plain,) = hold(side.gateway.port, [one(call())])
    assert plain.statuses == [200, 200]
    expected = side.provider.seen[-1].head
    assert expected.count(b"\r\n") == len(side.provider.seen[-1].headers) + 2, "a header twice"
    asked = len(side.provider.seen)
    raws = [call(headers=each) for each in UNUSUAL] + [
        call(headers={"X-A": value.decode("latin-1")}) for value in VALUES
    ]
    raws += [call().replace(b"Host:", name + b": secret\r\nHost:") for name in NAMES if name]
    raws += [call(path=f"{CHAT}?secret=%0d%0aX-Secret:1"), call(path=f"http://secret.test{CHAT}")]
    raws += [call(data=chunked(body())[:-2] + b"X-Secret: 1\r\n\r\n", headers={"Transfer-Encoding": "chunked"})]
    outcomes = hold(side.gateway.port, [one(raw) for raw in raws])
    seen = side.provider.seen[asked:]
    assert len(seen) == sum(bool(outcome.answers) and outcome.answers[0].status == 200 for outcome in outcomes)
    assert len(seen) > len(UNUSUAL) + 10
    assert {each.head for each in seen} == {expected}


@pytest.mark.parametrize("play", ["private", "private stream", "private error"])
def test_a_client_hears_no_header_of_a_provider(side: Side, play: str) -> None:
    (said,) = ask(side, call(play, stream=play == "private stream"))
    assert {name for name, _ in said.headers} <= OURS | FRAMING | STREAMS | ERRORS
    assert "private" not in str([pair for pair in said.headers if not pair[0].startswith("x-gateway-")])
    assert said.header("x-gateway-provider") == "p0"
    assert said.header("server") == "llm-gateway"
    assert not {value for _, value in said.headers} & set(PRIVATE.values()) - {"private"}


def test_what_a_client_may_choose_comes_back_harmless(side: Side) -> None:
    """Its request id, if it is sane; names within messages, which are JSON."""
    evil = "a\r\nX-Injected: 1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    raws = [
        call(model=evil),
        call(play=evil),
        page("/v1/models/a%0d%0aX-Injected:%201"),
        page("/%0d%0aX-Injected:%201%0d%0a%0d%0aHTTP/1.1%20200%20OK"),
        *(
            call(headers={"X-Request-Id": each})
            for each in ("a b", "a\tX-Injected: 1", "a\x85b", "é", "a;X-Injected: 1")
        ),
    ]
    for raw, said in zip(raws, ask(side, *raws), strict=True):
        assert {name for name, _ in said.headers} <= OURS | FRAMING | ERRORS, raw
        assert not [value for _, value in said.headers if "njected" in value], raw
        json.loads(said.body)


def test_one_request_is_one_line_of_the_log_whatever_it_says(side: Side) -> None:
    """And every line is JSON of our own fields, with text of the client's inside of strings only."""
    texts = [
        *(value.decode("latin-1") for value in VALUES),
        '","path":"/x"}\n{"a":"',
        "\x1b[2J",
        "\x85\xa0",
        "\u2028".encode().decode("latin-1"),
    ]
    raws = [call(headers={"X-Request-Id": f"line-{number}", "User-Agent": text}) for number, text in enumerate(texts)]
    raws += [page(f"/caf%0a%0d/{number}", headers={"X-Request-Id": f"line-p{number}"}) for number in range(3)]
    answers = [
        outcome.answers[0].header("x-request-id") for outcome in hold(side.gateway.port, [one(raw) for raw in raws])
    ]
    taken = [each for each in answers if each and each.startswith("line-")]
    assert len(taken) > len(texts) / 2
    for each in taken:
        side.gateway.access_of(each)
    raw_lines = (side.gateway.folder / "access.log").read_bytes().split(b"\n")[:-1]
    lines = [json.loads(line) for line in raw_lines]
    assert not [line for line in raw_lines if any(byte < 0x20 or byte == 0x7F for byte in line)]
    for each in taken:
        assert sum(line["request_id"] == each for line in lines) == 1
    assert not any("a" in line for line in lines)


@pytest.mark.parametrize("name", ["a\r\nX-Injected: 1", "mödel", "\u2028"])
def test_a_configured_name_that_is_no_header_value_is_refused(name: str) -> None:
    """A model's name at its provider is shown in a header."""
    config: dict[str, Any] = configuration("http://127.0.0.1:9/v1")
    config["providers"]["p0"]["models"]["m"] = {"id": name}
    with pytest.raises(AssertionError, match="visible ASCII"):
        Gateway(config).__enter__()
