"""OpenAI's usage object, to and from `conversation.Usage` (wire.md §1.2, §17)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.conversation import Usage

MOST = 1 << 40  # tokens; what claims more is no count, and would stay in the counters for good


def read_usage(fields: Mapping[str, Any]) -> Usage | None:
    """None where the counts are missing or are not counts: an unknown is not a zero."""
    prompt = _count(fields.get("prompt_tokens"))
    if prompt is None:
        return None
    return Usage(
        input_tokens=prompt,
        output_tokens=_count(fields.get("completion_tokens")) or 0,
        cached_tokens=_detail(fields, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(fields, "completion_tokens_details", "reasoning_tokens"),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _detail(fields: Mapping[str, Any], group: str, name: str) -> int:
    details = fields.get(group)
    return (_count(details.get(name)) or 0) if isinstance(details, dict) else 0


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MOST else None
