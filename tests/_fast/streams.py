"""Streams to feed, the ways to cut them, and what is seen of a scanner afterwards."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

CONTENT = ("content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call", "audio")
SEEN = ("content", "finished", "done", "error", "usage", "events", "malformed", "unjudged", "removed")
LINE_ENDS = (b"\n", b"\r", b"\r\n")


def event(value: object, end: bytes = b"\n") -> bytes:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b"data: " + data + end + end


def chunk(finish: str | None = None, index: object = 0, **delta: object) -> dict[str, object]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


ROLE = chunk(role="assistant", content="")
HELLO = chunk(content="Hello")
STOP = chunk("stop")
USAGE: dict[str, object] = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
DONE = b"[DONE]"


def answer(end: bytes = b"\n", words: int = 6) -> bytes:
    values: list[object] = [ROLE, *(chunk(content=f"wörd{number} ") for number in range(words)), STOP, USAGE, DONE]
    return b"".join(event(value, end) for value in values)


def mixed(end: bytes) -> bytes:
    """All there is in the grammar: byte order mark, comments, every field, data over lines, NUL, what is no JSON."""
    lines = [
        b"\xef\xbb\xbf: a comment first",
        b"",
        b"retry: 10",
        b"id: 7",
        b"",
        b'data:{"choices":',
        b": within",
        b'data: [{"delta":{"content":"two lines"}}]}',
        b"",
        b"",
        b"event: error-like",
        b"data: null",
        b"",
        b"data: {broken",
        b"",
        b"data",
        b"database: x",
        b"data",
        b"data: 1",
        b"",
        b"da\x00ta: \x00",
        b"",
        b"event",
        b'data:  {"usage":{"total_tokens":1}}',
        b"",
        b'data: {"choices":[],"usage":{"total_tokens":2}}',
        b"",
        b'data: {"choices":[{"finish_reason":"stop"},{"index":1,"finish_reason":"length"}]}',
        b"",
        b"data: \xff",
        b"",
        b"data:[DONE]",
        b"",
    ]
    return b"".join(line + end for line in lines)


def cuts(stream: bytes, *places: int) -> list[bytes]:
    edges = [0, *sorted(places), len(stream)]
    return [stream[start:stop] for start, stop in pairwise(edges)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def seeded_cuts(stream: bytes, rounds: int, seed: int) -> Iterator[list[bytes]]:
    dice = random.Random(seed)
    for _ in range(rounds):
        yield cuts(stream, *(dice.randrange(len(stream) + 1) for _ in range(dice.randrange(1, 12))))


def scan(module: ModuleType, parts: Iterable[bytes], **options: Any) -> tuple[bytes, dict[str, Any]]:
    """What came out in all, and what was seen."""
    scanner = module.SseScanner(content=CONTENT, **options)
    out = [scanner.feed(part) for part in parts]
    out.append(scanner.close())
    assert scanner.held == 0
    assert scanner.boundary
    return b"".join(out), {name: getattr(scanner, name) for name in SEEN}
