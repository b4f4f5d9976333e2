"""Names for requests: the client's own if it is sane, else a UUIDv7 (`_fast/uuid7.pyx`).

Sane is 1 to 128 characters of letters, digits and ``. _ : - + / =`` (UUIDs, ULIDs, trace ids, base64): nothing
that could end a header or need escaping in a log. Anything else is replaced, never repaired: two ids
must not become one.
"""

from __future__ import annotations

import os
import re

from gateway._fast import UuidSource

_sane = re.compile(r"[A-Za-z0-9._:\-+/=]{1,128}", re.ASCII).fullmatch
_source = UuidSource()


def request_id(header: str | None) -> str:
    """The client's id when it is sane, else a new one."""
    return header if header is not None and _sane(header) else _source.next()


def correlation_id(header: str | None) -> str | None:
    """The client's id when it is sane, else none: a correlation is not ours to invent."""
    return header if header is not None and _sane(header) else None


os.register_at_fork(after_in_child=lambda: _source.forget())
