"""The compiled access line against its twin: the same fields and texts, and numbers within a decimal."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from gateway._fast import AccessRecord
from tests._fast.twins.access_line import AccessRecord as Twin

text = some.text(some.characters(exclude_categories=()), max_size=30) | some.sampled_from(
    ["x" * 600, '"\\\x00\x1f\x7f']
)
number = some.integers(-(2**63), 2**63 - 1)
milliseconds = some.floats(0, 1e9) | some.sampled_from([0.0, 0.0005, 0.9995, 12.5, 1e-9])
attempt = some.tuples(text, text, text, some.none() | number, milliseconds)
TEXTS = [
    "correlation_id",
    "client",
    "model",
    "provider",
    "upstream_model",
    "error_code",
    "error_type",
    "ended_by",
    "user_agent",
]
NUMBERS = ["status", "input_tokens", "output_tokens", "cached_tokens", "bytes_in", "bytes_out"]
TIMES = ["ttft_ms", "duration_ms", "overhead_ms"]

records = some.fixed_dictionaries(
    {"ts": some.floats(0, 4e9), "request_id": text, "method": text, "path": text},
    optional={
        **{name: some.none() | text for name in TEXTS},
        **{name: some.none() | number for name in NUMBERS},
        **{name: some.none() | milliseconds for name in TIMES},
        "stream": some.none() | some.booleans(),
        "attempts": some.none() | some.lists(attempt, max_size=3),
    },
)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(fields=records)
def test_line_and_twin_say_the_same(fields: dict[str, Any]) -> None:
    ours, twins = AccessRecord(**fields).line(), Twin(**fields).line()
    assert ours.endswith(b"}\n")
    assert ours.count(b"\n") == 1
    assert_same(json.loads(ours), json.loads(twins))


def assert_same(ours: Any, twins: Any) -> None:
    if isinstance(twins, dict):
        assert list(ours) == list(twins)
        for name in twins:
            assert_same(ours[name], twins[name])
    elif isinstance(twins, list):
        assert len(ours) == len(twins)
        for one, other in zip(ours, twins, strict=True):
            assert_same(one, other)
    elif isinstance(twins, float):
        assert abs(ours - twins) <= 0.0011 + abs(twins) * 1e-12
    else:
        assert ours == twins


def test_no_line_is_left_behind_by_what_cannot_be_written() -> None:
    record = AccessRecord(ts=0.0, request_id="r", method="GET", path="/")
    record.status = 2**70
    try:
        record.line()
    except OverflowError:
        record.status = 200
    assert json.loads(record.line())["status"] == 200
