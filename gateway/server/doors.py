"""The listening sockets that this worker accepts on, as the supervisor tells it.

Each is a copy of one that the supervisor holds: to stop accepting on it refuses nobody, another worker goes on. Only
`finish` does. Its order matters, because a client may believe itself connected long before we hear of it:

1. New handshakes are left unanswered (a filter in the kernel drops SYN packets; who is turned away so asks again).
2. Those under way have `SETTLE` to come to their end.
3. What is in the queue is accepted; only then is the socket shut, for everybody who holds it.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import select
import socket
import struct
from asyncio.base_events import Server
from collections.abc import Callable, Collection

from gateway.server.listeners import BACKLOG

SETTLE = 0.2  # seconds: as long as a client of ours is away, there and back
SO_ATTACH_FILTER = 26
# Classic BPF over the TCP header: byte 13, the flags; with SYN among them the packet is dropped, else kept whole.
NO_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))

log = logging.getLogger("gateway")


class Doors:
    """Every open one by its number."""

    def __init__(self, connection: Callable[[], asyncio.Protocol]) -> None:
        self._connection = connection
        self._open: dict[int, tuple[socket.socket, Server]] = {}
        self.refusing = False  # nothing is opened any more: listening once more on a shut socket would revive it

    @property
    def numbers(self) -> list[int]:
        return list(self._open)

    async def open(self, number: int, descriptor: int) -> None:
        """Accept on this socket, which is ours from now on."""
        listening = socket.socket(fileno=descriptor)
        if number in self._open or self.refusing:
            listening.close()
            return
        loop = asyncio.get_running_loop()
        serve = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
        self._open[number] = listening, await serve(self._connection, sock=listening, backlog=BACKLOG)

    def release(self, numbers: Collection[int]) -> None:
        """Others accept on these."""
        for number in numbers:
            if number in self._open:
                self._open.pop(number)[1].close()

    def leave(self) -> None:
        """Others accept on all of these, and on whatever we are still given."""
        self.refusing = True
        self.release(self.numbers)

    async def finish(self, numbers: Collection[int]) -> None:
        """Accept what waits on these, then refuse."""
        closing = [(number, *self._open[number]) for number in numbers if number in self._open]
        for _, listening, _ in closing:
            _answer_no_more(listening)
        if closing:
            await asyncio.sleep(SETTLE)
        for number, listening, server in closing:
            if self._open.pop(number, None) is None:
                continue
            while _somebody_waits(listening):  # noqa: ASYNC110
                await asyncio.sleep(0)  # the loop accepts
            if listening.family != socket.AF_UNIX:  # of which there is but one, and its file is gone already
                _shut(listening)
            server.close()


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
    if listening.family == socket.AF_UNIX:
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in NO_SYN))
    try:
        listening.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(NO_SYN), ctypes.addressof(program))
        )
    except OSError:  # forbidden here, as some sandboxes do: the moment between two looks is lost, as without it
        log.debug("no filter can be attached to a listening socket")
