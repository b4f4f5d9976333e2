from collections.abc import Sequence
from typing import Self, final

@final
class AccessRecord:
    ts: float
    request_id: str
    correlation_id: str | None
    client: str | None
    method: str
    path: str
    status: int | None
    model: str | None
    provider: str | None
    upstream_model: str | None
    attempts: Sequence[tuple[str, str, str, int | None, float]] | None
    stream: bool | None
    ttft_ms: float | None
    duration_ms: float | None
    overhead_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    bytes_in: int | None
    bytes_out: int | None
    error_code: str | None
    error_type: str | None
    ended_by: str | None
    user_agent: str | None
    def __new__(
        cls,
        *,
        ts: float,
        request_id: str,
        method: str,
        path: str,
        correlation_id: str | None = None,
        client: str | None = None,
        status: int | None = None,
        model: str | None = None,
        provider: str | None = None,
        upstream_model: str | None = None,
        attempts: Sequence[tuple[str, str, str, int | None, float]] | None = None,
        stream: bool | None = None,
        ttft_ms: float | None = None,
        duration_ms: float | None = None,
        overhead_ms: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        bytes_in: int | None = None,
        bytes_out: int | None = None,
        error_code: str | None = None,
        error_type: str | None = None,
        ended_by: str | None = None,
        user_agent: str | None = None,
    ) -> Self: ...
    def line(self) -> bytes: ...
