"""Configuration to snapshot: the only file that knows every drawer.

Importing it fills the catalogs with what ships. A provider named in the configuration becomes one object
with one upstream; a model becomes a plan; a policy takes part in the phases whose hooks it defines.

Decided 2026-11: a model that a provider lists is served under its own name by every provider that lists
it, in the order of the file; an entry under ``models`` of the same name takes its place.

What a configuration names may be anybody's code: one that cannot be built, or lacks what its kind must
have, is refused here by its place in the configuration. So is a hook that is not a plain function: an
`async def` would never be waited for, and a policy written so would let everything through. One that
defines ``count_with(meters)`` is given the meters of `/metrics` once, before it is asked anything.
"""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway import catalog, endpoints, policies, providers, routing
from gateway.config import Config, PolicyOptions, ProviderOptions, StrategyOptions
from gateway.config import load as load_config
from gateway.contracts import Phase, Plan, Provider, Target, Task, Timeouts, Upstream
from gateway.policies.overload import Overload
from gateway.snapshot import Limits, Snapshot
from gateway.telemetry.meters import Meters
from gateway.telemetry.request_meters import RequestMeters
from gateway.upstream.http import HttpUpstream
from gateway.upstream.local import LocalUpstream

SHIPPED = (endpoints, policies, providers, routing)


def load(paths: Sequence[Path | str], environ: Mapping[str, str] = os.environ) -> Config:
    """The checked configuration of these files, later over earlier. Raises ConfigError."""
    return load_config(paths, environ=environ)


class CannotWire(Exception):
    """An extension does not work out. The text says where it is configured and quotes no setting."""


def wire(config: Config, generation: int = 1, meters: Meters | None = None) -> Snapshot:
    """A snapshot of `config`. Connections open on first use, inside the running loop. Raises CannotWire."""
    meters = Meters() if meters is None else meters
    RequestMeters(meters)  # our own names first: an extension that wants one of them is named, not us
    build = Builder(meters)
    called = {name: _wired(build, name, options) for name, options in config.providers.items()}
    calls, pages = _endpoints()
    asked = [Overload(max_in_flight=config.server.max_in_flight, max_buffered=config.server.max_buffered)]
    asked += [build.policy(position, options) for position, options in enumerate(config.policies)]
    return Snapshot(
        generation=generation,
        endpoints=calls,
        pages=pages,
        plans=dict(_plans(build, config, called)),
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


class Builder:
    """Makes extensions from their settings."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def provider(self, name: str, options: ProviderOptions) -> Any:
        kind = catalog.providers.get(options.type)
        path = f"providers.{name}"
        made = self._built(path, lambda: kind(name, options), "request", may=("perform",))
        if getattr(made, "name", None) != name:
            raise CannotWire(f"{path}: {type(made).__name__} must keep the name it is given in its attribute name")
        tasks = getattr(made, "tasks", None)
        if not isinstance(tasks, (set, frozenset)) or not all(isinstance(task, Task) for task in tasks):
            raise CannotWire(f"{path}: {type(made).__name__} must have a set of Tasks as its attribute tasks")
        return made

    def policy(self, position: int, options: PolicyOptions) -> Any:
        kind = catalog.policies.get(options.type)
        return self._built(f"policies[{position}]", lambda: kind(options), *(phase.value for phase in Phase))

    def strategy(self, path: str, options: StrategyOptions) -> Any:
        kind = catalog.strategies.get(options.type)
        return self._built(path, lambda: kind(options) if hasattr(kind, "Options") else kind(), "choose")

    def _built(self, path: str, make: Callable[[], Any], *hooks: str, may: Sequence[str] = ()) -> Any:
        """What it says itself when it fails is withheld: that might quote a setting, and the setting be a secret."""
        try:
            made = make()
            if hasattr(made, "count_with"):
                made.count_with(self._meters)
        except (Exception, SystemExit) as problem:
            last = traceback.extract_tb(problem.__traceback__)[-1]
            text = f"{path}: cannot be built: {type(problem).__name__} in {last.filename}, line {last.lineno}"
            raise CannotWire(text) from problem
        if not any(callable(getattr(made, hook, None)) for hook in hooks):
            raise CannotWire(f"{path}: {type(made).__name__} has no {' or '.join(hooks)}")
        for hook in (*hooks, *may):
            if hasattr(made, hook) and not _is_plain(getattr(made, hook)):
                raise CannotWire(f"{path}: {type(made).__name__}.{hook} must be a plain function, without async")
        return made


def _is_plain(hook: Any) -> bool:
    """A call of it is all there is to it: nothing to wait for, nothing to iterate."""
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    return callable(hook) and not any(kind(hook) for kind in kinds)


Wired = tuple[Provider, Upstream, Timeouts]


def _wired(build: Builder, name: str, options: ProviderOptions) -> Wired:
    provider = build.provider(name, options)
    pool, clocks = options.connection_pool, options.timeouts
    upstream: Upstream
    if hasattr(provider, "perform"):
        upstream = LocalUpstream(provider)
    else:
        upstream = HttpUpstream(name, connections=pool.max_connections_per_host, keep_alive=pool.keep_alive)
    timeouts = Timeouts(clocks.connect, clocks.first_content, clocks.idle, clocks.total)
    return provider, upstream, timeouts


def _plans(build: Builder, config: Config, called: Mapping[str, Wired]) -> Iterator[tuple[str, Plan]]:
    """Every model that may be asked for."""

    def target(provider: str, model: str) -> Target:
        wired, upstream, timeouts = called[provider]
        options = config.providers[provider]
        return Target(wired, options.model_id(model), upstream, timeouts, options.secrets())

    default = config.routing.default_strategy
    served: dict[str, list[tuple[str, str]]] = {}
    for provider, options in config.providers.items():
        for model in options.models:
            served.setdefault(model, []).append((provider, model))
    for name, places in served.items():
        if name not in config.models:
            targets = [target(*place) for place in places]
            yield name, Plan(name, targets, build.strategy("routing.default_strategy", default))
    for name, route in config.models.items():
        targets = [target(each.provider, each.model) for each in route.targets]
        path = f"models.{name}.strategy" if route.strategy else "routing.default_strategy"
        yield name, Plan(name, targets, build.strategy(path, route.strategy or default))


def _endpoints() -> tuple[dict[str, Any], dict[str, Any]]:
    """Data endpoints by path, and pages by each of their paths. A path belongs to one of them."""
    calls: dict[str, Any] = {}
    pages: dict[str, Any] = {}
    for name in catalog.endpoints.names():
        try:
            endpoint = catalog.endpoints.get(name)()
        except catalog.UnknownName as problem:  # an installed package brought it; no configuration names it
            raise CannotWire(str(problem)) from problem
        data = hasattr(endpoint, "dialect")
        for path in (endpoint.path,) if data else endpoint.paths:
            if path in calls or path in pages:
                raise CannotWire(f'endpoint "{name}": {path} is served by another one already')
            (calls if data else pages)[path] = endpoint
    return calls, pages


def _hooks(phase: Phase, asked: Sequence[Any]) -> list[Any]:
    return [getattr(policy, phase.value) for policy in asked if hasattr(policy, phase.value)]
