"""What h11, a parser written by others, makes of the same bytes. Not its verdict counts, but that nobody reads
another answer.

Where h11 refuses what we take (or the other way round) nothing is said: two strict parsers may differ in that. What
must never happen is that both take it and read different bytes, or that we use a connection again that h11 holds to be
spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    from tests.fuzz.upstream_stage import Asked

LARGEST = 1 << 21


class Disagreement(AssertionError):
    """Two parsers read different things from the same bytes."""


@dataclass
class Read:
    """One whole message."""

    status: int
    body: bytes
    keeps: bool
    behind: bytes


def of_answer(asked: Asked, data: bytes, ended: bool) -> None:
    """Is that what we made of it?"""
    if asked.ending != "whole" and not asked.given:
        return
    read = answer(data, ended)
    if read is None:
        return
    if asked.ending == "whole" and (read.status, read.body) != (asked.status, bytes(asked.body)):
        raise Disagreement(f"h11 reads {read}, we {asked.status} {bytes(asked.body)!r}")
    if asked.given and (not read.keeps or read.behind.strip(b"\r\n")):
        raise Disagreement(f"the connection is kept, and h11 says {read}")


def answer(data: bytes, ended: bool) -> Read | None:
    """The answer to a POST, if h11 takes it and finds its end."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "a"), ("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    return _read(connection, data, ended)


def _read(connection: h11.Connection, data: bytes, ended: bool) -> Read | None:
    status, body = 0, b""
    try:
        connection.receive_data(data)
        if ended:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return Read(status, body, connection.their_state is h11.DONE, connection.trailing_data[0])
            elif event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None
