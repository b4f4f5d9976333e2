"""One request's record: what was asked, what was tried, what came of it.

The rules:

* An exchange is made when a request's head has been read and settled exactly once, whatever happened in
  between (`settlement.settle`). Everything a log line, a metric or a policy wants to know stands here.
* Times are `time.monotonic` seconds. Who ended it stands in `ended_by` before anything is cancelled.
* A running exchange keeps the snapshot it began with.
* This file, and those that work with these records for every request, are plain Python that is compiled as it stands
  (setup.py has the list); exchange.pxd gives the fields their types. Measured: the pipeline's own time 26 -> 19 µs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


class Attempt:
    """One try at one target."""

    def __init__(self, target: Target, started: float) -> None:
        self.target = target
        self.started = started
        self.connected: float | None = None
        self.answered: float | None = None  # the upstream's head has arrived
        self.ended: float | None = None
        self.status: int | None = None
        self.outcome = "cancelled"  # ok | cancelled | the code of an errors.Kind, never a provider's: it is a label
        self.providers_fault: bool | None = None  # None: says nothing about the provider's health

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


class Exchange:
    """The record. Sizes are bytes of bodies, without HTTP framing."""

    def __init__(
        self,
        *,
        id: str,
        method: str,
        path: str,
        endpoint: Endpoint,
        snapshot: Snapshot,
        headers: Mapping[str, str],
        peer: str | None = None,
        correlation_id: str | None = None,
        caller: Caller = ANONYMOUS,
        now: Callable[[], float] = time.monotonic,
        received: float | None = None,
    ) -> None:
        self.id = id
        self.method = method
        self.path = path
        self.endpoint = endpoint
        self.snapshot = snapshot
        self.headers = headers  # lower-case names
        self.peer = peer
        self.correlation_id = correlation_id
        self.caller = caller
        self.now = now
        self.received = now() if received is None else received
        self.arrived = time.time()  # wall clock, for the log only

        self.call: Call | None = None
        self.plan: Plan | None = None
        self.attempts: list[Attempt] = []
        self.usage: Usage | None = None

        self.body_read: float | None = None
        self.first_content: float | None = None
        self.ended: float | None = None
        self.read_time = 0.0  # our overhead, seconds by part
        self.prepare_time = 0.0
        self.relay_time = 0.0

        self.status: int | None = None  # what the client was told
        self.error: GatewayError | None = None
        self.ended_by: str | None = None  # client | drain | total; None: it ran to its end
        self.bytes_in = 0
        self.bytes_out = 0
        self.released = False
        self.settled = False

    @property
    def model(self) -> str:
        """The model asked for when it is a configured one, else ``other``: safe as a label."""
        return self.plan.model if self.plan is not None else "other"

    def tried(self, target: Target) -> bool:
        for attempt in self.attempts:  # noqa: SIM110  (a generator costs more than what it would look at)
            if attempt.target is target:
                return True
        return False
