"""The checker: a short-lived process that reads, checks and wires a whole configuration, and says what it found.

The theory: a configuration may name anybody's code, and code that is imported may start threads, open
connections, print, or never come back. So the supervisor, which forks workers as long as it lives, runs none of it:
a child of its own does, and what comes back over a pipe is builtins only (JSON) and one string of bytes that the
supervisor hands on without looking inside.

The rules:

* The child gives up whatever it inherited: signal handlers, the wakeup descriptor, every descriptor but the pipe
  and stderr, where everything printed goes. It leads a session of its own, so that what a plug-in starts ends with it.
* It never touches the shared memory that was taken before: it counts in a small private one.
* The child ends without running anybody's exit handlers, whatever threads there are.
* `Check.result` never blocks. A child that dies, breaks or takes longer than `ceiling` is a refusal like any other.
* Nothing of a configuration stands on a command line, in an environment or in a text that is shown, but its problems.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from gateway.server.title import set_title
from gateway.server.verdict import Approved, Refused, from_frame, to_frame

CEILING = 60.0  # seconds
ORPHANED = 10.0  # seconds after the ceiling; then the child ends by itself: whoever should have killed it is gone
LINGER = 1.0  # seconds that a child which has said everything may take to end
AT_ONCE = 1 << 16  # bytes
PIPE = 3  # the child's only descriptor beside the first three

Examine = Callable[[Sequence[Path], int | None], Approved | Refused]


def start_check(
    files: Sequence[Path],
    *,
    workers: int | None = None,
    ceiling: float = CEILING,
    examine: Examine | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Check:
    """Fork a checker for these files. `workers` is what the command line says. Raises OSError without processes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()  # else the child would have the same text to write
    reader, writer = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # no handler of ours runs in the child
    try:
        pid = os.fork()
        if pid == 0:
            _child(writer, lambda: (examine or _examine)(files, workers), ceiling)
    except OSError:
        os.close(reader)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writer)
    return Check(pid, reader, now() + ceiling, ceiling, now)


class Check:
    """A checker at work. Wait for `fileno` to be readable, or just look now and then, and ask for the `result`."""

    def __init__(self, pid: int, reader: int, deadline: float, ceiling: float, now: Callable[[], float]) -> None:
        self.pid = pid
        self.deadline = deadline
        self._ceiling = ceiling
        self._now = now
        self._reader = reader
        self._received = bytearray()
        self._silent_since: float | None = None
        self._ended = self._reaped = False
        self._killed_by = 0
        self._result: Approved | Refused | None = None
        os.set_blocking(reader, False)

    def fileno(self) -> int:
        """To be watched for reading; closed once there is a result."""
        return self._reader

    def result(self) -> Approved | Refused | None:
        """What the checker found; None while it is at work."""
        if self._result is None:
            self._look()  # before the pipe is read: what a child has written, it wrote before it ended
            eof = self._read()
            found, now = from_frame(self._received), self._now()
            if self._silent_since is None and (eof or found is not None):
                self._silent_since = now
            overdue = self._silent_since is not None and now >= self._silent_since + LINGER
            if self._ended or overdue or now >= self.deadline:
                self._result = found or Refused((self._failure(eof),))
                self.abandon()
        return self._result

    def wait(self) -> Approved | Refused:
        """The result, however long it takes, up to the ceiling."""
        try:
            while (found := self.result()) is None:
                select.select([self._reader], [], [], min(0.1, max(0.0, self.deadline - self._now())))
        except BaseException:
            self.abandon()
            raise
        return found

    def reaped(self, status: int) -> None:
        """Somebody who waits for every child has met this one, just now."""
        self._end_session()
        self._ended = self._reaped = True
        self._killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def abandon(self) -> None:
        """End the child and all it started; the result, if there is none, is not wanted any more."""
        if not self._reaped:  # until then the number is the child's, and nobody else's
            self._end_session()
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # it may not have had the time to begin its session
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self._ended = self._reaped = True
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def _end_session(self) -> None:
        """What a plug-in has started goes with it. As long as one of them lives the kernel gives nobody the number."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _look(self) -> None:
        if self._ended:
            return
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._ended = self._reaped = True
            return
        if ended is not None:
            self._ended = True
            self._killed_by = 0 if ended.si_code == os.CLD_EXITED else ended.si_status

    def _read(self) -> bool:
        """Take what is there; true at the end of it."""
        with suppress(BlockingIOError):
            while data := os.read(self._reader, AT_ONCE):
                self._received += data
            return True
        return False

    def _failure(self, eof: bool) -> str:
        """Why there is no result."""
        if not self._ended and not eof:
            return f"the check of the configuration took longer than {self._ceiling:g} s; does a plug-in wait?"
        how = f"was ended by signal {self._killed_by}" if self._killed_by else "ended without a result"
        return f"the check of the configuration {how}; is a plug-in at fault?"


def _examine(files: Sequence[Path], workers: int | None) -> Approved | Refused:
    from gateway.server.examination import examine  # here, in the child: it brings half of the gateway along

    return examine(files, workers)


def _child(writer: int, examine: Callable[[], Approved | Refused], ceiling: float) -> NoReturn:
    try:
        _leave_everything(writer, ceiling)
        try:
            found = examine()
        except BaseException as problem:
            last = traceback.extract_tb(problem.__traceback__)[-1]
            what = f"the check failed: {type(problem).__name__} in {last.filename}, line {last.lineno}"
            found = Refused((f"{what}; please report this",))
        _send(to_frame(found))
        sys.stderr.flush()
    finally:
        os._exit(0)


def _leave_everything(writer: int, ceiling: float) -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGHUP, signal.SIGUSR1):  # meant for the supervisor
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, ceiling + ORPHANED)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.setsid()
    gc.freeze()  # what the supervisor left behind is never collected here: it would close descriptors that are ours now
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    if writer != PIPE:
        os.dup2(writer, PIPE, inheritable=False)
    os.closerange(PIPE + 1, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    logging.getLogger().handlers.clear()
    set_title("checker")


def _send(frame: bytes) -> None:
    left = memoryview(frame)
    while left:
        left = left[os.write(PIPE, left) :]
