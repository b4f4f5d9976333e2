"""What of an answer, a log line and the meters may differ between two runs of the same lane, made the same.

The rule: only what names a moment, a process or a number drawn at random is replaced, each by a word of its own, so
that its presence is still compared. Header names are compared without case, their order is not.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.equivalence.conversation import Outcome, Said

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
COMMENTS = re.compile(r"(: keep-alive\n\n)+")  # as many as the silence was long
CREATED = re.compile(r'"created":\d{9,}')  # in the list of models: when the gateway began
NUMBER = re.compile(r"\d+\.\d+")
MOVING = ("ts", "duration_ms", "overhead_ms", "ttft_ms")  # of an access line
LIVING = ("/metrics", "/health")  # pages that no two moments share


def answer(said: Said) -> dict[str, Any]:
    """Field by field, for a comparison that shows where it fails."""
    headers = sorted((name, header(name, value)) for name, value in said.headers)
    body = COMMENTS.sub(": keep-alive\n\n", UUID.sub("UUID", said.body.decode("latin-1")))
    body = CREATED.sub('"created":TIME', body)
    if is_living(said):
        body = "LIVING"
        headers = [(name, "LIVING" if name == "content-length" else value) for name, value in headers]
    return {"line": said.line, "headers": headers, "body": body, "framing": said.framing}


def header(name: str, value: str) -> str:
    if name == "date":
        return "DATE"
    if name == "server-timing":
        return NUMBER.sub("N", value)
    return UUID.sub("UUID", value)


def is_living(said: Said) -> bool:
    return b"# TYPE llm_gateway_" in said.body or (said.body.startswith(b'{"status":"') and b'"lane"' in said.body)


def outcome(heard: Outcome) -> dict[str, Any]:
    return {
        "statuses": heard.statuses,
        "answers": [answer(said) for said in heard.answers],
        "rest": heard.rest,
        "end": heard.end,
    }


def access_line(line: dict[str, Any]) -> dict[str, Any]:
    """Less its times and ids; that each is there is kept."""
    fixed: dict[str, Any] = {name: "TIME" if name in MOVING else value for name, value in line.items()}
    for attempt in fixed.get("attempts", ()):
        attempt["ms"] = "TIME"
    moving = {"bytes_out"} if line["path"] in LIVING else set()
    fixed |= dict.fromkeys(moving & fixed.keys(), "LIVING")
    return json.loads(UUID.sub("UUID", json.dumps(fixed)))  # type: ignore[no-any-return]


COUNTED = re.compile(
    r"llm_gateway_(requests_total|upstream_attempts_total|tokens_total|stream_events_malformed_total|stream_cut_total"
    r"|client_disconnects_total|provider_health|active_requests|log_lines_dropped_total"
    r"|\w+_seconds_count)(\{|$)"
)
BY_READS = "llm_gateway_inter_chunk_seconds_count"  # as the bytes happened to come


def movement(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """By how much each series of requests moved: counters, and how often the histograms were told something."""
    moved = {name: after[name] - before.get(name, 0.0) for name in after if COUNTED.match(name)}
    return {name: by for name, by in moved.items() if by and not name.startswith(BY_READS)}
