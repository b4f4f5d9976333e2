"""Children of a test: forked, doing one thing, gone. What they found out they write into shared memory."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
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
