"""A provider's stream on its way to the client.

The rules (design §5, §8.5):

* The commit point is the first content. Until then everything is held, so an error still gets its true
  status or another target. The first keep-alive comment, after `keepalive_after` of silence, commits 200
  early: failover goes on, but a final error is then told in the stream.
* The client gets the upstream's own bytes, whole events only. The exceptions: usage that only we asked
  for and malformed events are taken out; a missing final blank line or ``[DONE]`` is put in; comments
  stand between events; an in-band error ends what broke.
* A stream is a success when every choice brought its finish reason or ``[DONE]`` came. Once it did, or once
  an error was said inside it, its formal end may take `FINISH_GRACE` after the last event; then we end it
  ourselves, and what breaks meanwhile no longer matters.
* While the client takes nothing, the upstream's clocks stand still and `client_write` runs instead. Whatever
  runs out then, `total` included, is the client's fault.
* What meets no obstacle goes through in one call, from the upstream's bytes to the client's, without a task or a
  coroutine; only a client that lags is waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING

from gateway import errors
from gateway.deadlines import Clock, DeadlinePassed, Guard
from gateway.dialects.openai_errors import read_error
from gateway.errors import GatewayError
from gateway.exchange import Attempt, Exchange
from gateway.settlement import release
from gateway.stream_reply import StreamReply, Wait

if TYPE_CHECKING:
    from gateway.contracts import UpstreamResponse
    from gateway.snapshot import Runtime

FINISH_GRACE = 5.0  # seconds: usage and [DONE] follow the finish reason at once, or not at all
HELD_MOST = 1 << 20  # bytes of lifecycle frames without content; beyond, they go out
PIECE = 64 << 10  # bytes given to the client at once; for each it has `client_write`
DONE = b"data: [DONE]\n\n"


class Relay:
    """One attempt's stream: what is held of it, what the scanner knows of it, which clock runs."""

    def __init__(self, exchange: Exchange, runtime: Runtime, stream: StreamReply, attempt: Attempt) -> None:
        limits = exchange.snapshot.limits
        assert exchange.call is not None
        self._exchange = exchange
        self._stream = stream
        self._attempt = attempt
        self._wheel = runtime.wheel
        self._provider = attempt.target.provider.name
        self._meters = runtime.meters.route(self._provider, exchange.model)
        self._timeouts = attempt.target.timeouts
        self._client_write = limits.client_write
        self._scanner = exchange.endpoint.dialect.scanner(
            exchange.call, event_hold=limits.event_hold, drop_malformed=limits.drop_malformed
        )
        self._held: list[bytes] = []
        self._held_size = 0
        self._passing = False  # content has come: everything goes out
        self._sending = False  # the client is being waited for; stays true if that ends badly
        self._began = 0.0  # when the client was waited for last
        self._over_since: float | None = None
        self._judged = 0  # events that had come when the grace began
        self._latest = 0.0
        self._chosen: Mapping[str, str] = {}
        self._deadline: Guard

    async def run(self, response: UpstreamResponse, chosen: Mapping[str, str]) -> None:
        """Relay to the end. A GatewayError before content may be tried elsewhere, after it never."""
        self._chosen = chosen
        try:
            broken = await self._pour(response)
            with self._clock():
                await self._close(broken)
        except DeadlinePassed as passed:
            raise late(Clock.CLIENT_WRITE, self._provider) from passed
        except GatewayError as error:
            if not self._passing:
                raise
            raise self._cut(error) from error
        finally:
            self._account()

    def _clock(self) -> Guard:
        """A guard with the relay's running clock; none of its clocks passes the exchange's total."""
        self._deadline = self._wheel.guard(latest=self._exchange.received + self._timeouts.total)
        return self._deadline

    async def _pour(self, response: UpstreamResponse) -> GatewayError | None:
        """The body, part by part; gives what broke it off. Raises DeadlinePassed only if the client was waited for."""
        try:
            with self._clock():
                waited = self._attempt.waited(self._wheel.now())
                self._deadline.set(Clock.FIRST_CONTENT, self._timeouts.first_content - waited)
                await response.push(self._feed)
        except DeadlinePassed as passed:
            if self._sending:
                raise
            if passed.clock is Clock.TOTAL and not self._over:
                self._exchange.ended_by = "total"
            return late(passed.clock, self._provider)
        except GatewayError as error:
            return error
        return None

    @property
    def _complete(self) -> bool:
        return self._scanner.done or self._scanner.finished

    @property
    def _over(self) -> bool:
        return self._complete or self._scanner.error is not None

    def _feed(self, data: bytes) -> Awaitable[None] | None:
        """Judge a part: hold it, send it, or give the write that the upstream has to wait for."""
        started = self._wheel.now()
        scanner = self._scanner
        out = scanner.feed(data)
        if self._passing:
            self._meters.gap.observe(started - self._latest)
        else:
            self._refuse_early_error()
            self._hold(out)
            if not scanner.content and self._held_size < HELD_MOST:
                self._exchange.relay_time += self._wheel.now() - started
                return None
            out = self._release(started)
        self._latest = started
        self._exchange.relay_time += self._wheel.now() - started
        if out:
            return self._send(out)
        self._rest()
        return None

    def _hold(self, data: bytes) -> None:
        if data:
            self._held.append(data)
            self._held_size += len(data)

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

    def _send(self, data: bytes) -> Awaitable[None] | None:
        """To the client. None: it has room for more; else this time is the client's."""
        if self._over:  # the client may take what comes now for the end
            release(self._exchange)
        if len(data) > PIECE:
            return self._wait(self._send_pieces(data))
        self._deadline.set(Clock.CLIENT_WRITE, self._client_write)
        waiting = self._stream.send(data, self._chosen, boundary=self._scanner.boundary)
        if waiting is not None:
            return self._wait(waiting)
        self._rest()
        return None

    async def _send_pieces(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            self._deadline.set(Clock.CLIENT_WRITE, self._client_write)
            piece = data[start : start + PIECE]
            waiting = self._stream.send(piece, self._chosen, boundary=self._scanner.boundary)
            if waiting is not None:
                await waiting

    def _wait(self, waiting: Awaitable[None]) -> Awaitable[None]:
        """Meanwhile the upstream's clocks stand still."""
        self._sending = True  # from now on, not from when it is awaited
        self._began = self._wheel.now()
        return Wait(waiting, self._waited)

    def _waited(self, well: bool) -> None:
        if not well:
            return
        self._sending = False
        if self._over_since is not None:
            self._over_since += self._wheel.now() - self._began
        self._rest()

    def _rest(self) -> None:
        """The clock for the upstream's next part."""
        if self._over:
            now = self._wheel.now()
            if self._over_since is None or self._scanner.events > self._judged:
                self._over_since = now
            self._judged = self._scanner.events
            self._deadline.set(Clock.FINISH, self._over_since + FINISH_GRACE - now)
        else:
            self._over_since = None
            self._deadline.set(Clock.IDLE, self._timeouts.idle)

    async def _close(self, broken: GatewayError | None) -> None:
        """The body has ended or was broken off: send what is left, or say that it ended too early."""
        scanner = self._scanner
        tail = scanner.close()
        self._refuse_early_error()
        if self._complete and not scanner.done and scanner.error is None:
            tail += DONE
        if not self._passing and scanner.content:
            self._hold(tail)
            tail = self._release(self._wheel.now())
        if self._passing and tail and (waiting := self._send(tail)) is not None:
            await waiting
        if scanner.error is not None:
            self._exchange.error = read_error(self._provider, 200, {}, scanner.error)
        elif not self._complete:
            message = f"{self._provider} ended its stream without a finish reason"
            raise broken or GatewayError(errors.CONNECTION_LOST, message)
        self._deadline.set(Clock.CLIENT_WRITE, self._client_write)
        await self._stream.end()

    def _cut(self, error: GatewayError) -> GatewayError:
        """After content, an error that nothing can repair."""
        if error.kind is errors.SHUTTING_DOWN:  # no provider's doing
            return error
        self._meters.cut.add()
        kind = errors.TOTAL_TIMEOUT if error.status == errors.TIMEOUT.status else errors.STREAM_CUT
        return GatewayError(kind, f"the stream was interrupted: {error.message}")

    def _account(self) -> None:
        self._meters.malformed.add(self._scanner.malformed)
        if self._scanner.usage is not None:
            self._exchange.usage = self._exchange.endpoint.dialect.usage(self._scanner.usage)


def late(clock: Clock, provider: str) -> GatewayError:
    """The error for a clock that ran out."""
    if clock is Clock.CLIENT_WRITE:
        return GatewayError(errors.CLIENT_STALLED, "the client took nothing of its answer for too long")
    if clock is Clock.DRAIN:
        return GatewayError(errors.SHUTTING_DOWN, "the gateway is shutting down; send the request again", retry_after=1)
    if clock is Clock.TOTAL:
        return GatewayError(errors.TOTAL_TIMEOUT, f"{provider} did not complete in time (timeouts.total)")
    if clock is Clock.QUEUE:
        message = f"every connection that {provider} may have is in use (connection_pool.max_connections_per_host)"
        return GatewayError(errors.NO_CONNECTION, message, retry_after=1)
    said = {
        Clock.CONNECT: f"no connection to {provider} in time (timeouts.connect)",
        Clock.FIRST_CONTENT: f"{provider} brought no content in time (timeouts.first_content)",
    }
    return GatewayError(errors.TIMEOUT, said.get(clock, f"{provider} fell silent (timeouts.idle)"))
