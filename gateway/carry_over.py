"""What of one snapshot goes on in the next, and what is closed when nobody uses it any more.

Identity is by settings: whatever is configured as before is the same object in the new snapshot, with everything it
has learnt and every connection it holds. The rules:

* A provider goes on if all its settings are equal. If it changed, its connections still go on as long as the name,
  type, address and connection pool are equal: another key, timeout or model is no reason to connect anew.
* A plan goes on, with its strategy, if it has the same models of unchanged providers, in the same order, and the
  strategy's settings are equal.
* A policy goes on if one with equal settings was there; of several equal ones, each once and in their order.
* Settings that cannot be compared (a plug-in's own type that raises) count as changed.

Nothing here changes the snapshot it takes from: should the new one fail, the old one is as good as before.

An extension may define ``close()``, a plain function: called once, when the last exchange that could reach it has
ended, and at the end of the process.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gateway.contracts import Plan, Target, Upstream

if TYPE_CHECKING:
    from gateway.config import ProviderOptions, StrategyOptions
    from gateway.snapshot import Snapshot, Wired

log = logging.getLogger("gateway")


class Kept:
    """What the snapshot before offers to the next."""

    def __init__(self, previous: Snapshot | None) -> None:
        self._providers = {} if previous is None else previous.providers
        self._plans = {} if previous is None else previous.plans
        self._strategies = {} if previous is None else previous.strategies
        self._policies = [] if previous is None else list(previous.policies)

    def provider(self, name: str, options: ProviderOptions) -> Wired | None:
        """The same provider, with its connections and clocks."""
        known = self._providers.get(name)
        return known if known is not None and _same(known.options, options) else None

    def upstream(self, name: str, options: ProviderOptions) -> Upstream | None:
        """The connections of a provider that is not the same any more."""
        known = self._providers.get(name)
        if known is None or hasattr(known.provider, "perform"):
            return None
        told = [(each.type, each.endpoint, each.connection_pool) for each in (known.options, options)]
        return known.upstream if told[0] == told[1] else None

    def plan(self, model: str, targets: Sequence[Target], strategy: StrategyOptions) -> Plan | None:
        """The same plan: whoever is the same provider also has the same connections, clocks and secrets."""
        known = self._plans.get(model)
        if known is None or not _same(self._strategies.get(model), strategy):
            return None
        both = [[(id(target.provider), target.model) for target in each] for each in (known.targets, targets)]
        return known if both[0] == both[1] else None

    def policy(self, options: Any) -> Any | None:
        for position, (known, policy) in enumerate(self._policies):
            if _same(known, options):
                del self._policies[position]
                return policy
        return None


def gone(previous: Snapshot, current: Snapshot | None) -> list[Any]:
    """What `previous` used and `current` does not: to be closed once no exchange holds `previous` or an older one."""
    kept = set() if current is None else set(map(id, _parts(current)))
    left = {id(part): part for part in _parts(previous) if id(part) not in kept and hasattr(part, "close")}
    return list(left.values())


async def close(parts: Iterable[Any]) -> None:
    """Close them all, whatever one of them says."""
    for part in parts:
        try:
            closing = part.close()
            if inspect.isawaitable(closing):
                await closing
        except Exception:
            log.exception("%s cannot be closed", type(part).__name__)


class Leftovers:
    """What reloads left behind, until nobody uses it."""

    def __init__(self) -> None:
        self._left: list[tuple[int, list[Any]]] = []

    def leave(self, previous: Snapshot, current: Snapshot) -> None:
        """`current` has just taken the place of `previous`."""
        self._left.append((previous.generation, gone(previous, current)))

    def take(self, in_use: int) -> list[Any]:
        """What no generation from `in_use` on has: it is the caller's to close now."""
        free = [part for generation, parts in self._left if generation < in_use for part in parts]
        self._left = [left for left in self._left if left[0] >= in_use]
        return free


def _parts(snapshot: Snapshot) -> Iterator[Any]:
    """Whatever of a snapshot may hold something open."""
    yield from snapshot.upstreams
    yield from (wired.provider for wired in snapshot.providers.values())
    yield from (plan.strategy for plan in snapshot.plans.values())
    yield from (policy for _, policy in snapshot.policies)


def _same(known: Any, options: Any) -> bool:
    try:
        return bool(known == options)
    except Exception:  # a plug-in's own comparison
        return False
