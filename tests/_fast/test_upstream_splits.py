"""What an answer was does not depend on how its bytes were cut, nor on when somebody began to take its body.

Generated answers, good and odd, go through the compiled connection whole, in pieces and byte by byte; the twin reads
them from the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway._fast import AnswerBroken, AnswerLost, AnswerRefused, UpstreamConnection
from tests._fast.twins.upstream_answer import Told, read

HEAD = b"POST / HTTP/1.1\r\n"


class Transport:
    """A transport that only remembers what is asked of it."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    close = abort

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0


class Taker:
    """Takes a body; now and then it is behind."""

    def __init__(self, behind: int) -> None:
        self.parts: list[bytes] = []
        self._behind = behind

    def feed(self, data: bytes) -> Awaitable[None] | None:
        assert data
        self.parts.append(data)
        return asyncio.sleep(0) if self._behind and len(self.parts) % self._behind == 0 else None


async def turn() -> None:
    """Whoever is woken runs."""
    await asyncio.sleep(0)


async def told(pieces: list[bytes], closed: bool, pushed_after: int, behind: int) -> Told:
    loop = asyncio.get_running_loop()
    transport: Any = Transport()
    connection = UpstreamConnection(loop)
    connection.connection_made(transport)
    connection.send(HEAD, b"")
    answered = connection.head()
    taker = Taker(behind)
    pushing: asyncio.Task[None] | None = None
    for number, piece in enumerate(pieces):
        connection.data_received(piece)
        if answered.done() and not answered.exception() and pushing is None and number >= pushed_after:
            pushing = asyncio.ensure_future(answered.result().push(taker.feed))
        for _ in range(3 if number % 2 else 0):
            await turn()
        while not transport.reading and pushing is not None and not pushing.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
    if closed:
        connection.eof_received()
        connection.connection_lost(None)
    return await judged(connection, answered, pushing, taker)


async def judged(
    connection: UpstreamConnection, answered: asyncio.Future[Any], pushing: asyncio.Task[None] | None, taker: Taker
) -> Told:
    if not answered.done():
        connection.close()
        return Told("open")
    if (problem := answered.exception()) is not None:
        assert isinstance(problem, AnswerLost | AnswerRefused)
        connection.close()
        return Told("lost" if isinstance(problem, AnswerLost) else "refused")
    answer = answered.result()
    pushing = pushing or asyncio.ensure_future(answer.push(taker.feed))
    for _ in range(2 * len(taker.parts) + 8):
        await turn()
    if not pushing.done():
        fate = "open"
        pushing.cancel()
        await asyncio.wait([pushing])
    else:
        assert pushing.exception() is None or isinstance(pushing.exception(), AnswerBroken)
        fate = "broken" if pushing.exception() else "ended"
    answer.close()
    answer.close()
    return Told(fate, answer.status, dict(answer.headers), b"".join(taker.parts), connection.usable)


NAMES = st.sampled_from([b"x-a", b"Content-Type", b"X-Long-Name", b"x", b"Keep-Alive", b"Content-Encoding"])
VALUES = st.sampled_from([b"", b"a", b"text/plain; x=y", b"a\tb  ", b"\xc3\xa9", b"\xff", b"timeout=5", b"identity"])
LINES = st.lists(st.tuples(NAMES, VALUES).map(lambda line: b"%b: %b\r\n" % line), max_size=4).map(b"".join)
ODD_LINES = st.sampled_from(
    [
        *[b""] * 12, b"connection: close\r\n", *[b"Connection: keep-alive\r\n"] * 4, b"transfer-encoding: gzip\r\n",
        b"Transfer-Encoding: chunked\r\n", b"content-length: 3\r\n", b"content-length: -1\r\n",
        b"content-length: 1 1\r\n",
        b" folded\r\n", b"x : y\r\n", b"x: a\0b\r\n", b"x: y\n", b"nothing\r\n", b"x: \r y\r\n", b": y\r\n",
        b"x: y\r\n" * 130, b"x: " + b"y" * 17_000 + b"\r\n", (b"x: " + b"y" * 900 + b"\r\n") * 80,
    ]
)  # fmt: skip
FIRST = st.sampled_from(
    [
        *[b"HTTP/1.1 200 OK\r\n"] * 8, b"HTTP/1.1 200\r\n", *[b"HTTP/1.0 200 OK\r\n"] * 4, b"HTTP/1.1 404 Not\r\n",
        b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 304 Not\r\n", b"HTTP/2.0 200 OK\r\n", b"HTTP/1.1 101 Up\r\n",
        b"HTTP/1.1 2 x\r\n",
        b"HTTP/1.1 099 x\r\n", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\n", b"HTTP/1.1  200 OK\r\n",
    ]
)  # fmt: skip
INTERIM = st.sampled_from([*[b""] * 6, b"HTTP/1.1 100 Go\r\n\r\n", b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" * 2])
CONTENT = st.binary(max_size=60)
SIZES = st.sampled_from([b"%x\r\n", b"%x\r\n", b"%X;a=b\r\n", b"000%x\r\n"])


@st.composite
def chunks(draw: Callable[..., Any]) -> bytes:
    parts = draw(st.lists(CONTENT.filter(bool), max_size=4))
    said: bytes = b"".join(draw(SIZES) % len(part) + part + b"\r\n" for part in parts)
    trailers = draw(st.sampled_from([b"", b"", b"x-sum: 1\r\n", b"a: b\r\nc: d\r\n"]))
    odd = draw(st.sampled_from([*[b""] * 6, b"zz\r\n", b"-1\r\n", b"5\n", b"fffffffffffffffff\r\n"]))
    end: bytes = odd + b"0\r\n" + trailers + b"\r\n"
    return b"transfer-encoding: chunked\r\n\r\n" + said + end


@st.composite
def answers(draw: Callable[..., Any]) -> tuple[bytes, bool]:
    head: bytes = draw(INTERIM) + draw(FIRST) + draw(LINES) + draw(ODD_LINES)
    body = draw(CONTENT)
    framing = draw(st.sampled_from(["length", "length", "chunks", "chunks", "close"]))
    framed = {"length": b"content-length: %d\r\n\r\n" % len(body) + body, "close": b"\r\n" + body}
    said = head + (draw(chunks()) if framing == "chunks" else framed[framing])
    cut = draw(st.sampled_from([0, 0, 0, 1, 2, 5, 20]))
    more = draw(
        st.sampled_from([*[b""] * 5, b"x", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])
    )
    return (said[:-cut] if cut else said + more), draw(st.booleans())


@st.composite
def cut_up(draw: Callable[..., Any]) -> tuple[list[bytes], bool, int, int]:
    said, closed = draw(answers())
    at = sorted(draw(st.lists(st.integers(0, len(said)), max_size=6)))
    pieces = [said[start:end] for start, end in zip([0, *at], [*at, len(said)])]
    return [piece for piece in pieces if piece], closed, draw(st.integers(0, 3)), draw(st.integers(0, 3))


def alike(one: Told, expected: Told) -> bool:
    """llhttp knows of a mistake at its first byte, the twin at the end of the head or line."""
    if one.fate == "refused" and expected.fate in ("open", "lost"):
        return not expected.status
    return (
        replace(one, fate="open") == expected if one.fate == "broken" and expected.fate == "open" else one == expected
    )


@settings(max_examples=3000)
@given(cut_up())
def test_however_it_is_cut_it_is_the_same_answer(case: tuple[list[bytes], bool, int, int]) -> None:
    pieces, closed, pushed_after, behind = case
    said = b"".join(pieces)

    async def main() -> None:
        whole = await told([said] if said else [], closed, 0, 0)
        assert alike(whole, read(said, closed))
        assert await told(pieces, closed, pushed_after, behind) == whole

    asyncio.run(main())


@pytest.mark.parametrize("pushed_after", [0, 40, 10_000])
def test_byte_by_byte(pushed_after: int) -> None:
    said = (
        b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: a\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 1\r\n\r\n"
    )

    async def main() -> None:
        one = await told([bytes([each]) for each in said], False, pushed_after, 2)
        assert one == read(said, False)
        assert (one.fate, one.body, one.kept) == ("ended", b"hello world", True)

    asyncio.run(main())
