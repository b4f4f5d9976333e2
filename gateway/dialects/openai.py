"""What OpenAI's formats share: checking a request, watching a stream, reading usage, saying an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway._fast import SseScanner
from gateway.conversation import Usage
from gateway.dialects.fields import Object, check
from gateway.dialects.openai_usage import read_usage
from gateway.errors import GatewayError
from gateway.exchange import Call


class OpenAIDialect:
    """One of OpenAI's formats: its fields, what counts as content in its stream, and where that lies."""

    def __init__(
        self,
        request: Object,
        *,
        content: tuple[str, ...] = (),
        delta: str | None = None,
        prompts: Callable[[Mapping[str, Any]], int] = lambda _: 1,
    ) -> None:
        self.request = request
        self.streams = bool(content)
        self._content = content
        self._delta = delta
        self._prompts = prompts  # how many a request has; each is answered `n` times

    def check(self, fields: Mapping[str, Any]) -> None:
        check(self.request, fields)

    def usage(self, fields: Mapping[str, Any]) -> Usage | None:
        return read_usage(fields)

    def scanner(self, call: Call, *, event_hold: int, drop_malformed: bool) -> SseScanner:
        return SseScanner(
            delta=self._delta,
            content=self._content,
            strip_usage=not call.wants_usage,
            least=int(call.fields.get("n") or 1) * self._prompts(call.fields),
            event_hold=event_hold,
            drop_malformed=drop_malformed,
        )

    def error_event(self, error: GatewayError) -> bytes:
        return b"data: " + error.body() + b"\n\n"


def inputs(given: Any) -> list[Any]:
    """The inputs of a request that may have one or several: a string or a list of tokens is one."""
    return [given] if isinstance(given, str) or isinstance(given[0], int | float) else given


def as_text(given: Any) -> str:
    """An input as text; tokens are named by their numbers, as nobody here has their vocabulary."""
    return given if isinstance(given, str) else " ".join(str(int(token)) for token in given)
