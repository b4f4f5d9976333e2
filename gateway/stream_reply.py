"""The client's side of a streamed exchange, over all its attempts: head, events, comments, end.

* `send` gives None when all is on its way; else what it gives has to be awaited before anything else is sent. So
  an event that meets no obstacle costs no task and no coroutine (design §5, the splice).
* The first keep-alive comment, after `keepalive_after` of silence, commits 200 early, without what only an attempt
  could tell (who answers).
* Comments and events never mix: a comment starts only while nothing is being written and an event has just ended;
  whoever wants to write meanwhile waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.deadlines import Clock
from gateway.settlement import release

if TYPE_CHECKING:
    from gateway.contracts import Reply
    from gateway.exchange import Exchange
    from gateway.snapshot import Runtime

COMMENT = b": keep-alive\n\n"
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class Wait:
    """Something to await; `then` is told whether it ended well. Whoever will not await it has to close it.

    No coroutine: one that is thrown away before its first step, with another one inside, would be complained about.
    """

    def __init__(self, waiting: Awaitable[None], then: Callable[[bool], None]) -> None:
        self._waiting = waiting
        self._then = then

    def __await__(self) -> Generator[Any, None, None]:
        well = False
        try:
            yield from self._waiting.__await__()
            well = True
        finally:
            self._then(well)

    def close(self) -> None:
        if isinstance(self._waiting, (Coroutine, Wait)):
            self._waiting.close()
        self._then(False)


class StreamReply:
    """One stream to one client. Enter it for as long as the client may be told anything."""

    def __init__(self, exchange: Exchange, runtime: Runtime, reply: Reply, headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._reply = reply
        self._headers = headers  # what is known before any attempt: x-request-id
        self._patience = exchange.snapshot.limits.keepalive_after
        self._silence = runtime.wheel.watch(self._on_silence)
        self._comment: asyncio.Task[None] | None = None
        self._writing = False
        self._boundary = True

    def __enter__(self) -> StreamReply:
        self._silence.set(Clock.IDLE, self._patience)
        return self

    def __exit__(self, *_: object) -> None:
        self._silence.close()
        if self._comment is not None:
            self._comment.cancel()

    def send(self, data: bytes, chosen: Mapping[str, str], *, boundary: bool) -> Awaitable[None] | None:
        """Send `data`. `boundary`: when all of it is sent, an event ends there.

        `chosen` tells who answers; it goes out with the head, unless a comment has committed that already.
        """
        if self._comment is None and self._reply.started:
            self._boundary = boundary
            self._exchange.bytes_out += len(data)
            waiting = self._reply.write(data)
            self._silence.set(Clock.IDLE, self._patience)
            if waiting is None:
                return None
        else:
            waiting = self._send(data, chosen, boundary)
        self._writing = True  # from now on, not from when it is awaited
        return Wait(waiting, self._written)

    async def end(self) -> None:
        if self._comment is not None:
            await asyncio.wait((self._comment,))
        self._silence.stop()
        release(self._exchange)
        if (waiting := self._reply.end()) is not None:
            await waiting

    def _written(self, well: bool) -> None:
        self._writing = False
        if well:
            self._silence.set(Clock.IDLE, self._patience)

    async def _send(self, data: bytes, chosen: Mapping[str, str], boundary: bool) -> None:
        if self._comment is not None:
            await asyncio.wait((self._comment,))
        self._boundary = boundary
        self._exchange.bytes_out += len(data)
        await self._write(data, chosen)

    async def _write(self, data: bytes, chosen: Mapping[str, str]) -> None:
        if not self._reply.started:
            self._exchange.status = 200
            waiting = self._reply.begin(200, {**HEADERS, **self._headers, **chosen})
            if waiting is not None:
                await waiting
        if (waiting := self._reply.write(data)) is not None:
            await waiting
        self._silence.set(Clock.IDLE, self._patience)

    def _on_silence(self) -> None:
        """For front proxies that give up on silence; only between events, never to a client that lags."""
        if self._writing or not self._boundary or self._reply.gone:
            self._silence.set(Clock.IDLE, self._patience)
        else:
            self._comment = asyncio.get_running_loop().create_task(self._write_comment())

    async def _write_comment(self) -> None:
        try:
            with suppress(ConnectionError):  # it left: whoever waits for the upstream is told, not we
                self._exchange.bytes_out += len(COMMENT)
                await self._write(COMMENT, {})
        finally:
            self._comment = None
