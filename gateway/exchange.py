"""One request's record: what was asked, what was tried, what came of it.

The rules:

* An exchange is made when a request's head has been read and settled exactly once, whatever happened in
  between (`settlement.settle`). Everything a log line, a metric or a policy wants to know stands here.
* Times are `time.monotonic` seconds. Who ended it stands in `ended_by` before anything is cancelled.
* A running exchange keeps the snapshot it began with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.errors import GatewayError, Whose

if TYPE_CHECKING:
    from gateway.contracts import Endpoint, Plan, Target
    from gateway.conversation import Usage
    from gateway.snapshot import Snapshot


class Call(NamedTuple):
    """What the client asked: the bytes as they came, the object they parse to, and where its values lie."""

    body: bytes
    fields: Mapping[str, Any]
    spans: Mapping[str, tuple[int, int]]
    model: str
    stream: bool

    @property
    def wants_usage(self) -> bool:
        """Did the client ask for the usage event of a stream itself?"""
        options = self.fields.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, for rules and limits; nobody in particular until access control fills it."""

    key: str | None = None
    user: str | None = None
    tenant: str | None = None


ANONYMOUS = Caller()


@dataclass(slots=True)
class Attempt:
    """One try at one target."""

    target: Target
    started: float
    connected: float | None = None
    answered: float | None = None  # the upstream's head has arrived
    ended: float | None = None
    status: int | None = None
    outcome: str = "cancelled"  # ok | cancelled | the code of an errors.Kind, never a provider's: it is a label
    providers_fault: bool | None = None  # None: says nothing about the provider's health

    def waited(self, now: float) -> float:
        """Seconds since it had a connection: what its first content may take counts from there."""
        return now - (self.connected or self.started)

    def succeeded(self) -> None:
        self.outcome = "ok"
        self.providers_fault = False

    def failed(self, error: GatewayError) -> None:
        self.outcome = error.kind.code
        if error.whose is Whose.TARGET:
            self.providers_fault = True
        elif error.whose is Whose.CLIENT and self.status is not None:
            self.providers_fault = False  # it is well enough to refuse a bad request


@dataclass(slots=True)
class Exchange:
    """The record. Sizes are bytes of bodies, without HTTP framing."""

    id: str
    method: str
    path: str
    endpoint: Endpoint
    snapshot: Snapshot
    headers: Mapping[str, str]  # lower-case names
    peer: str | None = None
    correlation_id: str | None = None
    caller: Caller = ANONYMOUS
    now: Callable[[], float] = time.monotonic
    received: float = field(default_factory=time.monotonic)
    arrived: float = field(default_factory=time.time)  # wall clock, for the log only

    call: Call | None = None
    plan: Plan | None = None
    attempts: list[Attempt] = field(default_factory=list)
    usage: Usage | None = None

    body_read: float | None = None
    first_content: float | None = None
    ended: float | None = None
    read_time: float = 0.0  # our overhead, seconds by part
    prepare_time: float = 0.0
    relay_time: float = 0.0

    status: int | None = None  # what the client was told
    error: GatewayError | None = None
    ended_by: str | None = None  # client | drain | total; None: it ran to its end
    bytes_in: int = 0
    bytes_out: int = 0
    released: bool = False
    settled: bool = False

    @property
    def model(self) -> str:
        """The model asked for when it is a configured one, else ``other``: safe as a label."""
        return self.plan.model if self.plan is not None else "other"

    def tried(self, target: Target) -> bool:
        for attempt in self.attempts:  # noqa: SIM110  (a generator costs more than what it would look at)
            if attempt.target is target:
                return True
        return False
