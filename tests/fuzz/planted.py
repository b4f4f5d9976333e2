"""The proof that the search is guided: a bug behind bytes that must all be right (planted.c), found edge by edge."""

from __future__ import annotations

import ctypes
import random
from pathlib import Path

from tests.fuzz.edges import Edges
from tests.fuzz.scenario import Scenario, bytes_of
from tests.fuzz.search import Search
from tests.fuzz.stage import Breach, Outcome

SEED: Scenario = (("data", b"...."),)
PLAYS_MOST = 2_000_000  # it takes a tenth of them, as a rule


class PlantedStage:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def play(self, scenario: Scenario) -> Outcome:
        data = b"".join(bytes_of(event) for event in scenario if event[0] == "data")
        if self._library.planted(data, ctypes.c_size_t(len(data))) < 0:
            raise Breach("planted")
        return Outcome((), frozenset({"played"}), False)


def plays_until_found(library: Path, edges: Edges | None, seed: int, most: int = PLAYS_MOST) -> int:
    """0: not found in so many."""
    loaded = ctypes.CDLL(str(library.absolute()))
    search = Search(lambda: PlantedStage(loaded), (), random.Random(seed), edges)
    search.begin([SEED])
    while not search.found and search.plays < most:
        search.step()
    return search.plays if search.found else 0
