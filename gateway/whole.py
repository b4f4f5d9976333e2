"""A provider's answer read as a whole: the body of a request that is not streamed, or of a refusal.

The bytes of an answer are forwarded as they are; they are looked at only to make sure that they are an
answer (some providers wrap a failure in a 200) and to find its usage. JSON is checked in full up to
`CHECKED` bytes, so that a large answer does not hold up the loop; beyond, only its structure is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson

from gateway import errors
from gateway._fast import top_level
from gateway.deadlines import Clock, Deadline, DeadlinePassed
from gateway.dialects.openai_errors import read_error
from gateway.errors import GatewayError
from gateway.relay import late

if TYPE_CHECKING:
    from gateway.contracts import UpstreamResponse
    from gateway.exchange import Attempt, Exchange
    from gateway.snapshot import Runtime

CHECKED = 256 << 10  # bytes
ERROR_MOST = 256 << 10  # bytes of a provider's error body that are read


@contextmanager
def timed(exchange: Exchange, runtime: Runtime, attempt: Attempt) -> Iterator[Deadline]:
    """The attempt's clocks, as the errors they stand for."""
    target = attempt.target
    try:
        with runtime.wheel.guard(latest=exchange.received + target.timeouts.total) as deadline:
            yield deadline
    except DeadlinePassed as passed:
        raise late(passed.clock, target.provider.name) from passed


async def read_answer(exchange: Exchange, runtime: Runtime, attempt: Attempt, response: UpstreamResponse) -> bytes:
    """The answer, unchanged; its usage goes to the exchange. Raises GatewayError for what is not an answer."""
    provider = attempt.target.provider.name
    most = exchange.snapshot.limits.max_answer
    body, complete = await _collect(exchange, runtime, attempt, response, most)
    started = exchange.now()
    if not complete:
        raise GatewayError(errors.NONSENSE, f"{provider} answered more than {most} bytes (server.max_answer)")
    try:
        spans = _checked(body)
    except ValueError as problem:
        raise GatewayError(errors.NONSENSE, f"{provider} answered 200 with a body that is no JSON object") from problem
    failure = spans.get("error")
    if failure is not None and body[slice(*failure)] not in (b"null", b"{}", b'""', b"false"):
        raise read_error(provider, 200, {}, body)
    where = spans.get("usage")
    usage = orjson.loads(body[slice(*where)]) if where is not None else None
    if isinstance(usage, dict):
        exchange.usage = exchange.endpoint.dialect.usage(usage)
    exchange.spent("relay", started)
    return body


async def read_failure(
    exchange: Exchange, runtime: Runtime, attempt: Attempt, response: UpstreamResponse
) -> GatewayError:
    """The error behind an answer that is none."""
    provider = attempt.target.provider.name
    body, _ = await _collect(exchange, runtime, attempt, response, ERROR_MOST)
    if response.status == 200 and b'"error"' not in body:
        return GatewayError(errors.NONSENSE, f"{provider} answered a request for a stream with one JSON document")
    return read_error(provider, response.status, response.headers, body)


def is_json(response: UpstreamResponse) -> bool:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _collect(
    exchange: Exchange, runtime: Runtime, attempt: Attempt, response: UpstreamResponse, most: int
) -> tuple[bytes, bool]:
    """The body, up to `most` bytes, and whether that is all of it."""
    parts: list[bytes] = []
    size = 0
    timeouts = attempt.target.timeouts

    def feed(data: bytes) -> None:
        nonlocal size
        size += len(data)
        if size > most:
            raise _Enough
        parts.append(data)
        deadline.set(Clock.IDLE, timeouts.idle)

    with timed(exchange, runtime, attempt) as deadline:
        deadline.set(Clock.IDLE, timeouts.idle)
        try:
            await response.push(feed)
        except _Enough:
            return b"".join(parts), False
    return b"".join(parts), True


class _Enough(Exception):
    """The body is larger than anyone wants."""


def _checked(body: bytes) -> dict[str, tuple[int, int]]:
    if len(body) <= CHECKED:
        orjson.loads(body)
    return top_level(body)
