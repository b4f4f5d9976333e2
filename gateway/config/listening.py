"""``server.listen`` and ``server.workers``: values that may be written in more than one way.

Both are checked before pydantic looks, so that what is wrong is said once and in our words.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.config.units import refused

UNIX = "unix:"
TLS = "tls:"
LONGEST_PATH = 107  # bytes; the kernel's limit for the name of a unix socket
MOST_WORKERS = 254  # each has a column in shared memory, the supervisor has one, and one is left for a replacement

_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.%\w-]+)\]|([^:\[\]/@\s]+)):([0-9]{1,5})")
_CURE = 'write for example "127.0.0.1:8080", "[::1]:8080", "tls:0.0.0.0:8443" or "unix:/run/llm-gateway.sock"'


class Address(NamedTuple):
    """One address: ``host`` and ``port``, or the ``path`` of a unix socket. ``text`` is how it was written."""

    text: str
    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False

    @property
    def place(self) -> tuple[str, int, str]:
        """What is listened on, whatever is spoken there."""
        return self.host, self.port, self.path


def split_listen(listen: str) -> Address:
    """``127.0.0.1:8080``, ``[::1]:8080``, ``tls:0.0.0.0:8443`` or ``unix:/run/llm-gateway.sock``, taken apart."""
    if listen.startswith(UNIX):
        return Address(listen, path=_socket_path(listen.removeprefix(UNIX)))
    tls = listen.startswith(TLS)
    match = _HOST_PORT.fullmatch(listen.removeprefix(TLS))
    if match is None and tls:
        raise refused("tls: must be followed by host:port, found {found}", 'write for example "tls:0.0.0.0:8443"')
    if match is None:
        raise refused("must be host:port, tls:host:port or unix:/path, found {found}", _CURE)
    port = int(match[3])
    if port > 65535:
        raise refused(f"the port {port} is too large", "a port is 0 (any free one) to 65535")
    return Address(listen, match[1] or match[2], port, tls=tls)


def _socket_path(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise refused("unix: must be followed by the whole path of a socket, found {found}", _CURE)
    if len(path.encode()) > LONGEST_PATH:
        raise refused(f"the path of the socket is longer than {LONGEST_PATH} bytes", "choose a shorter one")
    return path


def _checked(listen: str) -> str:
    split_listen(listen)
    return listen


def _listed(written: Any) -> Any:
    """One address is a list of one; it is checked here, where it has its own place in the file."""
    if isinstance(written, str):
        return (_checked(written),)
    if not isinstance(written, (list, tuple)):
        raise refused("must be an address or a list of addresses, found {found}", _CURE)
    return written


def _each_once(listed: tuple[str, ...]) -> tuple[str, ...]:
    first: dict[tuple[str, int, str], int] = {}
    for position, listen in enumerate(listed):
        earlier = first.setdefault(split_listen(listen).place, position)
        if earlier != position:
            raise refused(f"its items [{earlier}] and [{position}] are the same address", "remove one of the two")
    return listed


def _workers(written: Any) -> Any:
    number = int(written) if isinstance(written, str) and re.fullmatch("[0-9]{1,9}", written) else written
    if number == "auto" or (isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MOST_WORKERS):
        return number
    raise refused(f"must be auto or a whole number, 1 to {MOST_WORKERS}, found {{found}}", "write auto")


Listen = Annotated[
    tuple[Annotated[str, AfterValidator(_checked)], ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    AfterValidator(_each_once),
    WithJsonSchema({
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
    }),
]  # fmt: skip
Workers = Annotated[
    int | Literal["auto"],
    BeforeValidator(_workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}]}),
]
