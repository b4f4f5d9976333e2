"""The control channel between the supervisor and one worker: messages over a socket pair, descriptors with them.

The rules:

* Neither side ever waits for the other. What the kernel does not take is kept; `pending` says so, and `flush`
  sends it when there is room. A channel whose other end is gone takes messages and loses them: `ended` says so.
* A message is its length, the number of its descriptors, and the fields as `marshal` writes them: both ends are
  the same program, and reading one can run no code.
* Descriptors are duplicated when their message has to wait, so that the sender may close its own at any time. They
  travel with the message's first byte; whoever receives them closes them. A receiver that has no room for them gets
  the message with fewer, the first ones.
"""

from __future__ import annotations

import marshal
import os
import socket
import struct
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

HEAD = struct.Struct("!IB")
MOST_DESCRIPTORS = 200  # in one message; the kernel takes 253
PIECE = 1 << 16
SPACE = socket.CMSG_SPACE(253 * array("i").itemsize)


class Adopt(NamedTuple):
    """Supervisor: this is the configuration from now on."""

    generation: int
    config: bytes
    lane: str = ""  # that of the start, which a reload does not change; empty: as the configuration says


class Accept(NamedTuple):
    """Supervisor: accept connections on these sockets too; their descriptors come along. `tls`: it is spoken there."""

    sockets: tuple[int, ...]
    tls: bool = False


class Release(NamedTuple):
    """Supervisor: another worker accepts on these now."""

    sockets: tuple[int, ...]


class Finish(NamedTuple):
    """Supervisor: their listener is gone from the configuration; accept what waits, then refuse."""

    sockets: tuple[int, ...]


class Drain(NamedTuple):
    """Supervisor: the gateway stops."""


class Retire(NamedTuple):
    """Supervisor: you have been replaced; finish what runs, then exit."""


class Reopen(NamedTuple):
    """Supervisor: the log files have been rotated."""


class Stop(NamedTuple):
    """Supervisor: exit now."""


class Ready(NamedTuple):
    """Worker: I can accept."""

    generation: int


class Adopted(NamedTuple):
    """Worker: new requests are answered by this generation."""

    generation: int


class Failed(NamedTuple):
    """Worker: what was approved does not work here."""

    generation: int
    why: str


class Leaving(NamedTuple):
    """Worker: I was told to stop by a signal of my own; put another in my place. `gone`: I accept nothing any more."""

    gone: bool = False


class Drained(NamedTuple):
    """Worker: I exit now. So many requests were ended before their time, so many of them not even told so."""

    ended: int
    cut: int


Message = (
    Adopt | Accept | Release | Finish | Drain | Retire | Reopen | Stop | Ready | Adopted | Failed | Leaving | Drained
)
KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Adopt, Accept, Release, Finish, Drain, Retire, Reopen, Stop),
        *(Ready, Adopted, Failed, Leaving, Drained),
    )
}


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._in = bytearray()
        self._came: deque[list[int]] = deque()  # for each message that has some and is not complete yet
        self.ended = False

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def pending(self) -> bool:
        """Something waits for room."""
        return bool(self._out)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        if self.ended:
            return
        if len(descriptors) > MOST_DESCRIPTORS:
            raise ValueError(f"{len(descriptors)} descriptors in one message")
        body = marshal.dumps((type(message).__name__, *message))
        head = HEAD.pack(len(body), len(descriptors))
        data = memoryview(head + body)
        self.flush()
        sent = 0 if self._out else self._pass(data, descriptors)
        if sent < len(data) and not self.ended:
            self._out.append((data[sent:], [] if sent else _copies(descriptors)))

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        while self._out and not self.ended:
            data, descriptors = self._out[0]
            sent = self._pass(data, descriptors)
            if not sent:
                return
            _close(descriptors)
            if sent == len(data):
                self._out.popleft()
            else:
                self._out[0] = (data[sent:], [])

    def receive(self) -> list[tuple[Message, list[int]]]:
        """Every message that has arrived whole, with its descriptors."""
        while not self.ended:
            try:
                # not socket.recv_fds: that of Python 3.11 passes no flags on
                data, extra, flags, _ = self._end.recvmsg(PIECE, SPACE, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                break
            except OSError:
                data, extra, flags = b"", [], 0
            if extra or flags & socket.MSG_CTRUNC:  # of one kind, we send no other; cut off: not one found room
                self._came.append([each for _, _, descriptors in extra for each in array("i", descriptors)])
            self._in += data
            if not data:
                self._end_it()
        return self._messages()

    def close(self) -> None:
        self._end_it()
        for descriptors in self._came:
            _close(descriptors)
        self._end.close()

    def _messages(self) -> list[tuple[Message, list[int]]]:
        whole = []
        while len(self._in) >= HEAD.size:
            length, count = HEAD.unpack_from(self._in)
            if len(self._in) < HEAD.size + length:
                break
            kind, *fields = marshal.loads(self._in[HEAD.size : HEAD.size + length])
            del self._in[: HEAD.size + length]
            whole.append((KINDS[kind](*fields), self._came.popleft() if count else []))
        return whole

    def _pass(self, data: memoryview, descriptors: Sequence[int]) -> int:
        """How much of it the kernel takes; any of it, and it has the descriptors."""
        try:
            return socket.send_fds(self._end, [data], descriptors)
        except BlockingIOError:
            return 0
        except OSError:
            self._end_it()
            return 0

    def _end_it(self) -> None:
        self.ended = True
        for _, descriptors in self._out:
            _close(descriptors)
        self._out.clear()


def _copies(descriptors: Sequence[int]) -> list[int]:
    """All of them, or an OSError and none."""
    copies: list[int] = []
    try:
        copies.extend(map(os.dup, descriptors))  # those before one that fails are there
    except OSError:
        _close(copies)
        raise
    return copies


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()
