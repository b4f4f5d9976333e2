"""Neutral types: what dialects translate to and from.

A dialect reads its own bytes into these and writes its own bytes from them; whoever answers in them (the
built-in echo provider today) is reachable from every dialect. They carry no wire names and no defaults of
one provider. Token counts follow one convention, whoever reports them: `input_tokens` includes cached
input, `output_tokens` includes reasoning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Usage(NamedTuple):
    """Tokens of one answer, as reported."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the assistant made; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `images` counts the pictures of a multimodal message."""

    role: str
    text: str
    images: int = 0
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the assistant may call; `parameters` is a JSON Schema."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """A request for words: a chat, or a bare prompt as one user message per prompt."""

    model: str
    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    forced_tool: str | None = None  # the tool that must be called, by name
    tools_allowed: bool = True
    max_tokens: int | None = None
    choices: int = 1
    schema: dict[str, Any] | None = None  # answer as JSON of this schema; {} means any object
    stream: bool = False
    include_usage: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply. `pieces` joined are its text: the units it streams in."""

    id: str
    created: int
    model: str
    pieces: Sequence[str]
    tool_calls: Sequence[ToolCall]
    finish: str  # stop | length | tool_calls
    usage: Usage
    choices: int = 1
