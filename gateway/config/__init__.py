"""The configuration: YAML files to one checked, frozen ``Config``, or every problem at once with its place.

    load -> document (YAML to nodes) -> merge -> references -> decode (nodes to Config) -> Config | ConfigError

Only this drawer knows YAML and pydantic. The catalogs must be filled before ``load`` is called: a ``type`` is looked up
there.
"""

from __future__ import annotations

from gateway.config.listening import TLS, Address
from gateway.config.loading import load
from gateway.config.model import Config, Logging, ModelRoute, Routing, Server, Streaming, Target
from gateway.config.problems import ConfigError, Problem, render_problems
from gateway.config.provider import ApiKey, ConnectionPool, NoAuth, ProviderModel, ProviderOptions, Timeouts
from gateway.config.schema import schema
from gateway.config.section import Endpoint, PolicyOptions, Secret, Section, StrategyOptions
from gateway.config.tls import Tls
from gateway.config.units import Duration, Size, refused

__all__ = [
    "TLS",
    "Address",
    "ApiKey",
    "Config",
    "ConfigError",
    "ConnectionPool",
    "Duration",
    "Endpoint",
    "Logging",
    "ModelRoute",
    "NoAuth",
    "PolicyOptions",
    "Problem",
    "ProviderModel",
    "ProviderOptions",
    "Routing",
    "Secret",
    "Section",
    "Server",
    "Size",
    "StrategyOptions",
    "Streaming",
    "Target",
    "Timeouts",
    "Tls",
    "load",
    "refused",
    "render_problems",
    "schema",
]
