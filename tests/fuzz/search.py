"""The search: play a changed scenario; what shows something new is kept and changed further.

New is an edge of the compiled code, a step in how often it was taken, or a word of the outcome (how each request
ended, with llhttp's own reason: llhttp is not instrumented). What breaks a rule is made as small as it can be with the
same complaint. Without `Edges` it is blind, and keeps nothing but words.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from tests.fuzz.edges import Edges
from tests.fuzz.mutation import Mutator
from tests.fuzz.scenario import Event, Scenario, bytes_of, joined, render
from tests.fuzz.stage import Breach, Outcome, StageMaker

Result = TypeVar("Result")
SPLIT_EVERY = 16  # one play of so many is repeated with other reads
SPLIT_MOST = 3000  # bytes that are tried one by one
CALM = ("data", "turn", "eof", "ask", "lane")


@dataclass
class Kept:
    """One scenario that showed something new, and all that it shows."""

    scenario: Scenario
    shows: frozenset[Hashable]


@dataclass
class Found:
    """A rule that is broken, and the shortest way to it."""

    scenario: Scenario
    complaint: str


@dataclass
class Search:
    stage: StageMaker
    own: Sequence[Event]
    dice: random.Random
    edges: Edges | None = None
    before: Callable[[Scenario], object] = lambda scenario: None  # told what is played next
    kept: list[Kept] = field(default_factory=list)
    found: dict[str, Found] = field(default_factory=dict)
    plays: int = 0
    words: set[str] = field(default_factory=set)

    def run(self, seeds: Iterable[Scenario], seconds: float) -> None:
        end = time.monotonic() + seconds
        self.begin(seeds)
        while time.monotonic() < end:
            self.step()

    def begin(self, seeds: Iterable[Scenario]) -> None:
        for seed in seeds:
            self.look(seed)

    def step(self) -> None:
        mutator = Mutator(self.dice, self.own)
        others = [kept.scenario for kept in self.kept[-200:]]
        for _ in range(200):
            self.look(mutator.of(self._parent(), others))

    def look(self, scenario: Scenario) -> bool:
        """Play it; was there something new?"""
        outcome, fresh = self._play(scenario)
        if outcome is None:
            return False
        new = bool(fresh) or not outcome.words <= self.words
        if new:
            self.words |= outcome.words
            self.kept.append(Kept(scenario, outcome.words | (self.edges.taken() if self.edges else frozenset())))
        if new or self.plays % SPLIT_EVERY == 0:
            self._split(scenario)
        return new

    def _play(self, scenario: Scenario) -> tuple[Outcome | None, int]:
        self.plays += 1
        self.before(scenario)
        if self.edges is not None:
            self.edges.begin()
        outcome, problem = attempt(lambda: self.stage().play(scenario))
        fresh = 0 if self.edges is None else self.edges.end(keep=True)
        if problem is not None:
            self._complain(scenario, problem, self._complaint)
        return outcome, fresh

    def _parent(self) -> Scenario:
        """One of those that are kept; the newer half more often."""
        if not self.kept:
            return ()
        half = len(self.kept) // 2 if self.dice.random() < 0.5 else 0
        return self.kept[self.dice.randrange(half, len(self.kept))].scenario

    # the same bytes in other reads

    def _split(self, scenario: Scenario) -> None:
        chance = self.dice.random()

        def again(smaller: Scenario) -> Exception | None:
            self.before(smaller)
            return attempt(lambda: same_however_read(self.stage, smaller, chance))[1]

        problem = again(scenario)
        if problem is not None:
            self._complain(scenario, problem, again)

    # what breaks a rule

    def _complaint(self, scenario: Scenario) -> Exception | None:
        self.before(scenario)
        return attempt(lambda: self.stage().play(scenario))[1]

    def _complain(self, scenario: Scenario, problem: Exception, again: Callable[[Scenario], Exception | None]) -> None:
        name = nature(problem)
        if name in self.found:
            return
        self.found[name] = Found(scenario, f"{type(problem).__name__}: {problem}")

        def same(smaller: Scenario) -> bool:
            other = again(smaller)
            return other is not None and nature(other) == name

        self.found[name] = Found(smallest(scenario, same), f"{type(problem).__name__}: {problem}")


def attempt(play: Callable[[], Result]) -> tuple[Result | None, Exception | None]:
    """Nothing is played while an exception is handled: what is raised then remembers that one as its context."""
    try:
        return play(), None
    except Exception as problem:
        return None, problem


def nature(problem: Exception) -> str:
    """Two complaints are one if only their numbers and quotations differ."""
    text = re.sub(r"b'[^']*'|b\"[^\"]*\"|0x[0-9a-f]+|\d+", "…", str(problem).partition("\n")[0])
    return f"{type(problem).__name__}: {text[:100]}"


def same_however_read(stage: StageMaker, scenario: Scenario, chance: float) -> None:
    """What the world sees does not depend on where the reads begin and end."""
    whole = joined(scenario)
    outcome = stage().play(whole)
    if not outcome.exact or sum(len(bytes_of(event)) for event in whole if event[0] == "data") > SPLIT_MOST:
        return
    dice = random.Random(chance)
    cuts = [one_by_one(whole), at_random(whole, dice)]
    if calm(whole):
        cuts.append(with_turns(at_random(whole, dice)))
    for cut in cuts:
        other = stage().play(cut)
        for number, (one, another) in enumerate(zip(outcome.seen, other.seen)):
            if one != another:
                raise Breach(
                    f"other reads, another outcome: {one!r} and {another!r} of request {number}\n{render(cut)}"
                )


def one_by_one(scenario: Scenario) -> Scenario:
    return tuple(
        part
        for event in scenario
        for part in ([("data", bytes([byte])) for byte in bytes_of(event)] if event[0] == "data" else [event])
    )


def at_random(scenario: Scenario, dice: random.Random) -> Scenario:
    made: list[Event] = []
    for event in scenario:
        if event[0] != "data":
            made.append(event)
            continue
        data = bytes_of(event)
        places = sorted({dice.randrange(len(data) + 1) for _ in range(dice.randrange(1, 6))} - {0, len(data)})
        made += [("data", data[begin:end]) for begin, end in zip([0, *places], [*places, len(data)])]
    return tuple(made)


def calm(scenario: Scenario) -> bool:
    """Does nothing in it race with what others do in their turns?"""
    names = [event[0] for event in scenario]
    unturned = any(after == "eof" and before != "turn" for before, after in pairwise(names))
    late = "data" in names and "lane" in names[names.index("data") :]  # a request may begin before it
    return not unturned and not late and all(name in CALM for name in names)


def with_turns(scenario: Scenario) -> Scenario:
    """Everybody does what there is to do between any two reads."""
    return tuple(each for event in scenario for each in ([event, ("turn",)] if event[0] == "data" else [event]))


def smallest(scenario: Scenario, still: Callable[[Scenario], bool], plays: int = 2000) -> Scenario:
    """Take away events, then bytes, in ever smaller pieces, as long as it still does what it does."""
    events = list(scenario)
    left = plays

    def try_(smaller: list[Event]) -> bool:
        nonlocal left
        left -= 1
        return left > 0 and still(tuple(smaller))

    width = max(1, len(events) // 2)
    while width:
        at = 0
        while at < len(events):
            if try_(events[:at] + events[at + width :]):
                del events[at : at + width]
            else:
                at += width
        width //= 2
    for place, event in enumerate(events):
        if event[0] == "data":
            before, behind = events[:place], events[place + 1 :]
            data = _fewest(bytes_of(event), lambda data: try_([*before, ("data", data), *behind]))  # noqa: B023
            events[place] = ("data", data)
    return tuple(events)


def _fewest(data: bytes, still: Callable[[bytes], bool]) -> bytes:
    width = max(1, len(data) // 2)
    while width:
        at = 0
        while at < len(data):
            smaller = data[:at] + data[at + width :]
            if smaller and still(smaller):
                data = smaller
            else:
                at += width
        width //= 2
    return data
