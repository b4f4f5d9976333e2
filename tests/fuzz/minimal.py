"""The smallest corpus that shows all that a search has seen: few scenarios, each as short as its own share allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

from tests.fuzz.scenario import Scenario, render, size
from tests.fuzz.search import Kept, Search, attempt, smallest

PLAYS_EACH = 1500


def minimal(search: Search) -> list[Scenario]:
    chosen = fewest(search.kept)
    shown = Counter(each for kept in chosen for each in kept.shows)
    made = []
    for kept in chosen:
        alone = frozenset(each for each in kept.shows if shown[each] == 1) & shows(search, kept.scenario)
        if not alone:  # it depended on what was played before, such as which names were known
            continue
        made.append(smallest(kept.scenario, lambda smaller: alone <= shows(search, smaller), PLAYS_EACH))  # noqa: B023
        shown.subtract(kept.shows)
        shown.update(shows(search, made[-1]))
    return sorted(set(made), key=lambda each: (size(each), render(each)))


def fewest(kept: Iterable[Kept]) -> list[Kept]:
    """Of all that show something, the smallest first; then without those whose share others show, too."""
    shown: Counter[Hashable] = Counter()
    chosen = []
    for each in sorted(kept, key=lambda each: (size(each.scenario), render(each.scenario))):
        if any(not shown[one] for one in each.shows):
            shown.update(each.shows)
            chosen.append(each)
    for each in list(chosen):
        if all(shown[one] > 1 for one in each.shows):
            shown.subtract(each.shows)
            chosen.remove(each)
    return chosen


def shows(search: Search, scenario: Scenario) -> frozenset[Hashable]:
    """What this one shows; nothing if it breaks a rule."""
    assert search.edges is not None
    search.edges.begin()
    outcome, _ = attempt(lambda: search.stage().play(scenario))
    search.edges.end(keep=False)
    return frozenset() if outcome is None else outcome.words | search.edges.taken()
