"""Which configurations are still at work: how many exchanges run under each generation."""

from __future__ import annotations

from collections.abc import Callable


class Generations:
    """`quiet(generation)` is called once for each that is adopted, when no exchange of an older one runs any more.

    An exchange keeps the configuration that it began with, so nothing older can begin afterwards. If several are
    adopted while old exchanges run, the call for the latest stands for all.
    """

    def __init__(self, quiet: Callable[[int], None]) -> None:
        self._quiet = quiet
        self._current = 0
        self._told = 0
        self._running: dict[int, int] = {}

    def adopt(self, generation: int) -> None:
        self._current = generation
        self._look()

    def began(self, generation: int) -> None:
        self._running[generation] = self._running.get(generation, 0) + 1

    def ended(self, generation: int) -> None:
        left = self._running[generation] - 1
        if left:
            self._running[generation] = left
        else:
            del self._running[generation]
            self._look()

    def _look(self) -> None:
        if self._told != self._current and all(generation >= self._current for generation in self._running):
            self._told = self._current
            self._quiet(self._current)
