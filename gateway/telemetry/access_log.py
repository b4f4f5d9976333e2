"""The access log: one line of JSON for each request, written when it is settled (`_fast/access_line.pyx` builds it).

===================================================  =================================================================
``ts``                                               when its head had arrived, UTC
``request_id``, ``correlation_id``                   ours or the client's; the client's
``client``, ``user_agent``                           the peer's address; no other header is logged, and no body
``method``, ``path``, ``status``                     without the query string; what the client got
``model``, ``provider``, ``upstream_model``          as the client named it; who answered last, and its name there
``attempts``                                         each try at a provider: its outcome, status and milliseconds
``stream``, ``ttft_ms``, ``duration_ms``             time to first content, and to the end
``overhead_ms``                                      what the gateway itself took of that
``input_tokens``, ``output_tokens``, ``cached_tokens``  as the provider counted
``bytes_in``, ``bytes_out``                          of the bodies
``error_code``, ``error_type``                       of the error that the client was told
``ended_by``                                         who ended it before its time: client, total, drain
===================================================  =================================================================

The names of the fields are an interface: people's queries hang on them. Add, never rename.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway._fast import AccessRecord

__all__ = ["NAMES", "AccessRecord", "AttemptRecord"]

# fmt: off
NAMES = [
    "ts", "request_id", "correlation_id", "client", "method", "path", "status", "model",
    "provider", "upstream_model", "attempts", "stream", "ttft_ms", "duration_ms", "overhead_ms",
    "input_tokens", "output_tokens", "cached_tokens", "bytes_in", "bytes_out", "error_code",
    "error_type", "ended_by", "user_agent",
]
# fmt: on


class AttemptRecord(NamedTuple):
    """One try at one provider."""

    provider: str
    model: str
    outcome: str
    status: int | None
    ms: float
