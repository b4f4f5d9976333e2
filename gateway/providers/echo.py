"""The built-in provider: it answers with the prompt's own words, without a key and without a network.

For a first run, for tests and for drills. Everything is determined by the request and the options:

* A token is a run of letters and digits or a single other sign; an image is one token. Every token is
  counted, and none is made up.
* The answer is the last message's words, in order. With tools on offer and a user's turn last, it is a call
  of the forced or else the first tool, its arguments filled from the schema with the prompt's words. With
  a JSON schema asked for, it is an instance of that schema.
* A stream brings its first token after `first_token_delay`, then one token per event, `pace` apart. A whole
  answer takes as long as its stream would.
* Of N requests exactly floor(N x `error_rate`) fail, evenly spread, with `error_status`.
* Whatever a request's rules let through gets an answer; a schema that echo cannot make sense of, or that is
  nested deeper than `DEEPEST`, gets the prompt's words.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, repeat
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import Field

from gateway.catalog import providers
from gateway.config import Duration, ProviderOptions
from gateway.contracts import Performance, Task, WireRequest
from gateway.conversation import Answer, Message, Question, ToolCall, Usage
from gateway.dialects import openai_chat, openai_completions, openai_embeddings
from gateway.dialects.openai_passthrough import Passthrough
from gateway.exchange import Call

CREATED = 1_700_000_000  # the same for every answer: determined means determined
DIMENSIONS = 64
DEEPEST = 64  # levels of a schema
TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])")


class EchoOptions(ProviderOptions):
    """How it behaves. Whom to call and with which key makes no sense here."""

    unused: ClassVar[frozenset[str]] = frozenset({"endpoint", "auth", "headers", "connection_pool"})

    pace: Duration = 0.0
    first_token_delay: Duration = 0.0
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    error_status: Annotated[int, Field(ge=400, le=599)] = 503


@providers.register("echo")
class Echo:
    """Says what it was told."""

    Options = EchoOptions
    tasks = frozenset(Task)

    def __init__(self, name: str, options: EchoOptions) -> None:
        self.name = name
        self._options = options
        self._requests = Passthrough("echo:", {})
        self._error_rate = Fraction(str(options.error_rate))  # 0.29 x 100 must be 29, as a user counts
        self._asked = 0

    def request(self, task: Task, call: Call, model: str) -> WireRequest:
        return self._requests.request(task, call, model)

    def perform(self, request: WireRequest) -> Performance:
        if self._error_rate and self._is_due():
            return self._failure()
        fields = orjson.loads(request.body)
        task = Task(request.head.url.removeprefix("echo:/"))
        if task is Task.EMBEDDING:
            pauses = chain([self._options.first_token_delay], repeat(0.0))  # others get their turn between two vectors
            return Performance(200, {"content-type": "application/json"}, zip(pauses, embed(fields)))
        if task is Task.CHAT:
            question = openai_chat.read_question(fields)
            reply = answer(question)
            events = openai_chat.write_events(reply, include_usage=_usage_event(question))
            if question.stream:
                return self._stream(events, before=1)  # the role comes at once
            return self._whole(openai_chat.write_answer(reply), events, before=1)
        questions = openai_completions.read_prompts(fields)
        answers = [answer(each) for each in questions]
        events = openai_completions.write_events(answers, include_usage=_usage_event(questions[0]))
        if questions[0].stream:
            return self._stream(events, before=0)
        return self._whole(openai_completions.write_answers(answers), events, before=0)

    def _stream(self, events: Iterator[bytes], before: int) -> Performance:
        return Performance(200, {"content-type": "text/event-stream"}, zip(self._pauses(before), events))

    def _whole(self, body: bytes, events: Iterable[bytes] = (), before: int = 0) -> Performance:
        pause = self._options.first_token_delay
        if self._options.pace:
            pause = sum(pause for pause, _ in zip(self._pauses(before), events)) or pause
        return Performance(200, {"content-type": "application/json"}, iter([(pause, body)]))

    def _pauses(self, before: int) -> Iterator[float]:
        """The pause before each event of a stream; `before` events precede the first token."""
        return chain(repeat(0.0, before), [self._options.first_token_delay], repeat(self._options.pace))

    def _is_due(self) -> bool:
        """Is it an error's turn?"""
        before = self._asked * self._error_rate // 1
        self._asked += 1
        return self._asked * self._error_rate // 1 > before

    def _failure(self) -> Performance:
        said = {"message": "echo fails as configured (error_rate)", "type": "server_error", "param": None, "code": None}
        body = orjson.dumps({"error": said})
        return Performance(
            self._options.error_status,
            {"content-type": "application/json"},
            iter([(self._options.first_token_delay, body)]),
        )


def answer(question: Question) -> Answer:
    """What echo says to a question."""
    last = question.messages[-1]
    calls: list[ToolCall] = []
    pieces: list[str] = []
    if question.tools and question.tools_allowed and last.role == "user":
        calls = [_call(question, last)]
        said = len(tokens(calls[0].arguments))
    else:
        text = last.text if question.schema is None else _json(question.schema, last.text)
        pieces = tokens(text)[: question.max_tokens]
        said = len(pieces)
        cut = question.max_tokens is not None and len(tokens(text)) > question.max_tokens
    finish = "tool_calls" if calls else "length" if cut else "stop"
    return Answer(
        id="echo-" + _digest(question)[:24],
        created=CREATED,
        model=question.model,
        pieces=pieces,
        tool_calls=calls,
        finish=finish,
        usage=Usage(input_tokens=_heard(question), output_tokens=said * question.choices),
        choices=question.choices,
    )


def tokens(text: str) -> list[str]:
    """The text in tokens, each with the space before it; joined, they are the text less its final space."""
    return TOKEN.findall(text)


def instance(schema: Any, text: str, depth: int = 0) -> Any:
    """A value of this JSON Schema, as far as echo knows schemas: types, properties, items, enum, const."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return text
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0] if kind else "string"
    if kind == "object":
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {"echo": {"type": "string"}}
        return {name: instance(inner, text, depth + 1) for name, inner in known.items()}
    if kind == "array":
        return [instance(schema.get("items"), text, depth + 1)]
    said = len(tokens(text))
    simple = {"integer": said, "number": float(said), "boolean": True, "null": None}
    return simple.get(kind, text) if isinstance(kind, str) else text


def _json(schema: dict[str, Any], text: str) -> str:
    try:
        return orjson.dumps(instance(schema, text)).decode()
    except orjson.JSONEncodeError:  # a constant nested deeper than can be written
        return orjson.dumps(text).decode()


def embed(fields: dict[str, Any]) -> Iterator[bytes]:
    """Unit vectors that depend on the text alone."""
    inputs = openai_embeddings.read_inputs(fields)
    size = int(fields.get("dimensions") or DIMENSIONS)
    return openai_embeddings.write_vectors(
        fields["model"],
        (_vector(text, size) for text in inputs),
        sum(len(tokens(text)) for text in inputs),
        as_base64=fields.get("encoding_format") == "base64",
    )


def _vector(text: str, size: int) -> list[float]:
    noise = hashlib.shake_256(text.encode()).digest(2 * size)
    raw = [int.from_bytes(noise[i : i + 2], "big") / 32767.5 - 1 for i in range(0, 2 * size, 2)]
    length = sum(value * value for value in raw) ** 0.5 or 1.0
    return [value / length for value in raw]


def _call(question: Question, last: Message) -> ToolCall:
    tool = next((tool for tool in question.tools if tool.name == question.forced_tool), question.tools[0])
    arguments = _json({"type": "object", "properties": {}, **tool.parameters}, last.text)
    return ToolCall(f"call_{_digest(question)[:20]}", tool.name, arguments)


def _usage_event(question: Question) -> bool:
    """Every stream through the gateway has one, asked for by it if not by the client; so a whole's timing has."""
    return question.include_usage or not question.stream


def _heard(question: Question) -> int:
    return sum(len(tokens(message.text)) + message.images for message in question.messages)


def _digest(question: Question) -> str:
    said = "\x00".join(f"{message.role}:{message.text}" for message in question.messages)
    return hashlib.sha256(said.encode()).hexdigest()
