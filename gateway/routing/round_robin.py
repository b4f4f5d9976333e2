"""Round robin: the targets in turn."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.catalog import strategies
from gateway.contracts import Target
from gateway.exchange import Exchange


@strategies.register("round_robin")
class RoundRobin:
    """Each request begins one target further; its retries go on from there, never twice to the same."""

    def __init__(self) -> None:
        self._next = 0

    def choose(self, targets: Sequence[Target], exchange: Exchange) -> Target | None:
        first = self._next
        for step in range(len(targets)):
            target = targets[(first + step) % len(targets)]
            if not exchange.tried(target):
                self._next = (first + step + 1) % len(targets)
                return target
        return None
