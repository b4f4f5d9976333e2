"""A client's connection without a socket: a transport that keeps what it is given, a lane that answers when told."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, cast

from gateway._fast import ClientConnection, ReplyHeads, Request

LIMIT = 1 << 20
ANSWER = {"content-type": "text/plain"}
_DATE = re.compile(rb"date: [^\r]+\r\n")


class Seen(NamedTuple):
    """A request as the lane got it."""

    method: str
    target: str
    path: str
    version: tuple[int, int]
    headers: Mapping[str, str]
    body: bytes


class FakeTransport:
    """`out` has every write; `fate` what happened to the connection."""

    def __init__(self, *, half: bool = True) -> None:
        self.out: list[bytes] = []
        self.fate = "open"
        self._half = half

    def write(self, data: bytes) -> None:
        assert self.fate == "open", "written after its end"
        self.out.append(data)

    def set_write_buffer_limits(self, *, high: int, low: int) -> None:
        self.limits = high, low

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.7", 4711) if name == "peername" else None

    def can_write_eof(self) -> bool:
        return self._half

    def write_eof(self) -> None:
        self.fate = "shut"

    def close(self) -> None:
        self.fate = "closed"

    def abort(self) -> None:
        self.fate = "aborted"

    @property
    def data(self) -> bytes:
        """All that was sent, but for the dates."""
        return _DATE.sub(b"", b"".join(self.out))


class FakeLane:
    """Keeps what it is told. `turn` answers whoever has come completely."""

    def __init__(self) -> None:
        self.heads = ReplyHeads(server="test")
        self.leaving = False
        self.begun: list[Request] = []
        self.left_by: list[Request] = []
        self.seen: list[Seen] = []
        self.refusals: list[tuple[str, str]] = []
        self.members: set[ClientConnection] = set()

    def begin(self, request: Request) -> None:
        request.limit = LIMIT
        self.begun.append(request)

    def gone(self, request: Request) -> None:
        self.left_by.append(request)

    def read(self, request: Request, limit: int) -> Awaitable[bytes]:
        raise AssertionError("its body should be here")

    def refusal(self, kind: str, reason: str, peer: str | None) -> tuple[int, Mapping[str, str], bytes]:
        self.refusals.append((kind, reason))
        return 400, {}, kind.encode()

    def joined(self, connection: ClientConnection) -> None:
        self.members.add(connection)

    def left(self, connection: ClientConnection) -> None:
        self.members.discard(connection)

    def turn(self) -> None:
        """Answer the request whose turn it is, and those behind it, as far as they are here."""
        while self.begun and (self.begun[-1].complete or self.begun[-1].broken) and not self.begun[-1].started:
            self.answer(self.begun[-1])

    def answer(self, request: Request) -> None:
        broken = request.broken is not None
        body = b"" if broken else cast(bytes, request.read(LIMIT))
        if not broken:
            self.seen.append(
                Seen(request.method, request.target, request.path, request.version, dict(request.headers), body)
            )
        request.send(400 if broken else 200, ANSWER, b"%d" % len(self.seen))
        request.close()


class Stage:
    """One connection on its transport."""

    def __init__(self, *, half: bool = True) -> None:
        self.lane = FakeLane()
        self.transport = FakeTransport(half=half)
        self.connection = ClientConnection(self.lane)
        self.connection.connection_made(cast(asyncio.Transport, self.transport))

    @property
    def request(self) -> Request:
        """The one whose turn it is."""
        return self.lane.begun[-1]

    @property
    def reading(self) -> bool:
        return self.transport.fate == "open"

    def feed(self, *pieces: bytes, answering: bool = False) -> Stage:
        for piece in pieces:
            self.connection.data_received(piece)
            if answering:
                self.lane.turn()
        return self

    def sweep(self, at: float, **bounds: float) -> None:
        """Seconds after now."""
        usual = {"served": 75.0, "fresh": 75.0, "head": 30.0, "stalled": 60.0, **bounds}
        self.connection.sweep(asyncio.get_running_loop().time() + at, **usual)

    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+) ", self.transport.data)]


def in_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Run a plain test where a loop runs."""

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        async def inside() -> None:
            if (waiting := test(*args, **named)) is not None:
                await waiting

        asyncio.run(inside())

    return run
