"""THE PATH OF A REQUEST, top to bottom.

    head ─▶ read ─▶ admit ─▶ attempt ──▶ relay ─▶ release ─▶ settle
                               ▲  │ before the first content:
                               └──┘ the next target

`handle` calls these steps; nothing else in the package orders steps. It knows no lane: it is given an
`Exchange`, a `Body` to read and a `Reply` to answer through. The rules:

* One coroutine per request, one pair of guards per attempt (the response, its clock), each given back
  exactly once on every path, cancellation included.
* What may be decided without waiting is decided in plain functions (`choose`, `failed`, `late`).
* What was held for an exchange is released before its client can see the end of the answer.
* Whatever happens, `settle` runs once, synchronously: after a cancellation every await may be cancelled again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway import errors
from gateway.contracts import Body, Phase, Reply, Target, UpstreamResponse
from gateway.deadlines import Clock, DeadlinePassed, Guard
from gateway.dialects.json_body import read_call
from gateway.errors import GatewayError, Retry
from gateway.exchange import Attempt, Exchange
from gateway.relay import Relay
from gateway.settlement import release, settle
from gateway.stream_reply import StreamReply
from gateway.whole import deliver, expired, is_stream, read_answer, read_failure

if TYPE_CHECKING:
    from gateway.snapshot import Runtime

log = logging.getLogger("gateway")


async def handle(exchange: Exchange, runtime: Runtime, body: Body, reply: Reply) -> None:
    """Take one call from its head to its log line. Every exchange ends in `settle`."""
    runtime.meters.active.add(1)
    try:
        await steps(exchange, runtime, body, reply)
    except asyncio.CancelledError:
        exchange.ended_by = exchange.ended_by or ("client" if reply.gone else "drain")
        raise
    except ConnectionError:  # the client left while we wrote
        exchange.ended_by = "client"
    finally:
        runtime.meters.active.add(-1)
        settle(exchange, runtime)


async def steps(exchange: Exchange, runtime: Runtime, body: Body, reply: Reply) -> None:
    """The steps in their order; an error in one of them is told to the client."""
    try:
        ask(Phase.HEAD, exchange)  # who is it, is there room: from the headers, before a byte of body
        await read(exchange, body)  # the body within its limits, parsed, its model known
        ask(Phase.ADMIT, exchange)  # may they, can they afford it
        await answer(exchange, runtime, reply)  # choose, send, relay; again only before the first content
    except GatewayError as error:
        exchange.error = error
        if error.kind is errors.SHUTTING_DOWN:
            exchange.ended_by = "drain"
        await refuse(exchange, runtime, error, reply)
    except Exception as problem:
        if isinstance(problem, ConnectionError) and reply.gone:
            raise  # the client left while we wrote; any other connection is an extension's own, such as a policy's
        log.exception("internal error", extra={"request_id": exchange.id})
        exchange.error = GatewayError(errors.INTERNAL, f"internal error; it is logged as {exchange.id}")
        await refuse(exchange, runtime, exchange.error, reply)


def ask(phase: Phase, exchange: Exchange, *more: Target) -> None:
    """Every policy that takes part in `phase`, in the configured order; a refusal raises."""
    for hook in exchange.snapshot.hooks[phase]:
        hook(exchange, *more)


async def read(exchange: Exchange, body: Body) -> None:
    """The request's body becomes its call; its model becomes its plan."""
    endpoint = exchange.endpoint
    given = body.read(exchange.snapshot.limits.max_body)
    raw = given if isinstance(given, bytes) else await given
    started = exchange.body_read = exchange.now()
    exchange.bytes_in = len(raw)
    try:
        exchange.call = call = read_call(raw, streams=endpoint.dialect.streams)
        exchange.plan = exchange.snapshot.plans.get(call.model)
        endpoint.dialect.check(call.fields)
    finally:
        exchange.read_time += exchange.now() - started
    if exchange.plan is None:
        message = f'the model "{call.model[:200]}" does not exist; GET /v1/models lists those that do'
        raise GatewayError(errors.MODEL_NOT_FOUND, message, param="model")


async def answer(exchange: Exchange, runtime: Runtime, reply: Reply) -> None:
    """Attempts until one answers, or the last error is final."""
    assert exchange.call is not None
    if exchange.call.stream:
        with StreamReply(exchange, runtime, reply, {"x-request-id": exchange.id}) as stream:
            await attempt(exchange, runtime, stream)
        return
    body = await attempt(exchange, runtime, None)
    headers = {"content-type": "application/json", **own_headers(exchange)}
    await deliver(exchange, runtime, reply, 200, headers, body)


async def attempt(exchange: Exchange, runtime: Runtime, stream: StreamReply | None) -> bytes:
    """Try targets; gives the whole answer, or nothing when it went through `stream`."""
    plan = exchange.plan
    assert plan is not None
    able = [target for target in plan.targets if exchange.endpoint.task in target.provider.tasks]
    if not able:
        message = f'no provider of the model "{plan.model}" serves {exchange.path}'
        raise GatewayError(errors.UNSUPPORTED_TASK, message, param="model")
    error = GatewayError(errors.NO_TARGET, f'no target can serve the model "{plan.model}" now')
    while True:
        started = exchange.now()
        target = plan.strategy.choose(able, exchange)
        if target is None or exchange.tried(target):  # once each: a strategy that repeats itself would never end
            raise error
        if target not in able:
            raise TypeError(f"{type(plan.strategy).__name__} chose {type(target).__name__}, none of its targets")
        exchange.attempts.append(this := Attempt(target, started))
        try:
            ask(Phase.ATTEMPT, exchange, target)
            return await send(exchange, runtime, this, stream)
        except GatewayError as failure:
            failure.conceal(target.secrets)
            this.failed(failure)
            error = failure
            if failure.retry is Retry.NO:
                raise
        except Exception as defect:
            if not isinstance(defect, ConnectionError):  # that is the client's leaving
                this.outcome = errors.INTERNAL.code
            raise
        finally:
            this.ended = exchange.now()
            meters = runtime.meters.route(target.provider.name, exchange.model)
            meters.attempt(this.outcome, providers_fault=this.providers_fault)


async def send(exchange: Exchange, runtime: Runtime, this: Attempt, stream: StreamReply | None) -> bytes:
    """One attempt, from the request to the end of its answer."""
    response = await head(exchange, runtime, this)
    try:
        body = b""
        if response.status != 200:
            raise await read_failure(exchange, runtime, this, response)
        if stream is None:
            body = await read_answer(exchange, runtime, this, response)
        elif not is_stream(response):
            raise await read_failure(exchange, runtime, this, response)
        else:
            await Relay(exchange, runtime, stream, this).run(response, own_headers(exchange))
        if exchange.error is None:
            this.succeeded()
        else:  # told by the provider itself, in a stream that had begun
            exchange.error.conceal(this.target.secrets)
            this.failed(exchange.error)
        return body
    finally:
        response.close()  # before the answer's end, this aborts it


async def head(exchange: Exchange, runtime: Runtime, this: Attempt) -> UpstreamResponse:
    """Send the request; gives the response once its head is here."""
    call, target = exchange.call, this.target
    assert call is not None
    request = target.provider.request(exchange.endpoint.task, call, target.model)
    deadline = runtime.wheel.guard(latest=exchange.received + target.timeouts.total)
    waiting = Waiting(exchange, this, deadline)
    try:
        with deadline:
            waiting(Clock.CONNECT)
            exchange.prepare_time += exchange.now() - this.started
            response = await target.upstream.send(request, waiting)
    except DeadlinePassed as passed:
        raise expired(passed, exchange, this) from passed
    this.answered = exchange.now()
    this.status = response.status
    return response


class Waiting:
    """Told by the upstream what is being waited for, it sets the clock for it.

    Not a function within `head`: compiled, that would be a cycle around the whole exchange, and cost 18 µs a request.
    """

    def __init__(self, exchange: Exchange, attempt: Attempt, deadline: Guard) -> None:
        self._exchange = exchange
        self._attempt = attempt
        self._deadline = deadline

    def __call__(self, clock: Clock) -> None:
        if clock is Clock.FIRST_CONTENT:
            self._attempt.connected = self._exchange.now()
        self._deadline.set(clock, self._attempt.target.timeouts.of(clock))


def own_headers(exchange: Exchange) -> dict[str, str]:
    """What we tell about an answer in its head."""
    headers = {"x-request-id": exchange.id}
    if exchange.attempts:
        target = exchange.attempts[-1].target
        headers["x-gateway-attempts"] = str(len(exchange.attempts))
        headers["x-gateway-provider"] = target.provider.name
        headers["x-gateway-model"] = target.model
    headers["server-timing"] = (
        f"read;dur={exchange.read_time * 1e3:.3f}, prepare;dur={exchange.prepare_time * 1e3:.3f}, "
        f"relay;dur={exchange.relay_time * 1e3:.3f}"
    )
    return headers


async def refuse(exchange: Exchange, runtime: Runtime, error: GatewayError, reply: Reply) -> None:
    """Tell the client: as a status while that is possible, else inside the stream. The only place that does."""
    if reply.gone:
        exchange.ended_by = "client"
    elif error.kind is errors.CLIENT_STALLED:
        abandon(exchange, reply)
    elif reply.started:
        await tell_in_band(exchange, runtime, error, reply)
    else:
        headers = {"content-type": "application/json", **own_headers(exchange), **error.headers()}
        try:
            await deliver(exchange, runtime, reply, error.status, headers, error.body())
        except GatewayError:
            abandon(exchange, reply)


async def tell_in_band(exchange: Exchange, runtime: Runtime, error: GatewayError, reply: Reply) -> None:
    try:
        with runtime.wheel.guard() as deadline:
            deadline.set(Clock.CLIENT_WRITE, exchange.snapshot.limits.client_write)
            event = exchange.endpoint.dialect.error_event(error)
            release(exchange)
            exchange.bytes_out += len(event)
            if (waiting := reply.write(event)) is not None:
                await waiting
            if (waiting := reply.end()) is not None:
                await waiting
    except DeadlinePassed:
        abandon(exchange, reply)


def abandon(exchange: Exchange, reply: Reply) -> None:
    """The client takes nothing, not even an error."""
    exchange.ended_by = "client"
    reply.abort()
