"""Every error a caller can meet: whose fault it is, where to try again, and how it reads as HTTP.

The rules:

* One class, one table. A `Kind` fixes status, type, code, blame and where a retry may help; the rest of
  the gateway raises ``GatewayError(kind, message)`` and never builds a status or a body of its own.
* Our own kinds are the table of spec/completion.md §3.1.2. What a provider answered goes through
  `from_upstream`, the one table for that: a client's mistake keeps its status and the provider's words;
  what the client cannot help (our key, a broken provider) never wears a 4xx that would blame it.
* The message is shown to the client: it names the place and the cure and holds no secret.
* Decided 2026-11: ``x-should-retry`` is always sent. Official SDKs repeat 408, 409, 429 and 5xx twice by
  themselves; once the gateway has spent its attempts a blind repeat only multiplies them, so only
  back-pressure (429, 503: "come back later") says ``true``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import orjson


class Whose(Enum):
    """Whose fault it was; breakers and health count only TARGET, key rotation only KEY."""

    CLIENT = "client"
    KEY = "key"
    PRESSURE = "pressure"  # nobody's fault: the other side asks for less
    TARGET = "target"
    US = "us"


class Retry(Enum):
    """Where a further attempt could succeed."""

    NO = "no"
    SAME = "same"  # the same target, after a wait
    ELSEWHERE = "elsewhere"


class Kind(NamedTuple):
    """One row of the table."""

    status: int
    type: str
    code: str
    whose: Whose
    retry: Retry = Retry.NO


VALIDATION = Kind(400, "invalid_request_error", "validation_error", Whose.CLIENT)
MODEL_NOT_FOUND = Kind(404, "invalid_request_error", "model_not_found", Whose.CLIENT)
UNKNOWN_PATH = Kind(404, "invalid_request_error", "unknown_url", Whose.CLIENT)
METHOD_NOT_ALLOWED = Kind(405, "invalid_request_error", "method_not_allowed", Whose.CLIENT)
BODY_TIMEOUT = Kind(408, "timeout_error", "request_timeout", Whose.CLIENT)
PAYLOAD_TOO_LARGE = Kind(413, "invalid_request_error", "payload_too_large", Whose.CLIENT)
UNSUPPORTED_ENCODING = Kind(415, "invalid_request_error", "unsupported_content_encoding", Whose.CLIENT)
UNSUPPORTED_TASK = Kind(400, "invalid_request_error", "unsupported_capability", Whose.CLIENT, Retry.ELSEWHERE)
OVERLOADED = Kind(503, "service_unavailable_error", "overloaded", Whose.PRESSURE)
NO_TARGET = Kind(503, "service_unavailable_error", "no_healthy_providers", Whose.US)
SHUTTING_DOWN = Kind(503, "service_unavailable_error", "shutting_down", Whose.PRESSURE)
INTERNAL = Kind(500, "internal_error", "internal_error", Whose.US)
CLIENT_STALLED = Kind(408, "timeout_error", "client_stalled", Whose.CLIENT)

NO_CONNECTION = Kind(503, "service_unavailable_error", "connections_exhausted", Whose.PRESSURE, Retry.ELSEWHERE)
CONNECT_FAILED = Kind(502, "api_error", "provider_unreachable", Whose.TARGET, Retry.ELSEWHERE)
CONNECTION_LOST = Kind(502, "api_error", "provider_connection_lost", Whose.TARGET, Retry.ELSEWHERE)
NONSENSE = Kind(502, "api_error", "provider_error", Whose.TARGET, Retry.ELSEWHERE)
TIMEOUT = Kind(504, "timeout_error", "timeout", Whose.TARGET, Retry.ELSEWHERE)
TOTAL_TIMEOUT = Kind(504, "timeout_error", "timeout", Whose.TARGET)
STREAM_CUT = Kind(502, "api_error", "stream_interrupted", Whose.TARGET)

UPSTREAM_AUTH = Kind(502, "api_error", "upstream_auth_error", Whose.KEY, Retry.ELSEWHERE)
UPSTREAM_QUOTA = Kind(429, "insufficient_quota", "insufficient_quota", Whose.KEY, Retry.ELSEWHERE)
UPSTREAM_LIMIT = Kind(429, "rate_limit_error", "rate_limit_exceeded", Whose.PRESSURE, Retry.ELSEWHERE)
UPSTREAM_BUSY = Kind(503, "service_unavailable_error", "provider_overloaded", Whose.PRESSURE, Retry.ELSEWHERE)
UPSTREAM_FAILED = NONSENSE

LONGEST = 2_000  # characters of a provider's words that are passed on
_CLIENT_MISTAKES = frozenset({400, 404, 409, 413, 422})
_BY_STATUS = {
    401: UPSTREAM_AUTH,
    402: UPSTREAM_QUOTA,
    403: UPSTREAM_AUTH,
    408: TIMEOUT,
    429: UPSTREAM_LIMIT,
    503: UPSTREAM_BUSY,
    504: TIMEOUT,
    529: UPSTREAM_BUSY,
}


class GatewayError(Exception):
    """An error on its way to the client. `retry_after` is in seconds, whole; `allow` is for 405 only."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = _encodable(message)
        self.param = None if param is None else _encodable(param)
        self.code = code or kind.code
        self.type = type or kind.type
        self.retry_after = retry_after
        self.allow = allow

    @property
    def status(self) -> int:
        return self.kind.status

    @property
    def whose(self) -> Whose:
        return self.kind.whose

    @property
    def retry(self) -> Retry:
        return self.kind.retry

    def conceal(self, secrets: Sequence[str]) -> None:
        """Make a provider's words fit to be shown: some quote the key they were sent, some a whole page."""
        self.message = _fit(self.message, secrets)
        self.param = None if self.param is None else _fit(self.param, secrets)
        self.code = _fit(self.code, secrets)
        self.type = _fit(self.type, secrets)

    def body(self) -> bytes:
        """The OpenAI-shaped error object."""
        detail = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return orjson.dumps({"error": detail})

    def headers(self) -> dict[str, str]:
        """Headers that belong to the error itself."""
        headers = {"x-should-retry": "true" if self.whose is Whose.PRESSURE else "false"}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.allow is not None:
            headers["allow"] = self.allow
        return headers


class ProviderWords(NamedTuple):
    """What a provider's error body said, as far as it could be read."""

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None


def from_upstream(provider: str, status: int, words: ProviderWords, retry_after: int | None = None) -> GatewayError:
    """The error a client sees for a provider's answer `status` (design §9: this table decides).

    The provider's message is shown for client mistakes, limits and overload; of a refused key only the
    status is told, because such messages quote the key.
    """
    if words.code == "insufficient_quota" or words.type == "insufficient_quota":
        kind = UPSTREAM_QUOTA
    elif words.code == "invalid_api_key":
        kind = UPSTREAM_AUTH
    elif status in _CLIENT_MISTAKES:
        kind = Kind(status, "invalid_request_error", "request_refused", Whose.CLIENT)
        message = words.message or f"{provider} refused the request with status {status}"
        return GatewayError(kind, message, param=words.param, code=words.code or NONSENSE.code, type=words.type)
    else:
        kind = _BY_STATUS.get(status, UPSTREAM_FAILED)
    if kind is UPSTREAM_AUTH:
        return GatewayError(
            kind, f"{provider} refused the gateway's credentials ({status}); check this provider's auth"
        )
    said = f": {words.message}" if words.message else ""
    return GatewayError(kind, f"{provider} answered {status}{said}", retry_after=retry_after)


def _encodable(text: str) -> str:
    """A path may hold bytes that are no text; a message that quotes one must still become JSON."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _fit(text: str, secrets: Sequence[str]) -> str:
    """Concealed first, then cut: the other way round the beginning of a secret could be left."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
