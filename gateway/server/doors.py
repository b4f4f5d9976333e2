"""The listening sockets that this worker accepts on, as the supervisor tells it.

Each is a copy of one that the supervisor holds: to stop accepting on it refuses nobody, another worker goes on. Only
`finish` does. Its order matters, because a client may believe itself connected long before we hear of it:

1. New handshakes are left unanswered (a filter in the kernel drops SYN packets; who is turned away so asks again).
2. Those under way have `SETTLE` to come to their end.
3. What is in the queue is accepted; only then is the socket shut, for everybody who holds it.

TLS: what is spoken at a door is fixed when it is opened. A new certificate opens a second door on a copy of the same
socket, then closes the first: what waits in the queue is served, and connections that there are keep what they agreed.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import select
import socket
import ssl
import struct
from asyncio.base_events import Server
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from gateway.server.handshakes import FLUSH, HANDSHAKE
from gateway.server.listeners import BACKLOG

SETTLE = 0.2  # seconds: as long as a client of ours is away, there and back
SO_ATTACH_FILTER = 26
# Classic BPF over the TCP header: byte 13, the flags; with SYN among them the packet is dropped, else kept whole.
NO_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))

log = logging.getLogger("gateway")


class Door(NamedTuple):
    """One socket we accept on."""

    listening: socket.socket
    server: Server
    tls: bool

    @property
    def is_unix(self) -> bool:
        return self.listening.family == socket.AF_UNIX


class Doors:
    """Every open one by its number. `context` is what TLS is spoken by."""

    def __init__(self, connection: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self._connection = connection
        self._open: dict[int, Door] = {}
        self.refusing = False  # nothing is opened any more: listening once more on a shut socket would revive it

    @property
    def numbers(self) -> list[int]:
        return list(self._open)

    async def open(self, number: int, descriptor: int, *, tls: bool = False) -> None:
        """Accept on this socket, which is ours from now on."""
        listening = socket.socket(fileno=descriptor)
        if number in self._open or self.refusing:
            listening.close()
        elif tls and self.context is None:  # it could not adopt what says with which certificate, and will be replaced
            log.error("no certificate to accept connections with; another worker has to do it")
            listening.close()
        else:
            self._open[number] = await self._serve(listening, tls)

    async def speak(self, context: ssl.SSLContext | None) -> None:
        """Make new TLS connections by this. Without one those doors stay as they are until they are taken away."""
        changes = context is not None and context is not self.context
        self.context = context
        if not changes or self.refusing:
            return
        for number, before in [each for each in self._open.items() if each[1].tls]:
            after = await self._serve(before.listening.dup(), tls=True)
            stays = self._open.get(number) is before
            (before if stays else after).server.close()
            if stays:
                self._open[number] = after

    def release(self, numbers: Collection[int]) -> None:
        """Others accept on these."""
        for number in numbers:
            if number in self._open:
                self._open.pop(number).server.close()

    def leave(self) -> None:
        """Others accept on all of these, and on whatever we are still given."""
        self.refusing = True
        self.release(self.numbers)

    async def finish(self, numbers: Collection[int]) -> None:
        """Accept what waits on these, then refuse."""
        closing = [number for number in numbers if number in self._open]
        for number in closing:
            if not self._open[number].is_unix:
                _answer_no_more(self._open[number].listening)
        if closing:
            await asyncio.sleep(SETTLE)
        for number in closing:
            door = self._open.pop(number, None)  # it may have been released meanwhile, or opened anew
            if door is None:
                continue
            while _somebody_waits(door.listening):  # noqa: ASYNC110
                await asyncio.sleep(0)  # the loop accepts
            if not door.is_unix:  # of which there is but one, and its file is gone already
                _shut(door.listening)
            door.server.close()

    async def _serve(self, listening: socket.socket, tls: bool) -> Door:
        options: dict[str, Any] = {"sock": listening, "backlog": BACKLOG}
        if tls:
            options |= {"ssl": self.context, "ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": FLUSH}
        loop = asyncio.get_running_loop()
        serve = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
        return Door(listening, await serve(self._connection, **options), tls)


def _somebody_waits(listening: socket.socket) -> bool:
    poll = select.poll()
    poll.register(listening, select.POLLIN)
    return any(event == select.POLLIN for _, event in poll.poll(0))


def _shut(listening: socket.socket) -> None:
    try:
        listening.shutdown(socket.SHUT_RDWR)
    except OSError:  # another worker was first
        return


def _answer_no_more(listening: socket.socket) -> None:
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in NO_SYN))
    try:
        listening.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(NO_SYN), ctypes.addressof(program))
        )
    except OSError:  # forbidden here, as some sandboxes do: the moment between two looks is lost, as without it
        log.debug("no filter can be attached to a listening socket")
