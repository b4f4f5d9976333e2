"""Recorded streams of real providers go through unchanged and are understood.

The recordings are no part of the project: GATEWAY_RECORDINGS names their directory, or they lie in
../shared/recordings beside the checkout.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from gateway import _fast
from tests._fast import twins
from tests._fast.streams import CONTENT, SEEN, seeded_cuts

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = ROOT.parent / "shared/recordings"
RECORDINGS = Path(os.environ.get("GATEWAY_RECORDINGS") or ELSEWHERE) / "interactions.jsonl.gz"
ENDPOINTS = ("chat/completions", "chat/completions#stream", "v1/completions")


def recorded() -> list[dict[str, Any]]:
    if not RECORDINGS.is_file():
        pytest.skip("no recordings of providers here (GATEWAY_RECORDINGS names their directory)")
    with gzip.open(RECORDINGS, "rt") as lines:
        found = [json.loads(line) for line in lines]
    return [
        one for one in found if one["framing"] == "sse" and one["endpoint"].endswith(ENDPOINTS) and one["resp_text"]
    ]


@pytest.fixture(scope="module")
def recordings() -> list[dict[str, Any]]:
    return recorded()


def options_for(one: dict[str, Any]) -> dict[str, Any]:
    return {"content": ("text",), "delta": None} if one["endpoint"].endswith("v1/completions") else {"content": CONTENT}


def test_they_go_out_as_they_came_and_are_understood(recordings: list[dict[str, Any]]) -> None:
    assert len(recordings) > 90
    for one in recordings:
        body = one["resp_text"].encode()
        scanner = _fast.SseScanner(**options_for(one))
        assert scanner.feed(body) is body, one["id"]
        assert scanner.close() == b""
        assert (scanner.content, scanner.finished) == (True, True), one["id"]
        assert scanner.done is (b"data: [DONE]" in body), one["id"]
        assert (scanner.error, scanner.malformed, scanner.unjudged) == (None, 0, 0), one["id"]
        assert scanner.usage == usages(body)[-1], one["id"]


def test_only_the_usage_event_is_stripped(recordings: list[dict[str, Any]]) -> None:
    stripped = 0
    for one in recordings:
        body = one["resp_text"].encode()
        scanner = _fast.SseScanner(**options_for(one), strip_usage=True)
        out = scanner.feed(body)
        stripped += scanner.removed
        assert events(out) == [block for block in events(body) if not is_usage(block)], one["id"]
    assert stripped > 20


def test_they_may_be_cut_anywhere(recordings: list[dict[str, Any]]) -> None:
    for seed, one in enumerate(recordings):
        body = one["resp_text"].encode()
        for parts in seeded_cuts(body, 3, seed):
            results = []
            for module in (twins, _fast):
                scanner = module.SseScanner(**options_for(one), strip_usage=True)
                out = b"".join(map(scanner.feed, parts)) + scanner.close()
                results.append((out, [getattr(scanner, name) for name in SEEN]))
            assert results[0] == results[1], one["id"]


def events(body: bytes) -> list[bytes]:
    return re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", body)


def payload(block: bytes) -> Any:
    data = block.strip().removeprefix(b"data:").strip()
    return json.loads(data) if data.startswith(b"{") else {}


def usages(body: bytes) -> list[Any]:
    found = [payload(block).get("usage") for block in events(body)]
    return [None, *(usage for usage in found if usage)]


def is_usage(block: bytes) -> bool:
    value = payload(block)
    return bool(value.get("usage")) and value.get("choices") == []
