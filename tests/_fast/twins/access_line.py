"""A line of the access log, by way of a dict and a JSON library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

from gateway.telemetry.json_line import json_line, utc_milliseconds

LONGEST = {"method": 32, "path": 512, "model": 200, "user_agent": 200}


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
    attempts: Sequence[tuple[str, str, str, int | None, float]] | None = None
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

    def line(self) -> bytes:
        """The record as one line of JSON."""
        values = zip(NAMES, _values(self), strict=True)
        line: dict[str, object] = {name: value for name, value in values if value is not None}
        line["ts"] = utc_milliseconds(self.ts)
        line["path"] = self.path.partition("?")[0]
        for name in _MILLISECONDS:
            if name in line:
                line[name] = round(getattr(self, name), 3)
        for name, longest in LONGEST.items():
            text = line.get(name)
            if isinstance(text, str) and len(text) > longest:
                line[name] = text[:longest]
        if self.attempts is not None:
            line["attempts"] = [dict(zip(ATTEMPT, (*each[:4], round(each[4], 3)))) for each in self.attempts]
        return json_line(line)


ATTEMPT = ("provider", "model", "outcome", "status", "ms")
NAMES = tuple(field.name for field in fields(AccessRecord))
_values = attrgetter(*NAMES)
_MILLISECONDS = tuple(name for name in NAMES if name.endswith("_ms"))
