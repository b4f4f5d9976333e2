"""A provider's stream on its way to the client.

The rules (design §5, §8.5):

* The commit point is the first content. Until then everything is held, so an error still gets its true
  status or another target. The first keep-alive comment, after `keepalive_after` of silence, commits 200
  early: failover goes on, but a final error is then told in the stream.
* The client gets the upstream's own bytes, whole events only. The exceptions: usage that only we asked
  for and malformed events are taken out; a missing final blank line or ``[DONE]`` is put in; comments
  stand between events; an in-band error ends what broke.
* A stream is a success when every choice brought its finish reason or ``[DONE]`` came. Once it did, its
  formal end may take `FINISH_GRACE`; then we end it ourselves.
* While the client takes nothing, the upstream's idle clock stands still and `client_write` runs instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway import errors
from gateway.deadlines import Clock, Deadline, DeadlinePassed, Guard
from gateway.dialects.openai_errors import read_error
from gateway.errors import GatewayError
from gateway.exchange import Attempt, Exchange

if TYPE_CHECKING:
    from gateway.contracts import Reply, UpstreamResponse
    from gateway.snapshot import Runtime
    from gateway.telemetry.request_meters import RouteMeters

FINISH_GRACE = 5.0  # seconds: usage and [DONE] follow the finish reason at once, or not at all
HELD_MOST = 1 << 20  # bytes of lifecycle frames without content; beyond, they go out
COMMENT = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class StreamReply:
    """The client's side of a streamed exchange, over all its attempts: head, events, comments, end."""

    def __init__(self, exchange: Exchange, runtime: Runtime, reply: Reply, headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._reply = reply
        self._headers = headers  # what is known before any attempt: x-request-id
        self._patience = exchange.snapshot.limits.keepalive_after
        self._silence = runtime.wheel.watch(self._on_silence)
        self._comments: asyncio.Task[None] | None = None
        self._writing = False
        self._boundary = True

    def __enter__(self) -> StreamReply:
        self._silence.set(Clock.IDLE, self._patience)
        return self

    def __exit__(self, *_: object) -> None:
        self._silence.stop()
        if self._comments is not None:
            self._comments.cancel()

    async def begin(self, chosen: Mapping[str, str]) -> None:
        """Commit 200; `chosen` tells who answers, where that is known by now."""
        if not self._reply.started:
            self._exchange.status = 200
            await self._reply.begin(200, {**STREAM_HEADERS, **self._headers, **chosen})

    async def write(self, data: bytes, *, boundary: bool) -> None:
        """Send `data`, which ends at an event's end if `boundary`; returns when there is room for more."""
        self._writing = True
        self._boundary = boundary
        self._exchange.bytes_out += len(data)
        try:
            waiting = self._reply.write(data)
            if waiting is not None:
                await waiting
        finally:
            self._writing = False
        self._silence.set(Clock.IDLE, self._patience)

    async def end(self) -> None:
        self._silence.stop()
        await self._reply.end()

    def _on_silence(self) -> None:
        self._comments = asyncio.get_running_loop().create_task(self._comment())

    async def _comment(self) -> None:
        """For front proxies that give up on silence; only between events, never to a client that lags."""
        if not self._boundary or self._writing or self._reply.gone:
            self._silence.set(Clock.IDLE, self._patience)
            return
        with suppress(ConnectionError):  # it left: whoever waits for the upstream is told, not we
            await self.begin({})
            await self.write(COMMENT, boundary=True)


class Relay:
    """One attempt's stream: what is held of it, what the scanner knows of it, which clock runs."""

    def __init__(
        self, exchange: Exchange, runtime: Runtime, stream: StreamReply, attempt: Attempt, meters: RouteMeters
    ) -> None:
        limits = exchange.snapshot.limits
        assert exchange.call is not None
        self._exchange = exchange
        self._stream = stream
        self._attempt = attempt
        self._meters = meters
        self._wheel = runtime.wheel
        self._provider = attempt.target.provider.name
        self._timeouts = attempt.target.timeouts
        self._client_write = limits.client_write
        self._scanner = exchange.endpoint.dialect.scanner(
            exchange.call, event_hold=limits.event_hold, drop_malformed=limits.drop_malformed
        )
        self._held: list[bytes] = []
        self._passing = False  # content has come: everything goes out
        self._latest = 0.0
        self._chosen: Mapping[str, str] = {}
        self._deadline: Deadline

    async def run(self, response: UpstreamResponse, chosen: Mapping[str, str]) -> None:
        """Relay to the end. A GatewayError before content may be tried elsewhere, after it never."""
        self._chosen = chosen
        try:
            await self._pour(response)
            with self._clock():
                await self._close()
        except DeadlinePassed as passed:
            raise self._broken(late(passed.clock, self._provider)) from passed
        except GatewayError as error:
            raise self._broken(error) from error
        finally:
            self._account()

    def _clock(self) -> Guard:
        """A guard with the relay's running clock; none of its clocks passes the exchange's total."""
        guard = self._wheel.guard(latest=self._exchange.received + self._timeouts.total)
        self._deadline = guard.deadline
        return guard

    async def _pour(self, response: UpstreamResponse) -> None:
        """The body, part by part. What breaks after the last finish reason no longer matters."""
        try:
            with self._clock():
                waited = self._wheel.now() - (self._attempt.connected or self._attempt.started)
                self._deadline.set(Clock.FIRST_CONTENT, self._timeouts.first_content - waited)
                await response.push(self._feed)
        except DeadlinePassed as passed:
            if not self._complete or passed.clock is Clock.CLIENT_WRITE:
                raise
        except GatewayError:
            if not self._complete:
                raise

    @property
    def _complete(self) -> bool:
        return self._scanner.done or self._scanner.finished

    def _feed(self, data: bytes) -> Coroutine[Any, Any, None] | None:
        """Judge a part: hold it, or give the write that the upstream has to wait for."""
        started = self._wheel.now()
        scanner = self._scanner
        out = scanner.feed(data)
        if self._passing:
            self._meters.gap.observe(started - self._latest)
        else:
            self._refuse_early_error()
            self._held.append(out)
            if not scanner.content and sum(map(len, self._held)) < HELD_MOST:
                self._exchange.spent("relay", started)
                return None
            out = self._release(started)
        self._latest = started
        self._rest()
        self._exchange.spent("relay", started)
        return self._send(out) if out else None

    def _refuse_early_error(self) -> None:
        error = self._scanner.error
        if error is not None and not self._scanner.content:
            raise read_error(self._provider, 200, {}, error)

    def _release(self, now: float) -> bytes:
        """Content has come: from here on nothing can be taken back."""
        self._passing = True
        self._exchange.first_content = now
        self._meters.first_token.observe(now - self._exchange.received)
        held = b"".join(self._held)
        self._held.clear()
        return held

    async def _send(self, data: bytes) -> None:
        self._deadline.set(Clock.CLIENT_WRITE, self._client_write)
        await self._stream.begin(self._chosen)
        await self._stream.write(data, boundary=self._scanner.boundary)
        self._rest()

    def _rest(self) -> None:
        """The clock for the upstream's next part."""
        if self._complete:
            self._deadline.set(Clock.FINISH, FINISH_GRACE)
        else:
            self._deadline.set(Clock.IDLE, self._timeouts.idle)

    async def _close(self) -> None:
        """The body has ended: send what is left, or say that it ended too early."""
        scanner = self._scanner
        tail = scanner.close()
        self._refuse_early_error()
        if scanner.error is not None:
            self._exchange.error = read_error(self._provider, 200, {}, scanner.error)
        elif self._complete and not scanner.done:
            tail += DONE
        if not self._passing and (self._complete or scanner.content):
            tail = self._release(self._wheel.now()) + tail
        if self._passing and tail:
            await self._send(tail)
        if scanner.error is None and not self._complete:
            message = f"{self._provider} ended its stream without a finish reason"
            raise GatewayError(errors.CONNECTION_LOST, message)
        await self._stream.end()

    def _broken(self, error: GatewayError) -> GatewayError:
        """The same error before content; after it, one that nothing can repair."""
        if not self._passing or error.kind is errors.CLIENT_STALLED:
            return error
        self._exchange.cut = True
        self._meters.cut.add()
        kind = errors.TOTAL_TIMEOUT if error.status == errors.TIMEOUT.status else errors.STREAM_CUT
        return GatewayError(kind, f"the stream was interrupted: {error.message}")

    def _account(self) -> None:
        self._exchange.malformed += self._scanner.malformed
        self._meters.malformed.add(self._scanner.malformed)
        if self._scanner.usage is not None:
            self._exchange.usage = self._exchange.endpoint.dialect.usage(self._scanner.usage)


def late(clock: Clock, provider: str) -> GatewayError:
    """The error for a clock that ran out."""
    if clock is Clock.CLIENT_WRITE:
        return GatewayError(errors.CLIENT_STALLED, "the client took nothing of its answer for too long")
    if clock is Clock.TOTAL:
        return GatewayError(errors.TOTAL_TIMEOUT, f"{provider} did not complete in time (timeouts.total)")
    said = {
        Clock.CONNECT: f"no connection to {provider} in time (timeouts.connect)",
        Clock.FIRST_CONTENT: f"{provider} brought no content in time (timeouts.first_content)",
    }
    return GatewayError(errors.TIMEOUT, said.get(clock, f"{provider} fell silent (timeouts.idle)"))
