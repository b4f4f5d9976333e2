"""OpenAI's legacy text completions: the request's rules, and its translation from and to `conversation`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.conversation import Answer, Message, Question, Usage
from gateway.dialects.fields import Boolean, Either, Integer, ListOf, Number, Object, Text, Uniform
from gateway.dialects.openai import OpenAIDialect, as_text, inputs
from gateway.dialects.openai_usage import write_usage

CONTENT = ("text",)

_PROMPT = Either(
    "a string, an array of strings, of tokens, or of arrays of tokens",
    Text(),
    Uniform("a string, a token or an array of tokens", Text(), Integer(0), ListOf(Integer(0), nonempty=True)),
)

REQUEST = Object(
    {"model": Text(nonempty=True), "prompt": _PROMPT},
    {
        "temperature": Number(0, 2),
        "top_p": Number(0, 1),
        "n": Integer(1, 128),
        "best_of": Integer(1),
        "max_tokens": Integer(0),
        "presence_penalty": Number(-2, 2),
        "frequency_penalty": Number(-2, 2),
        "logprobs": Integer(0),
        "logit_bias": Object(),
        "echo": Boolean(),
        "stream": Boolean(),
        "stream_options": Object({}, {"include_usage": Boolean()}),
        "stop": Either("a string or an array of strings", Text(), ListOf(Text())),
        "seed": Integer(),
        "suffix": Text(),
        "user": Text(),
    },
)

DIALECT = OpenAIDialect(REQUEST, content=CONTENT, prompts=lambda fields: len(inputs(fields["prompt"])))


def read_prompts(fields: Mapping[str, Any]) -> list[Question]:
    """One question per prompt."""
    most = fields.get("max_tokens")
    return [
        Question(
            model=fields["model"],
            messages=[Message("user", as_text(each))],
            max_tokens=None if most is None else int(most),
            choices=int(fields.get("n") or 1),
            stream=fields.get("stream") is True,
            include_usage=(fields.get("stream_options") or {}).get("include_usage") is True,
        )
        for each in inputs(fields["prompt"])
    ]


def write_answers(answers: list[Answer]) -> bytes:
    """A whole completion: `n` choices for each prompt, in order."""
    choices = [choice for answer in answers for choice in [answer] * answer.choices]
    return orjson.dumps(
        {
            **_head(answers[0]),
            "choices": [
                {"text": "".join(each.pieces), "index": index, "logprobs": None, "finish_reason": each.finish}
                for index, each in enumerate(choices)
            ],
            "usage": write_usage(_sum(answers)),
        }
    )


def write_events(answers: list[Answer], *, include_usage: bool) -> Iterator[bytes]:
    """The same as a stream: one event per piece, a finish for each choice, usage if asked, [DONE]."""
    head = _head(answers[0])
    extra = {"usage": None} if include_usage else {}
    choices = [choice for answer in answers for choice in [answer] * answer.choices]
    for index, each in enumerate(choices):
        for piece, finish in [*((piece, None) for piece in each.pieces), ("", each.finish)]:
            choice = {"text": piece, "index": index, "logprobs": None, "finish_reason": finish}
            yield b"data: " + orjson.dumps({**head, "choices": [choice], **extra}) + b"\n\n"
    if include_usage:
        yield b"data: " + orjson.dumps({**head, "choices": [], "usage": write_usage(_sum(answers))}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _head(answer: Answer) -> dict[str, Any]:
    return {"id": answer.id, "object": "text_completion", "created": answer.created, "model": answer.model}


def _sum(answers: list[Answer]) -> Usage:
    return Usage(
        input_tokens=sum(answer.usage.input_tokens for answer in answers),
        output_tokens=sum(answer.usage.output_tokens for answer in answers),
    )
