"""The compiled scanner against its twin on streams put together at random, for as long as there is patience."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway import _fast
from tests._fast import twins
from tests._fast.streams import CONTENT

MARKS = [b"data: ", b"data:", b"event: error", b"id: 7", b": comment", b"retry: 5", b"\n", b"\r", b"\r\n", b"\n\n"]
DATA = [
    b'{"choices":[{"index":0,"delta":{"content":"x"}}]}',
    b'{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}',
    b'{"choices":[],"usage":{"prompt_tokens":1}}',
    b'{"error":{"message":"no"}}',
    b"[DONE]",
]
NOISE = [b'{"broken', b"\x00", b"\xff", b" ", b"\xef\xbb\xbf"]
PIECES = MARKS + DATA + NOISE


@pytest.mark.parametrize("rounds", [2_000, pytest.param(200_000, marks=pytest.mark.soak)])
def test_the_scanner_is_its_twin(rounds: int) -> None:
    dice = random.Random(20)
    for _ in range(rounds):
        stream = b"".join(dice.choice(PIECES) for _ in range(dice.randrange(40)))
        options: dict[str, Any] = {
            "strip_usage": dice.random() < 0.5,
            "drop_malformed": dice.random() < 0.8,
            "event_hold": dice.choice((4, 40, 65536)),
            "least": dice.choice((1, 2)),
        }
        parts = cut(stream, dice)
        assert run(_fast.SseScanner(content=CONTENT, **options), parts) == run(
            twins.SseScanner(content=CONTENT, **options), parts
        ), (parts, options)


def cut(stream: bytes, dice: random.Random) -> list[bytes]:
    places = sorted(dice.randrange(len(stream) + 1) for _ in range(dice.randrange(6)))
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)])]


def run(scanner: _fast.SseScanner | twins.SseScanner, parts: list[bytes]) -> list[object]:
    """What it lets out step by step, and what it knows in the end."""
    out: list[object] = [scanner.feed(part) for part in parts]
    return [*out, scanner.close(), scanner.content, scanner.finished, scanner.done, scanner.error, scanner.usage,
            scanner.events, scanner.malformed, scanner.unjudged, scanner.removed, scanner.boundary]  # fmt: skip
