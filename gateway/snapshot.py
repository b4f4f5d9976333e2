"""What a configuration became, and what outlives it.

A `Snapshot` is immutable: a reload builds a new one and swaps a single reference, and running exchanges
keep theirs. The `Runtime` lives as long as the process: the clock, the meters, what is in flight.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config import ProviderOptions, StrategyOptions
    from gateway.contracts import Endpoint, Page, Phase, Plan, Provider, Timeouts, Upstream
    from gateway.deadlines import TimerWheel
    from gateway.roster import Roster
    from gateway.telemetry.line_batch import LineBatch
    from gateway.telemetry.meters import Meters
    from gateway.telemetry.request_meters import RequestMeters


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds."""

    max_body: int
    max_answer: int
    body_timeout: float
    keepalive_after: float
    client_write: float
    event_hold: int
    drop_malformed: bool


@dataclass(frozen=True, slots=True)
class Wired:
    """One configured provider, and the settings it was made from."""

    options: ProviderOptions
    provider: Provider
    upstream: Upstream
    timeouts: Timeouts


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One configuration, wired. The last three say what was made from which settings: `carry_over` compares them."""

    generation: int
    endpoints: Mapping[str, Endpoint]
    pages: Mapping[str, Page]
    plans: Mapping[str, Plan]
    hooks: Mapping[Phase, Sequence[Any]]
    upstreams: Sequence[Upstream]
    limits: Limits
    providers: Mapping[str, Wired] = field(default_factory=dict)
    strategies: Mapping[str, StrategyOptions] = field(default_factory=dict)  # by model
    policies: Sequence[tuple[Any, Any]] = ()  # settings and the object, in the order they are asked


@dataclass(slots=True)
class Runtime:
    """The process's own state."""

    snapshot: Snapshot
    wheel: TimerWheel
    scrape: Meters  # everything /metrics shows
    meters: RequestMeters
    access_log: LineBatch | None
    lane: str = "aiohttp"
    draining: bool = False  # the gateway stops: not ready any more
    leaving: bool = False  # this worker does: every answer asks its client to come back on another connection
    started: float = field(default_factory=time.time)
    roster: Roster | None = None  # every worker of this machine; None where there is no supervisor
    slot: int = 0  # this worker's place in it
