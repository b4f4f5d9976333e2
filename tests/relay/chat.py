"""Chat stream events as bytes."""

from __future__ import annotations

import json
from typing import Any

DONE = b"data: [DONE]\n\n"


def event(value: object, end: bytes = b"\n") -> bytes:
    data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    return b"data: " + data + end + end


def chunk(content: str | None = None, finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    delta = delta if content is None else {"content": content, **delta}
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


USAGE_FIELDS = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
ROLE = event(chunk(role="assistant", content=""))
HELLO = event(chunk("Hello"))
WORLD = event(chunk(" wörld"))
STOP = event(chunk(finish="stop"))
USAGE = event({"choices": [], "usage": USAGE_FIELDS})
ANSWER = ROLE + HELLO + WORLD + STOP + DONE


def drip(times: int, *steps: bytes | float) -> list[bytes | float]:
    """The same steps again and again."""
    return [step for _ in range(times) for step in steps]


def last_error(data: bytes) -> dict[str, Any]:
    """The error in a stream's last event."""
    said = data.rstrip().rsplit(b"\n\n", 1)[-1]
    assert said.startswith(b"data: "), said
    found: dict[str, Any] = json.loads(said[6:])["error"]
    return found
