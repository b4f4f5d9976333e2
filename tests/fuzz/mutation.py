"""How one scenario becomes another: its bytes are changed with the pieces of HTTP, its events moved, two of them
joined."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from tests.fuzz.scenario import Event, Scenario, Value, bytes_of
from tests.fuzz.tokens import NUMBERS, TOKENS

EVENTS_MOST, BYTES_MOST = 60, 4096
SHARED: Sequence[Event] = (
    ("turn",), ("turn",), ("turn",), ("go",), ("eof",), ("reset",), ("stall",), ("take",), ("take", 1), ("take", 60000),
    ("fill", 5), ("fill", 1000), ("fill", 65536), ("fill", 70000),
)  # fmt: skip


class Mutator:
    def __init__(self, dice: random.Random, own: Sequence[Event]) -> None:
        self._dice = dice
        self._events = [*SHARED, *own, *own]

    def of(self, scenario: Scenario, others: Sequence[Scenario]) -> Scenario:
        """Another one, from a few steps away."""
        events = list(scenario)
        for _ in range(1 << self._dice.randrange(4)):
            step = self._dice.choices(STEPS, WEIGHTS)[0]
            step(self, events, self._dice.choice(others) if others else scenario)
        return tuple(events[:EVENTS_MOST])

    # bytes

    def change(self, events: list[Event], other: Scenario) -> None:
        """Change what comes in one of its events."""
        places = [place for place, event in enumerate(events) if event[0] == "data"]
        if not places:
            return self.insert(events, other)
        place = self._dice.choice(places)
        data = self._changed(bytes_of(events[place]), other)[:BYTES_MOST]
        events[place] = ("data", data)
        return None

    def _changed(self, data: bytes, other: Scenario) -> bytes:
        dice = self._dice
        at, end = sorted((dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)))
        match dice.randrange(9):
            case 0:
                return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
            case 1:
                return data[:at] + data[min(end, at + dice.randrange(1, 9)) :]
            case 2:
                return data[:end] + data[at:]
            case 3:
                return data[:at] + dice.choice(TOKENS) + data[end if dice.random() < 0.3 else at :]
            case 4:
                return self._line(data)
            case 5:
                return self._number(data)
            case 6:
                theirs = [bytes_of(event) for event in other if event[0] == "data"]
                return data[:at] + (dice.choice(theirs) if theirs else b"")
            case 7:
                return (
                    data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :] if at < len(data) else data
                )
            case _:
                return data[:at] + data[at : at + 1].swapcase() + data[at + 1 :]

    def _line(self, data: bytes) -> bytes:
        """A line put in where one begins, taken away, or said twice."""
        lines = data.splitlines(keepends=True) or [b""]
        at = self._dice.randrange(len(lines))
        match self._dice.randrange(4):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[at])
            case _:
                lines.insert(at, self._dice.choice(TOKENS))
        return b"".join(lines)

    def _number(self, data: bytes) -> bytes:
        found = list(re.finditer(rb"[0-9a-f]+", data))
        if not found:
            return data
        one = self._dice.choice(found)
        near = b"%d" % max(0, int(one[0], 16) + self._dice.choice((-1, 1))) if len(one[0]) < 9 else b"7"
        return data[: one.start()] + self._dice.choice([near, *NUMBERS]) + data[one.end() :]

    # events

    def insert(self, events: list[Event], other: Scenario) -> None:
        events.insert(self._dice.randrange(len(events) + 1), self._dice.choice(self._events))

    def remove(self, events: list[Event], other: Scenario) -> None:
        if events:
            del events[self._dice.randrange(len(events))]

    def repeat(self, events: list[Event], other: Scenario) -> None:
        if events:
            begin = self._dice.randrange(len(events))
            some = events[begin : begin + self._dice.randrange(1, 5)]
            events[begin:begin] = some

    def swap(self, events: list[Event], other: Scenario) -> None:
        if len(events) > 1:
            at = self._dice.randrange(len(events) - 1)
            events[at], events[at + 1] = events[at + 1], events[at]

    def number(self, events: list[Event], other: Scenario) -> None:
        """Change a number or a manner, by taking it from an event of the same name."""
        places = [place for place, event in enumerate(events) if len(event) > 1 and event[0] != "data"]
        if not places:
            return
        place = self._dice.choice(places)
        alike = [event for event in self._events if event[0] == events[place][0]]
        values: list[Value] = [
            self._dice.choice((1, 2, 3, 5, value, 64, 70000)) if isinstance(value, int) else value
            for value in self._dice.choice([*alike, events[place]])[1:]
        ]
        events[place] = (events[place][0], *values)

    def cut(self, events: list[Event], other: Scenario) -> None:
        """What came in one piece comes in two, sometimes with something between."""
        places = [place for place, event in enumerate(events) if event[0] == "data" and len(bytes_of(event)) > 1]
        if not places:
            return
        place = self._dice.choice(places)
        data = bytes_of(events[place])
        at = self._dice.randrange(1, len(data))
        between: list[Event] = [self._dice.choice(self._events)] if self._dice.random() < 0.5 else []
        events[place : place + 1] = [("data", data[:at]), *between, ("data", data[at:])]

    def join(self, events: list[Event], other: Scenario) -> None:
        """As it begins, and as another one goes on."""
        begin = self._dice.randrange(len(other) + 1)
        some = other[begin : begin + self._dice.randrange(1, 12)]
        at = self._dice.randrange(len(events) + 1)
        if self._dice.random() < 0.5:
            events[at:] = some
        else:
            events[at:at] = some


Step = Callable[[Mutator, list[Event], Scenario], None]
STEPS: Sequence[Step] = (
    Mutator.change, Mutator.insert, Mutator.remove, Mutator.repeat, Mutator.swap, Mutator.number, Mutator.cut,
    Mutator.join,
)  # fmt: skip
WEIGHTS = (10, 4, 3, 2, 2, 2, 3, 3)
