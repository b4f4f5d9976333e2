"""Signals as something to read: handlers do nothing, the kernel's notice comes out of a socket.

Used by the supervisor, which has no event loop. A signal that comes twice before anybody looks may be read once.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable
from types import FrameType


class Signals:
    """Those of `numbers` that have come."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _noted) for number in numbers}

    def fileno(self) -> int:
        return self._read.fileno()

    def take(self) -> list[signal.Signals]:
        try:
            return [signal.Signals(number) for number in self._read.recv(4096)]
        except BlockingIOError:
            return []

    def restore(self) -> None:
        """As it was before."""
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.close()

    def close(self) -> None:
        """Only the descriptors: in a child, which handles its signals by itself."""
        self._read.close()
        self._write.close()


def _noted(number: int, frame: FrameType | None) -> None:
    return
