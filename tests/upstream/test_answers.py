"""Where an answer ends, what it may look like, and whether its connection serves the next request: for both clients.

`STRICTER` are answers that only the compiled client refuses: aiohttp reads its answers with llhttp's leniencies.
"""

from __future__ import annotations

import gzip
import zlib
from typing import NamedTuple

import pytest

from gateway import errors
from gateway.errors import Kind
from tests.harness import CLOSE, HANG, RESET, FakeProvider, whole
from tests.harness.fake_provider import Steps
from tests.upstream.asking import Client, Outcome, ask, request, run, until, upstream_of

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"content-length: 5\r\n\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
LOST, NONSENSE = errors.CONNECTION_LOST, errors.NONSENSE
SWITCH = b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
GZIP = b"content-encoding: gzip\r\n"


class Case(NamedTuple):
    """An answer, and what is made of it."""

    steps: Steps
    body: bytes = b"hello"
    kept: bool | None = True  # the connection serves the next request; None: it may
    status: int = 200
    error: Kind | None = None


def framed(body: bytes, headers: bytes = b"") -> bytes:
    return OK + headers + b"content-length: %d\r\n\r\n" % len(body) + body


GOOD = {
    "a length": Case([SIZED + b"hello"]),
    "a length in pieces": Case([OK, 0.01, b"content-length: 5\r\n\r\nhe", 0.01, b"llo"]),
    "chunks": Case([CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"]),
    "chunks in pieces": Case([CHUNKED, 0.01, b"2\r\nh", 0.01, b"e\r\n3\r\nllo\r\n", 0.01, b"0\r\n\r\n"]),
    "chunk extensions and trailers": Case([CHUNKED + b"5;a=b\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"]),
    "until it closes": Case([OK + b"\r\nhel", 0.01, b"lo", CLOSE], kept=False),
    "nothing": Case([framed(b"")], b""),
    "nothing in chunks": Case([CHUNKED + b"0\r\n\r\n"], b""),
    "204": Case([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", status=204),
    "304 that speaks of a length": Case([b"HTTP/1.1 304 Not\r\ncontent-length: 5\r\n\r\n"], b"", status=304),
    "interim answers": Case([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + SIZED + b"hello"]),
    "interim answers in pieces": Case([b"HTTP/1.1 103 Early\r\nx: y\r\n\r", 0.01, b"\n" + SIZED + b"hello"]),
    "the last of the connection": Case([OK + b"Connection: close\r\ncontent-length: 5\r\n\r\nhello"], kept=False),
    "HTTP/1.0": Case([b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"], kept=False),
    "an offer of another protocol": Case([framed(b"hello", b"upgrade: h2,h2c\r\nconnection: upgrade\r\n")]),
    "no reason": Case([b"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\nhello"]),
    "gzip": Case([framed(gzip.compress(b"hello"), GZIP)]),
    "gzip in two members": Case([framed(gzip.compress(b"hel") + gzip.compress(b"lo"), GZIP)]),
    "deflate": Case([framed(zlib.compress(b"hello"), b"content-encoding: deflate\r\n")]),
    "raw deflate": Case([framed(zlib.compress(b"hello", wbits=-15), b"content-encoding: deflate\r\n")]),
    "gzip of nothing": Case([framed(b"", GZIP)], b""),
}
BROKEN = {
    "closed within its length": Case([SIZED + b"hel", CLOSE], b"hel", error=LOST),
    "reset within its length": Case([SIZED + b"hel", 0.05, RESET], b"hel", error=LOST),
    "closed within a chunk": Case([CHUNKED + b"5\r\nhel", CLOSE], b"hel", error=LOST),
    "closed between chunks": Case([CHUNKED + b"5\r\nhello\r\n", CLOSE], error=LOST),
    "closed before the last line end": Case([CHUNKED + b"5\r\nhello\r\n0\r\n", CLOSE], error=LOST),
    "closed within its head": Case([OK + b"content-le", CLOSE], error=LOST),
    "closed before its head": Case([CLOSE], error=LOST),
    "a chunk's size that is none": Case([CHUNKED + b"5\r\nhello\r\n", 0.02, b"zz\r\n", HANG], error=LOST),
    "a length beside chunks": Case([OK + b"content-length: 5\r\n" + CHUNKED[17:] + b"0\r\n\r\n", HANG], error=NONSENSE),
    "a header that is too long": Case([OK + b"x: " + b"y" * 70_000 + b"\r\n\r\n", HANG], error=NONSENSE),
    "too many headers": Case([OK + b"x-y: z\r\n" * 140 + b"content-length: 0\r\n\r\n", HANG], error=NONSENSE),
    "another protocol": Case([b"SSH-2.0-OpenSSH\r\n", HANG], error=NONSENSE),
    "gzip that is none": Case([framed(b"hello", GZIP)], b"", kept=None, error=LOST),
    "an encoding that nobody reads": Case([framed(b"hello", b"content-encoding: br\r\n")], kept=None, error=NONSENSE),
}
STRICTER = {
    "a switch of protocols that waits": Case([SWITCH, HANG], error=NONSENSE),
    "a chunk's size that is none, at once": Case([CHUNKED + b"5\r\nhello\r\nzz\r\n", HANG], error=LOST),
    "reset when its end is the connection's": Case([OK + b"\r\nhel", 0.05, RESET], b"hel", error=LOST),
    "two equal lengths": Case([OK + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello"], error=NONSENSE),
    "a bare line feed": Case([OK + b"x: y\ncontent-length: 5\r\n\r\nhello"], error=NONSENSE),
    "a folded line": Case([OK + b"x: y\r\n z\r\ncontent-length: 5\r\n\r\nhello"], error=NONSENSE),
    "NUL in a header": Case([OK + b"x: y\0\r\ncontent-length: 5\r\n\r\nhello"], error=NONSENSE),
    "chunked twice": Case([OK + b"transfer-encoding: chunked\r\n" + CHUNKED[17:] + b"0\r\n\r\n"], error=NONSENSE),
    "another transfer encoding": Case([OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"], error=NONSENSE),
    "chunks in HTTP/1.0": Case([b"HTTP/1.0" + CHUNKED[8:] + b"0\r\n\r\n"], error=NONSENSE),
    "HTTP/2.0": Case([b"HTTP/2.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"], error=NONSENSE),
    "RTSP": Case([b"RTSP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"], error=NONSENSE),
    "a status below 100": Case([b"HTTP/1.1 099 No\r\ncontent-length: 5\r\n\r\nhello"], error=NONSENSE),
    "a long line in a short head": Case([OK + b"x: " + b"y" * 17_000 + b"\r\n\r\n", HANG], error=NONSENSE),
    "heads without end": Case([b"HTTP/1.1 103 Early\r\n\r\n" * 4000, HANG], error=NONSENSE),
    "trailers without end": Case(
        [CHUNKED + b"5\r\nhello\r\n0\r\n", *(0.001, b"x: y\r\n" * 2000) * 10, HANG], error=LOST
    ),
    "gzip that ends too early": Case(
        [framed(gzip.compress(b"hello" * 99)[:-9], GZIP)], b"hello" * 99, kept=None, error=LOST
    ),
    "an encoding of its own": Case([framed(b"hello", b"content-encoding: rot13\r\n")], kept=None, error=NONSENSE),
}


def asked(client: Client, provider: FakeProvider, case: Case) -> tuple[Outcome, bool]:
    """The outcome, and whether a second request went over the same connection."""

    async def main() -> Outcome:
        upstream = upstream_of(client)
        outcome = await ask(upstream, request(provider.url))
        provider.answer(whole(b"next"))
        assert (await ask(upstream, request(provider.url))).body == b"next"
        await upstream.close()
        return outcome

    provider.answer(case.steps)
    outcome = run(main)
    return outcome, provider.seen[-1].connection == provider.seen[-2].connection


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_ends_where_its_head_says(client: Client, provider: FakeProvider, name: str) -> None:
    case = GOOD[name]
    outcome, kept = asked(client, provider, case)
    assert (outcome.kind, outcome.status, outcome.body, kept) == (None, case.status, case.body, case.kept)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_an_error(client: Client, provider: FakeProvider, name: str) -> None:
    case = BROKEN[name]
    outcome, kept = asked(client, provider, case)
    assert outcome.kind == case.error
    assert case.kept is None or not kept
    assert outcome.error is not None
    assert outcome.error.message.startswith("p0 ")
    assert case.body.startswith(outcome.body)
    if case.error is LOST and outcome.response is not None:
        assert outcome.body == case.body, "what came before the mistake is given out"


@pytest.mark.parametrize("name", STRICTER)
@pytest.mark.parametrize("lane", ["fast"], indirect=True)
def test_what_is_doubtful_is_refused(client: Client, provider: FakeProvider, name: str) -> None:
    case = STRICTER[name]
    outcome, kept = asked(client, provider, case)
    assert outcome.kind == case.error
    assert case.kept is None or not kept
    assert outcome.body == (case.body if case.error is LOST else b"")


@pytest.mark.parametrize("answer", [SIZED + b"hello", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"])
@pytest.mark.parametrize("more", [b"x", SIZED + b"other", SIZED[:9], b"\0"])
@pytest.mark.parametrize("pause", [0.0, 0.02])
@pytest.mark.parametrize("lane", ["fast"], indirect=True)  # aiohttp makes an error of the one, and waits with the other
def test_bytes_after_the_end_cost_the_connection_not_the_answer(
    client: Client, provider: FakeProvider, answer: bytes, more: bytes, pause: float
) -> None:
    provider.answer([answer, pause, more, HANG] if pause else [answer + more])

    async def main() -> None:
        upstream = upstream_of(client)
        for _ in range(3):
            outcome = await ask(upstream, request(provider.url))
            assert (outcome.kind, outcome.body) == (None, b"hello")
            if pause:
                await until(provider.seen[-1].left.is_set, "the connection is cut")
        await upstream.close()

    before = provider.connections
    run(main)
    assert provider.connections == before + 3
