"""What the scanner lets out and what it says of it, case by case."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from tests._fast.streams import CONTENT, DONE, HELLO, LINE_ENDS, ROLE, STOP, USAGE, answer, chunk, event, scan

ERROR = {"error": {"message": "no", "type": "server_error"}}


def scanner_of(fast: ModuleType, **options: Any) -> Any:
    return fast.SseScanner(content=CONTENT, **options)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_a_whole_answer_goes_out_as_it_came(fast: ModuleType, end: bytes) -> None:
    stream = answer(end)
    out, seen = scan(fast, [stream])
    assert out == stream
    assert (seen["content"], seen["finished"], seen["done"]) == (True, True, True)
    assert seen["usage"] == USAGE["usage"]
    assert (seen["events"], seen["malformed"], seen["unjudged"], seen["removed"]) == (10, 0, 0, 0)


def test_whole_events_are_the_same_object() -> None:
    from gateway._fast import SseScanner

    stream = answer()
    scanner = SseScanner(content=CONTENT)
    assert scanner.feed(stream) is stream
    assert scanner.feed(b"data") == b""
    assert scanner.feed(b"\n\n") == b"data\n\n"
    assert scanner.feed(stream) is stream


def test_an_unfinished_event_waits(fast: ModuleType) -> None:
    scanner = scanner_of(fast)
    whole = event(HELLO)
    assert scanner.feed(whole + whole[:9]) == whole
    assert (scanner.held, scanner.boundary) == (9, True)
    assert scanner.feed(whole[9:-1]) == b""
    assert scanner.feed(b"") == b""
    assert scanner.feed(b"\n") == whole
    assert (scanner.held, scanner.events) == (0, 2)


def test_a_carriage_return_ends_an_event_at_once_and_its_line_feed_follows(fast: ModuleType) -> None:
    scanner = scanner_of(fast)
    whole = event(HELLO, b"\r\n")
    assert scanner.feed(whole[:-1]) == whole[:-1]
    assert scanner.boundary
    assert scanner.feed(b"\n") == b"\n"
    assert scanner.feed(b"\n" + whole) == b"\n" + whole
    assert scanner.events == 2


def test_a_removed_events_line_feed_is_removed_too(fast: ModuleType) -> None:
    scanner = scanner_of(fast, strip_usage=True)
    usage = event(USAGE, b"\r\n")
    assert scanner.feed(usage[:-1]) == b""
    assert scanner.feed(b"\n" + event(HELLO)) == event(HELLO)
    assert (scanner.removed, scanner.held) == (1, 0)


CONTENT_CASES: dict[str, tuple[object, bool]] = {
    "role": (ROLE, False),
    "text": (HELLO, True),
    "reasoning": (chunk(reasoning_content="hm"), True),
    "tool start": (chunk(tool_calls=[{"index": 0, "id": "call_x", "function": {"name": "f", "arguments": ""}}]), True),
    "function": (chunk(function_call={"name": "f"}), True),
    "parts": (chunk(content=[{"type": "thinking"}]), True),
    "nothing in lists": (chunk(content=[], tool_calls=[], function_call={}, refusal=None), False),
    "neither text, list nor object": (chunk(content=1, refusal=True), False),
    "other keys": (chunk(obfuscation="xyz"), False),
    "finish": (STOP, True),
    "empty finish": (chunk(""), False),
    "end": (DONE, True),
    "usage": (USAGE, False),
    "no items": ({"choices": None}, False),
    "no object": ([HELLO], False),
    "odd items": ({"choices": [None, 1, "x", [], {"delta": None}, {"delta": "content"}]}, False),
    "items that are an object": ({"choices": {"delta": {"content": "x"}}}, False),
    "no JSON": (b'{"choices":[{"delta":{"content":"x"}}]', False),
    "nothing": (b"", False),
    "null": (b"null", False),
}


@pytest.mark.parametrize("case", CONTENT_CASES)
def test_what_counts_as_content(fast: ModuleType, case: str) -> None:
    value, content = CONTENT_CASES[case]
    scanner = scanner_of(fast, drop_malformed=False)
    assert scanner.feed(event(value)) == event(value)
    assert scanner.content is content


def test_plain_completions_have_no_delta(fast: ModuleType) -> None:
    scanner = fast.SseScanner(content=("text",), delta=None)
    scanner.feed(event({"choices": [{"index": 0, "text": "", "finish_reason": None}]}))
    assert not scanner.content
    scanner.feed(event({"choices": [{"index": 0, "text": "Hi", "finish_reason": None}]}))
    assert (scanner.content, scanner.finished) == (True, False)
    scanner.feed(event({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]}))
    assert scanner.finished


def test_all_names_can_be_others(fast: ModuleType) -> None:
    names = {"items": "parts", "delta": "d", "finish": "f", "usage": "u", "error": "e", "done": b"bye"}
    scanner = fast.SseScanner(content=("t",), strip_usage=True, **names)
    assert scanner.feed(event({"parts": [], "u": {"n": 1}})) == b""
    scanner.feed(event({"parts": [{"d": {"t": "x"}, "f": "end"}], "error": "none"}))
    scanner.feed(event(b"bye") + event({"e": 1}))
    assert (scanner.content, scanner.finished, scanner.done) == (True, True, True)
    assert (scanner.usage, scanner.error) == ({"n": 1}, b'{"e": 1}')


@pytest.mark.parametrize(
    ("indices", "ended", "finished"),
    [
        ([0, 1, 2], [0, 1], False),
        ([0, 1, 2], [2, 0, 1], True),
        ([], [], False),
        ([63, 64, 65], [65, 63], False),
        ([63, 64, 65], [65, 63, 64, 64], True),
        ([-1, 2**62, 2**63, 2**64 - 1], [-1, 2**62, 2**63], False),
        ([-1, 2**62, 2**64 - 1], [2**64 - 1, -1, 2**62], True),
        (["x", None, 1.5, True, [], {}, 2**90], [0], True),
        (range(4000), range(4000), True),
        (range(5000), range(5000), False),
    ],
)
def test_finished_when_every_item_seen_has_ended(fast: ModuleType, indices: Any, ended: Any, finished: bool) -> None:
    scanner = scanner_of(fast)
    for index in indices:
        scanner.feed(event(chunk(index=index)))
    assert not scanner.finished
    for index in ended:
        scanner.feed(event(chunk("stop", index=index)))
    assert scanner.finished is finished


def test_an_item_that_comes_late_is_waited_for(fast: ModuleType) -> None:
    scanner = scanner_of(fast)
    scanner.feed(event(STOP))
    assert scanner.finished
    scanner.feed(event(chunk(index=1, content="x")))
    assert not scanner.finished


ERRORS = {
    "key": event(ERROR),
    "text": event({"error": "overloaded", "code": "x"}),
    "vllm": event({"object": "error", "message": "no", "code": 400}),
    "event type": b"event: error\n" + event({"detail": "no"}),
    "event type without space": b"event:error\n" + event({"detail": "no"}),
    "with a finish reason": event({**ERROR, "choices": [{"finish_reason": "error"}]}),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_before_content_stops_everything(fast: ModuleType, case: str) -> None:
    scanner = scanner_of(fast)
    assert scanner.feed(event(ROLE) + ERRORS[case] + event(HELLO)) == event(ROLE)
    assert json.loads(scanner.error)
    assert (scanner.content, scanner.finished) == (False, False)
    assert (scanner.events, scanner.held, scanner.boundary) == (2, 0, True)
    assert scanner.feed(event(HELLO)) == b""
    assert scanner.close() == b""
    assert scanner.events == 2


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_after_content_passes_and_the_first_one_is_kept(fast: ModuleType, case: str) -> None:
    scanner = scanner_of(fast)
    stream = event(HELLO) + ERRORS[case] + event({"error": "another"}) + event(DONE)
    assert scanner.feed(stream) == stream
    assert scanner.error != b'{"error": "another"}'
    assert (scanner.done, scanner.finished) == (True, False)


@pytest.mark.parametrize("value", [{"error": None}, {"error": {}}, {"error": ""}, {"object": "errors"}, [ERROR]])
def test_what_is_no_error(fast: ModuleType, value: object) -> None:
    scanner = scanner_of(fast)
    assert scanner.feed(event(value)) == event(value)
    assert scanner.error is None


def test_the_last_event_type_counts(fast: ModuleType) -> None:
    scanner = scanner_of(fast)
    stream = b"event: error\nevent: message\n" + event({}) + b"event: error\nevent\n" + event({}) + b"event: error\n\n"
    assert scanner.feed(stream + event({})) == stream + event({})
    assert scanner.error is None


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_data_over_lines_is_joined(fast: ModuleType, mark: bytes, end: bytes) -> None:
    lines = [b"data:{", b": comment", b'data: "error":', b"data", b"id: 1", b'data:  "x"}', b"", b""]
    scanner = scanner_of(fast)
    scanner.feed(mark + end.join(lines))
    assert scanner.error == b'{\n"error":\n\n "x"}'


def test_malformed_events_are_dropped_and_the_rest_flows(fast: ModuleType) -> None:
    bad = event(b'{"choices":[') + event(b"\xff") + event(b" ") + event(b"NaN")
    stream = event(HELLO) + bad + event(STOP) + bad + event(DONE)
    assert scan(fast, [stream])[0] == event(HELLO) + event(STOP) + event(DONE)
    out, seen = scan(fast, [stream], drop_malformed=False)
    assert out == stream
    assert (seen["malformed"], seen["events"]) == (8, 11)


def test_half_surrogate_pairs_are_text(fast: ModuleType) -> None:
    halves = [event(b'{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}'), event(b'{"\\uDE00":"\\\\ud83d"}')]
    stream = b"".join([*halves, event(STOP), event(DONE)])
    out, seen = scan(fast, [stream])
    assert (out, seen["malformed"]) == (stream, 0)
    bad = event(b'{"choices":["\\ud83d"')
    assert scan(fast, [bad, stream])[1]["malformed"] == 1


def test_only_the_event_that_is_all_usage_is_stripped(fast: ModuleType) -> None:
    kept = [
        {**HELLO, "usage": {"total_tokens": 1}},
        {"choices": [], "usage": None},
        {"choices": []},
        {"usage": {"total_tokens": 2}},
        {"choices": [], "usage": [1]},
    ]
    stream = b"".join(map(event, kept))
    out, seen = scan(fast, [stream + event(USAGE) + event(DONE)], strip_usage=True)
    assert out == stream + event(DONE)
    assert seen["removed"] == 1
    assert seen["usage"] == USAGE["usage"]


def test_usage_is_overwritten_never_added(fast: ModuleType) -> None:
    scanner = scanner_of(fast)
    for count in (1, 5, 9):
        scanner.feed(event({**HELLO, "usage": {"total_tokens": count}}))
        assert scanner.usage == {"total_tokens": count}


def test_an_event_over_the_hold_passes_as_it_arrives(fast: ModuleType) -> None:
    scanner = scanner_of(fast, event_hold=32)
    large = event(b"x" * 60)
    assert scanner.feed(large[:32]) == b""
    assert scanner.feed(large[32:33]) == large[:33]
    assert (scanner.boundary, scanner.held, scanner.unjudged, scanner.content) == (False, 0, 1, True)
    assert scanner.feed(large[33:-1]) == large[33:-1]
    assert not scanner.boundary
    assert scanner.feed(large[-1:] + event(b"?") + event(b"1")) == large[-1:] + event(b"1")
    assert (scanner.boundary, scanner.malformed, scanner.unjudged, scanner.events) == (True, 1, 1, 3)


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("over", [0, 1])
def test_the_size_of_an_event_ends_with_the_first_byte_of_its_last_line_end(
    fast: ModuleType, end: bytes, over: int
) -> None:
    bad = event(b"x" * 50, end)
    size = len(bad) - len(end) + 1
    out, seen = scan(fast, [bad + event(DONE)], event_hold=size - over)
    assert (seen["malformed"], seen["unjudged"]) == (1 - over, over)
    assert out == (bad if over else b"") + event(DONE)


def test_the_hold_has_a_least_size() -> None:
    from gateway._fast import SseScanner

    with pytest.raises(ValueError, match="at least 4"):
        SseScanner(content=(), event_hold=3)


@pytest.mark.parametrize(("ended", "finished"), [([0], False), ([0, 0], False), ([0, 70], True), ([0, 1, 2], True)])
def test_not_finished_before_as_many_items_as_expected_were_seen(
    fast: ModuleType, ended: list[int], finished: bool
) -> None:
    scanner = scanner_of(fast, least=2)
    for index in ended:
        scanner.feed(event({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}))
    assert scanner.finished is finished
