"""What a client sees of a provider's error: the one table of the design, for whole answers and streams."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any, NamedTuple

import pytest

from tests.harness import FakeProvider, Gateway, chunked, whole

Shape = dict[str, Any]
OPENAI: Shape = {"error": {"message": "said so", "type": "some_type", "param": "p", "code": "some_code"}}
QUOTA: Shape = {
    "error": {"message": "pay first", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
}
SHAPES: dict[str, tuple[bytes, str | None]] = {
    "openai": (json.dumps(OPENAI).encode(), "said so"),
    "vllm": (b'{"object":"error","message":"said so","type":"BadRequestError","param":null,"code":400}', "said so"),
    "text": (b'{"error":"said so"}', "said so"),
    "fastapi": (b'{"detail":"said so"}', "said so"),
    "in an array": (b'[{"error":{"message":"said so","code":400,"status":"INVALID_ARGUMENT"}}]', "said so"),
    "html": (b"<html>Bad Gateway</html>", None),
    "nothing": (b"", None),
}


class Told(NamedTuple):
    """What the client is told."""

    status: int
    code: str
    retry: str = "false"


SAME = {status: Told(status, "some_code") for status in (400, 404, 409, 413, 422)}
TABLE = SAME | {
    401: Told(502, "upstream_auth_error"),
    403: Told(502, "upstream_auth_error"),
    402: Told(429, "insufficient_quota"),
    408: Told(504, "timeout"),
    429: Told(429, "rate_limit_exceeded", "true"),
    500: Told(502, "provider_error"),
    501: Told(502, "provider_error"),
    502: Told(502, "provider_error"),
    503: Told(503, "provider_overloaded", "true"),
    504: Told(504, "timeout"),
    520: Told(502, "provider_error"),
    529: Told(503, "provider_overloaded", "true"),
    405: Told(502, "provider_error"),
    418: Told(502, "provider_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", TABLE)
def test_every_status(provider: FakeProvider, gateway: Gateway, status: int, stream: bool) -> None:
    provider.answer(whole(OPENAI, status=status))
    told = TABLE[status]
    answer = gateway.chat(stream=stream)
    error = answer.json()["error"]
    assert Told(answer.status_code, error["code"], answer.headers["x-should-retry"]) == told
    assert answer.headers["content-type"] == "application/json"
    if status in SAME:
        assert answer.json() == OPENAI
    elif status in (401, 403):
        assert "said so" not in error["message"], "such messages quote the key"
    else:
        assert error["message"].endswith("said so")
    line = gateway.access_of(answer.headers["x-request-id"])
    assert (line["status"], line["attempts"][0]["status"], line["attempts"][0]["outcome"]) == (
        told.status,
        status,
        "request_refused" if status in SAME else told.code,
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [403, 429, 500])
def test_a_used_up_quota_is_one_whatever_its_status(
    provider: FakeProvider, gateway: Gateway, status: int, stream: bool
) -> None:
    provider.answer(whole(QUOTA, status=status))
    answer = gateway.chat(stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    assert answer.json()["error"]["type"] == "insufficient_quota"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 503])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(provider: FakeProvider, gateway: Gateway, shape: str, status: int, stream: bool) -> None:
    body, message = SHAPES[shape]
    provider.answer(whole(body, status=status))
    answer = gateway.chat(stream=stream)
    assert answer.status_code == status
    said = answer.json()["error"]["message"]
    assert (message or str(status)) in said


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, (7, 7)),
        ({"retry-after": "1.2"}, (2, 2)),
        ({"retry-after-ms": "1500"}, (2, 2)),
        ({"retry-after-ms": "300", "retry-after": "9"}, (1, 1)),
        ({"retry-after": "date"}, (25, 31)),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, (0, 0)),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_passed_on_in_seconds(
    provider: FakeProvider, gateway: Gateway, headers: dict[str, str], seconds: tuple[int, int] | None, stream: bool
) -> None:
    if headers.get("retry-after") == "date":
        headers = {"retry-after": formatdate(time.time() + 30, usegmt=True)}
    for status in (429, 503):
        provider.answer(whole(OPENAI, status=status, headers=headers))
        answer = gateway.chat(stream=stream)
        found = answer.headers.get("retry-after")
        assert found is None if seconds is None else seconds[0] <= int(found or -1) <= seconds[1]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"error": {"message": "x", "type": "invalid_request_error"}}, 400, "provider_error"),
        ({"error": {"message": "x", "code": 429}}, 429, "rate_limit_exceeded"),
        ({"error": {"message": "x", "status_code": 503}}, 503, "provider_overloaded"),
        ({"error": "x"}, 502, "provider_error"),
        ({"error": {"message": "x"}, "choices": []}, 502, "provider_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_never_200_with_an_error(
    provider: FakeProvider, gateway: Gateway, body: Shape, status: int, code: str, stream: bool
) -> None:
    for steps in (
        (whole(body), chunked([b"data: " + json.dumps(body).encode() + b"\n\n"])) if stream else (whole(body),)
    ):
        provider.answer(steps)
        answer = gateway.chat(stream=stream)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("size", [0, 300_000])
@pytest.mark.parametrize("empty", [b"null", b"{}", b"{ }", b'""', b"false"])
def test_an_empty_error_is_none(provider: FakeProvider, gateway: Gateway, empty: bytes, size: int) -> None:
    provider.answer(whole(b'{"choices":["%b"],"error":%b}' % (b"x" * size, empty)))
    assert gateway.chat().status_code == 200


def test_an_answer_with_a_key_twice_is_still_one(provider: FakeProvider, gateway: Gateway) -> None:
    provider.answer(whole(b'{"choices":[],"id":"a","id":"b"}'))
    assert gateway.chat().content == b'{"choices":[],"id":"a","id":"b"}'
