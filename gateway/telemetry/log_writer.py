"""Lines to stderr or to a file, through one thread: whoever writes a line never waits.

The rules:

* ``write`` takes a whole line, its newline at the end and none inside, and returns at once; ``write_lines`` takes
  several as one block, which costs the thread no more than one. When the queue
  holds ``max_bytes`` (nobody reads the pipe, the disk is full or slow) the line is dropped and counted.
* ``dropped`` is exact: every line is either written or counted. Lines that are stuck in a write when
  ``close`` runs out of time count as dropped, though a reader may still find them.
* The thread gathers lines for a moment (``linger``) and writes many at once to a descriptor opened for
  appending; then it lingers again, however many have come. A thread that always had work would ask for the
  interpreter's lock all the time: that cost the event loop 18 µs a request. What is not a regular file gets at
  most PIPE_BUF bytes at once: writes of that size are indivisible, so the lines of several processes in one
  pipe stay whole.
* A write that took only a part is finished before anything else. A full disk is tried again every
  ``retry`` seconds with the same lines; meanwhile the queue fills. A line that stays unfinished for ever is
  closed with a newline by whoever opens the file next.
* The thread starts with the first line and is a daemon. Make the writer after the fork, in the process that
  uses it. A child that inherits one starts with an empty queue and a thread of its own: the parent's lines
  are written by the parent.
* The descriptor's flags are left alone (stderr is shared with other programs): blocking or not, both work.

There is no lock that the thread holds, and waking it goes through SimpleQueue: both may be entered again by a
destructor that logs in the middle of ``write``. Condition variables may not.
"""

from __future__ import annotations

import atexit
import math
import os
import queue
import select
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence

STDERR = 2
BATCH = 256 * 1024
PIPE_BUF = select.PIPE_BUF
POLL = 0.1


class LogWriter:
    """``destination`` is "stderr", "off" or a path. A path that cannot be opened raises OSError here."""

    def __init__(
        self, destination: str, *, max_bytes: int = 8 * 1024 * 1024, linger: float = 0.02, retry: float = 1.0
    ) -> None:
        self.destination = destination
        self.enabled = destination != "off"
        self._max_bytes = max_bytes
        self._linger = linger
        self._retry = retry
        self._fd = open_log(destination) if self.enabled else -1
        self._limit = BATCH if self.enabled and _is_regular(self._fd) else PIPE_BUF
        self._fresh()
        if self.enabled:
            _writers.add(self)
            atexit.register(self.close)

    def _fresh(self) -> None:
        self._entry = threading.RLock()  # writers only; the thread never takes it
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._blocks: deque[bytes] = deque()  # each of one line or more
        self._thread: threading.Thread | None = None
        self._asleep = False
        self._reopen_asked = False
        self._deadline = math.inf  # finite once close() was called
        self._accepted = self._taken = 0  # bytes: counted by writers, by the thread
        self._refused = self._left = 0  # lines: counted by writers, by close()
        self._in_flight = 0  # lines that the thread has taken and not finished

    @property
    def dropped(self) -> int:
        """Lines that were not written and will not be."""
        return self._refused + self._left

    def write(self, line: bytes) -> None:
        if not self.enabled:
            return
        with self._entry:
            if self._deadline < math.inf or self._accepted - self._taken + len(line) > self._max_bytes:
                self._refused += line.count(b"\n")
                return
            self._accepted += len(line)
            self._blocks.append(line)
        if self._asleep or self._thread is None:
            self._wake()

    def write_lines(self, lines: Sequence[bytes]) -> None:
        """Several at once. Where only short writes are indivisible, each goes by itself."""
        if self._limit == BATCH:
            self.write(b"".join(lines))
        else:
            for line in lines:
                self.write(line)

    def reopen(self) -> None:
        """Open the path anew, after a rotation. Should that fail, the old file is kept and tried on."""
        if self.enabled and self.destination != "stderr":
            self._reopen_asked = True
            self._wake()

    def close(self, timeout: float = 2.0) -> None:
        """Write what is queued, for at most ``timeout`` seconds; the rest is dropped and counted."""
        atexit.unregister(self.close)
        with self._entry:
            if not self.enabled or self._deadline < math.inf:
                return
            self._deadline = time.monotonic() + timeout
        self._bell.put(None)
        if self._thread is not None:
            self._thread.join(timeout + POLL)
        stuck = self._thread is not None and self._thread.is_alive()
        self._left = sum(block.count(b"\n") for block in self._blocks) + self._in_flight
        _writers.discard(self)
        if not stuck and self._fd != STDERR:
            os.close(self._fd)

    def _wake(self) -> None:
        self._asleep = False
        self._bell.put(None)
        with self._entry:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=f"log {self.destination}", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads, or the interpreter is ending: the next line tries again
                    return
                self._thread = thread

    # --- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        closing = False
        while not closing:
            self._sleep()
            closing = self._deadline < math.inf  # looked at before the queue: no line comes after it
            if self._reopen_asked:
                self._switch()
            here = len(self._blocks)  # what comes meanwhile waits for the next round
            while here > 0 and self._time_left() > 0:
                blocks = self._take()
                here -= len(blocks)
                if not self._deliver(b"".join(blocks)):
                    return

    def _sleep(self) -> None:
        """Until there is something to do; then a moment more, so that one write carries many lines."""
        self._asleep = True
        if not self._blocks and not self._reopen_asked and self._deadline == math.inf:
            self._bell.get()
        self._asleep = False
        self._pause(self._linger)

    def _pause(self, seconds: float) -> None:
        """At most so long; reopen() and close() end it."""
        end = time.monotonic() + seconds
        while not self._reopen_asked and self._deadline == math.inf and (left := end - time.monotonic()) > 0:
            try:
                self._bell.get(timeout=left)
            except queue.Empty:
                return

    def _take(self) -> list[bytes]:
        blocks: list[bytes] = []
        size = 0
        while self._blocks and (not blocks or size + len(self._blocks[0]) <= self._limit):
            blocks.append(self._blocks.popleft())
            size += len(blocks[-1])
        self._in_flight = sum(block.count(b"\n") for block in blocks)
        return blocks

    def _deliver(self, batch: bytes) -> bool:
        """Write it all, however often it takes. False: given up, because the time of close() is over."""
        done = 0
        while done < len(batch):
            try:
                done += os.write(self._fd, memoryview(batch)[done:])
            except OSError as problem:
                if not self._wait_out(problem):
                    self._in_flight = batch.count(b"\n", done)
                    return False
            if self._reopen_asked and done < len(batch) and self._switch():
                done = batch.rfind(b"\n", 0, done) + 1  # the new file gets the whole of a half-written line
        self._taken += len(batch)
        self._in_flight = 0
        return True

    def _wait_out(self, problem: OSError) -> bool:
        """Wait until a repeat may succeed. False: there is no time for one."""
        if isinstance(problem, BlockingIOError):
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll(1000 * max(0.0, min(POLL, self._time_left())))
            return self._time_left() > 0
        if self._deadline < math.inf:
            return False
        self._pause(self._retry)
        return True

    def _time_left(self) -> float:
        return self._deadline - time.monotonic()

    def _switch(self) -> bool:
        self._reopen_asked = False
        try:
            fresh = open_log(self.destination)
        except OSError:
            return False
        self._fd, old = fresh, self._fd
        self._limit = BATCH if _is_regular(fresh) else PIPE_BUF
        os.close(old)
        return True


def open_log(destination: str) -> int:
    if destination == "stderr":
        return STDERR
    # Not blocking while it opens: a named pipe that nobody reads is an error, not a gateway that hangs.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(destination, flags, 0o640)
    os.set_blocking(fd, True)
    if _is_regular(fd) and _ends_inside_a_line(destination):
        _try_newline(fd)
    return fd


def _is_regular(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:  # stderr may be closed; writing will say so
        return False


def _ends_inside_a_line(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.seek(0, os.SEEK_END) > 0 and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
    except OSError:
        return False


def _try_newline(fd: int) -> None:
    try:
        os.write(fd, b"\n")
    except OSError:
        return


_writers: weakref.WeakSet[LogWriter] = weakref.WeakSet()


def _forget_the_parent() -> None:
    for writer in list(_writers):
        writer._fresh()


os.register_at_fork(after_in_child=_forget_the_parent)
