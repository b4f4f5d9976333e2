"""The access log: one line of JSON for each request, written when it is settled.

The rules:

* A field that is None is left out. Times in milliseconds have three decimals.
* No header but ``user_agent``, no body, no query string (some clients put a key there). Text that a client
  chose is cut, so that a line mostly fits into one indivisible write to a pipe.
* The names of the fields are an interface: people's queries hang on them. Add, never rename.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TypedDict

from gateway.telemetry.json_line import json_line, utc_milliseconds

LONGEST = {"method": 32, "path": 512, "model": 200, "user_agent": 200}


class AttemptRecord(TypedDict, total=False):
    """One try at one provider."""

    provider: str
    model: str
    outcome: str
    status: int | None
    ms: float


@dataclass(slots=True, kw_only=True)
class AccessRecord:
    """What is known about a request when it is over."""

    ts: float  # seconds since the epoch, when its head had arrived
    request_id: str
    correlation_id: str | None = None
    client: str | None = None  # the peer's address
    method: str
    path: str
    status: int | None = None
    model: str | None = None  # as the client named it
    provider: str | None = None
    upstream_model: str | None = None
    attempts: Sequence[AttemptRecord] | None = None
    stream: bool | None = None
    ttft_ms: float | None = None
    duration_ms: float | None = None
    overhead_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    error_code: str | None = None
    error_type: str | None = None
    ended_by: str | None = None  # who ended it before its time: client, total, drain
    user_agent: str | None = None


NAMES = tuple(field.name for field in fields(AccessRecord))
_values = attrgetter(*NAMES)
_MILLISECONDS = tuple(name for name in NAMES if name.endswith("_ms"))


def access_line(record: AccessRecord) -> bytes:
    """The record as one line of JSON."""
    pairs = zip(NAMES, _values(record), strict=True)
    line: dict[str, object] = {name: value for name, value in pairs if value is not None}
    line["ts"] = utc_milliseconds(record.ts)
    line["path"] = record.path.partition("?")[0]
    for name in _MILLISECONDS:
        if name in line:
            line[name] = round(getattr(record, name), 3)
    for name, longest in LONGEST.items():
        text = line.get(name)
        if isinstance(text, str) and len(text) > longest:
            line[name] = text[:longest]
    return json_line(line)
