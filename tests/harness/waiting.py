"""Waiting on conditions: no test sleeps and hopes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def eventually(condition: Callable[[], Value], *, ceiling: float = 20.0, what: str = "", pause: float = 0.01) -> Value:
    """The condition's first true value. Fails loudly after `ceiling` seconds: ten times what is promised."""
    end = time.monotonic() + ceiling
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {ceiling} s: {what or condition}")
        time.sleep(pause)
