"""The configuration as the rest of the gateway sees it: checked, frozen, every default filled in.

One class per section of the file; ``Config`` is the file. What a section means is said where it is used.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SerializeAsAny

from gateway.config.listening import Address, Listen, Workers, split_listen
from gateway.config.problems import Path, Place, Places, Problem, written
from gateway.config.provider import ProviderOptions, Wait
from gateway.config.section import (
    Count,
    ModelName,
    PolicyOptions,
    ProviderName,
    Section,
    StrategyOptions,
)
from gateway.config.tls import Tls
from gateway.config.units import Duration, Size, refused

MiB = 1024 * 1024
SHORTEST_PATIENCE = 1.0  # seconds
Bytes = Annotated[Size, Field(ge=1)]
ROUND_ROBIN = StrategyOptions(type="round_robin")


def _patient(seconds: float) -> float:
    if seconds < SHORTEST_PATIENCE:
        raise refused("must be at least 1s, found {found}", "a busy worker is not a dead one")
    return seconds


class Server(Section):
    """The processes, what they listen on, and its limits."""

    listen: Listen = ("127.0.0.1:8080",)
    tls: Tls | None = None  # for the addresses that speak it
    workers: Workers = "auto"
    worker_timeout: Annotated[Duration, AfterValidator(_patient)] = 10.0  # one silent for so long is replaced
    lane: Literal["fast", "aiohttp"] = "fast"  # who serves the connections: compiled, or aiohttp
    max_body: Bytes = 20 * MiB
    max_answer: Bytes = 64 * MiB  # of a whole answer held in memory
    max_in_flight: Count = 10_000
    max_buffered: Bytes = 1024 * MiB  # all request bodies together; beyond it callers get a 503
    header_timeout: Wait = 30.0  # for a request's head to arrive, from its first byte
    body_timeout: Wait = 60.0  # for a client to deliver its body
    keepalive_timeout: Duration = 75.0  # longer than the 60 s of an nginx in front, which must be the one to close
    drain_delay: Duration = 0.0
    drain_timeout: Duration = 30.0

    @property
    def addresses(self) -> tuple[Address, ...]:
        """What to listen on."""
        return tuple(map(split_listen, self.listen))


class Streaming(Section):
    """How streams are relayed."""

    keepalive_after: Wait = 15.0  # of silence from the provider, then a comment is sent
    client_write: Wait = 60.0  # a client that takes nothing for so long is cut
    event_hold: Annotated[Size, Field(ge=1024)] = 64 * 1024  # of an unfinished event held back to be judged
    drop_malformed: bool = True


class Logging(Section):
    """Where lines go: ``stderr`` or a file; the access log may be ``off``."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    log: Annotated[str, Field(min_length=1)] = "stderr"
    access_log: Annotated[str, Field(min_length=1)] = "stderr"


class Target(Section):
    """One place that may serve a model."""

    provider: ProviderName
    model: ModelName


def _named(strategy: Any) -> Any:
    return {"type": strategy} if isinstance(strategy, str) else strategy


Strategy = Annotated[SerializeAsAny[StrategyOptions], BeforeValidator(_named)]


class ModelRoute(Section):
    """A model that clients may ask for, and who serves it."""

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    strategy: Strategy | None = None


class Routing(Section):
    """What holds for every model."""

    default_strategy: Strategy = ROUND_ROBIN


def with_own_name(models: Any) -> Any:
    """A target without a model means the model of the same name as the route."""
    if not isinstance(models, dict):
        return models
    return {name: _targets_named(route, name) for name, route in models.items()}


def _targets_named(route: Any, name: str) -> Any:
    if not isinstance(route, dict) or not isinstance(route.get("targets"), list):
        return route
    targets = [{"model": name, **target} if isinstance(target, dict) else target for target in route["targets"]]
    return {**route, "targets": targets}


class Config(Section):
    """The whole configuration."""

    server: Server = Server()
    providers: dict[ProviderName, SerializeAsAny[ProviderOptions]] = Field(default_factory=dict)
    models: Annotated[dict[ModelName, ModelRoute], BeforeValidator(with_own_name)] = Field(default_factory=dict)
    routing: Routing = Routing()
    policies: tuple[SerializeAsAny[PolicyOptions], ...] = ()
    streaming: Streaming = Streaming()
    logging: Logging = Logging()

    _warnings: tuple[Problem, ...] = PrivateAttr(default=())
    _places: Places = PrivateAttr(default_factory=Places)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What works but is unwise, such as a key in plain text."""
        return self._warnings

    def problem(self, path: Path, problem: str, cure: str = "") -> Problem:
        """Something found wrong later on, when extensions are built: at its place in the file, where that is known."""
        place = next((self._places[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._places), None)
        return Problem(*(place or Place("", 0, 0)), written(path), problem, cure)
