"""The settings every provider has: whom to call, with which key, for how long.

A provider type with settings of its own derives ``Options`` from ``ProviderOptions``; one that calls nobody names in
``unused`` what makes no sense for it, and those keys are then refused rather than ignored.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gateway.config.section import Endpoint, HeaderName, HeaderPrefix, HeaderValue, ModelName, Secret, Section
from gateway.config.units import Duration, refused

SHORTEST_SECRET = 8  # characters; shorter values are words, and stand in every text
Wait = Annotated[Duration, Field(gt=0)]


class NoAuth(Section):
    """Nothing is sent to say who we are."""

    type: Literal["none"]

    def header_line(self) -> tuple[str, str] | None:
        """The header that carries the key: none."""
        return None


class ApiKey(Section):
    """A key in a header: ``Authorization: Bearer KEY``, or another header, where the prefix is then empty."""

    type: Literal["api_key"]
    key: Secret
    header: HeaderName = "Authorization"
    prefix: HeaderPrefix | None = None

    def header_line(self) -> tuple[str, str] | None:
        """The header that carries the key, in plain text: for the wire only."""
        usual = "Bearer " if self.header.lower() == "authorization" else ""
        return self.header, (usual if self.prefix is None else self.prefix) + self.key.get_secret_value()


class Timeouts(Section):
    """The four clocks of an attempt."""

    connect: Wait = 10.0
    first_content: Wait = 60.0
    idle: Wait = 60.0
    total: Wait = 600.0


class ConnectionPool(Section):
    """Connections kept to one provider. 0 connections per host: no limit."""

    max_connections_per_host: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    keep_alive: Duration = 90.0
    dns_ttl: Duration = 30.0  # addresses are asked for again after so long; 0: for every connection


class ProviderModel(Section):
    """One model of a provider. ``id``: its name there, when that differs from ours."""

    id: ModelName | None = None


class ProviderOptions(Section):
    """What every entry under ``providers`` has."""

    unused: ClassVar[frozenset[str]] = frozenset()

    type: str
    endpoint: Endpoint | None = None
    auth: Annotated[ApiKey | NoAuth, Field(discriminator="type")] = NoAuth(type="none")
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    timeouts: Timeouts = Timeouts()
    connection_pool: ConnectionPool = ConnectionPool()
    models: dict[ModelName, ProviderModel] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _each_header_once(self) -> Self:
        names = [name.lower() for name in self.headers]
        line = self.auth.header_line()
        if line is not None and line[0].lower() in names:
            raise refused(f"the header {line[0]} is set by auth and by headers", "keep one of the two")
        if len(set(names)) < len(names):
            raise refused("headers names the same header twice", "keep one; its case makes no difference")
        return self

    def header_lines(self) -> tuple[tuple[str, str], ...]:
        """Every header to send, with the key, in plain text: for the wire only."""
        line = self.auth.header_line()
        sent = tuple((name, value.get_secret_value()) for name, value in self.headers.items())
        return sent if line is None else (line, *sent)

    def secrets(self) -> tuple[str, ...]:
        """The values that nothing may show: the key and the extra headers, where they are long enough to be secret."""
        values = [value.get_secret_value() for value in self.headers.values()]
        if isinstance(self.auth, ApiKey):
            values.append(self.auth.key.get_secret_value())
        return tuple(value for value in values if len(value) >= SHORTEST_SECRET)

    def model_id(self, model: str) -> str:
        """What the provider calls this model."""
        known = self.models.get(model)
        return known.id if known is not None and known.id is not None else model
