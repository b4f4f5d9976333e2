"""What the writer's tests stand on: a pipe of one page, a disk that refuses, lines and waits."""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable

import pytest

from gateway.telemetry.log_writer import LogWriter

LINE = b'{"n":1}\n'
CEILING = 20.0  # seconds; what is waited for takes milliseconds


class Disk:
    """Stands between the writer and os.write: refuses, takes a part, or waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts = 0
        self.largest = 0
        self.plan: list[int | OSError] = []  # for each attempt: how many bytes to take, or what to raise
        self.refusal: OSError | None = None
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        self.attempts += 1
        self.largest = max(self.largest, len(data))
        step = self.plan.pop(0) if self.plan else self.refusal
        if isinstance(step, OSError):
            raise step
        return self._write(fd, data if step is None else data[:step])


FULL = OSError(errno.ENOSPC, "No space left on device")


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + CEILING
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def lines(count: int, size: int = 100) -> list[bytes]:
    return [b"%d " % i + b"x" * (size - len(b"%d " % i) - 1) + b"\n" for i in range(count)]


def queue_together(writer: LogWriter, made: list[bytes]) -> None:
    """One batch, however slow this machine is: the thread hears of the first line when the last is queued."""
    writer._blocks.extend(made)
    writer._accepted += sum(map(len, made))
    writer._wake()


def read_lines(fd: int, count: int, at_once: int) -> bytes:
    """So many lines, in small reads."""
    found = b""
    while found.count(b"\n") < count:
        assert select.select([fd], [], [], CEILING)[0], "nothing came"
        found += os.read(fd, at_once)
    return found


def drain(fd: int) -> bytes:
    os.set_blocking(fd, False)
    found = b""
    while True:
        try:
            part = os.read(fd, 65536)
        except BlockingIOError:
            return found
        if not part:
            return found
        found += part
