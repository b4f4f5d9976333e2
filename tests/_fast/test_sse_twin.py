"""The compiled scanner against its twin, over streams and cuts that nobody thought of; and hostile input."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import _fast
from tests._fast import twins
from tests._fast.streams import CONTENT, HELLO, SEEN, answer, bytewise, cuts, event, mixed, scan

VALUES = st.sampled_from(
    [
        b"",
        b" ",
        b"[DONE]",
        b"[DONE",
        b"{",
        b"1",
        b"null",
        b"\xff",
        b'{"choices":[]}',
        b'{"choices":[{"delta":{"content":"x"}}]}',
        b'{"choices":[{"index":1,"delta":{"tool_calls":[{}]}}]}',
        b'{"choices":[{"index":0,"finish_reason":"stop"}]}',
        b'{"choices":[{"index":1,"finish_reason":"stop"}]}',
        b'{"choices":[{"index":-7,"finish_reason":null}]}',
        b'{"choices":[],"usage":{"n":1}}',
        b'{"choices":[{}],"usage":{"n":2}}',
        b'{"error":{"message":"no"}}',
        b'{"object":"error"}',
        b"error",
        b'{"choices":',
        b"[]}",
    ]
)
FIELDS = st.sampled_from(
    [b"data", b"data", b"data", b"event", b"id", b"", b"datax", b"dat", b"\xef\xbb\xbfdata", b"\x00"]
)
COLONS = st.sampled_from([b": ", b": ", b":", b"", b":  "])
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.builds(lambda *parts: b"".join(parts), FIELDS, COLONS, VALUES, ENDS)
BLANKS = st.builds(lambda *parts: b"".join(parts), ENDS)
STREAMS = st.builds(
    lambda mark, parts, rest: mark + b"".join(parts) + rest,
    st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xef"]),
    st.lists(LINES | BLANKS, max_size=24),
    st.sampled_from([b"", b"data: {", b"data: [DONE]", b"da", b"\xef\xbb\xbf", b":"]),
)
OPTIONS = st.fixed_dictionaries(
    {
        "strip_usage": st.booleans(),
        "drop_malformed": st.booleans(),
        "event_hold": st.sampled_from([4, 16, 40, 65536]),
        "least": st.integers(1, 3),
    }
)


def step_by_step(module: Any, parts: list[bytes], options: dict[str, Any]) -> list[tuple[object, ...]]:
    """All that can be seen from outside, after each part."""
    scanner = module.SseScanner(content=CONTENT, **options)
    steps: list[tuple[object, ...]] = []
    for part in [*parts, None]:
        out = scanner.close() if part is None else scanner.feed(part)
        steps.append((out, scanner.held, scanner.boundary, *(getattr(scanner, name) for name in SEEN)))
    return steps


@settings(max_examples=400, deadline=None, derandomize=True)
@given(stream=STREAMS, places=st.lists(st.integers(0, 600), max_size=8), options=OPTIONS)
def test_every_step_is_the_twins(stream: bytes, places: list[int], options: dict[str, Any]) -> None:
    parts = cuts(stream, *(min(place, len(stream)) for place in places))
    assert step_by_step(_fast, parts, options) == step_by_step(twins, parts, options)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(stream=STREAMS, options=OPTIONS)
def test_byte_by_byte_is_the_twins_and_the_same_as_at_once(stream: bytes, options: dict[str, Any]) -> None:
    parts = bytewise(stream)
    assert step_by_step(_fast, parts, options) == step_by_step(twins, parts, options)
    assert scan(_fast, parts, **options) == scan(_fast, [stream], **options)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(stream=st.binary(max_size=400), places=st.lists(st.integers(0, 400), max_size=5), options=OPTIONS)
def test_any_bytes(stream: bytes, places: list[int], options: dict[str, Any]) -> None:
    parts = cuts(stream, *(min(place, len(stream)) for place in places))
    assert step_by_step(_fast, parts, options) == step_by_step(twins, parts, options)


def test_mutated_streams() -> None:
    dice = random.Random(14)
    original = mixed(b"\r\n") + answer()
    for _ in range(300):
        stream = bytearray(original)
        for _ in range(dice.randrange(1, 8)):
            at = dice.randrange(len(stream))
            stream[at : at + dice.randrange(4)] = dice.choice([b"", b"\r", b"\n", b"\x00", b'"', b"{", b"\xff", b":"])
        parts = cuts(bytes(stream), *(dice.randrange(len(stream) + 1) for _ in range(4)))
        options = {"event_hold": dice.choice([16, 65536]), "strip_usage": True}
        assert step_by_step(_fast, parts, options) == step_by_step(twins, parts, options)


def test_very_many_tiny_events_in_one_feed() -> None:
    """Each kind would take minutes if something were searched or copied again for every event."""
    for tiny, count in ((b"\n", 200_000), (b"\r", 200_000), (b":\r\r", 50_000), (b"data:\n\r", 50_000)):
        stream = tiny * count
        assert scan(_fast, [stream]) == (stream, scan(_fast, [])[1])
    out, seen = scan(_fast, [b"data:1\n\ndata:{\n\n" * 50_000])
    assert out == b"data:1\n\n" * 50_000
    assert (seen["events"], seen["malformed"]) == (100_000, 50_000)


def test_a_full_hold_byte_by_byte() -> None:
    for byte in (b"x", b"\x00", b"data:1\r", b"data:1\n"):
        stream = (byte * 65536)[:65530]
        out, _ = scan(_fast, bytewise(stream))
        assert out in (b"", stream + b"\n\n", stream + b"\r\r", stream + b"\n", stream + b"\r")
    assert scan(_fast, bytewise(b"x" * 100_000), event_hold=1 << 20)[0] == b"x" * 100_000 + b"\n\n"


def test_nested_nonsense() -> None:
    deep = b'{"choices":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    wide = b'{"choices":[' + b'{"index":-1},' * 4_000 + b"0]}"
    for value in (deep, wide, b"9" * 60_000, b'{"choices":[{"index":1e400}]}', b'{"choices":[{"index":-0}]}'):
        parts = [event(value), event(HELLO)]
        assert step_by_step(_fast, parts, {}) == step_by_step(twins, parts, {})


def test_a_waiting_stream_holds_no_large_buffer_and_a_gone_one_none() -> None:
    large = event(HELLO) * 1_000 + b"data: {"
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        scanners = [_fast.SseScanner(content=CONTENT) for _ in range(10)]
        for scanner in scanners:
            scanner.feed(b"data")
            scanner.feed(b": 1\n\ndata: {\n\n" + large)
            scanner.feed(b"\n\n" + large)
        assert (tracemalloc.get_traced_memory()[0] - before) / len(scanners) < 4096
        for scanner in scanners:
            scanner.feed(b"x" * 60_000)
        assert (tracemalloc.get_traced_memory()[0] - before) / len(scanners) > 60_000
        scanners.clear()
        del scanner
        assert tracemalloc.get_traced_memory()[0] - before < 4096
    finally:
        tracemalloc.stop()
