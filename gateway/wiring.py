"""Configuration to snapshot: the only file that knows every drawer.

Importing it fills the catalogs with what ships. A provider named in the configuration becomes one object
with one upstream; a model becomes a plan; a policy takes part in the phases whose hooks it defines.

Decided 2026-11: a model that a provider lists is served under its own name by every provider that lists
it, in the order of the file; an entry under ``models`` of the same name takes its place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway import catalog, endpoints, policies, providers, routing
from gateway.config import Config, ProviderOptions
from gateway.config import load as load_config
from gateway.config.section import StrategyOptions
from gateway.contracts import Phase, Plan, Provider, Strategy, Target, Timeouts, Upstream
from gateway.policies.overload import Overload
from gateway.snapshot import Limits, Snapshot
from gateway.upstream.http import HttpUpstream
from gateway.upstream.local import LocalUpstream

SHIPPED = (endpoints, policies, providers, routing)


def load(paths: Sequence[Path | str], environ: Mapping[str, str] = os.environ) -> Config:
    """The checked configuration of these files, later over earlier. Raises ConfigError."""
    return load_config(paths, environ=environ)


def wire(config: Config, generation: int = 1) -> Snapshot:
    """A snapshot of `config`. Connections open on first use, inside the running loop."""
    called = {name: _wired(name, options) for name, options in config.providers.items()}
    calls, pages = _endpoints()
    asked = [Overload(max_in_flight=config.server.max_in_flight, max_buffered=config.server.max_buffered)]
    asked += [catalog.policies.get(options.type)(options) for options in config.policies]
    return Snapshot(
        generation=generation,
        endpoints=calls,
        pages=pages,
        plans=dict(_plans(config, called)),
        hooks={phase: _hooks(phase, asked) for phase in Phase},
        upstreams=[upstream for _, upstream, _ in called.values()],
        limits=Limits(
            max_body=config.server.max_body,
            max_answer=config.server.max_answer,
            body_timeout=config.server.body_timeout,
            keepalive_after=config.streaming.keepalive_after,
            client_write=config.streaming.client_write,
            event_hold=config.streaming.event_hold,
            drop_malformed=config.streaming.drop_malformed,
        ),
    )


Wired = tuple[Provider, Upstream, Timeouts]


def _wired(name: str, options: ProviderOptions) -> Wired:
    provider: Any = catalog.providers.get(options.type)(name, options)
    pool, clocks = options.connection_pool, options.timeouts
    upstream: Upstream
    if hasattr(provider, "perform"):
        upstream = LocalUpstream(provider)
    else:
        upstream = HttpUpstream(name, connections=pool.max_connections_per_host, keep_alive=pool.keep_alive)
    timeouts = Timeouts(clocks.connect, clocks.first_content, clocks.idle, clocks.total)
    return provider, upstream, timeouts


def _plans(config: Config, called: Mapping[str, Wired]) -> Iterator[tuple[str, Plan]]:
    """Every model that may be asked for."""

    def target(provider: str, model: str) -> Target:
        wired, upstream, timeouts = called[provider]
        return Target(wired, config.providers[provider].model_id(model), upstream, timeouts)

    served: dict[str, list[tuple[str, str]]] = {}
    for provider, options in config.providers.items():
        for model in options.models:
            served.setdefault(model, []).append((provider, model))
    for name, places in served.items():
        if name not in config.models:
            targets = [target(*place) for place in places]
            yield name, Plan(name, targets, _strategy(config.routing.default_strategy))
    for name, route in config.models.items():
        targets = [target(each.provider, each.model) for each in route.targets]
        yield name, Plan(name, targets, _strategy(route.strategy or config.routing.default_strategy))


def _strategy(options: StrategyOptions) -> Strategy:
    kind = catalog.strategies.get(options.type)
    strategy: Strategy = kind(options) if hasattr(kind, "Options") else kind()
    return strategy


def _endpoints() -> tuple[dict[str, Any], dict[str, Any]]:
    """Data endpoints by path, and pages by each of their paths."""
    calls: dict[str, Any] = {}
    pages: dict[str, Any] = {}
    for name in catalog.endpoints.names():
        endpoint = catalog.endpoints.get(name)()
        if hasattr(endpoint, "dialect"):
            calls[endpoint.path] = endpoint
        else:
            pages |= dict.fromkeys(endpoint.paths, endpoint)
    return calls, pages


def _hooks(phase: Phase, asked: Sequence[Any]) -> list[Any]:
    return [getattr(policy, phase.value) for policy in asked if hasattr(policy, phase.value)]
