"""The error table: our own kinds as the specification has them, a provider's answer as design §9 decides."""

from __future__ import annotations

import json

import pytest

from gateway import errors
from gateway.errors import GatewayError, Kind, ProviderWords, Retry, Whose, from_upstream

KINDS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, Kind)}
SILENT = ProviderWords()
SPOKEN = ProviderWords("it says so", "a_type", "a_code", "a_param")

# spec/completion.md §3.1.2, the rows that exist in this version: status, type, code
SPECIFIED = {
    "VALIDATION": (400, "invalid_request_error", "validation_error"),
    "MODEL_NOT_FOUND": (404, "invalid_request_error", "model_not_found"),
    "PAYLOAD_TOO_LARGE": (413, "invalid_request_error", "payload_too_large"),
    "NONSENSE": (502, "api_error", "provider_error"),
    "NO_TARGET": (503, "service_unavailable_error", "no_healthy_providers"),
    "TIMEOUT": (504, "timeout_error", "timeout"),
    "TOTAL_TIMEOUT": (504, "timeout_error", "timeout"),
    "INTERNAL": (500, "internal_error", "internal_error"),
    "UPSTREAM_LIMIT": (429, "rate_limit_error", "rate_limit_exceeded"),
}

# design §9: what a provider answered -> what the client gets, whose fault, where another try may help
UPSTREAM = [
    (400, 400, Whose.CLIENT, Retry.NO),
    (404, 404, Whose.CLIENT, Retry.NO),
    (409, 409, Whose.CLIENT, Retry.NO),
    (413, 413, Whose.CLIENT, Retry.NO),
    (422, 422, Whose.CLIENT, Retry.NO),
    (401, 502, Whose.KEY, Retry.ELSEWHERE),
    (403, 502, Whose.KEY, Retry.ELSEWHERE),
    (402, 429, Whose.KEY, Retry.ELSEWHERE),
    (429, 429, Whose.PRESSURE, Retry.ELSEWHERE),
    (408, 504, Whose.TARGET, Retry.ELSEWHERE),
    (504, 504, Whose.TARGET, Retry.ELSEWHERE),
    (503, 503, Whose.PRESSURE, Retry.ELSEWHERE),
    (529, 503, Whose.PRESSURE, Retry.ELSEWHERE),
    *(
        (status, 502, Whose.TARGET, Retry.ELSEWHERE)
        for status in (500, 501, 502, 505, 520, 599, 302, 204, 405, 418, 451)
    ),
]


@pytest.mark.parametrize("name", SPECIFIED)
def test_our_own_kinds_are_the_specifications(name: str) -> None:
    assert KINDS[name][:3] == SPECIFIED[name]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_blame_and_status_agree(kind: Kind) -> None:
    """A 4xx is the client's doing, or a limit; what the client cannot help is a 5xx."""
    if kind.status == 429:
        assert kind.whose in (Whose.PRESSURE, Whose.KEY)
    else:
        assert (kind.whose is Whose.CLIENT) == (400 <= kind.status < 500)
    assert kind.whose is not Whose.CLIENT or kind.retry is not Retry.SAME


@pytest.mark.parametrize(("status", "told", "whose", "retry"), UPSTREAM)
@pytest.mark.parametrize("words", [SILENT, SPOKEN], ids=["silent", "spoken"])
def test_a_providers_answer(status: int, told: int, whose: Whose, retry: Retry, words: ProviderWords) -> None:
    error = from_upstream("acme", status, words)
    assert (error.status, error.whose, error.retry) == (told, whose, retry)
    assert error.headers()["x-should-retry"] == ("true" if whose is Whose.PRESSURE else "false")
    shown = json.loads(error.body())["error"]
    if whose is Whose.CLIENT and words is SPOKEN:
        assert shown == {"message": "it says so", "type": "a_type", "param": "a_param", "code": "a_code"}
    else:
        assert "acme" in shown["message"]
        assert str(status) in shown["message"]


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("code", ["invalid_api_key", "a_code"])
def test_what_is_said_about_our_key_is_not_passed_on(status: int, code: str) -> None:
    words = ProviderWords("Incorrect API key provided: sk-canary", "invalid_request_error", code)
    error = from_upstream("acme", status, words)
    ours = status != 400 or code == "invalid_api_key"
    assert (error.kind is errors.UPSTREAM_AUTH) is ours
    assert (b"sk-canary" in error.body()) is not ours


@pytest.mark.parametrize("status", [402, 403, 429, 400])
def test_an_empty_account_is_told_from_a_limit(status: int) -> None:
    for words in (ProviderWords(code="insufficient_quota"), ProviderWords(type="insufficient_quota")):
        error = from_upstream("acme", status, words, retry_after=30)
        assert (error.status, error.code, error.whose) == (429, "insufficient_quota", Whose.KEY)
        assert error.headers() == {"x-should-retry": "false", "retry-after": "30"}


def test_retry_after_and_allow_are_sent_when_they_are_known() -> None:
    assert from_upstream("acme", 429, SILENT, 7).headers() == {"x-should-retry": "true", "retry-after": "7"}
    error = GatewayError(errors.METHOD_NOT_ALLOWED, "x", allow="POST")
    assert error.headers() == {"x-should-retry": "false", "allow": "POST"}
    assert GatewayError(errors.OVERLOADED, "x", retry_after=0).headers()["retry-after"] == "0"


def test_the_body_is_openais() -> None:
    error = GatewayError(errors.VALIDATION, 'n: must be at least 1, got "0"', param="n")
    assert json.loads(error.body()) == {
        "error": {
            "message": 'n: must be at least 1, got "0"',
            "type": "invalid_request_error",
            "param": "n",
            "code": "validation_error",
        }
    }
    assert str(error) == error.message


def test_no_text_can_spoil_the_body() -> None:
    error = GatewayError(errors.UNKNOWN_PATH, "GET /\udcff\ud800 does not exist", param="\udc80")
    assert json.loads(error.body())["error"]["message"] == "GET /?? does not exist"
