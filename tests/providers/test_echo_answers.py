"""Whatever the rules of a request let through, echo answers: for the clients it stands in for a real provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.config import ProviderOptions
from gateway.contracts import Dialect, Task
from gateway.dialects import openai_chat, openai_completions, openai_embeddings
from gateway.errors import GatewayError
from gateway.providers.echo import Echo, EchoOptions
from tests.dialects.test_fields import GOOD, damaged
from tests.stand_ins import call

DIALECTS: dict[str, tuple[Task, Dialect]] = {
    "chat": (Task.CHAT, openai_chat.DIALECT),
    "completions": (Task.COMPLETION, openai_completions.DIALECT),
    "embeddings": (Task.EMBEDDING, openai_embeddings.DIALECT),
}
CHAT = GOOD["chat"]


def echo() -> Echo:
    options: ProviderOptions = EchoOptions(type="echo")
    return Echo("echo", options)  # type: ignore[arg-type]


def check(name: str, fields: dict[str, Any]) -> None:
    task, dialect = DIALECTS[name]
    try:
        dialect.check(fields)
    except GatewayError:
        return
    one = echo()
    performance = one.perform(one.request(task, call(fields), "m"))
    said = b"".join(data for _, data in performance.parts)
    assert performance.status == 200
    if fields.get("stream") is True and task is not Task.EMBEDDING:
        assert said.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(said)["usage"]["total_tokens"] >= 0


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=200)
@given(data=st.data())
def test_what_is_accepted_is_answered(name: str, data: st.DataObject) -> None:
    check(name, {**data.draw(damaged(name)), "model": "m"})


@example({"tool_choice": {"type": "of later", "function": "f"}})
@example({"tool_choice": {"type": "of later", "function": {}}})
@example({"response_format": {"type": "json_object", "json_schema": "x"}})
@example({"response_format": {"type": "json_object", "json_schema": {"schema": 1}}})
@example({"tools": [{"type": "of later"}], "tool_choice": "required"})
@example({"max_tokens": 2.0, "n": 2.0})
@given(st.just({}))
def test_the_corners_of_a_chat_are_answered(fields: dict[str, Any]) -> None:
    check("chat", {**CHAT, **fields})


@pytest.mark.parametrize("given_", [[1.0], [1, 2.0], [[1.0], [2]], ["a"]])
def test_numbers_may_be_spelt_with_a_point(given_: list[Any]) -> None:
    check("embeddings", {"model": "m", "input": given_})
    check("completions", {"model": "m", "prompt": given_, "max_tokens": 3.0, "n": 2.0})
