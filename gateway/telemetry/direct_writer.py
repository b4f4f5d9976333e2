"""Log lines without a thread: for the supervisor, which forks and must have none.

A line is written at once, by one call that appends. A pipe or a terminal whose reader is slow is waited for a moment;
then the line is dropped and counted, and so are those after it, without another wait, until there is room again: a
refused configuration may have a thousand problems. A regular file does not make one wait. For a process that says
little: whoever serves requests uses `log_writer`.
"""

from __future__ import annotations

import os
import select

from gateway.telemetry.log_writer import PIPE_BUF, STDERR, open_log

PATIENCE = 0.2  # seconds for a whole line


class DirectWriter:
    """``destination`` is "stderr", "off" or a path. A path that cannot be opened raises OSError here."""

    def __init__(self, destination: str) -> None:
        self.destination = destination
        self.dropped = 0
        self._stuck = False  # the last wait was in vain
        self._fd = -1 if destination == "off" else open_log(destination)

    def write(self, line: bytes) -> None:
        if self._fd < 0:
            return
        left = memoryview(line)
        try:
            while left:
                if not self._room():
                    raise BlockingIOError
                left = left[os.write(self._fd, left[:PIPE_BUF]) :]
        except OSError:
            self.dropped += 1

    def reopen(self) -> None:
        """Open the path anew, after a rotation. Should that fail, the old file is kept."""
        if self._fd <= STDERR:
            return
        try:
            fresh = open_log(self.destination)
        except OSError:
            return
        self._fd, old = fresh, self._fd
        os.close(old)

    def close(self) -> None:
        if self._fd > STDERR:
            os.close(self._fd)
        self._fd = -1

    def _room(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        self._stuck = not poll.poll(0 if self._stuck else 1000 * PATIENCE)
        return not self._stuck
