"""Forking a worker, and what its process gives up of the supervisor's before it does anything of its own.

Signals are blocked around the fork, so that none reaches the supervisor's handlers in the child. `clean` closes the
supervisor's descriptors: a copy of another worker's channel would hide from that worker that the supervisor has died.
The child gets SIGTERM when its parent dies, and looks whether that has happened already.

SIGINT, SIGQUIT and SIGHUP reach every process of a terminal; the supervisor hears them and tells the workers. SIGTERM
ends a worker that has not come up yet; one that has treats it as `worker` says.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
FOR_THE_SUPERVISOR = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1)
BROKEN = 70  # the exit status of a child that failed where nothing could be said about it

_c = ctypes.CDLL(None)


def fork(work: Callable[[], int], clean: Callable[[], None]) -> int:
    """Run `work` in a child, whose exit status it gives; here, the child's number. Raises OSError."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    parent = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            _child(work, clean, parent)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _child(work: Callable[[], int], clean: Callable[[], None], parent: int) -> None:
    status = BROKEN
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in FOR_THE_SUPERVISOR:
            signal.signal(number, signal.SIG_IGN)
        clean()
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        _c.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() == parent:
            random.seed()
            status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def reap() -> list[tuple[int, int]]:
    """Every child that has ended, with its status: ours, and as process 1 of a container also others'."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def in_words(status: int) -> str:
    """How a process ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"killed by {signal.Signals(number).name if number in set(signal.Signals) else f'signal {number}'}"
    return f"exited with status {os.WEXITSTATUS(status)}"
