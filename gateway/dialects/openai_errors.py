"""Errors as OpenAI-compatible providers say them, whatever shape they chose (wire.md §1.4, §12, §14).

Seen in the wild: ``{"error": {"message", "type", "code", "param"}}``; the same with a number as code;
``{"error": "text"}``; ``{"object": "error", "message", …}`` (vLLM); ``{"detail": …}`` (FastAPI); HTML.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import ceil, isfinite
from typing import Any

import orjson

from gateway.errors import GatewayError, ProviderWords, from_upstream

A_YEAR = 31_536_000  # seconds
STATUS = re.compile("[45][0-9]{2}")
_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "tokens": 429,
    "requests": 429,
    "insufficient_quota": 402,
    "overloaded_error": 529,
}


def read_error(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """The error behind a provider's answer. A `status` of 200 means: it came inside a success."""
    said = _object(body)
    detail = said.get("error", said)
    if isinstance(detail, str):
        detail = {"message": detail, "code": said.get("code")}
    elif not isinstance(detail, dict):
        detail = {}
    words = ProviderWords(
        message=_text(detail.get("message") or detail.get("detail")),
        type=_text(detail.get("type")),
        code=_text(detail.get("code")),
        param=_text(detail.get("param")),
    )
    if status == 200:
        status = _inner_status(detail, words)
    return from_upstream(provider, status, words, retry_after(headers))


def retry_after(headers: Mapping[str, str], now: float | None = None) -> int | None:
    """Whole seconds, rounded up, from ``retry-after-ms`` or ``retry-after`` (seconds, HTTP date); at most a year."""
    seconds = _number(headers.get("retry-after-ms", ""), 0.001)
    value = headers.get("retry-after", "")
    if seconds is None and value.strip()[:1].isdigit():
        seconds = _number(value)
    elif seconds is None:
        seconds = _until(value, time.time() if now is None else now)
    return None if seconds is None else min(A_YEAR, max(0, ceil(seconds)))


def _number(value: str, unit: float = 1.0) -> float | None:
    try:
        seconds = round(float(value) * unit, 6)
    except ValueError:
        return None
    return seconds if isfinite(seconds) else None


def _until(date: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(said, list) and said:  # some proxies wrap the object in an array
        said = said[0]
    return said if isinstance(said, dict) else {}


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested deeper than can be written, though it could be read
        return None
    return text


def _inner_status(detail: Mapping[str, Any], words: ProviderWords) -> int:
    for name in ("status_code", "http_status_code", "status", "code"):
        value = detail.get(name)
        if isinstance(value, str) and STATUS.fullmatch(value):
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return _STATUS_OF.get(words.code or "", _STATUS_OF.get(words.type or "", 502))  # the code says more
