"""Answers as a whole: a provider's, read when nothing is streamed or it refused; ours, given to the client.

The bytes of an answer are forwarded as they are; they are looked at only to make sure that they are an
answer (some providers wrap a failure in a 200) and to find its usage. JSON is checked in full up to
`CHECKED` bytes, so that a large answer does not hold up the loop; beyond, only its structure is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway import errors
from gateway._fast import parse, top_level
from gateway.deadlines import Clock, Deadline, DeadlinePassed
from gateway.dialects.openai_errors import read_error
from gateway.errors import GatewayError
from gateway.relay import PIECE, late
from gateway.settlement import release

if TYPE_CHECKING:
    from gateway.contracts import Reply, UpstreamResponse
    from gateway.exchange import Attempt, Exchange
    from gateway.snapshot import Runtime

CHECKED = 256 << 10  # bytes
ERROR_MOST = 256 << 10  # bytes of a provider's error body that are read
ERROR_PATIENCE = 5.0  # seconds for the rest of it: its status alone says enough
STREAM_TYPES = ("text/event-stream", "", "text/plain", "application/octet-stream")  # the others: ill-labelled ones


def expired(passed: DeadlinePassed, exchange: Exchange, attempt: Attempt) -> GatewayError:
    """The error that one of the attempt's clocks stands for."""
    if passed.clock is Clock.TOTAL:
        exchange.ended_by = "total"
    return late(passed.clock, attempt.target.provider.name)


async def read_answer(exchange: Exchange, runtime: Runtime, attempt: Attempt, response: UpstreamResponse) -> bytes:
    """The answer, unchanged; its usage goes to the exchange. Raises GatewayError for what is not an answer."""
    provider = attempt.target.provider.name
    most = exchange.snapshot.limits.max_answer
    waited = attempt.waited(exchange.now())
    timeouts = attempt.target.timeouts
    try:
        with runtime.wheel.guard(latest=exchange.received + timeouts.total) as deadline:
            deadline.set(Clock.FIRST_CONTENT, timeouts.first_content - waited)
            collected = _Collected(most, deadline, timeouts.idle)
            await collected.take(response)
    except DeadlinePassed as passed:
        raise expired(passed, exchange, attempt) from passed
    started = exchange.now()
    body = collected.body
    if not collected.complete:
        raise GatewayError(errors.NONSENSE, f"{provider} answered more than {most} bytes (server.max_answer)")
    try:
        failure, usage = _error_and_usage(body)
    except ValueError as problem:
        raise GatewayError(errors.NONSENSE, f"{provider} answered 200 with a body that is no JSON object") from problem
    if failure:
        raise read_error(provider, 200, {}, body)
    if isinstance(usage, dict):
        exchange.usage = exchange.endpoint.dialect.usage(usage)
    exchange.relay_time += exchange.now() - started
    return body


async def read_failure(
    exchange: Exchange, runtime: Runtime, attempt: Attempt, response: UpstreamResponse
) -> GatewayError:
    """The error behind an answer that is none."""
    provider = attempt.target.provider.name
    timeouts = attempt.target.timeouts
    patience = min(ERROR_PATIENCE, timeouts.idle)
    guard = runtime.wheel.guard(latest=exchange.received + timeouts.total)
    collected = _Collected(ERROR_MOST, None, 0.0)
    try:
        with suppress(GatewayError), guard as deadline:
            deadline.set(Clock.IDLE, patience)
            await collected.take(response)
    except DeadlinePassed as passed:
        if passed.clock is Clock.TOTAL:
            exchange.ended_by = "total"
    body = collected.body
    if response.status == 200 and b'"error"' not in body:
        return GatewayError(errors.NONSENSE, f"{provider} answered a request for a stream with something else")
    return read_error(provider, response.status, response.headers, body)


def is_stream(response: UpstreamResponse) -> bool:
    """May this be an event stream? A document relayed as one would look like a success."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() in STREAM_TYPES


async def deliver(
    exchange: Exchange, runtime: Runtime, reply: Reply, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Give a whole answer to the client, which has `client_write` for each piece. Raises GatewayError if it stalls."""
    exchange.status, exchange.bytes_out = status, len(body)
    limit = exchange.snapshot.limits.client_write
    try:
        with runtime.wheel.guard() as deadline:
            deadline.set(Clock.CLIENT_WRITE, limit)
            if len(body) <= PIECE:
                release(exchange)
                if (waiting := reply.send(status, headers, body)) is not None:
                    await waiting
                return
            waiting = reply.begin(status, {**headers, "content-length": str(len(body))})
            if waiting is not None:
                await waiting
            for start in range(0, len(body), PIECE):
                deadline.set(Clock.CLIENT_WRITE, limit)
                if start + PIECE >= len(body):
                    release(exchange)
                if (waiting := reply.write(body[start : start + PIECE])) is not None:
                    await waiting
            deadline.set(Clock.CLIENT_WRITE, limit)
            if (waiting := reply.end()) is not None:
                await waiting
    except DeadlinePassed as passed:
        raise late(Clock.CLIENT_WRITE, "") from passed


class _Collected:
    """A body's parts, up to `most` bytes; with a deadline, silence between two may last `idle` seconds."""

    __slots__ = ("_deadline", "_idle", "_parts", "_room", "complete")

    def __init__(self, most: int, deadline: Deadline | None, idle: float) -> None:
        self.complete = False
        self._parts: list[bytes] = []
        self._room = most
        self._deadline = deadline
        self._idle = idle

    @property
    def body(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    async def take(self, response: UpstreamResponse) -> None:
        try:
            await response.push(self._feed)
            self.complete = True
        except _Enough:
            return

    def _feed(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise _Enough
        self._parts.append(data)
        if self._deadline is not None:
            self._deadline.set(Clock.IDLE, self._idle)


class _Enough(Exception):
    """The body is larger than anyone wants."""


def _error_and_usage(body: bytes) -> tuple[object, object]:
    """What an answer has under these names. Raises ValueError for what is no JSON object."""
    if len(body) <= CHECKED:
        fields = parse(body)
        if not isinstance(fields, dict):
            raise ValueError("no object")
        return fields.get("error"), fields.get("usage")
    spans = top_level(body)
    error, usage = (parse(body[slice(*spans[name])]) if name in spans else None for name in ("error", "usage"))
    return error, usage
