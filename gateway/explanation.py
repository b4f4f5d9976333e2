"""A snapshot in words: what happens to a request, in order. Printed by ``llm-gateway explain``."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.contracts import Phase, Plan
from gateway.snapshot import Snapshot


def explanation(snapshot: Snapshot, model: str | None = None) -> str:
    """The path of a request for `model`, or for every model."""
    return "\n".join([*_phases(snapshot), *_plans(snapshot, model)])


def _phases(snapshot: Snapshot) -> Iterator[str]:
    yield f"a request comes in at {', '.join(snapshot.endpoints)}"
    for phase in Phase:
        names = [type(getattr(hook, "__self__", hook)).__name__ for hook in snapshot.hooks[phase]]
        order = reversed(names) if phase in (Phase.RELEASE, Phase.SETTLE) else names
        yield f"  {phase.name.lower():<8} {', '.join(order) or '-'}"


def _plans(snapshot: Snapshot, model: str | None) -> Iterator[str]:
    for name, plan in snapshot.plans.items():
        if model in (None, name):
            yield from _plan(plan)


def _plan(plan: Plan) -> Iterator[str]:
    yield f"{plan.model}: {type(plan.strategy).__name__}"
    for target in plan.targets:
        clocks = target.timeouts
        yield (
            f"  {target.provider.name} -> {target.model}   connect {clocks.connect:g}s, "
            f"first content {clocks.first_content:g}s, idle {clocks.idle:g}s, total {clocks.total:g}s"
        )
