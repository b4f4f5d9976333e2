"""The openai package: chats, whole and streamed, with tools, schemas and pictures."""

from __future__ import annotations

import json
from typing import Any, Literal

import pydantic
import pytest

from tests.clients.conftest import HELLO, TEXT, WEATHER, Sdk
from tests.harness import FakeProvider, chunked, events, whole

WORDS = ["the", " quick", " brown", " fox", ",", " jumps", "!"]


class Trip(pydantic.BaseModel):
    city: str
    days: int
    price: float
    booked: bool
    kind: Literal["train", "plane"]
    stops: list[str]


def test_a_chat(sdk: Sdk) -> None:
    answer = sdk.get(sdk.client.chat.completions.create(model="echo", messages=HELLO))
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.model, answer.object) == ("echo", "chat.completion")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 7, 14)
    assert answer._request_id


def test_a_streamed_chat(sdk: Sdk) -> None:
    chunks = sdk.all(sdk.get(sdk.client.chat.completions.create(model="echo", messages=HELLO, stream=True)))
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content] == WORDS
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert not [chunk for chunk in chunks if chunk.usage]


def test_a_stream_with_usage(sdk: Sdk) -> None:
    asked: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = sdk.all(sdk.get(sdk.client.chat.completions.create(model="echo", messages=HELLO, **asked)))
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 14)
    assert not [chunk for chunk in chunks[:-1] if chunk.usage]


def test_a_provider_s_stream(sdk: Sdk, provider: FakeProvider) -> None:
    provider.answer(chunked(events("Hel", "lo", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})))
    chunks = sdk.all(sdk.get(sdk.client.chat.completions.create(model="m", messages=HELLO, stream=True)))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "Hel", "lo", None]
    assert provider.seen[-1].json["messages"] == HELLO


def test_the_raw_response(sdk: Sdk) -> None:
    raw = sdk.get(sdk.client.chat.completions.with_raw_response.create(model="echo", messages=HELLO))
    assert raw.status_code == 200
    assert raw.headers["x-gateway-provider"] == "echo"
    assert raw.headers["x-request-id"] == raw.request_id
    assert sdk.get(raw.parse()).choices[0].message.content == TEXT
    streaming = sdk.client.chat.completions.with_streaming_response
    with sdk.using(streaming.create(model="echo", messages=HELLO, stream=True)) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = sdk.all(response.iter_lines())
    assert lines[-2:] == ["data: [DONE]", ""]
    assert sum(line.startswith("data: {") for line in lines) == len(WORDS) + 2


def test_a_caller_s_request_id_comes_back(sdk: Sdk) -> None:
    headers = {"x-request-id": "from-the-sdk"}
    answer = sdk.get(sdk.client.chat.completions.create(model="echo", messages=HELLO, extra_headers=headers))
    assert answer._request_id == "from-the-sdk"


def test_several_choices(sdk: Sdk) -> None:
    answer = sdk.get(sdk.client.chat.completions.create(model="echo", messages=HELLO, n=2))
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(0, TEXT), (1, TEXT)]
    said = {0: "", 1: ""}
    for chunk in sdk.all(sdk.get(sdk.client.chat.completions.create(model="echo", messages=HELLO, n=2, stream=True))):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert said == {0: TEXT, 1: TEXT}


def test_a_length_limit(sdk: Sdk) -> None:
    answer = sdk.get(sdk.client.chat.completions.create(model="echo", messages=HELLO, max_completion_tokens=2))
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("the quick", "length")


def test_tools_and_their_result(sdk: Sdk) -> None:
    create = sdk.client.chat.completions.create
    first = sdk.get(create(model="echo", messages=HELLO, tools=[WEATHER])).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": TEXT, "days": 7, "unit": "C"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}
    messages = [*HELLO, first.message.model_dump(exclude_none=True), result]
    second = sdk.get(create(model="echo", messages=messages, tools=[WEATHER])).choices[0]
    assert (second.finish_reason, second.message.content) == ("stop", "sunny, 21 degrees")


def test_streamed_tools(sdk: Sdk) -> None:
    asked: dict[str, Any] = {"model": "echo", "messages": HELLO, "tools": [WEATHER]}
    chunks = sdk.all(sdk.get(sdk.client.chat.completions.create(**asked, stream=True)))
    fragments = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert len(fragments) > 1
    assert (fragments[0].id is not None, fragments[0].function.name) == (True, "get_weather")
    arguments = "".join(fragment.function.arguments or "" for fragment in fragments)
    assert json.loads(arguments) == {"city": TEXT, "days": 7, "unit": "C"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    with sdk.using(sdk.client.chat.completions.stream(**asked)) as stream:
        kinds = {event.type for event in sdk.all(stream)}
        final = sdk.get(stream.get_final_completion())
    assert "tool_calls.function.arguments.done" in kinds
    assert final.choices[0].message.tool_calls[0].function.parsed_arguments["days"] == 7


def test_a_forced_tool_and_none(sdk: Sdk) -> None:
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}}
    asked: dict[str, Any] = {"model": "echo", "messages": HELLO, "tools": [WEATHER, other]}
    forced = {"type": "function", "function": {"name": "other"}}
    answer = sdk.get(sdk.client.chat.completions.create(**asked, tool_choice=forced))
    assert answer.choices[0].message.tool_calls[0].function.name == "other"
    answer = sdk.get(sdk.client.chat.completions.create(**asked, tool_choice="none"))
    assert answer.choices[0].message.content == TEXT


def test_json_and_schemas(sdk: Sdk) -> None:
    create = sdk.client.chat.completions.create
    answer = sdk.get(create(model="echo", messages=HELLO, response_format={"type": "json_object"}))
    assert json.loads(answer.choices[0].message.content) == {"echo": TEXT}
    answer = sdk.get(sdk.client.chat.completions.parse(model="echo", messages=HELLO, response_format=Trip))
    trip = answer.choices[0].message.parsed
    assert trip == Trip(city=TEXT, days=7, price=7.0, booked=True, kind="train", stops=[TEXT])
    with sdk.using(sdk.client.chat.completions.stream(model="echo", messages=HELLO, response_format=Trip)) as stream:
        sdk.all(stream)
        assert sdk.get(stream.get_final_completion()).choices[0].message.parsed == trip


def test_pictures(sdk: Sdk, provider: FakeProvider) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "what is this?"}, picture]}]
    answer = sdk.get(sdk.client.chat.completions.create(model="echo", messages=messages))
    assert answer.choices[0].message.content == "what is this?"
    assert answer.usage.prompt_tokens == 5  # a picture is one token
    provider.answer(whole({"choices": [{"index": 0, "message": {"role": "assistant", "content": "a fox"}}]}))
    answer = sdk.get(sdk.client.chat.completions.create(model="m", messages=messages))
    assert answer.choices[0].message.content == "a fox"
    assert provider.seen[-1].json["messages"] == messages


@pytest.mark.parametrize("extra", [{"reasoning_effort": "low"}, {"service_tier": "flex", "store": True}])
def test_fields_that_we_do_not_know_reach_the_provider(sdk: Sdk, provider: FakeProvider, extra: dict[str, Any]) -> None:
    provider.answer(whole({"choices": [], "service_tier": "flex", "odd": {"kept": True}}))
    create = sdk.client.chat.completions.create
    answer = sdk.get(create(model="m", messages=HELLO, **extra, extra_body={"top_k": 4}))
    assert answer.odd == {"kept": True}
    assert provider.seen[-1].json == {"model": "m", "messages": HELLO, "top_k": 4, **extra}
