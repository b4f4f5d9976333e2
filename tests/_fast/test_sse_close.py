"""The end of a stream that ends within an event."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests._fast.streams import CONTENT, DONE, HELLO, LINE_ENDS, STOP, USAGE, event, scan


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("last", [HELLO, DONE, b"12"])
def test_a_whole_last_event_is_completed_in_the_streams_own_line_ends(
    fast: ModuleType, end: bytes, missing: int, last: object
) -> None:
    stream = event(HELLO, end) + event(last, end)
    out, seen = scan(fast, [stream[: -missing * len(end)]])
    assert out == stream
    assert seen["events"] == 2
    assert seen["done"] is (last is DONE)


def test_without_any_line_end_it_is_completed_with_line_feeds(fast: ModuleType) -> None:
    assert scan(fast, [b"data: [DONE]"])[0] == b"data: [DONE]\n\n"
    assert scan(fast, [b"data: [DONE]\r"])[0] == b"data: [DONE]\r\r"
    assert scan(fast, [b"\xef\xbb\xbfdata:[DONE]"])[1]["done"]


@pytest.mark.parametrize(
    "tail",
    [b": half a com", b": a comment\n", b"event: x", b"id", b"dat", b"\xef\xbb\xbf", b"\xef\xbb", b"retry: 1\n: x"],
)
def test_what_has_no_data_is_completed(fast: ModuleType, tail: bytes) -> None:
    out, seen = scan(fast, [tail])
    assert out == tail + (b"\n" if tail.endswith(b"\n") else b"\n\n")
    assert (seen["events"], seen["content"]) == (0, False)


@pytest.mark.parametrize("tail", [event(HELLO)[:-3], event(HELLO)[:20], b"data: [DON", b"data:", b"data", b"data: {\n"])
def test_what_was_cut_is_dropped_and_is_not_malformed(fast: ModuleType, tail: bytes) -> None:
    for drop in (True, False):
        out, seen = scan(fast, [event(STOP), tail], drop_malformed=drop)
        assert out == event(STOP)
        assert (seen["malformed"], seen["events"]) == (0, 1)


def test_a_last_event_can_be_removed_or_be_an_error(fast: ModuleType) -> None:
    out, seen = scan(fast, [event(USAGE)[:-1]], strip_usage=True)
    assert (out, seen["removed"], seen["usage"]) == (b"", 1, USAGE["usage"])
    out, seen = scan(fast, [b'event: error\ndata: {"detail":1}'])
    assert (out, seen["error"], seen["content"]) == (b"", b'{"detail":1}', False)
    tail = event({"error": "late"})
    out, seen = scan(fast, [event(HELLO), tail[:-2]])
    assert (out, seen["error"]) == (event(HELLO) + tail, b'{"error": "late"}')


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_unjudged_event_is_ended_so_that_nothing_runs_into_it(fast: ModuleType, end: bytes, missing: int) -> None:
    stream = event(b"1", end) + event(b"x" * 100, end)
    out, seen = scan(fast, [stream[: len(stream) - missing * len(end)]], event_hold=32)
    assert out == stream
    assert seen["unjudged"] == 1


def test_after_close_nothing_more(fast: ModuleType) -> None:
    scanner = fast.SseScanner(content=CONTENT)
    assert scanner.feed(b"data: 1") == b""
    assert scanner.close() == b"data: 1\n\n"
    assert scanner.close() == b""
    with pytest.raises(ValueError, match="after close"):
        scanner.feed(b"x")


def test_without_a_marker_there_is_none(fast: ModuleType) -> None:
    for tail in (b"data:", b"data:\n\n"):
        out, seen = scan(fast, [event(HELLO) + tail], done=b"")
        assert out == event(HELLO) + (b"" if tail == b"data:" else tail)
        assert (seen["done"], seen["events"], seen["malformed"]) == (False, 1, 0)
