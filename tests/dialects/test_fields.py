"""The rules of the fields against their own JSON Schema, judged by a validator that is not ours.

One list of rules makes both the check and `/openapi.json`, so what one accepts the other must accept, too.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.dialects import openai_chat, openai_completions, openai_embeddings
from gateway.dialects.fields import (
    Boolean,
    Either,
    Integer,
    ListOf,
    Number,
    Object,
    OneOf,
    Rule,
    Tagged,
    Text,
    Uniform,
    check,
)
from gateway.errors import VALIDATION, GatewayError

RULES: dict[str, Rule] = {
    "number": Number(0, 2),
    "integer": Integer(1, 5),
    "any integer": Integer(),
    "boolean": Boolean(),
    "text": Text(),
    "some text": Text(nonempty=True),
    "a name": Text(pattern="[a-z]{1,3}", meaning="1 to 3 small letters"),
    "one of": OneOf("a", "b"),
    "list": ListOf(Integer(0)),
    "some list": ListOf(Text(), nonempty=True),
    "either": Either("text or texts", Text(), ListOf(Text())),
    "choice or object": Either("a choice or an object", OneOf("a", "b"), Object({"a": Text()})),
    "uniform": Either(
        "text or an array of one kind",
        Text(),
        Uniform("text, number or numbers", Text(), Integer(0), ListOf(Integer(0), nonempty=True)),
    ),
    "object": Object({"a": Text()}, {"b": Integer(0)}),
    "nested": Object({"a": Object({"a": ListOf(Boolean())})}, {"b": Object({}, {"a": Text()})}),
    "tagged": Tagged("a", {"a": Object({"b": Text()}), "b": Object()}),
    "tagged or other": Tagged("a", {"a": Object({"b": Text()}), "b": Object()}, others=True),
}
CLOSE = st.sampled_from(
    [None, True, False, 0, 1, 2, 5, 6, -1, 0.0, 1.0, 2.0, 0.5, 2.5, "", "a", "b", "ab", "abcd", "A"]
)
VALUES = st.recursive(
    CLOSE | st.integers(-3, 9) | st.text("ab", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)


def accepts(rule: Rule, value: Any, path: str = "x") -> bool:
    """Does it? A refusal names the place, and is of a length to be read."""
    refusals = []
    try:
        check(Object({path: rule}), {path: value}) if path else check(rule, value)
    except GatewayError as refusal:
        refusals.append(refusal)
    for error in refusals:
        assert error.kind is VALIDATION
        assert error.param
        assert error.param.startswith(path)
        assert error.message.startswith(f"{error.param}: ")
        assert len(error.message) < 300
    return not refusals


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=150)
@given(value=VALUES)
@example(value=1.0)
@example(value=[1.0])
@example(value=[[1.0]])
@example(value=[1, 1.0])
@example(value=["a", 1])
@example(value={"a": "a", "b": None})
@example(value={"a": {"a": [True]}, "b": {"a": None}})
def test_a_rule_and_its_schema_agree(name: str, value: Any) -> None:
    rule = RULES[name]
    assert accepts(rule, value) == jsonschema_rs.is_valid(rule.schema, value), value


REQUESTS = {
    "chat": openai_chat.REQUEST,
    "completions": openai_completions.REQUEST,
    "embeddings": openai_embeddings.REQUEST,
}
GOOD: dict[str, dict[str, Any]] = {
    "chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "done"},
        ],
        "temperature": 1,
        "n": 2,
        "stop": ["a"],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "completions": {"model": "m", "prompt": ["a", "b"], "max_tokens": 5, "stop": "x", "logit_bias": {"1": 2}},
    "embeddings": {"model": "m", "input": [[1, 2], [3]], "encoding_format": "base64", "dimensions": 8},
}


STRANGE: list[Any] = [
    [], {}, [""], [[]], [[0]], ["a", 0], [0, "a"], {"type": "new"}, {"type": "function"}, "user", "function", 1e300, -7,
]  # fmt: skip


@st.composite
def damaged(draw: Any, name: str) -> Any:
    """The good request with one place replaced, removed or added to."""

    def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [path, *(place for key, each in inner for place in places(each, (*path, key)))]

    where = draw(st.sampled_from(places(GOOD[name])[1:]))
    new = draw(CLOSE | st.sampled_from(STRANGE))

    def put(value: Any, path: tuple[Any, ...]) -> Any:
        key, *rest = path
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[key] = put(value[key], tuple(rest)) if rest else new
        return copy

    return put(GOOD[name], where)


@pytest.mark.parametrize("name", REQUESTS)
@settings(max_examples=400)
@given(data=st.data())
def test_a_request_and_its_published_schema_agree(name: str, data: st.DataObject) -> None:
    value = data.draw(damaged(name))
    rule = REQUESTS[name]
    assert accepts(rule, value, "") == jsonschema_rs.is_valid(rule.schema, value), value


@pytest.mark.parametrize("name", REQUESTS)
def test_the_good_ones_are_good(name: str) -> None:
    check(REQUESTS[name], GOOD[name])
    check(REQUESTS[name], {**GOOD[name], "of_a_later_year": [1]})
    jsonschema_rs.meta.validate(REQUESTS[name].schema)


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        (Number(0, 2), 2.1, "x: must be between 0 and 2, got 2.1"),
        (Number(0, 2), "1", 'x: must be a number between 0 and 2, not "1"'),
        (Number(0, 2), True, "x: must be a number between 0 and 2, not true"),
        (Integer(1), 0, "x: must be at least 1, got 0"),
        (Integer(None, 5), 6, "x: must be at most 5, got 6"),
        (Integer(), 1.5, "x: must be a whole number, not 1.5"),
        (Boolean(), "true", 'x: must be true or false, not "true"'),
        (Text(), None, "x: must be a string, not null"),
        (Text(), "a" * 10_000, None),
        (Text(nonempty=True), "", "x: must not be empty"),
        (Text(pattern="a", meaning="an a"), "b" * 41, "x: must be an a, not a string"),
        (OneOf("a", "b"), ["a"], "x: must be one of a, b, not an array"),
        (ListOf(Integer()), [1, {}], "x[1]: must be a whole number, not an object"),
        (RULES["either"], 1, "x: must be text or texts, not 1"),
        (RULES["nested"], {"a": {"a": [True, 1]}}, "x.a.a[1]: must be true or false, not 1"),
        (RULES["object"], {}, "x.a: is required"),
        (RULES["tagged"], {"a": "z"}, 'x.a: must be one of a, b, not "z"'),
        (RULES["tagged"], {}, "x.a: is required"),
        (RULES["uniform"], ["a", 1], "x[1]: must be a string, not 1"),
    ],
)
def test_messages_name_the_place_and_what_would_be_right(rule: Rule, value: Any, message: str | None) -> None:
    if message is None:
        check(Object({"x": rule}), {"x": value})
        return
    with pytest.raises(GatewayError) as caught:
        check(Object({"x": rule}), {"x": value})
    assert caught.value.message == message
