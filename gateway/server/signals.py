"""Signals as something to read: handlers only note the number, and a socket wakes whoever waits.

Used by the supervisor, which has no event loop. A signal that comes twice before anybody looks is read once. None is
lost, however many come: the socket holds some hundreds, but it is not asked which they were.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from types import FrameType


class Signals:
    """Those of `numbers` that have come."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)
        self._came: dict[int, None] = {}  # in their order
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._note) for number in numbers}

    def fileno(self) -> int:
        return self._read.fileno()

    def take(self) -> Iterator[signal.Signals]:
        """One after the other: should answering one of them fail, the others are still there."""
        with suppress(BlockingIOError):
            self._read.recv(4096)  # before a look at what came; what is left in it, or comes now, wakes again
        for number in list(self._came):
            del self._came[number]
            yield signal.Signals(number)

    def restore(self, *, but: Container[signal.Signals] = ()) -> None:
        """As it was before, but for those that nobody answers any more."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if number in but else handler)
        self.close()

    def close(self) -> None:
        """Only the descriptors: in a child, which handles its signals by itself."""
        self._read.close()
        self._write.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came[number] = None
