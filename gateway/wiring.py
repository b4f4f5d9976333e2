"""Configuration to snapshot: the only file that knows every drawer.

Importing it fills the catalogs with what ships. A provider named in the configuration becomes one object
with one upstream; a model becomes a plan; a policy takes part in the phases whose hook it defines. What is
configured as it was in the snapshot before goes on as the same object (`carry_over`); everything else is
made by `building`, and if any of it does not work out nothing of it stays.

Decided 2026-11: a model that a provider lists is served under its own name by every provider that lists
it, in the order of the file; an entry under ``models`` of the same name takes its place.

Decided 2026-11: endpoints come from code, not from the configuration, so a reload keeps them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import endpoints, policies, providers, routing
from gateway._fast import LimitTable
from gateway.building import Builder, CannotWire
from gateway.carry_over import Kept
from gateway.config import Config, ProviderOptions, StrategyOptions
from gateway.config import load as load_config
from gateway.contracts import Phase, Plan, Target, Timeouts, Upstream
from gateway.policies.overload import Overload
from gateway.snapshot import Limits, Snapshot, Wired
from gateway.telemetry.meters import Meters
from gateway.telemetry.request_meters import RequestMeters
from gateway.upstream.aiohttp_client import AiohttpUpstream
from gateway.upstream.fast_client import FastUpstream
from gateway.upstream.local import LocalUpstream

__all__ = ["SHIPPED", "CannotWire", "load", "wire"]

SHIPPED = (endpoints, policies, providers, routing)
# By lane.
UPSTREAMS: Mapping[str, type[FastUpstream | AiohttpUpstream]] = {
    "fast": FastUpstream,
    "aiohttp": AiohttpUpstream,
}


def load(paths: Sequence[Path | str], environ: Mapping[str, str] = os.environ) -> Config:
    """The checked configuration of these files, later over earlier. Raises ConfigError."""
    return load_config(paths, environ=environ)


def wire(
    config: Config,
    generation: int = 1,
    meters: Meters | None = None,
    *,
    previous: Snapshot | None = None,
    limits: LimitTable | None = None,
) -> Snapshot:
    """A snapshot of `config`. Connections open on first use, inside the running loop. Raises CannotWire.

    `limits` is the machine's table of limits, in the meters' arena. However it ends, `previous` is left as it was.
    """
    meters = Meters() if meters is None else meters
    RequestMeters(meters)  # our own names first: an extension that wants one of them is named, not us
    build = Builder(config, meters)
    try:
        table = LimitTable(meters.arena) if limits is None else limits
        return _wired(config, generation, build, Kept(previous), previous, table)
    except BaseException:
        build.undo()
        raise


def _wired(
    config: Config, generation: int, build: Builder, kept: Kept, previous: Snapshot | None, limits: LimitTable
) -> Snapshot:
    """All is made before anything is put together, so that every problem is found in one go."""
    lane = config.server.lane
    called = {name: _provider(build, kept, name, options, lane) for name, options in config.providers.items()}
    asked = [_overload(config, kept, limits), *_policies(build, kept, config)]
    calls, pages = build.endpoints() if previous is None else (previous.endpoints, previous.pages)
    plans = {route.model: _plan(build, kept, called, route) for route in _routes(config)}
    build.finish()
    wired = {name: each for name, each in called.items() if each is not None}  # all of them
    return Snapshot(
        generation=generation,
        endpoints=calls,
        pages=pages,
        plans={model: plan for model, plan in plans.items() if plan is not None},
        hooks={phase: _hooks(phase, [policy for _, policy in asked]) for phase in Phase},
        upstreams=[each.upstream for each in wired.values()],
        limits=Limits(
            max_body=config.server.max_body,
            max_answer=config.server.max_answer,
            body_timeout=config.server.body_timeout,
            keepalive_after=config.streaming.keepalive_after,
            client_write=config.streaming.client_write,
            event_hold=config.streaming.event_hold,
            drop_malformed=config.streaming.drop_malformed,
        ),
        providers=wired,
        strategies={route.model: route.strategy for route in _routes(config)},
        policies=asked,
    )


def _provider(build: Builder, kept: Kept, name: str, options: ProviderOptions, lane: str) -> Wired | None:
    if (known := kept.provider(name, options)) is not None:
        return known
    provider = build.provider(name, options)
    if provider is None:
        return None
    upstream: Upstream
    if hasattr(provider, "perform"):
        upstream = LocalUpstream(provider)
    else:
        pool = options.connection_pool
        upstream = kept.upstream(name, options) or UPSTREAMS[lane](
            name, connections=pool.max_connections_per_host, keep_alive=pool.keep_alive, dns_ttl=pool.dns_ttl
        )
    clocks = options.timeouts
    return Wired(options, provider, upstream, Timeouts(clocks.connect, clocks.first_content, clocks.idle, clocks.total))


def _overload(config: Config, kept: Kept, limits: LimitTable) -> tuple[Any, Any]:
    """Always there, and asked first."""
    bounds = {"max_in_flight": config.server.max_in_flight, "max_buffered": config.server.max_buffered}
    return bounds, kept.policy(bounds) or Overload(**bounds, limits=limits)


def _policies(build: Builder, kept: Kept, config: Config) -> Iterator[tuple[Any, Any]]:
    for position, options in enumerate(config.policies):
        known = kept.policy(options)
        yield options, build.policy(position, options) if known is None else known


@dataclass(frozen=True, slots=True)
class Route:
    """One model that may be asked for."""

    model: str
    places: Sequence[tuple[str, str]]  # provider and model there
    strategy: StrategyOptions
    path: tuple[str, ...]  # of the strategy in the configuration


def _routes(config: Config) -> Iterator[Route]:
    default, path = config.routing.default_strategy, ("routing", "default_strategy")
    listed: dict[str, list[tuple[str, str]]] = {}
    for provider, options in config.providers.items():
        for model in options.models:
            listed.setdefault(model, []).append((provider, model))
    for model, places in listed.items():
        if model not in config.models:
            yield Route(model, places, default, path)
    for model, route in config.models.items():
        places = [(each.provider, each.model) for each in route.targets]
        own = route.strategy is not None
        yield Route(model, places, route.strategy or default, ("models", model, "strategy") if own else path)


def _plan(build: Builder, kept: Kept, called: Mapping[str, Wired | None], route: Route) -> Plan | None:
    places = [(wired, model) for name, model in route.places if (wired := called[name]) is not None]
    targets = [_target(wired, model) for wired, model in places]
    known = kept.plan(route.model, targets, route.strategy)
    if known is not None:
        return known
    strategy = build.strategy(route.path, route.strategy)
    return None if strategy is None else Plan(route.model, targets, strategy)


def _target(wired: Wired, model: str) -> Target:
    options = wired.options
    return Target(wired.provider, options.model_id(model), wired.upstream, wired.timeouts, options.secrets())


def _hooks(phase: Phase, asked: Sequence[Any]) -> list[Any]:
    return [getattr(policy, phase.value) for policy in asked if hasattr(policy, phase.value)]
