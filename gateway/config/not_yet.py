"""Keys that this version does not have: known from elsewhere (a later version, the usual words of other gateways),
so they get an answer of their own instead of "unknown key". Nothing is ever ignored in silence.

``*`` stands for any name or position. The text is the cure: to remove it, or what to write instead.
"""

from __future__ import annotations

from gateway.config.problems import Path

PROBLEM = "not supported by this version"
REMOVE = "remove it"

_PROVIDER = ("providers", "*")
_MODEL = (*_PROVIDER, "models", "*")
_TARGET = ("models", "*", "targets", "*")


def _all(parent: tuple[str, ...], names: str) -> dict[tuple[str, ...], str]:
    return {(*parent, name): REMOVE for name in names.split()}


KEYS: dict[tuple[str, ...], str] = {
    **_all((), "admin metrics tracing telemetry cache redis tenants keys plugins audit include version"),
    **_all(("server",), "max_connections backlog admin cors proxy_protocol reuse_port"),
    **_all(
        _PROVIDER, "capabilities rate_limits retry_policy circuit_breaker health_check priority weight enabled region"
    ),
    **_all(_PROVIDER, "zone tags metadata unsupported drain_upstream stream_usage proxy tls"),
    **_all((*_PROVIDER, "connection_pool"), "http2 max_idle_connections"),
    **_all(_MODEL, "family capabilities pricing context_window max_output_tokens assumed_output_tokens version"),
    **_all(_MODEL, "deprecated_at enabled weight priority tags metadata"),
    **_all(_TARGET, "weight priority region zone tags enabled"),
    **_all(("models", "*"), "weight fallbacks retry rate_limits timeouts tags metadata pricing"),
    **_all(("routing",), "rules retry fallbacks health_check circuit_breaker"),
    **_all(("logging",), "bodies redact format audit"),
    (*_PROVIDER, "id"): "the key above is the provider's name; remove it",
    (*_PROVIDER, "name"): "the key above is the provider's name; remove it",
    (*_PROVIDER, "provider_type"): 'write "type"',
    (*_PROVIDER, "base_url"): 'write "endpoint"',
    (*_PROVIDER, "url"): 'write "endpoint"',
    (*_PROVIDER, "api_key"): 'write auth: {type: api_key, key: "${env:NAME}"}',
    (*_PROVIDER, "key"): 'write auth: {type: api_key, key: "${env:NAME}"}',
    (*_PROVIDER, "timeout"): "write timeouts: {total: 600s}",
    (*_PROVIDER, "timeouts", "request"): 'write "total"',
    (*_MODEL, "name"): 'the key above is the model\'s name here; write "id" for its name at the provider',
}

VALUES: dict[tuple[str, ...], dict[str, str]] = {
    (*_PROVIDER, "auth", "type"): dict.fromkeys(("oauth2", "aws_signature_v4"), 'write "api_key" or "none"'),
}


def about_key(path: Path) -> tuple[str, str] | None:
    """Problem and cure for a key of which we know that we do not have it; else None."""
    cure = next((cure for pattern, cure in KEYS.items() if _matches(path, pattern)), None)
    return None if cure is None else (PROBLEM if cure == REMOVE else "unknown key", cure)


def about_value(path: Path, value: str) -> tuple[str, str] | None:
    """The same for a value."""
    cure = next((cures.get(value) for pattern, cures in VALUES.items() if _matches(path, pattern)), None)
    return None if cure is None else (f'"{value}" is {PROBLEM}', cure)


def _matches(path: Path, pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(want in ("*", step) for want, step in zip(pattern, path, strict=True))
