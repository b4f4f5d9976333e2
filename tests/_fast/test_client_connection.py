"""Requests on one connection: what is taken for one, in whatever pieces it comes, and in which order it is answered."""

from __future__ import annotations

import random

import pytest

from benchmarks.bodies import SDK_HEADERS, chat
from benchmarks.bodies import request as sdk_request
from tests._fast.client_side import ANSWER, Seen, Stage, in_loop

GET = b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST /p HTTP/%b\r\nHost: a\r\n%b\r\n%b" % (version, b"".join(lines), body)


SEQUENCE = [
    sdk_request(8080, chat("m")[:80], SDK_HEADERS),
    post(CHUNKED, body=b"3;ext=1\r\nabc\r\n1\r\nd\r\n0\r\nX-Trailer: t\r\nHost: evil\r\n\r\n"),
    b"\r\n\r\n" + GET,
    post(OFFER, b"Content-Length: 5\r\n", body=b"GET /"),
    post(OFFER, CHUNKED, body=b"2\r\nhi\r\n0\r\n\r\n"),
    post(OFFER),
    b"HEAD http://other/p?q HTTP/1.1\r\nHost: a\r\n\r\n",
    post(b"Connection: keep-alive\r\n", b"Content-Length: 0\r\n", version=b"1.0"),
    post(b"Content-Length: 3\r\n", body=b"end"),
]
BODIES = [chat("m")[:80], b"abcd", b"", b"GET /", b"hi", b"", b"", b"", b"end"]
ENDINGS = {"nothing": b"", "nonsense": b"\x16\x03\x01 nonsense\r\n\r\n", "close": post(b"Connection: close\r\n") + GET}


def told(data: bytes, cuts: list[int]) -> tuple[list[Seen], bytes, str, list[tuple[str, str]]]:
    """What became of it, cut at these places."""
    stage = Stage()
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if stage.reading:
            stage.feed(data[start:end], answering=True)
    return stage.lane.seen, stage.transport.data, stage.transport.fate, stage.lane.refusals


@pytest.mark.parametrize("ending", ENDINGS)
@in_loop
def test_however_it_is_cut_it_means_the_same(ending: str) -> None:
    data = b"".join(SEQUENCE) + ENDINGS[ending]
    seen, out, fate, refusals = whole = told(data, [])
    assert [each.body for each in seen[:9]] == BODIES
    assert len(seen) == 9 + (ending == "close")
    assert dict(seen[0].headers) == {
        "host": "127.0.0.1:8080",
        "content-length": "80",
        **{name.lower(): value for name, value in SDK_HEADERS.items()},
    }
    assert "x-trailer" not in seen[2].headers
    assert [each.headers["host"] for each in seen[1:]] == [*["a"] * 5, "other", *["a"] * (len(seen) - 7)]
    assert seen[7].version == (1, 0)
    assert out.count(b"HTTP/1.") == len(seen) + (ending == "nonsense")
    assert fate == {"nothing": "open", "nonsense": "shut", "close": "closed"}[ending]
    assert [kind for kind, _ in refusals] == (["malformed"] if ending == "nonsense" else [])
    for place in range(1, len(data)):
        assert told(data, [place]) == whole, data[:place]
    assert told(data, list(range(1, len(data)))) == whole
    dice = random.Random(4)
    for _ in range(300):
        assert told(data, sorted(dice.sample(range(1, len(data)), dice.randrange(2, 20)))) == whole


@in_loop
def test_answers_go_out_in_order_one_at_a_time() -> None:
    stage = Stage().feed(GET * 3)
    for number in range(3):
        assert len(stage.lane.begun) == number + 1
        stage.request.send(200 + number, ANSWER, b"")
    assert stage.statuses() == [200, 201, 202]
    assert not stage.connection.busy
    assert stage.transport.fate == "open"


@in_loop
def test_what_follows_a_request_to_close_is_not_served() -> None:
    for rest in (GET, b"nonsense", b"\0" * 1000):
        for pieces in ([post(b"Connection: close\r\n") + rest], [post(b"Connection: close\r\n"), rest]):
            stage = Stage().feed(*pieces)
            stage.lane.turn()
            assert (stage.statuses(), stage.transport.fate) == ([200], "closed")
            assert b"connection: close\r\n" in stage.transport.data
            assert stage.lane.refusals == []


@pytest.mark.parametrize(
    ("lines", "kept", "says"),
    [(b"", False, b"connection: close\r\n"), (b"Connection: Keep-Alive\r\n", True, b"connection: keep-alive\r\n")],
)
@in_loop
def test_http_1_0(lines: bytes, kept: bool, says: bytes) -> None:
    stage = Stage().feed(post(lines, version=b"1.0"), answering=True)
    assert stage.transport.data.startswith(b"HTTP/1.0 200 OK\r\n")
    assert says in stage.transport.data
    assert stage.reading is kept


@in_loop
def test_http_1_0_gets_a_stream_that_ends_with_the_connection() -> None:
    stage = Stage().feed(post(b"Connection: Keep-Alive\r\n", version=b"1.0"))
    request = stage.request
    request.begin(200, ANSWER)
    assert stage.transport.out == []
    request.write(b"one")
    request.write(b"two")
    request.end()
    head, _, body = stage.transport.data.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert (body, stage.transport.fate) == (b"onetwo", "closed")


BROKEN = {
    "no HTTP": b"hello\r\n\r\n",
    "a method nobody knows": b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "a bare CR": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked\r\n"),
    "chunked in 1.0": post(CHUNKED, version=b"1.0"),
    "both framings": post(CHUNKED, b"Content-Length: 3\r\n", body=b"0\r\n\r\n"),
    "both framings, turned": post(b"Content-Length: 3\r\n", CHUNKED, body=b"0\r\n\r\n"),
    "two lengths": post(b"Content-Length: 1\r\nContent-Length: 2\r\n", body=b"ab"),
    "a list of lengths": post(b"Content-Length: 1, 1\r\n", body=b"a"),
    "a signed length": post(b"Content-Length: +1\r\n", body=b"a"),
    "a length of nothing": post(b"Content-Length: \r\n"),
    "an endless length": post(b"Content-Length: " + b"9" * 19 + b"\r\n"),
    "an offer with both framings": post(OFFER, CHUNKED, b"Content-Length: 3\r\n"),
    "a long target": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200 + b"\r\n",
    "large headers": b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"a" * 9_000 + b"\r\n") * 8 + b"\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("behind", [b"", GET], ids=["alone", "behind another"])
@in_loop
def test_what_is_no_request_is_refused_in_its_turn(name: str, behind: bytes) -> None:
    data = behind + BROKEN[name] + GET
    for pieces in ([data], [data[: len(data) // 2], data[len(data) // 2 :]], [bytes([each]) for each in data[:3000]]):
        stage = Stage()
        for piece in pieces:
            if stage.reading:
                stage.feed(piece, answering=True)
        if len(data) > 3000 and len(pieces) > 2:
            continue  # what is very long is not sent byte by byte to its end
        assert stage.statuses() == [200] * bool(behind) + [400]
        assert stage.transport.data.endswith(b"connection: close\r\n\r\nmalformed")
        assert stage.transport.fate == "shut"
        assert [request.path for request in stage.lane.begun] == ["/live"] * bool(behind)


BROKEN_BODIES = {
    "no size": (b"zz\r\n", b""),
    "a sign": (b"+1\r\na\r\n", b""),
    "too large a size": (b"f" * 17 + b"\r\n", b""),
    "an LF": (b"1\na\n", b""),
    "more than its size": (b"1\r\nab\r\n", b"a"),
    "hexadecimal twice": (b"0x2\r\nab\r\n", b""),
}


@pytest.mark.parametrize("name", BROKEN_BODIES)
@in_loop
def test_framing_that_breaks_in_a_body_is_told_to_its_request(name: str) -> None:
    broken, got = BROKEN_BODIES[name]
    for pieces in ([post(CHUNKED, body=broken) + GET], [post(CHUNKED), broken, GET]):
        stage = Stage().feed(*pieces)
        assert stage.request.broken
        assert stage.request.pieces() == got
        stage.lane.turn()
        assert (stage.statuses(), stage.transport.fate, len(stage.lane.begun)) == ([400], "shut", 1)
        assert b"connection: close\r\n" in stage.transport.data


@in_loop
def test_what_frames_a_body_is_bounded() -> None:
    """Headers behind it, one that never ends, an extension that never ends; all at once or bit by bit."""
    for endless in (b"0\r\n" + b"X: a\r\n" * 20_000, b"0\r\nX: " + b"a" * 120_000, b"1;" + b"a" * 120_000):
        for size in (1000, 70_000):
            stage = Stage().feed(post(CHUNKED, body=b"1\r\na\r\n"))
            stage.feed(*[endless[start : start + size] for start in range(0, len(endless), size)])
            assert stage.request.broken == "the body's framing is too large"
    stage = Stage().feed(post(CHUNKED), *[b"1;" + b"a" * 1000 + b"\r\na\r\n"] * 1000, b"0\r\n\r\n")
    assert stage.request.read(1 << 20) == b"a" * 1000


@in_loop
def test_a_head_that_never_ends_is_bounded() -> None:
    for endless in (b"X: " + b"a" * 1000, b"a" * 1000):
        stage = Stage().feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        fed = 0
        while stage.reading and fed < 1 << 20:
            stage.feed(endless)
            fed += len(endless)
        assert fed < 128 << 10
        assert stage.statuses() == [400]


@in_loop
def test_line_ends_between_requests_are_nothing() -> None:
    stage = Stage()
    for _ in range(1000):
        stage.feed(b"\r\n" * 1000)
    stage.feed(GET, answering=True)
    assert stage.statuses() == [200]


@in_loop
def test_the_transport_is_told_its_bounds_and_asked_who_it_is() -> None:
    stage = Stage().feed(GET)
    assert stage.transport.limits == (64 << 10, 16 << 10)
    assert stage.request.peer == stage.connection.peer == "192.0.2.7"
    assert stage.lane.members == {stage.connection}
