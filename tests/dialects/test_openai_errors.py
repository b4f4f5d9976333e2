"""Errors in every shape that providers were seen to use, and when to come back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.openai_errors import read_error, retry_after
from gateway.errors import LONGEST, GatewayError, Whose

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def read(said: Any, status: int = 400, **headers: str) -> GatewayError:
    return read_error("acme", status, headers, said if isinstance(said, bytes) else json.dumps(said).encode())


NONE, INVALID = "provider_error", "invalid_request_error"  # what we say when nothing was said


@pytest.mark.parametrize(
    ("said", "message", "type", "code", "param"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c", "param": "p"}}, "m", "t", "c", "p"),
        ({"error": {"message": "m", "type": "t", "code": 400, "param": None}}, "m", "t", "400", None),
        ({"error": "m"}, "m", INVALID, NONE, None),
        ({"error": "m", "code": "c"}, "m", INVALID, "c", None),
        ({"object": "error", "message": "m", "type": "BadRequest", "code": 400}, "m", "BadRequest", "400", None),
        ({"detail": "m"}, "m", INVALID, NONE, None),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, '[{"loc":["body"],"msg":"m"}]', INVALID, NONE, None),
        ([{"error": {"message": "m", "code": 400}}], "m", INVALID, "400", None),
        ({"error": {"message": {"en": "m"}}}, '{"en":"m"}', INVALID, NONE, None),
        ({"message": "m"}, "m", INVALID, NONE, None),
    ],
)
def test_shapes(said: Any, message: str, type: str, code: str, param: str | None) -> None:
    error = read(said)
    assert (error.status, error.message, error.type, error.code, error.param) == (400, message, type, code, param)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502 Bad Gateway</html>", b"null", b"[]", b"[1]", b"3", b'{"error": null}', b'{"error": []}', b"\xff"],
)
def test_no_shape_at_all(body: bytes) -> None:
    assert read(body).message == "acme refused the request with status 400"
    assert read(body, 500).message == "acme answered 500"


@pytest.mark.parametrize("code", ["\u00b2", "\u0665\u0660\u0660", "9" * 5000, "5e2"])
def test_digits_that_are_no_status(code: str) -> None:
    assert read({"error": {"message": "m", "code": code}}, status=200).status == 502


def test_a_message_too_deep_to_be_written_is_none() -> None:
    deep = b'{"error": {"message": ' + b"[" * 300 + b"]" * 300 + b"}}"
    assert read(deep).message == "acme refused the request with status 400"


def test_a_long_message_is_cut_after_it_was_concealed() -> None:
    error = read({"error": {"message": "x" * (LONGEST - 8) + "sk-secret-key" + "x" * 10_000, "code": "sk-secret-key"}})
    error.conceal(["sk-secret-key"])
    assert (error.message, error.code) == ("x" * (LONGEST - 8) + "***" + "x" * 5 + "…", "***")


@pytest.mark.parametrize(
    ("detail", "status", "whose"),
    [
        ({"code": 429}, 429, Whose.PRESSURE),
        ({"code": "503"}, 503, Whose.PRESSURE),
        ({"status_code": 400, "code": "c"}, 400, Whose.CLIENT),
        ({"http_status_code": 401}, 502, Whose.KEY),
        ({"type": "rate_limit_error"}, 429, Whose.PRESSURE),
        ({"code": "rate_limit_exceeded", "type": "tokens"}, 429, Whose.PRESSURE),
        ({"type": "overloaded_error"}, 503, Whose.PRESSURE),
        ({"type": "insufficient_quota"}, 429, Whose.KEY),
        ({"type": "invalid_request_error", "code": "context_length_exceeded"}, 400, Whose.CLIENT),
        ({"type": "invalid_request_error", "code": "invalid_api_key"}, 502, Whose.KEY),
        ({"type": "invalid_request_error", "code": "model_not_found"}, 404, Whose.CLIENT),
        ({"type": "server_error"}, 502, Whose.TARGET),
        ({"code": 200}, 502, Whose.TARGET),
        ({"code": True}, 502, Whose.TARGET),
        ({}, 502, Whose.TARGET),
    ],
)
def test_an_error_inside_a_success_finds_its_status(detail: dict[str, Any], status: int, whose: Whose) -> None:
    error = read({"error": {"message": "m", **detail}}, 200)
    assert (error.status, error.whose) == (status, whose)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "1.2"}, 2),
        ({"retry-after-ms": "1"}, 1),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 2),
        ({"retry-after-ms": "2000"}, 2),
        ({"retry-after-ms": "-5"}, 0),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}, 60),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:00 GMT"}, 0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0),
        ({"retry-after": "Friday, 15-Jan-27 08:00:30 GMT"}, 30),
        ({"retry-after": "Fri Jan 15 08:00:30 2027"}, 30),  # asctime: no zone, and HTTP says it is GMT
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert retry_after(headers, NOW) == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


@given(
    st.binary(max_size=60) | st.from_regex(rb'\{"error": ?\{"[a-z_]{1,8}": ?.{0,20}\}\}'),
    st.sampled_from([200, 400, 401, 429, 500]),
)
def test_no_body_breaks_it(body: bytes, status: int) -> None:
    error = read_error("acme", status, {}, body)
    assert json.loads(error.body())["error"]["message"]
    assert error.status in (400, 404, 409, 413, 422, 429, 502, 503, 504)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_breaks_it(seconds: str, milliseconds: str) -> None:
    given_ = retry_after({"retry-after": seconds, "retry-after-ms": milliseconds}, NOW)
    assert given_ is None or given_ >= 0


def test_nobody_is_sent_away_for_ever() -> None:
    assert retry_after({"retry-after": "1e300"}, NOW) == 31_536_000
