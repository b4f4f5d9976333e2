"""What every section of the configuration has in common, and the single values that need a check of their own.

``Section`` is frozen and refuses unknown keys. Extensions derive their ``Options`` from ``ProviderOptions``
(provider.py), ``PolicyOptions`` or ``StrategyOptions`` (here).
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from gateway.config.units import refused

_VISIBLE = re.compile(r"[!-~]{1,256}")
_PROVIDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NETLOC = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::[0-9]+)?")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

OURS = frozenset({
    "connection", "content-length", "content-type", "expect", "host", "keep-alive", "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that belong to one connection or one body: we write them, a configuration must not."""


class Section(BaseModel):
    """A part of the configuration: frozen, unknown keys refused, values never in an error's text."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class PolicyOptions(Section):
    """What every entry under ``policies`` has. A policy with settings derives its ``Options`` from this."""

    type: str


class StrategyOptions(Section):
    """What every ``strategy`` has. A strategy with settings derives its ``Options`` from this."""

    type: str


def _visible(name: str) -> str:
    if not _VISIBLE.fullmatch(name):
        raise refused("must be 1 to 256 visible ASCII characters without spaces", "it stands in URLs and headers")
    return name


def _model_name(name: str) -> str:
    if "*" in name:
        raise refused('a "*" in a model name is not supported by this version', "name each model")
    return _visible(name)


def _provider_name(name: str) -> str:
    if not _PROVIDER.fullmatch(name):
        raise refused(
            "must be 1 to 64 letters, digits, dots, dashes or underscores", "it stands in headers and metrics"
        )
    return name


def _endpoint(url: str) -> str:
    cure = "write for example https://api.openai.com/v1"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refused("is not a URL", cure) from None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[!-~]+", url):
        raise refused("must be an http:// or https:// URL", cure)
    if "@" in parts.netloc:
        raise refused("must not hold a user name or password", "put the key under auth")
    if not _is_host(parts.netloc) or port == 0:
        raise refused("names no host and port that can be called", cure)
    if "?" in url or "#" in url:
        raise refused(
            'must not have a query ("?") or fragment ("#")', "put the key under auth, what else is sent under headers"
        )
    return url.rstrip("/")


def _is_host(netloc: str) -> bool:
    """A name, 127.0.0.1 or [::1], with a port or without."""
    match = _NETLOC.fullmatch(netloc)
    if match is None:
        return False
    try:
        if match[1] is not None:
            IPv6Address(match[1])
        elif re.fullmatch(r"[0-9.]+", match[2]):
            IPv4Address(match[2])
        else:
            return len(match[2]) <= 253 and all(map(_LABEL.fullmatch, match[2].removesuffix(".").split(".")))
    except AddressValueError:
        return False
    return True


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise refused("is not a header name", "use letters, digits and dashes")
    if name.lower() in OURS:
        raise refused("this header is written by the gateway itself", "remove it")
    return name


def check_header_value(value: str) -> None:
    """Raises a refusal, which never shows the value, unless it can be sent as it is."""
    if re.search("[\x00-\x1f\x7f]", value):
        raise refused("holds a line break or another control character", "is there a line break at its end?")
    if not value.isascii() and not _latin_1(value):
        raise refused("holds a character that no header can carry", "use latin-1 characters only")
    if value != value.strip():
        raise refused("begins or ends with a space", "remove it")


def _latin_1(value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _secret(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise refused("is empty", "set the variable or file that it names, or remove it")
    check_header_value(value.get_secret_value())
    return value


def _header_prefix(prefix: str) -> str:
    check_header_value(prefix.strip(" "))
    return prefix


def _header_value(value: SecretStr) -> SecretStr:
    check_header_value(value.get_secret_value())
    return value


ModelName = Annotated[str, AfterValidator(_model_name)]
ProviderName = Annotated[str, AfterValidator(_provider_name)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
HeaderPrefix = Annotated[str, AfterValidator(_header_prefix)]
HeaderValue = Annotated[SecretStr, AfterValidator(_header_value)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
