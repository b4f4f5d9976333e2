"""Parts of the gateway made by hand, for tests that need one without the rest: targets, exchanges, snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import orjson

from gateway.contracts import Phase, Plan, Target, Task, Timeouts
from gateway.dialects import openai_chat
from gateway.dialects.json_body import read_call
from gateway.exchange import Attempt, Call, Exchange
from gateway.routing.round_robin import RoundRobin
from gateway.snapshot import Limits, Runtime, Snapshot
from gateway.telemetry.meters import Meters
from gateway.telemetry.request_meters import RequestMeters

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CLOCKS = Timeouts(connect=1, first_content=2, idle=3, total=4)
ENDPOINT: Any = SimpleNamespace(path="/v1/chat/completions", task=Task.CHAT, dialect=openai_chat.DIALECT)
LIMITS = Limits(
    max_body=1_000,
    max_answer=1_000,
    body_timeout=1,
    keepalive_after=1,
    client_write=1,
    event_hold=1_024,
    drop_malformed=True,
)


class Lines(list[bytes]):
    """Where log lines go."""

    def write(self, line: bytes) -> None:
        self.append(line)


def call(body: bytes | dict[str, Any] = CHAT) -> Call:
    return read_call(body if isinstance(body, bytes) else orjson.dumps(body), streams=True)


def target(provider: str = "p", model: str = "m") -> Target:
    named: Any = SimpleNamespace(name=provider, tasks=frozenset(Task))
    nowhere: Any = None
    return Target(named, model, nowhere, CLOCKS)


Hooks = Mapping[Phase, Sequence[Callable[..., Any]]]


def snapshot(plans: Mapping[str, Sequence[Target]] | None = None, hooks: Hooks | None = None) -> Snapshot:
    return Snapshot(
        generation=1,
        endpoints={ENDPOINT.path: ENDPOINT},
        pages={},
        plans={model: Plan(model, targets, RoundRobin()) for model, targets in (plans or {}).items()},
        hooks={phase: (hooks or {}).get(phase, []) for phase in Phase},
        upstreams=[],
        limits=LIMITS,
    )


def exchange(using: Snapshot | None = None, headers: Mapping[str, str] | None = None, **fields: Any) -> Exchange:
    return Exchange(
        id="an-id",
        method="POST",
        path=ENDPOINT.path,
        endpoint=ENDPOINT,
        snapshot=using or snapshot(),
        headers=headers or {},
        **fields,
    )


def tried(one: Exchange, at: Target) -> Attempt:
    """Note an attempt, as the pipeline does."""
    attempt = Attempt(at, one.now())
    one.attempts.append(attempt)
    return attempt


def runtime(using: Snapshot | None = None, access_log: Any = None) -> Runtime:
    """Without a wheel: that needs a running loop."""
    meters, no_wheel = Meters(), None
    return Runtime(using or snapshot(), no_wheel, meters, RequestMeters(meters), access_log)  # type: ignore[arg-type]
