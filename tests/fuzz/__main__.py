"""``python -m tests.fuzz client|upstream|planted``: one search, for so many seconds. `make fuzz` starts it and
watches over it.

It begins with the scenarios that are in tests/fuzz/corpus and those that earlier searches left in --folder, leaves
there what it has learned, and ends with 1 if a rule was broken; found/ has the shortest way to each. What is played at
any moment stands in the file `<name>.now`, for whoever finds this process dead or standing still.
"""

from __future__ import annotations

import argparse
import faulthandler
import mmap
import os
import random
import struct
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import scenario
from tests.fuzz.edges import Edges
from tests.fuzz.minimal import minimal
from tests.fuzz.scenario import Scenario
from tests.fuzz.search import Search

CORPUS = Path(__file__).parent / "corpus"
NOW = 1 << 16  # bytes of a scenario that are written down


def main() -> int:
    faulthandler.enable()
    warnings.simplefilter("error")  # such as that of a coroutine that nobody has awaited
    asked = arguments()
    edges = Edges(asked.edges)
    if asked.name == "planted":
        return guided(asked, edges)
    from tests.fuzz.stages import STAGES  # only now: they load what calls the collector

    stage = STAGES[asked.name]
    asked.folder.mkdir(parents=True, exist_ok=True)
    search = Search(
        stage, stage.vocabulary, random.Random(asked.seed), edges, noting(asked.folder / f"{asked.name}.now")
    )
    learned = asked.folder / f"{asked.name}.txt"
    seeds = [each for file in (*CORPUS.glob(f"{asked.name}*.txt"), learned) if file.exists() for each in _of(file)]
    search.run(seeds, asked.seconds)
    scenario.write(learned, (("", kept.scenario) for kept in search.kept))
    report(asked, search, len(seeds))
    if asked.into is not None:
        scenario.write(asked.into / f"{asked.name}.txt", (("", each) for each in minimal(search)))
    return int(bool(search.found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("name", choices=("client", "upstream", "planted"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    parser.add_argument("--edges", type=Path, required=True, help="the compiled edges.c")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz/learned"))
    parser.add_argument("--into", type=Path, help="write the smallest corpus that shows as much into this folder")
    return parser.parse_args()


def guided(asked: argparse.Namespace, edges: Edges) -> int:
    """The proof that this search is guided: it finds what a blind one does not, in as many plays."""
    from tests.fuzz.planted import plays_until_found

    plays = plays_until_found(asked.edges.with_name("planted.so"), edges, asked.seed)
    print(f"planted: found after {plays} plays" if plays else "planted: not found")
    return int(not plays)


def report(asked: argparse.Namespace, search: Search, seeds: int) -> None:
    seen = set().union(*(kept.shows for kept in search.kept))
    words = sum(isinstance(each, str) for each in seen)
    print(
        f"{asked.name}: {search.plays} plays from {seeds} scenarios, {len(seen) - words} edges, {words} outcomes, "
        f"{len(search.kept)} scenarios kept, {len(search.found)} rules broken (seed {asked.seed})",
        flush=True,
    )
    for number, found in enumerate(search.found.values()):
        file = asked.folder.parent / "found" / f"{asked.name}-{asked.seed}-{number}.txt"
        file.parent.mkdir(exist_ok=True)
        scenario.write(file, [(found.complaint.partition("\n")[0], found.scenario)])
        print(f"{found.complaint}\n{scenario.render(found.scenario)}in {file}\n", flush=True)


def noting(file: Path) -> Callable[[Scenario], None]:
    """What plays now, in a file that outlives this process; its first word counts the plays."""
    file.write_bytes(bytes(NOW))
    handle = os.open(file, os.O_RDWR)
    page = mmap.mmap(handle, NOW)
    os.close(handle)
    plays = 0

    def note(what: Scenario) -> None:
        nonlocal plays
        plays += 1
        text = scenario.render(what).encode()[: NOW - 12]
        page[: 12 + len(text)] = struct.pack("<QI", plays, len(text)) + text

    return note


def _of(file: Path) -> list[Scenario]:
    return [each for _, each in scenario.read(file)]


if __name__ == "__main__":
    sys.exit(main())
