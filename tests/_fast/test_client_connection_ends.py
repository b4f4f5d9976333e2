"""How a connection ends: clients that leave, take nothing, say nothing, send on; and what stays behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from gateway._fast import Request
from tests._fast.client_side import ANSWER, Stage, in_loop

GET = b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n"


def post(size: int, body: bytes = b"", *lines: bytes) -> bytes:
    return b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (size, b"".join(lines), body)


def leave(stage: Stage, how: str) -> None:
    if how == "end":
        assert not stage.connection.eof_received()  # the transport closes by itself
    stage.connection.connection_lost(None if how == "end" else ConnectionResetError())


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("pieces", [[], [GET[:9]], [b"\r\n"]], ids=["silent", "in its head", "line ends"])
@in_loop
def test_nobody_is_told_when_nothing_runs(how: str, pieces: list[bytes]) -> None:
    stage = Stage().feed(*pieces)
    leave(stage, how)
    assert (stage.lane.begun, stage.lane.left_by, stage.lane.members) == ([], [], set())
    assert stage.transport.out == []


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize(
    "pieces", [[GET], [post(5, b"ab")], [GET * 3], [GET, GET[:5]], [GET, b"\0"]],
    ids=["running", "in its body", "others wait", "a head behind", "nonsense behind"],
)  # fmt: skip
@in_loop
def test_the_lane_is_told_once_who_left(how: str, pieces: list[bytes]) -> None:
    stage = Stage().feed(*pieces)
    request = stage.request
    leave(stage, how)
    assert stage.lane.left_by == [request] == stage.lane.begun
    assert request.gone
    with pytest.raises(ConnectionResetError):
        request.send(200, ANSWER, b"")
    with pytest.raises(ConnectionResetError):
        request.begin(200, ANSWER)
    with pytest.raises(ConnectionResetError):
        request.write(b"a")
    with pytest.raises(ConnectionResetError):
        request.read(5)
    request.abort()
    request.close()
    assert stage.transport.fate == ("aborted" if how == "end" else "open")


@in_loop
def test_who_leaves_after_the_answer_leaves_nobody() -> None:
    stage = Stage().feed(GET, answering=True)
    request = stage.request
    leave(stage, "end")
    assert stage.lane.left_by == []
    assert not request.gone
    assert stage.transport.fate == "open"  # it closes by itself, with what was written


@in_loop
async def test_the_wait_for_a_body_ends_with_the_client() -> None:
    stage = Stage().feed(post(5, b"ab"))
    arrival = stage.request.arrival()
    assert arrival is not None
    assert not arrival.done()
    leave(stage, "reset")
    assert arrival.done()
    assert stage.request.arrival() is None


@in_loop
def test_too_much_behind_a_running_request_cuts_it() -> None:
    for pieces in ([GET] * 2000, [post(1 << 20)] + [b"a" * 60_000] * 6, [b"\0" * 60_000] * 6):
        stage = Stage().feed(GET)
        for piece in pieces:
            if stage.reading:
                stage.feed(piece)
        assert stage.transport.fate == "aborted"
        assert len(stage.lane.left_by) == len(stage.lane.begun) == 1
    stage = Stage().feed(GET, *[post(1 << 10, b"a" * 1024)] * 100)
    assert stage.reading


@in_loop
async def test_a_client_that_is_behind_is_waited_for() -> None:
    stage = Stage().feed(GET * 2)
    request = stage.request
    request.begin(200, ANSWER)
    assert request.write(b"one") is None
    stage.connection.pause_writing()
    waiting: Any = request.write(b"two")
    assert not waiting.done()
    stage.connection.resume_writing()
    assert await waiting is None
    stage.connection.pause_writing()
    waiting = request.end()
    assert len(stage.lane.begun) == 1  # the next one waits until this one is taken
    with pytest.raises(RuntimeError):
        request.write(b"more")
    stage.connection.resume_writing()
    assert await waiting is None
    assert len(stage.lane.begun) == 2


@in_loop
def test_what_is_done_to_an_answered_request_does_not_touch_the_next() -> None:
    stage = Stage().feed(GET * 2, answering=False)
    first = stage.request
    first.send(200, ANSWER, b"")
    first.abort()
    first.close()
    with pytest.raises(RuntimeError):
        first.send(200, ANSWER, b"")
    assert stage.reading
    assert not stage.request.gone
    stage.lane.turn()
    assert stage.statuses() == [200, 200]


@pytest.mark.parametrize("how", ["end", "reset"])
@in_loop
async def test_a_client_that_leaves_instead_of_taking(how: str) -> None:
    stage = Stage().feed(GET)
    stage.connection.pause_writing()
    waiting: Any = stage.request.send(200, ANSWER, b"a" * 100_000)
    leave(stage, how)
    with pytest.raises(ConnectionResetError):
        await waiting
    assert stage.lane.left_by == stage.lane.begun


@in_loop
def test_the_head_waits_for_the_first_piece_and_a_piece_is_a_chunk() -> None:
    stage = Stage().feed(GET)
    request = stage.request
    request.begin(200, ANSWER)
    assert not stage.transport.out
    for piece in (b"a" * 26, b"", b"b" * 70_000, b"c"):
        request.write(piece)
    request.end()
    first, *more = stage.transport.out
    assert first.endswith(b"\r\n\r\n1a\r\n" + b"a" * 26 + b"\r\n")
    assert b"".join(more) == b"11170\r\n" + b"b" * 70_000 + b"\r\n1\r\nc\r\n0\r\n\r\n"
    stage.feed(GET).request.begin(200, {"content-length": "6"})
    stage.request.write(b"abc")
    with pytest.raises(ValueError, match="more than"):
        stage.request.write(b"defg")
    stage.request.end()  # too early: only the connection's end says so
    assert stage.transport.fate == "closed"


@in_loop
def test_an_answer_without_a_body() -> None:
    stage = Stage().feed(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    stage.request.send(200, ANSWER, b"abc")
    stage.feed(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").request.begin(200, ANSWER)
    stage.request.write(b"abc")
    stage.request.end()
    stage.feed(GET).request.send(204, {}, b"")
    whole, chunked, bare, end = stage.transport.data.split(b"\r\n\r\n")
    assert end == b""
    assert b"content-length: 3" in whole
    assert b"transfer-encoding: chunked" in chunked
    assert b"content-length" not in bare


@in_loop
def test_the_lane_leaves() -> None:
    stage = Stage()
    stage.lane.leaving = True
    stage.feed(GET * 2, answering=True)
    assert (stage.statuses(), stage.transport.fate) == ([200], "closed")
    assert b"connection: close" in stage.transport.data


@in_loop
def test_a_body_is_given_as_it_came_or_refused() -> None:
    data = b"x" * 300_000
    stage = Stage().feed(post(len(data)), data[:100], data[100:200_000], data[200_000:])
    assert stage.request.read(1 << 20) == data
    whole = Stage().feed(post(3, b"abc"))
    assert whole.request.read(3) == b"abc"
    stage = Stage().feed(post(3))
    stage.request.limit = 2
    stage.feed(b"abc")
    assert stage.request.oversized
    assert stage.request.pieces() == b""


@in_loop
async def test_a_large_body_taken_in_pieces() -> None:
    data = bytes(range(256)) * 2000
    for step in (1000, 100_000, 300_000, len(data)):
        stage = Stage().feed(post(len(data)))
        taken = b""
        for start in range(0, len(data), step):
            stage.feed(data[start : start + step])
            taken += stage.request.pieces()
            assert taken == data[: start + step]
        assert stage.request.pieces() == b""


@in_loop
async def test_pieces_of_a_body() -> None:
    stage = Stage().feed(post(6, b"ab"))
    assert stage.request.arrival(each=True) is not None
    assert stage.request.pieces() == b"ab"
    waiting: Any = stage.request.arrival(each=True)
    stage.feed(b"cd")
    assert waiting.done()
    waiting = stage.request.arrival()
    stage.feed(b"e")
    assert not waiting.done()
    stage.feed(b"f")
    assert waiting.done()
    assert (stage.request.pieces(), stage.request.arrival()) == (b"cdef", None)


@in_loop
async def test_a_client_that_waits_for_100() -> None:
    stage = Stage().feed(post(3, b"", b"Expect: 100-continue\r\n"))
    assert stage.transport.out == []
    stage.request.arrival()
    stage.request.arrival()
    assert stage.transport.out == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    stage.feed(b"abc", answering=True)
    assert stage.statuses() == [100, 200]
    stage = Stage().feed(post(3, b"abc", b"Expect: 100-continue\r\n"), answering=True)
    assert stage.statuses() == [200]  # it did not wait
    stage = Stage().feed(post(3, b"a", b"Expect: 100-continue\r\n"))
    stage.request.send(413, ANSWER, b"")
    stage.feed(b"bc" + GET, answering=True)
    assert stage.statuses() == [413, 200]
    stage = Stage().feed(post(3, b"", b"Expect: 100-continue\r\n"))
    stage.request.send(413, ANSWER, b"")
    assert (stage.statuses(), stage.transport.fate) == ([413], "closed")  # nobody knows whether a body comes


@in_loop
def test_who_answers_and_fails_cuts_the_connection() -> None:
    stage = Stage().feed(GET)
    stage.request.close()
    assert stage.transport.fate == "aborted"
    stage = Stage().feed(GET)
    stage.request.begin(200, ANSWER)
    stage.request.write(b"half")
    stage.request.close()
    assert stage.transport.fate == "aborted"
    stage = Stage().feed(GET)
    with pytest.raises(ValueError, match="control"):
        stage.request.send(200, {"x": "a\r\nb: c"}, b"")
    assert not stage.request.started
    stage.request.send(500, ANSWER, b"")
    assert stage.statuses() == [500]


class Held:
    """What somebody keeps on a request."""


@pytest.mark.parametrize("ending", ["answered", "left", "aborted", "left while it waits"])
@in_loop
def test_nothing_stays_behind(ending: str) -> None:
    gc.collect()
    gc.disable()
    try:
        stage = Stage().feed(post(3, b"ab" if ending == "left while it waits" else b"abc"))
        held = Held()
        there = weakref.ref(held)
        request: Request | None = stage.request
        assert request is not None
        request.task = held  # type: ignore[assignment]
        del held
        waiting = request.arrival()
        if ending == "answered":
            stage.lane.turn()
        elif ending == "aborted":
            request.abort()
        leave(stage, "reset")
        stage.lane.begun.clear()
        stage.lane.left_by.clear()
        del request, waiting
        assert there() is None
        del stage
        assert not [each for each in gc.get_objects() if type(each).__name__ == "ClientConnection"]
    finally:
        gc.enable()


@in_loop
async def test_a_wait_that_was_given_up_does_not_spoil_the_others() -> None:
    stage = Stage().feed(GET)
    stage.request.begin(200, ANSWER)
    stage.connection.pause_writing()
    given_up: Any = stage.request.write(b"a")
    other: Any = stage.request.write(b"b")
    given_up.cancel()
    stage.connection.resume_writing()
    assert await asyncio.wait_for(other, 1) is None
