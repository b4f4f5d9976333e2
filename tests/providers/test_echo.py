"""Echo: what it says is determined, what it counts is true, and it answers whatever the rules let through."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.contracts import Performance, Task, WireRequest
from gateway.providers.echo import Echo, EchoOptions, instance, tokens
from tests.stand_ins import call

WORDS = st.text(st.sampled_from("ab ,.\n ü7_"), max_size=20)


def echo(**options: Any) -> Echo:
    return Echo("echo", EchoOptions.model_validate({"type": "echo", **options}))


def perform(task: Task, fields: dict[str, Any], provider: Echo | None = None) -> Performance:
    one = provider or echo()
    return one.perform(one.request(task, call({"model": "m", **fields}), "m"))


def said(performance: Performance) -> Any:
    return json.loads(b"".join(data for _, data in performance.parts))


def events(performance: Performance) -> list[dict[str, Any]]:
    stream = b"".join(data for _, data in performance.parts)
    *all_, done, end = stream.split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    return [json.loads(event.removeprefix(b"data: ")) for event in all_]


def chat(text: str = "one two, three", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


@given(WORDS, st.integers(1, 3), st.none() | st.integers(1, 5))
def test_a_chats_usage_is_what_its_stream_brings(text: str, n: int, most: int | None) -> None:
    fields = chat(text, n=n, max_tokens=most)
    whole = said(perform(Task.CHAT, fields))
    streamed = events(perform(Task.CHAT, {**fields, "stream": True, "stream_options": {"include_usage": True}}))
    pieces = [choice for event in streamed for choice in event["choices"] if choice["delta"].get("content")]
    for index in range(n):
        mine = "".join(choice["delta"]["content"] for choice in pieces if choice["index"] == index)
        assert mine == whole["choices"][index]["message"]["content"]
        assert mine == "".join(tokens(text)[:most])
    assert whole["usage"]["completion_tokens"] == len(pieces)
    assert whole["usage"]["prompt_tokens"] == len(tokens(text))
    assert streamed[-1]["usage"] == whole["usage"]
    cut = most is not None and len(tokens(text)) > most
    assert {choice["finish_reason"] for choice in whole["choices"]} == {"length" if cut else "stop"}


@given(st.lists(WORDS, min_size=1, max_size=3), st.integers(1, 2), st.none() | st.integers(0, 5))
def test_completions_answer_every_prompt_in_order(prompts: list[str], n: int, most: int | None) -> None:
    fields = {"prompt": prompts, "n": n, "max_tokens": most}
    whole = said(perform(Task.COMPLETION, fields))
    assert [choice["text"] for choice in whole["choices"]] == [
        "".join(tokens(text)[:most]) for text in prompts for _ in range(n)
    ]
    streamed = events(perform(Task.COMPLETION, {**fields, "stream": True, "stream_options": {"include_usage": True}}))
    for choice in whole["choices"]:
        mine = [each for event in streamed for each in event["choices"] if each["index"] == choice["index"]]
        assert "".join(each["text"] for each in mine) == choice["text"]
        assert [each["finish_reason"] for each in mine][-1] == choice["finish_reason"]
    pieces = [each for event in streamed for each in event["choices"] if each["finish_reason"] is None]
    assert whole["usage"]["completion_tokens"] == len(pieces)
    assert streamed[-1]["usage"] == whole["usage"]


def test_the_same_question_has_the_same_answer() -> None:
    fields = chat("a b", tools=[{"type": "function", "function": {"name": "f"}}])
    first, again = (b"".join(data for _, data in perform(Task.CHAT, fields).parts) for _ in range(2))
    assert first == again
    other = said(perform(Task.CHAT, chat("a c", tools=fields["tools"])))
    assert other["id"] != json.loads(first)["id"]


def test_tools_on_offer_are_called_once_and_their_answer_is_spoken() -> None:
    weather = {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    }
    tools = [{"type": "function", "function": {"name": "time"}}, {"type": "function", "function": weather}]
    forced = chat("in Rome", tools=tools, tool_choice={"type": "function", "function": {"name": "weather"}})
    choice = said(perform(Task.CHAT, forced))["choices"][0]
    (asked,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert (asked["function"]["name"], json.loads(asked["function"]["arguments"])) == (
        "weather",
        {"city": "in Rome", "days": 2},
    )

    streamed = events(perform(Task.CHAT, {**forced, "stream": True}))
    deltas = [choice["delta"] for event in streamed for choice in event["choices"]]
    parts = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert [part.get("id") for part in parts] == [asked["id"], None]
    assert "".join(part["function"]["arguments"] for part in parts) == asked["function"]["arguments"]

    for way, called in ((None, "time"), ("auto", "time"), ("required", "time"), ("none", None)):
        message = said(perform(Task.CHAT, chat(tools=tools, tool_choice=way)))["choices"][0]["message"]
        assert [each["function"]["name"] for each in message.get("tool_calls", [])] == ([called] if called else [])

    turn = [*forced["messages"], choice["message"], {"role": "tool", "tool_call_id": asked["id"], "content": "sunny"}]
    assert said(perform(Task.CHAT, {**forced, "messages": turn}))["choices"][0]["message"]["content"] == "sunny"


def test_images_are_counted() -> None:
    parts = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    answer = said(perform(Task.CHAT, chat(parts)))  # type: ignore[arg-type]
    assert answer["usage"]["prompt_tokens"] == 4
    assert answer["choices"][0]["message"]["content"] == "what is it"


SCHEMAS = st.recursive(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "null", ["string", "null"])])
    | st.builds(lambda value: {"const": value}, st.integers(-9, 9) | st.text("ab", max_size=3))
    | st.builds(lambda values: {"enum": values}, st.lists(st.integers(0, 9) | st.text("ab"), min_size=1, max_size=3)),
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(
            lambda properties: {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
            st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
        )
    ),
    max_leaves=8,
)


@given(SCHEMAS, WORDS)
def test_an_answer_in_json_fits_its_schema(schema: dict[str, Any], text: str) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    content = said(perform(Task.CHAT, chat(text, response_format=wanted)))["choices"][0]["message"]["content"]
    jsonschema_rs.validate(schema, json.loads(content))


def test_any_json_object_will_do() -> None:
    content = said(perform(Task.CHAT, chat("hi", response_format={"type": "json_object"})))["choices"][0]["message"][
        "content"
    ]
    assert json.loads(content) == {"echo": "hi"}


@pytest.mark.parametrize(
    "schema",
    [
        None, 1, [], {"enum": {"a": 1}}, {"enum": []}, {"type": {}}, {"type": []}, {"type": [{}]}, {"properties": 1},
        {"type": "array", "items": 3}, {"type": "money"}, {"properties": {"a": None}},
    ],
)  # fmt: skip
def test_nonsense_for_a_schema_gets_words(schema: Any) -> None:
    orjson.dumps(instance(schema, "words"))


@pytest.mark.parametrize("key", ["properties", "const"])
def test_a_bottomless_schema_has_a_bottom(key: str) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(400):
        schema = {"type": "object", key: {"a": schema}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = json.dumps({"model": "m", **chat(response_format=wanted)}).encode()
    one = echo()
    assert said(one.perform(one.request(Task.CHAT, call(body), "m")))["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("given_", "count"), [("a b", 1), (["a b", "c"], 2), ([1, 2], 1), ([[1, 2], [3]], 2)])
def test_embeddings_are_stable_unit_vectors(given_: Any, count: int) -> None:
    answer = said(perform(Task.EMBEDDING, {"input": given_, "dimensions": 8}))
    vectors = [each["embedding"] for each in answer["data"]]
    assert [len(vector) for vector in vectors] == [8] * count
    assert all(math.isclose(sum(x * x for x in vector), 1, rel_tol=1e-9) for vector in vectors)
    assert said(perform(Task.EMBEDDING, {"input": given_, "dimensions": 8})) == answer
    packed = said(perform(Task.EMBEDDING, {"input": given_, "dimensions": 8, "encoding_format": "base64"}))
    read = [struct.unpack("<8f", base64.b64decode(each["embedding"])) for each in packed["data"]]
    assert [list(map(float, each)) for each in read] == [pytest.approx(vector, rel=1e-6) for vector in vectors]
    assert answer["usage"] == packed["usage"]


def test_a_vector_depends_on_its_text_alone() -> None:
    both = said(perform(Task.EMBEDDING, {"input": ["left", "right"]}))["data"]
    alone = said(perform(Task.EMBEDDING, {"input": "right"}))["data"]
    assert both[1]["embedding"] == alone[0]["embedding"] != both[0]["embedding"]
    assert len(alone[0]["embedding"]) == 64


@settings(max_examples=50)
@example(0.29, 300)
@example(0.1, 30)
@given(st.integers(0, 100).map(lambda percent: percent / 100), st.integers(1, 300))
def test_the_share_of_errors_is_exact_at_every_moment(rate: float, count: int) -> None:
    provider = echo(error_rate=rate, error_status=429)
    request = provider.request(Task.CHAT, call({"model": "m", **chat("x")}), "m")
    failed = 0
    for number in range(1, count + 1):
        performance = provider.perform(request)
        failed += performance.status == 429
        assert failed == number * round(rate * 100) // 100
    assert rate == 0 or failed > 0 or count * rate < 1


def pauses(task: Task, fields: dict[str, Any]) -> list[float]:
    return [pause for pause, _ in perform(task, fields, echo(pace="10ms", first_token_delay="1s")).parts]


@pytest.mark.parametrize(
    ("task", "fields", "first"),
    [
        (Task.CHAT, chat(), 1),
        (Task.CHAT, chat(n=2), 1),
        (Task.CHAT, chat("", n=2), 1),
        (Task.CHAT, chat(tools=[{"type": "function", "function": {"name": "f"}}]), 1),
        (Task.COMPLETION, {"prompt": ["a b", "c"]}, 0),
    ],
)
def test_tokens_come_at_their_pace_and_the_whole_takes_as_long(task: Task, fields: dict[str, Any], first: int) -> None:
    streamed = pauses(task, {**fields, "stream": True})
    assert streamed[: first + 1] == [*[0.0] * first, 1.0]
    assert set(streamed[first + 1 :]) == {0.01}
    whole = pauses(task, fields)
    assert whole == [pytest.approx(sum(streamed))]


def test_many_embeddings_come_one_by_one() -> None:
    """Whatever the rules let through must not hold up the loop: 600 KB of inputs are minutes of vectors."""
    parts = perform(Task.EMBEDDING, {"input": ["a"] * 150_000, "dimensions": 65536}).parts
    assert max(len(data) for _, (_, data) in zip(range(3), parts, strict=False)) < 2_000_000
    assert len(list(perform(Task.EMBEDDING, {"input": ["a", "b", "c"]}).parts)) >= 3


def test_an_embedding_takes_its_first_token_delay() -> None:
    assert pauses(Task.EMBEDDING, {"input": "a"}) == [1.0, 0.0, 0.0]


def test_a_failure_reads_like_openais() -> None:
    performance = perform(Task.CHAT, chat(), echo(error_rate=1, error_status=500))
    assert performance.status == 500
    assert said(performance)["error"]["message"] == "echo fails as configured (error_rate)"


def test_it_knows_every_task() -> None:
    for task in Task:
        assert isinstance(echo().request(task, call(), "m"), WireRequest)
    make: Callable[..., Echo] = echo
    with pytest.raises(ValueError, match="error_rate"):
        make(error_rate=1.5)
