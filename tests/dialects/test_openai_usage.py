"""Usage as providers report it: an unknown is not a zero, and nonsense is not a count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.conversation import Usage
from gateway.dialects.openai_usage import read_usage, write_usage

COUNTS = st.integers(0, 10**12)


@pytest.mark.parametrize(
    ("fields", "usage"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}, Usage(5, 2)),
        ({"prompt_tokens": 5, "total_tokens": 5}, Usage(5, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            Usage(9, 8, 4, 6),
        ),
        ({"prompt_tokens": 5, "completion_tokens": None, "prompt_tokens_details": None}, Usage(5, 0)),
        (
            {"prompt_tokens": 5, "prompt_tokens_details": [], "completion_tokens_details": {"reasoning_tokens": "6"}},
            Usage(5, 0),
        ),
        ({}, None),
        ({"completion_tokens": 2}, None),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": "5"}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": 5.0}, None),
    ],
)
def test_reading(fields: dict[str, Any], usage: Usage | None) -> None:
    assert read_usage(fields) == usage


@given(st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS))
def test_what_is_written_is_read_again(usage: Usage) -> None:
    assert read_usage(write_usage(usage)) == usage


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
NAMES = ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)))
def test_no_object_breaks_it(fields: dict[str, Any]) -> None:
    usage = read_usage(fields)
    assert (
        usage is None or min(usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens) >= 0
    )


def test_more_tokens_than_anyone_ever_used_are_no_count() -> None:
    assert read_usage({"prompt_tokens": 2**64 - 1, "completion_tokens": 1}) is None
