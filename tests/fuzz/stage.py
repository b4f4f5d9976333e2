"""What both stages share: one play from the first event to the last trace of the connection, and its outcome.

Whatever escapes, is told to the loop or is printed as "ignored" is a `Breach`: in these classes an exception that
nobody catches is a connection that nobody serves. When all is over nothing may hold the connection any more but the
stage, with no help of the garbage collector: a cycle per connection is memory that waits.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.fuzz.scenario import Event, Scenario, bytes_of, number_of
from tests.fuzz.transport import END, FuzzTransport
from tests.fuzz.turns import TurnLoop

FILL_MOST = 1 << 20


class Breach(AssertionError):
    """Something that must hold does not."""


@dataclass(frozen=True)
class Outcome:
    """What the world saw, whatever the reads were; and the words by which the search knows that it is new."""

    seen: tuple[Hashable, ...]
    words: frozenset[str]
    exact: bool  # is `seen` a promise, or did it depend on how many reads there were?


class Stage(ABC):
    """Plays one scenario against one connection."""

    vocabulary: tuple[Event, ...]  # its own events, as a search may put them in

    def __init__(self) -> None:
        self.loop = TurnLoop()
        self.waits: list[asyncio.Future[None]] = []
        self._ignored: list[str] = []
        self._escaped: BaseException | None = None
        self.connection: Any = self.make()
        self.transport = FuzzTransport(self.loop, self.connection)

    @abstractmethod
    def make(self) -> asyncio.Protocol: ...

    @abstractmethod
    def own(self, event: Event) -> None:
        """An event that only this stage knows."""

    @abstractmethod
    def check(self) -> None:
        """After every event."""

    @abstractmethod
    def over(self) -> Outcome:
        """The connection is gone and everybody rests: was all as it must be?"""

    def play(self, scenario: Scenario) -> Outcome:
        hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        try:
            with self.loop.running():
                return self._play(scenario)
        finally:
            sys.unraisablehook = hook
            self.connection = None

    def _play(self, scenario: Scenario) -> Outcome:
        self.connection.connection_made(self.transport)
        for event in scenario:
            self._one(event)
            self._quiet()
            self.check()
        self._end()
        outcome = self.over()
        self._quiet()
        held = sys.getrefcount(self.connection) - 2  # the stage's own, and the argument's
        if held:
            raise Breach(f"{held} references to the connection after its end")
        return outcome

    def _one(self, event: Event) -> None:
        match event[0]:
            case "data":
                if data := bytes_of(event):
                    self.transport.receive(data)
            case "fill":
                self.transport.receive(b"x" * max(1, min(number_of(event), FILL_MOST)))
            case "eof":
                self.transport.receive(END)
            case "reset":
                self.transport.reset()
            case "turn":
                self.loop.rest()
            case "stall":
                self.transport.stall()
            case "take":
                self.transport.take(number_of(event) if len(event) > 1 else None)
            case "go":
                self.go()
            case _:
                self.own(event)

    def go(self) -> None:
        """What others wait for comes true."""
        waits, self.waits = self.waits, []
        for wait in waits:
            if not wait.done():
                wait.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        wait: asyncio.Future[None] = self.loop.create_future()
        self.waits.append(wait)
        return wait

    def _end(self) -> None:
        """The other side goes without a word, and nobody is kept waiting."""
        self.loop.rest()
        self.transport.reset()
        self.loop.rest()
        while self.waits:
            self.go()
            self.loop.rest()
        if not self.transport.lost:  # it closes, and waits for the other side to take the rest
            self.transport.take()
            self.loop.rest()
        if not self.transport.lost:
            raise Breach("the connection does not end")

    def escaped(self, task: asyncio.Task[None]) -> None:
        """Of a task: its end is looked at, whatever it was."""
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._escaped = problem

    def _quiet(self) -> None:
        if self._escaped is not None:
            raise self._escaped
        if self.loop.problems:
            raise Breach(f"told to the loop: {self.loop.problems}")
        if self._ignored:
            raise Breach(f"ignored: {self._ignored}")

    def _unraisable(self, what: Any) -> None:
        self._ignored.append(f"{what.exc_value!r} in {what.object!r} {what.err_msg or ''}")


class Player(Protocol):
    """What a search plays scenarios on."""

    def play(self, scenario: Scenario) -> Outcome: ...


StageMaker = Callable[[], Player]
