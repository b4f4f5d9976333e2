"""The openai package: every failure is the SDK's own exception, and no failure is tried again in vain."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.clients.conftest import HELLO, TEXT, Sdk
from tests.harness import CLOSE, HANG, RESET, FakeProvider, Gateway, chunked, events, eventually, whole

SAID = {"error": {"message": "so it is", "type": "some_error", "param": "messages", "code": "some_code"}}
QUOTA = {"error": {"message": "pay first", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}
OPEN = events("a", "b", finish=None, done=False)
IN_BAND = b'data: {"error": {"message": "it broke", "type": "server_error", "code": null}}\n\n'

CASES: dict[str, tuple[Any, type[openai.APIStatusError], int, str]] = {
    # what the provider does: the exception, its status, its code
    "400": (whole(SAID, status=400), openai.BadRequestError, 400, "some_code"),
    "401": (whole(SAID, status=401), openai.InternalServerError, 502, "upstream_auth_error"),
    "402": (whole(SAID, status=402), openai.RateLimitError, 429, "insufficient_quota"),
    "403": (whole(SAID, status=403), openai.InternalServerError, 502, "upstream_auth_error"),
    "404": (whole(SAID, status=404), openai.NotFoundError, 404, "some_code"),
    "408": (whole(SAID, status=408), openai.InternalServerError, 504, "timeout"),
    "409": (whole(SAID, status=409), openai.ConflictError, 409, "some_code"),
    "413": (whole(SAID, status=413), openai.APIStatusError, 413, "some_code"),
    "422": (whole(SAID, status=422), openai.UnprocessableEntityError, 422, "some_code"),
    "429": (whole(SAID, status=429), openai.RateLimitError, 429, "rate_limit_exceeded"),
    "quota": (whole(QUOTA, status=429), openai.RateLimitError, 429, "insufficient_quota"),
    "500": (whole(SAID, status=500), openai.InternalServerError, 502, "provider_error"),
    "503": (whole(SAID, status=503), openai.InternalServerError, 503, "provider_overloaded"),
    "504": (whole(SAID, status=504), openai.InternalServerError, 504, "timeout"),
    "529": (whole(SAID, status=529), openai.InternalServerError, 503, "provider_overloaded"),
    "an error in a 200": (whole(SAID), openai.InternalServerError, 502, "provider_error"),
    "HTML": (whole(b"<html>"), openai.InternalServerError, 502, "provider_error"),
    "a reset": ([RESET], openai.InternalServerError, 502, "provider_connection_lost"),
    "a close": ([CLOSE], openai.InternalServerError, 502, "provider_connection_lost"),
}
PRESSURE = {"429", "503", "529"}  # come back later: a repeat may help


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_each_error_is_the_sdk_s_own(sdk: Sdk, provider: FakeProvider, name: str, stream: bool) -> None:
    steps, kind, status, code = CASES[name]
    provider.answer(steps)
    with pytest.raises(openai.APIStatusError) as caught:
        sdk.get(sdk.client.chat.completions.create(model="m", messages=HELLO, stream=stream))
    error = caught.value
    assert type(error) is kind
    assert (error.status_code, error.code) == (status, code)
    assert error.request_id
    assert error.response.headers["x-should-retry"] == ("true" if name in PRESSURE else "false")
    if code == "some_code":
        body: Any = error.body
        assert (body["message"], error.param, error.type) == ("so it is", "messages", "some_error")


@pytest.mark.parametrize("name", sorted(set(CASES) - PRESSURE))
def test_what_a_repeat_cannot_cure_is_not_repeated(sdk: Sdk, provider: FakeProvider, name: str) -> None:
    provider.answer(whole({"choices": []}, headers={"connection": "close"}))
    sdk.get(sdk.client.chat.completions.create(model="m", messages=HELLO))  # now none is kept that could be stale
    provider.answer(CASES[name][0])
    before = len(provider.seen)
    with pytest.raises(openai.APIStatusError):
        sdk.get(sdk.with_options(max_retries=2).client.chat.completions.create(model="m", messages=HELLO))
    assert len(provider.seen) == before + 1


def test_pressure_is_repeated_when_the_provider_says_so(sdk: Sdk, provider: FakeProvider) -> None:
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "at last"}}]}
    provider.answer(whole(SAID, status=429, headers={"retry-after": "1"}), whole(answer))
    before = len(provider.seen)
    said = sdk.get(sdk.with_options(max_retries=2).client.chat.completions.create(model="m", messages=HELLO))
    assert said.choices[0].message.content == "at last"
    assert len(provider.seen) == before + 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_passed_on(sdk: Sdk, provider: FakeProvider, status: int) -> None:
    provider.answer(whole(SAID, status=status, headers={"retry-after": "17"}))
    with pytest.raises(openai.APIStatusError) as caught:
        sdk.get(sdk.client.chat.completions.create(model="m", messages=HELLO))
    assert caught.value.response.headers["retry-after"] == "17"


def test_our_own_errors(sdk: Sdk) -> None:
    create = sdk.client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.get(create(model="nope", messages=HELLO))
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as hot:
        sdk.get(create(model="echo", messages=HELLO, temperature=3))
    assert (hot.value.code, hot.value.param) == ("validation_error", "temperature")
    with pytest.raises(openai.APIStatusError) as large:
        sdk.get(create(model="echo", messages=[{"role": "user", "content": "x" * (4 << 20)}]))
    assert (large.value.status_code, large.value.code) == (413, "payload_too_large")
    with pytest.raises(openai.NotFoundError):
        sdk.get(sdk.client.models.retrieve("nope"))
    with pytest.raises(openai.NotFoundError) as elsewhere:
        sdk.get(sdk.client.images.generate(prompt=TEXT))
    assert elsewhere.value.code == "unknown_url"


@pytest.mark.parametrize(
    "steps",
    [
        chunked([*OPEN, RESET], end=False),
        chunked([*OPEN, CLOSE], end=False),
        chunked(OPEN),  # ended in order, but without its finish reason
        chunked([*OPEN, IN_BAND]),
    ],
    ids=["a reset", "a close", "no finish", "in band"],
)
def test_a_stream_that_breaks_raises_in_the_middle(sdk: Sdk, provider: FakeProvider, steps: Any) -> None:
    provider.answer(steps)
    stream = sdk.get(sdk.client.chat.completions.create(model="m", messages=HELLO, stream=True))
    said = [sdk.next(stream).choices[0].delta.content for _ in range(3)]
    assert said == ["", "a", "b"]
    with pytest.raises(openai.APIError) as caught:
        sdk.all(stream)
    assert type(caught.value) is openai.APIError  # told in the stream, not by the connection
    assert "broke" in str(caught.value) or "interrupted" in str(caught.value)
    sdk.get(stream.close())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_s_timeout_stops_the_upstream(sdk: Sdk, provider: FakeProvider, stream: bool) -> None:
    provider.answer([HANG])
    impatient = sdk.with_options(timeout=0.4).client
    with pytest.raises(openai.APITimeoutError):
        sdk.get(impatient.chat.completions.create(model="m", messages=HELLO, stream=stream))
    assert provider.seen[-1].left.wait(20)


def test_a_timeout_in_the_middle_stops_the_upstream(sdk: Sdk, provider: FakeProvider) -> None:
    provider.answer(chunked([*OPEN, HANG], end=False))
    impatient = sdk.with_options(timeout=0.4).client
    stream = sdk.get(impatient.chat.completions.create(model="m", messages=HELLO, stream=True))
    with pytest.raises(openai.APIConnectionError):
        sdk.all(stream)
    assert provider.seen[-1].left.wait(20)


def test_a_stream_that_is_closed_early_stops_the_upstream(sdk: Sdk, provider: FakeProvider, gateway: Gateway) -> None:
    provider.answer(chunked([*OPEN, HANG], end=False))
    stream = sdk.get(sdk.client.chat.completions.create(model="m", messages=HELLO, stream=True))
    assert sdk.next(stream).choices[0].delta.role == "assistant"
    sdk.get(stream.close())
    assert provider.seen[-1].left.wait(20)
    eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)
