"""However a stream is cut, the same bytes go out and the same is seen."""

from __future__ import annotations

from itertools import combinations
from types import ModuleType
from typing import Any

import pytest

from gateway import _fast
from tests._fast.streams import (
    DONE,
    HELLO,
    LINE_ENDS,
    STOP,
    USAGE,
    answer,
    bytewise,
    chunk,
    cuts,
    event,
    mixed,
    scan,
    seeded_cuts,
)

OPTIONS: list[dict[str, Any]] = [{}, {"strip_usage": True}, {"drop_malformed": False}, {"event_hold": 30}]
MIXED_ENDS = b"data: 1\r\rdata: {\r\n\r\ndata: 2\n\rdata: 3\r\n\ndata: {\r\r\ndata: 4\n\r\n\r\r\n"
SMALL = {
    "mixed ends": MIXED_ENDS,
    "byte order mark": b"\xef\xbb\xbf\r\n\xef\xbb\xbf\r\ndata: 1\r\n\r\n",
    "byte order mark before data over lines": b"\xef\xbb\xbfdata: [\r\ndata: 1]\r\n\r\n",
    "removed": event(USAGE, b"\r\n") + event(b"{", b"\r") + event(b"1", b"\r\n"),
    "error": event({"error": 1}, b"\r\n") + event(HELLO),
    "late error": event(HELLO, b"\r") + event({"error": 1}, b"\r\n") + event(DONE),
    "over the hold": event(b"x" * 40, b"\r\n") + event(b"y", b"\r\n") + event(b"1", b"\r"),
    "cut": event(b"1", b"\r\n") + b"data: {",
}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_every_two_cuts_of_small_streams(fast: ModuleType, name: str, options: dict[str, Any]) -> None:
    stream = SMALL[name]
    whole = scan(fast, [stream], **options)
    for places in combinations(range(len(stream) + 1), 2):
        assert scan(fast, cuts(stream, *places), **options) == whole, places
    assert scan(fast, bytewise(stream), **options) == whole


@pytest.mark.parametrize("options", [{"strip_usage": True}, {"drop_malformed": False, "event_hold": 100}], ids=str)
@pytest.mark.parametrize("end", LINE_ENDS)
def test_every_cut_of_streams_up_to_4_kib(end: bytes, options: dict[str, Any]) -> None:
    stream = mixed(end) + event(chunk(content="word " * 450), end) + answer(end)
    assert 3000 < len(stream) <= 4096
    whole = scan(_fast, [stream], **options)
    for place in range(len(stream) + 1):
        assert scan(_fast, cuts(stream, place), **options) == whole, place
    assert scan(_fast, bytewise(stream), **options) == whole


@pytest.mark.parametrize("end", LINE_ENDS)
def test_nothing_is_changed_where_nothing_is_removed(fast: ModuleType, end: bytes) -> None:
    stream = mixed(end)
    for parts in (cuts(stream, place) for place in range(len(stream) + 1)):
        out, seen = scan(fast, parts, drop_malformed=False)
        assert out == stream
    assert (seen["events"], seen["malformed"], seen["done"], seen["finished"]) == (9, 2, True, True)
    assert seen["usage"] == {"total_tokens": 2}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("end", LINE_ENDS)
def test_larger_streams_byte_by_byte_and_at_50_seeded_cuts(end: bytes, options: dict[str, Any]) -> None:
    stream = (mixed(end) + answer(end, words=400)) * 2
    assert len(stream) > 65536
    whole = scan(_fast, [stream], **options)
    assert scan(_fast, bytewise(stream), **options) == whole
    for parts in seeded_cuts(stream, 50, seed=20):
        assert scan(_fast, parts, **options) == whole


@pytest.mark.parametrize("end", LINE_ENDS)
def test_an_event_of_8_mib_passes(end: bytes) -> None:
    large = event(chunk(audio={"data": "QUJD" * (2 << 20)}), end)
    stream = event(HELLO, end) + large + event(b"{", end) + event(STOP, end) + event(DONE, end)
    for parts in (
        [stream],
        *seeded_cuts(stream, 50, seed=8),
        [stream[at : at + 65536] for at in range(0, 9 << 20, 65536)],
    ):
        out, seen = scan(_fast, parts)
        assert out == event(HELLO, end) + large + event(STOP, end) + event(DONE, end)
        assert (seen["unjudged"], seen["malformed"], seen["finished"], seen["done"]) == (1, 1, True, True)
    out, seen = scan(_fast, [stream], event_hold=16 << 20)
    assert (seen["unjudged"], seen["malformed"]) == (0, 1)
