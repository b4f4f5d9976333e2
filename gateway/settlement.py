"""What an exchange leaves behind, exactly once: policies give back, meters count, the log gets its line.

Synchronous, and it never raises: it runs in a ``finally``, also after a cancellation. What has to wait
(files, later Redis and exporters) goes through bounded queues that others flush.

Slots are released earlier than the rest is settled: before the client can see that its answer is over. Else its
next request could meet, in another worker, the slot that it believes to have given back.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.contracts import Phase
from gateway.telemetry.access_log import AccessRecord, AttemptRecord

if TYPE_CHECKING:
    from gateway.exchange import Attempt, Exchange
    from gateway.snapshot import Runtime

CLIENT_LEFT = 499  # nginx's status for it; no client ever sees it

log = logging.getLogger("gateway")


def release(exchange: Exchange) -> None:
    """Give back what was held for as long as the answer took. A second call does nothing."""
    if exchange.released:
        return
    exchange.released = True
    _tell(Phase.RELEASE, exchange)


def settle(exchange: Exchange, runtime: Runtime) -> None:
    """Close the record. A second call does nothing."""
    if exchange.settled:
        return
    exchange.settled = True
    exchange.ended = exchange.now()
    release(exchange)
    _tell(Phase.SETTLE, exchange)
    try:
        _count(exchange, runtime)
        if runtime.access_log is not None:
            runtime.access_log.write(_record(exchange).line())
    except Exception:
        log.exception("an exchange could not be accounted for", extra={"request_id": exchange.id})


def _tell(phase: Phase, exchange: Exchange) -> None:
    """Every policy of this phase, the last one first; one that fails keeps nobody else from its turn."""
    for hook in reversed(exchange.snapshot.hooks[phase]):
        try:
            hook(exchange)
        except Exception:
            log.exception("a policy failed to %s", phase.value, extra={"request_id": exchange.id})


def _count(exchange: Exchange, runtime: Runtime) -> None:
    assert exchange.ended is not None
    meters = runtime.meters
    provider = exchange.attempts[-1].target.provider.name if exchange.attempts else None
    route = meters.route(provider, exchange.model)
    route.answered(_status(exchange), exchange.ended - exchange.received)
    usage = exchange.usage
    if usage is not None:
        route.count_tokens(
            input=usage.input_tokens,
            output=usage.output_tokens,
            cached_input=usage.cached_tokens,
            reasoning=usage.reasoning_tokens,
        )
    if exchange.ended_by == "client":
        meters.client_left(_phase(exchange))
    meters.overhead("read").observe(exchange.read_time)
    if exchange.attempts:
        meters.overhead("prepare").observe(exchange.prepare_time)
        meters.overhead("relay").observe(exchange.relay_time)


def _status(exchange: Exchange) -> int:
    """What the client got, or 499 when it left before it got anything."""
    if exchange.ended_by == "client" and exchange.status is None:
        return CLIENT_LEFT
    return exchange.status if exchange.status is not None else 500


def _phase(exchange: Exchange) -> str:
    """How far the exchange had come."""
    if exchange.body_read is None:
        return "body"
    if exchange.first_content is not None:
        return "relay"
    answered = bool(exchange.attempts) and exchange.attempts[-1].answered is not None
    return "first_content" if answered else "upstream"


def _record(exchange: Exchange) -> AccessRecord:
    call, usage, error = exchange.call, exchange.usage, exchange.error
    last = exchange.attempts[-1].target if exchange.attempts else None
    assert exchange.ended is not None
    return AccessRecord(
        ts=exchange.arrived,
        request_id=exchange.id,
        correlation_id=exchange.correlation_id,
        client=exchange.peer,
        method=exchange.method,
        path=exchange.path,
        status=_status(exchange),
        model=call.model if call else None,
        provider=last.provider.name if last else None,
        upstream_model=last.model if last else None,
        attempts=[_attempt(attempt) for attempt in exchange.attempts],
        stream=call.stream if call else None,
        ttft_ms=_ms(exchange.received, exchange.first_content),
        duration_ms=_ms(exchange.received, exchange.ended),
        overhead_ms=(exchange.read_time + exchange.prepare_time + exchange.relay_time) * 1000,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        bytes_in=exchange.bytes_in,
        bytes_out=exchange.bytes_out,
        error_code=error.code if error else None,
        error_type=error.type if error else None,
        ended_by=exchange.ended_by,
        user_agent=exchange.headers.get("user-agent"),
    )


def _attempt(attempt: Attempt) -> AttemptRecord:
    return AttemptRecord(
        attempt.target.provider.name,
        attempt.target.model,
        attempt.outcome,
        attempt.status,
        ((attempt.ended or attempt.started) - attempt.started) * 1000,
    )


def _ms(start: float, end: float | None) -> float | None:
    return None if end is None else (end - start) * 1000
