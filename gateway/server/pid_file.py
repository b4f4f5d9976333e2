"""The pid file: who is the supervisor, and a lock that a second instance runs into.

The lock is on the file, not its contents, and goes with the process however it ends. Workers close what they
inherit of it. At the end the file is removed if it is still the one that we locked.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Taken(Exception):
    """Another instance holds it."""


class PidFile:
    """Locked and written. Raises OSError when that cannot be done, Taken when somebody else has done it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        while True:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._lock()
            except BaseException:
                os.close(self._fd)
                raise
            if self._is_ours():  # its last owner may have removed it between the two
                break
            os.close(self._fd)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            raise Taken(f"{self._path} is locked: another instance runs{f' as process {pid}' if pid else ''}") from None

    def close(self) -> None:
        """In a child: the lock stays with the supervisor as long as that lives."""
        os.close(self._fd)

    def remove(self) -> None:
        """At the end; where that is forbidden by now the lock goes all the same."""
        if self._is_ours():
            with suppress(OSError):
                os.unlink(self._path)
        os.close(self._fd)

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except OSError:
            return False
