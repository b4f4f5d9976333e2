"""What a connection is given time for: a head, silence, the rest of a body that nobody wants, the end of an answer."""

from __future__ import annotations

from tests._fast.client_side import ANSWER, Stage, in_loop

GET = b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSE = b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def post(size: int, body: bytes = b"", *lines: bytes) -> bytes:
    return b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b" % (size, b"".join(lines), body)


@in_loop
def test_what_is_left_of_a_refused_body() -> None:
    little = Stage().feed(post(1000, b"a" * 10))
    little.request.send(413, ANSWER, b"")
    assert little.reading
    little.feed(b"a" * 990 + GET, answering=True)
    assert little.statuses() == [413, 200]
    for half in (True, False):
        much = Stage(half=half).feed(post(1 << 20, b"a" * 10))
        much.request.send(413, ANSWER, b"")
        assert b"connection: close" in much.transport.data
        assert much.transport.fate == ("shut" if half else "open")
        much.feed(*[b"a" * 100_000] * 20)
        much.sweep(0.5)
        assert much.transport.fate == ("shut" if half else "open")  # it is still sending
        much.sweep(1.1)
        assert much.transport.fate == "closed"
    endless = Stage().feed(post(1 << 40))
    endless.request.send(413, ANSWER, b"")
    endless.feed(*[b"a" * 1_000_000] * 64)
    assert endless.transport.fate == "shut"
    endless.feed(*[b"a" * 1_000_000] * 5)
    assert endless.transport.fate == "closed"


@in_loop
def test_a_little_that_never_comes_is_waited_for_a_moment_only() -> None:
    stage = Stage().feed(post(1000, b"a" * 10))
    stage.request.send(413, ANSWER, b"")
    stage.sweep(0.9)
    assert stage.reading
    stage.sweep(1.1)
    assert stage.transport.fate == "closed"


@in_loop
def test_a_head_that_comes_slowly_is_told_so() -> None:
    stage = Stage()
    stage.feed(GET[:5])
    stage.sweep(29)
    assert stage.reading
    stage.feed(GET[5:9])
    stage.sweep(31)
    assert stage.transport.data.endswith(b"\r\n\r\nlate")
    assert stage.transport.fate == "shut"
    stage.feed(GET[9:])
    assert stage.lane.begun == []


@in_loop
def test_silence_ends_without_a_word() -> None:
    stage = Stage()
    stage.sweep(8, served=5, fresh=9)
    assert stage.reading
    stage.sweep(10, served=5, fresh=9)
    assert (stage.transport.fate, stage.transport.out) == ("closed", [])
    stage = Stage().feed(GET, answering=True)
    stage.sweep(4, served=5, fresh=1)
    assert stage.reading
    stage.sweep(6, served=5, fresh=1)
    assert stage.transport.fate == "closed"
    stage = Stage().feed(GET[:5])
    stage.sweep(10, fresh=9, head=float("inf"))  # a worker leaves
    assert (stage.transport.fate, stage.transport.out) == ("closed", [])


@in_loop
def test_a_running_request_is_left_alone_and_a_stalled_end_is_not() -> None:
    stage = Stage().feed(GET + GET[:5])
    stage.sweep(1e6)
    assert stage.reading
    assert stage.connection.busy
    stage = Stage().feed(CLOSE, answering=True)
    assert stage.transport.fate == "closed"
    stage.sweep(59)
    assert stage.transport.fate == "closed"
    stage.sweep(61)
    assert stage.transport.fate == "aborted"


@in_loop
def test_nonsense_behind_a_body_that_was_refused() -> None:
    stage = Stage().feed(post(9))
    stage.request.send(413, ANSWER, b"")
    stage.feed(b"a" * 9 + b"nonsense\r\n\r\n")
    assert (stage.statuses(), stage.transport.fate) == ([413, 400], "shut")
