"""Round robin: the targets in turn."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.catalog import strategies
from gateway.contracts import Target
from gateway.exchange import Exchange


@strategies.register("round_robin")
class RoundRobin:
    """Each request begins one target further; its retries go on from there, never twice to the same.

    Retries do not move the turn: with two targets of which one is dead, only every other request meets it first.
    """

    def __init__(self) -> None:
        self._next = 0

    def choose(self, targets: Sequence[Target], exchange: Exchange) -> Target | None:
        first = self._first(targets, exchange)
        for place in range(first, first + len(targets)):
            target = targets[place % len(targets)]
            if not exchange.tried(target):
                return target
        return None

    def _first(self, targets: Sequence[Target], exchange: Exchange) -> int:
        """Where this attempt's search begins."""
        if exchange.attempts:
            last = exchange.attempts[-1].target
            return targets.index(last) + 1 if last in targets else 0
        first = self._next % max(1, len(targets))
        self._next = first + 1
        return first
