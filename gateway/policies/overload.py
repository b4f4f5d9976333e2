"""Refuse what would drown us: too many requests at once, too many bytes of bodies in memory.

Both are counted for the whole machine, in one step: a request that finds no room for its body takes no place
among the requests. What a worker holds when it dies comes back when its death is noticed.

Asked on the head alone, so a refused request costs neither its body nor an attempt. A body without a
declared length, or a compressed one, counts as the largest allowed; one that is larger than `max_buffered`
counts as all of it, and so passes when nothing else is held. What was counted is given back once, before the
client can see the end of its answer. A table of limits that cannot be reached in time lets pass: it must
not stop the gateway.
"""

from __future__ import annotations

from gateway import errors
from gateway._fast import Concurrency, LimitTable, Slot
from gateway.errors import GatewayError
from gateway.exchange import Exchange

RETRY_AFTER = 1  # seconds
MACHINE = "machine"
ANY_TIME = 0  # what is held knows no time


class Overload:
    """At most `max_in_flight` requests and `max_buffered` bytes of request bodies, over all workers."""

    def __init__(self, *, max_in_flight: int, max_buffered: int, limits: LimitTable) -> None:
        self.max_in_flight = max_in_flight
        self.max_buffered = max_buffered
        self._limits = limits
        self._requests = _slot(limits, "server.max_in_flight", max_in_flight)
        self._bytes = _slot(limits, "server.max_buffered", max_buffered)
        self._held: dict[int, int] = {}  # bytes by exchange

    @property
    def in_flight(self) -> int:
        return self._used(self._requests, self.max_in_flight)

    @property
    def buffered(self) -> int:
        return self._used(self._bytes, self.max_buffered)

    def on_head(self, exchange: Exchange) -> None:
        size = min(_expected(exchange), self.max_buffered)
        refusal = self._limits.take([(self._requests, 1), (self._bytes, size)], ANY_TIME)
        if refusal is None:
            self._held[id(exchange)] = size
        elif refusal.index == 0:
            raise _full(f"{self.max_in_flight} requests are in flight already (server.max_in_flight)")
        else:
            raise _full(f"request bodies in memory would exceed {self.max_buffered} bytes (server.max_buffered)")

    def release(self, exchange: Exchange) -> None:
        size = self._held.pop(id(exchange), None)
        if size is not None:
            self._limits.settle([(self._requests, -1), (self._bytes, -size)], ANY_TIME)

    def _used(self, slot: Slot, limit: int) -> int:
        known = self._limits.peek(slot, ANY_TIME)
        return 0 if known is None else limit - known[0]


def _slot(limits: LimitTable, name: str, limit: int) -> Slot:
    return limits.slot(Concurrency(name, limit=limit, on_full="admit"), MACHINE)


def _expected(exchange: Exchange) -> int:
    declared = exchange.headers.get("content-length", "")
    most = exchange.snapshot.limits.max_body
    plain = exchange.headers.get("content-encoding", "identity").lower() == "identity"
    return min(int(declared), most) if plain and declared.isdecimal() else most


def _full(message: str) -> GatewayError:
    return GatewayError(errors.OVERLOADED, message, retry_after=RETRY_AFTER)
