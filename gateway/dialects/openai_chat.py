"""OpenAI chat completions: the request's rules, and its translation from and to `conversation`.

Content, for the commit point: text, reasoning (both spellings in use), refusal, tool or function calls
and audio; the finish reason alone if nothing else came (wire.md §1.2, §1.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.conversation import Answer, Message, Question, Tool, ToolCall
from gateway.dialects.fields import Boolean, Either, Integer, ListOf, Number, Object, OneOf, Tagged, Text
from gateway.dialects.openai import OpenAIDialect
from gateway.dialects.openai_usage import write_usage

CONTENT = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "audio")

_NAME = Text(pattern="[A-Za-z0-9_-]{1,64}", meaning="1 to 64 letters, digits, _ or -")
_IMAGE = Object({"url": Text(nonempty=True)}, {"detail": OneOf("auto", "low", "high")})
_PART = Tagged(
    "type",
    {
        "text": Object({"text": Text()}),
        "image_url": Object({"image_url": _IMAGE}),
        "input_audio": Object({"input_audio": Object({"data": Text(), "format": Text()})}),
    },
    others=True,
)
_CONTENT = Either("a string or an array of parts", Text(), ListOf(_PART, nonempty=True))
_CALLED = Object({"name": Text(), "arguments": Text()})
_CALL = Tagged("type", {"function": Object({"id": Text(), "function": _CALLED})}, others=True)
_SPOKEN = Object({"content": _CONTENT}, {"name": Text()})
_MESSAGE = Tagged(
    "role",
    {
        "system": _SPOKEN,
        "developer": _SPOKEN,
        "user": _SPOKEN,
        "assistant": Object({}, {"content": _CONTENT, "name": Text(), "tool_calls": ListOf(_CALL)}),
        "tool": Object({"content": _CONTENT, "tool_call_id": Text()}),
        "function": Object({"name": Text()}, {"content": _CONTENT}),
    },
)
_FUNCTION = Object({"name": _NAME}, {"description": Text(), "parameters": Object(), "strict": Boolean()})
_JSON_SCHEMA = Object({"name": Text()}, {"schema": Object(), "strict": Boolean()})
_TOOL_CHOICE = Either(
    "none, auto, required or an object naming a tool",
    OneOf("none", "auto", "required"),
    Tagged("type", {"function": Object({"function": Object({"name": Text()})})}, others=True),
)

REQUEST = Object(
    {"model": Text(nonempty=True), "messages": ListOf(_MESSAGE, nonempty=True)},
    {
        "temperature": Number(0, 2),
        "top_p": Number(0, 1),
        "n": Integer(1, 128),
        "max_tokens": Integer(1),
        "max_completion_tokens": Integer(1),
        "presence_penalty": Number(-2, 2),
        "frequency_penalty": Number(-2, 2),
        "stream": Boolean(),
        "stream_options": Object({}, {"include_usage": Boolean()}),
        "stop": Either("a string or an array of strings", Text(), ListOf(Text())),
        "seed": Integer(),
        "logprobs": Boolean(),
        "top_logprobs": Integer(0, 20),
        "logit_bias": Object(),
        "tools": ListOf(Tagged("type", {"function": Object({"function": _FUNCTION})}, others=True)),
        "tool_choice": _TOOL_CHOICE,
        "parallel_tool_calls": Boolean(),
        "response_format": Tagged(
            "type",
            {
                "text": Object(),
                "json_object": Object(),
                "json_schema": Object({"json_schema": _JSON_SCHEMA}),
            },
            others=True,
        ),
        "user": Text(),
        "metadata": Object(),
    },
)


DIALECT = OpenAIDialect(REQUEST, content=CONTENT, delta="delta")


def read_question(fields: Mapping[str, Any]) -> Question:
    """A checked request, in neutral types."""
    choice = fields.get("tool_choice")
    tools = [_read_tool(tool["function"]) for tool in fields.get("tools") or () if tool.get("type") == "function"]
    forced = choice["function"]["name"] if isinstance(choice, dict) and choice["type"] == "function" else None
    if choice == "required" and tools:
        forced = tools[0].name
    return Question(
        model=fields["model"],
        messages=[_read_message(message) for message in fields["messages"]],
        tools=tools,
        forced_tool=forced,
        tools_allowed=choice != "none",
        max_tokens=_whole(fields.get("max_completion_tokens") or fields.get("max_tokens")),
        choices=int(fields.get("n") or 1),
        schema=_read_schema(fields.get("response_format")),
        stream=fields.get("stream") is True,
        include_usage=(fields.get("stream_options") or {}).get("include_usage") is True,
    )


def write_answer(answer: Answer) -> bytes:
    """A whole chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.pieces), "refusal": None}
    if answer.tool_calls:
        message["content"] = None
        message["tool_calls"] = [_write_call(call) for call in answer.tool_calls]
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish}
        for index in range(answer.choices)
    ]
    return orjson.dumps({**_head(answer, "chat.completion"), "choices": choices, "usage": write_usage(answer.usage)})


def write_events(answer: Answer, *, include_usage: bool) -> Iterator[bytes]:
    """The same answer as stream events: role, one event per piece, finish, usage if asked, [DONE]."""
    head = _head(answer, "chat.completion.chunk")
    extra = {"usage": None} if include_usage else {}

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        chunks = (
            {**head, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}], **extra}
            for index in range(answer.choices)
        )
        return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)

    yield event({"role": "assistant", "content": None if answer.tool_calls else "", "refusal": None})
    for index, call in enumerate(answer.tool_calls):
        yield event({"tool_calls": [{"index": index, **_write_call(call, arguments="")}]})
        yield event({"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]})
    for piece in answer.pieces:
        yield event({"content": piece})
    yield event({}, answer.finish)
    if include_usage:
        yield b"data: " + orjson.dumps({**head, "choices": [], "usage": write_usage(answer.usage)}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {"id": answer.id, "object": kind, "created": answer.created, "model": answer.model}


def _read_message(message: Mapping[str, Any]) -> Message:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    calls = [call for call in message.get("tool_calls") or () if call.get("type") == "function"]
    return Message(
        role=message["role"],
        text=" ".join(part["text"] for part in parts if part["type"] == "text"),
        images=sum(part["type"] == "image_url" for part in parts),
        tool_calls=[ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls],
        tool_call_id=message.get("tool_call_id"),
    )


def _read_tool(function: Mapping[str, Any]) -> Tool:
    return Tool(name=function["name"], parameters=function.get("parameters") or {})


def _read_schema(wanted: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if wanted is not None and wanted["type"] == "json_schema":
        return wanted["json_schema"].get("schema") or {}
    return {} if wanted is not None and wanted["type"] == "json_object" else None


def _write_call(call: ToolCall, arguments: str | None = None) -> dict[str, Any]:
    said = call.arguments if arguments is None else arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": said}}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
