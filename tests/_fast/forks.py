"""Children of a test: forked, doing one thing, gone. What they found out they write into shared memory.

They die with the test: one that works for ever would outlive a test that failed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import traceback
from collections.abc import Callable

PR_SET_PDEATHSIG = 1

_c = ctypes.CDLL(None)


def fork(work: Callable[[], object]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _c.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def finish(*children: int) -> None:
    """Wait for them; none may have failed."""
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(codes), codes


def run(work: Callable[[], object]) -> None:
    finish(fork(work))
