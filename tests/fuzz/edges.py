"""The collector of edges (edges.c), loaded before any module that was compiled to call it.

Why our own: atheris wants modules compiled by clang for libFuzzer, which gives up the edges of gcc's trace-pc; the
package is built with gcc everywhere else, and what has to be mutated here are events, not bytes. The collector is
sixty lines.

What it cannot see: llhttp itself comes in httptools' wheel and is not instrumented. What llhttp decides is seen only
by what our callbacks do next; that is why words of an outcome count as something new, too (`search.py`).
"""

from __future__ import annotations

import ctypes
from pathlib import Path

ROOM = 1 << 18


class Edges:
    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library.absolute()), ctypes.RTLD_GLOBAL)
        self._into = (ctypes.c_uint32 * ROOM)()
        self.begin = self._c.begin
        self.forget = self._c.forget

    def end(self, *, keep: bool) -> int:
        """How many edges of this run, or steps in how often they were taken, are new."""
        return int(self._c.end(int(keep)))

    def taken(self) -> frozenset[int]:
        """The edges of the last run."""
        return frozenset(self._into[: self._c.edges(self._into, ROOM)])
