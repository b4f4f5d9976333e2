"""One connection's whole life, as a client's socket sees it: what is sent piece by piece, all that comes back, its end.

Nothing is judged here, and no HTTP library stands between: what comes back is kept byte by byte and then read as
answers. A connection's fate is not guessed by waiting: `CLOSER`, sent last, asks for a page and the end, so a
connection that was kept shows its answer and one that was not doesn't. What never ends by itself is `open`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

CLOSER = b"GET /live HTTP/1.1\r\nHost: closer\r\nConnection: close\r\nX-Request-Id: closer\r\n\r\n"
CEILING = 30.0  # seconds for a conversation
AT_ONCE = 48


@dataclass(frozen=True, slots=True)
class Script:
    """What a client sends. `pieces` go out one after the other; with `leaves`, its FIN follows them.

    A client that sends them `in_turn` waits for an answer to each, or a while if none comes.
    """

    pieces: tuple[bytes, ...]
    leaves: bool = False
    in_turn: bool = False

    @property
    def raw(self) -> bytes:
        return b"".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. `framing`: what tells where its body ends, which is `length`, `chunks`, `close` or nothing."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    framing: str

    @property
    def status(self) -> int:
        return int(self.line.split()[1])

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each == name), None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back. `rest` is what makes no whole answer; `end` is `closed` or `open`."""

    answers: tuple[Said, ...]
    rest: bytes
    end: str

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    @property
    def kept(self) -> bool:
        """The closer was answered: whatever was asked before, the connection outlived it."""
        return bool(self.answers) and self.answers[-1].header("x-request-id") == "closer"


def one(*pieces: bytes, leaves: bool = False, in_turn: bool = False, closer: bool = True) -> Script:
    """A script of these pieces and, unless the client leaves by itself, the closer."""
    return Script((*pieces, CLOSER) if closer and not leaves else pieces, leaves, in_turn)


def bytewise(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[place : place + 1] for place in range(len(data)))


def hold(port: int, scripts: Sequence[Script], *, ceiling: float = CEILING) -> list[Outcome]:
    """Every conversation, many at once."""
    return asyncio.run(_all(port, scripts, ceiling))


async def _all(port: int, scripts: Sequence[Script], ceiling: float) -> list[Outcome]:
    places = asyncio.Semaphore(AT_ONCE)

    async def single(script: Script) -> Outcome:
        async with places:
            return await converse(port, script, ceiling)

    return await asyncio.gather(*map(single, scripts))


async def converse(port: int, script: Script, ceiling: float = CEILING) -> Outcome:
    """Sending never waits for answers, as a client's that pipelines; what a closed connection did not take is lost."""
    loop = asyncio.get_running_loop()
    with socket.socket() as wire:
        wire.setblocking(False)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(wire, ("127.0.0.1", port))
        data, end = bytearray(), "closed"
        sending = asyncio.ensure_future(_send(wire, script, data))
        try:
            async with asyncio.timeout(ceiling):
                with suppress(OSError):  # a reset ends it too
                    while got := await loop.sock_recv(wire, 1 << 16):
                        data += got
        except TimeoutError:
            end = "open"
        sending.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await sending
    answers, rest = read_answers(bytes(data))
    return Outcome(answers, rest, end)


async def _send(wire: socket.socket, script: Script, heard: bytearray) -> None:
    loop = asyncio.get_running_loop()
    for number, piece in enumerate(script.pieces):
        if script.in_turn:
            await _answers(heard, number)
        await loop.sock_sendall(wire, piece)
        if len(script.pieces) > 2:
            await asyncio.sleep(0)
    if script.leaves:
        wire.shutdown(socket.SHUT_WR)


async def _answers(heard: bytearray, number: int) -> None:
    """Wait for so many."""
    for pause in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
        if sum(answer.status >= 200 for answer in read_answers(bytes(heard))[0]) >= number:
            return
        await asyncio.sleep(pause)


def read_answers(data: bytes) -> tuple[tuple[Said, ...], bytes]:
    """Answers one after the other. One that no body follows, as to HEAD, is told by what stands behind it."""
    found: list[Said] = []
    while data:
        head, end, behind = data.partition(b"\r\n\r\n")
        if not end or not head.startswith(b"HTTP/1."):
            break
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (each.partition(":") for each in lines))
        framed = _body(line, dict(headers), behind)
        if framed is None:
            break
        body, framing, data = framed
        found.append(Said(line, headers, body, framing))
    return tuple(found), data


def _body(line: str, headers: dict[str, str], behind: bytes) -> tuple[bytes, str, bytes] | None:
    """The body, how it was framed, and what follows; nothing if it is unfinished."""
    if line.split()[1][0] == "1" or behind[:7] == b"HTTP/1." or (not behind and "transfer-encoding" not in headers):
        return b"", "", behind
    if "transfer-encoding" in headers:
        return _chunks(behind)
    if "content-length" in headers:
        size = int(headers["content-length"])
        return None if len(behind) < size else (behind[:size], "length", behind[size:])
    return behind, "close", b""


def _chunks(data: bytes) -> tuple[bytes, str, bytes] | None:
    parts: list[bytes] = []
    while True:
        size, end, data = data.partition(b"\r\n")
        if not end:
            return None
        number = int(size, 16)
        if data[number : number + 2] != b"\r\n":
            return None
        parts.append(data[:number])
        data = data[number + 2 :]
        if not number:
            return b"".join(parts), "chunks", data


def joined(lines: Iterable[bytes]) -> bytes:
    """A head of these lines, its end included."""
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"
