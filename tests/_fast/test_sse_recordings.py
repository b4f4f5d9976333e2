"""Recorded streams of real providers go through unchanged and are understood.

The recordings are not part of the project: GATEWAY_RECORDINGS names their directory, or they lie in ../shared/recordings.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
import twins
from streams import CONTENT, SEEN, cuts, scan, seeded_cuts

from gateway import _fast

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = ROOT.parent / "shared/recordings"
RECORDINGS = Path(os.environ.get("GATEWAY_RECORDINGS") or ELSEWHERE) / "interactions.jsonl.gz"
ENDPOINTS = ("chat/completions", "chat/completions#stream", "v1/completions")


def recorded() -> list[dict[str, Any]]:
    if not RECORDINGS.is_file():
        pytest.skip("no recordings of providers here (GATEWAY_RECORDINGS names their directory)")
    with gzip.open(RECORDINGS, "rt") as lines:
        found = [json.loads(line) for line in lines]
    return [one for one in found if one["framing"] == "sse" and one["endpoint"].endswith(ENDPOINTS) and one["resp_text"]]


@pytest.fixture(scope="module")
def recordings() -> list[dict[str, Any]]:
    return recorded()


def test_they_go_out_as_they_came(recordings: list[dict[str, Any]]) -> None:
    assert len(recordings) > 90
    for one in recordings:
        body = one["resp_text"].encode()
        for options in ({}, {"drop_malformed": False}):
            out, seen = scan(_fast, [body], **options)
            assert out.startswith(body), one["id"]
