"""Refuse what would drown us: too many requests at once, too many bytes of bodies in memory.

Asked on the head alone, so a refused request costs neither its body nor an attempt. A body without a
declared length, or a compressed one, counts as the largest allowed. What was counted is given back once,
at settlement.
"""

from __future__ import annotations

from gateway import errors
from gateway.errors import GatewayError
from gateway.exchange import Exchange

RETRY_AFTER = 1  # seconds


class Overload:
    """At most `max_in_flight` requests and `max_buffered` bytes of request bodies."""

    def __init__(self, *, max_in_flight: int, max_buffered: int) -> None:
        self.max_in_flight = max_in_flight
        self.max_buffered = max_buffered
        self.buffered = 0
        self._held: dict[int, int] = {}  # bytes by exchange

    def on_head(self, exchange: Exchange) -> None:
        size = _expected(exchange)
        if len(self._held) >= self.max_in_flight:
            raise _full(f"{self.max_in_flight} requests are in flight already (server.max_in_flight)")
        if self.buffered + size > self.max_buffered and self._held:
            raise _full(f"request bodies in memory would exceed {self.max_buffered} bytes (server.max_buffered)")
        self._held[id(exchange)] = size
        self.buffered += size

    def settle(self, exchange: Exchange) -> None:
        self.buffered -= self._held.pop(id(exchange), 0)


def _expected(exchange: Exchange) -> int:
    declared = exchange.headers.get("content-length", "")
    most = exchange.snapshot.limits.max_body
    plain = exchange.headers.get("content-encoding", "identity").lower() == "identity"
    return min(int(declared), most) if plain and declared.isdecimal() else most


def _full(message: str) -> GatewayError:
    return GatewayError(errors.OVERLOADED, message, retry_after=RETRY_AFTER)
