"""Request heads as they go over the wire, made once for each `WireHead`, and the pool they go through.

* Nothing in a head ends a line but we: a control character in a method, a target or a header is refused, and so is a
  header that frames the message or names the host, which are ours to write.
* Host is the name, and the port if it is not the scheme's own; an IPv6 address stands in brackets. What of the path is
  not visible ASCII is percent-encoded; what is goes as configured.
* HEAD is not sent: its answer looks as if a body came. CONNECT neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from gateway.contracts import WireHead

if TYPE_CHECKING:
    from gateway.upstream.pool import Pool

OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"})
PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SAFE = "".join(map(chr, range(0x21, 0x7F)))  # whatever is visible goes as it is


class Place(NamedTuple):
    """Whom connections go to."""

    host: str
    port: int
    encrypted: bool


@dataclass(slots=True, eq=False, repr=False)  # a repr would show a key
class Route:
    """A rendered head and its pool; no pool: its provider is reached through a proxy."""

    upstream: object
    lines: bytes
    pool: Pool | None = field(default=None)


def place(url: str) -> Place:
    """Whom a request to `url` goes to."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("not an http:// or https:// URL")
    return Place(parts.hostname, parts.port or PORTS[parts.scheme], parts.scheme == "https")


def lines(head: WireHead) -> bytes:
    """The request's line and headers; each ends in CR LF. Raises ValueError for what must not be sent."""
    if not _TOKEN.fullmatch(head.method) or head.method in ("HEAD", "CONNECT"):
        raise ValueError("a request with this method is not sent")
    parts = urlsplit(head.url)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_SAFE)
    said = [f"{head.method} {target} HTTP/1.1", f"Host: {_host(head.url)}"]
    for name, value in head.headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in OURS:
            raise ValueError("a header of this name is not sent")
        if _CONTROL.search(value):
            raise ValueError(f"the header {name} holds a control character")
        said.append(f"{name}: {value}")
    return "".join(f"{line}\r\n" for line in said).encode()


def _host(url: str) -> str:
    host, port, encrypted = place(url)
    shown = f"[{host}]" if ":" in host else host
    if _CONTROL.search(shown) or not shown.isascii() or " " in shown:
        raise ValueError("not a host name")
    return shown if port == PORTS["https" if encrypted else "http"] else f"{shown}:{port}"
