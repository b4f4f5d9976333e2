"""What the arena's directory says about meters: declarations and series, as other processes made them.

The rules:

* It follows the directory's changes in small steps, so that a scrape can let the loop run between them.
* A name that is not a meter's is somebody else's and passed over. One that cannot be read is, too: it was written by
  a process of another version of this program.
* What could not be learned now, because the directory is held, is learned the next time: nothing is passed over.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Protocol

from gateway._fast import Arena
from gateway.telemetry.families import Shape, Values, declared

STEP = 128  # names at a time: about half a millisecond


class Listener(Protocol):
    """Who wants to know."""

    def was_declared(self, shape: Shape, help: str) -> None: ...
    def was_claimed(self, fingerprint: str, values: Values, name: str) -> None: ...
    def was_freed(self, fingerprint: str, values: Values) -> None: ...


class Directory:
    """Follows the names of meters in one arena."""

    def __init__(self, arena: Arena, listener: Listener) -> None:
        self._watch = arena.watch()
        self._listener = listener
        self._waiting: deque[tuple[int, str | None]] = deque()
        self._series: dict[int, tuple[str, Values, str]] = {}  # by slot: fingerprint, values, name

    def follow(self) -> bool:
        """Learn the next few; whether there may be more. Raises TimeoutError."""
        if not self._waiting:
            self._waiting.extend(self._watch.changes(STEP))
        more = bool(self._waiting)
        while self._waiting:
            self._learn(*self._waiting[0])
            self._waiting.popleft()
        return more

    def series(self, fingerprint: str) -> list[tuple[Values, str]]:
        """The series known of this shape: values and name."""
        return [(values, name) for of, values, name in self._series.values() if of == fingerprint]

    def _learn(self, slot: int, name: str | None) -> None:
        known = self._series.get(slot)
        if known is not None and known[2] == name:
            return
        if known is not None:
            self._listener.was_freed(*known[:2])
            del self._series[slot]
        if name is None:
            return
        kind, _, text = name.partition(" ")
        try:
            if kind == "family":
                self._listener.was_declared(*declared(text))
            elif kind == "series":
                fingerprint, _, written = text.partition(" ")
                values = tuple(json.loads(written))
                self._listener.was_claimed(fingerprint, values, name)
                self._series[slot] = (fingerprint, values, name)
        except (ValueError, TypeError, KeyError):
            return
