"""Configurations, from the first to the newest: checked, and then brought about or refused as a whole.

A check runs in a process of its own (`checker`). If anything is wrong, every problem is said and nothing changes.
What the supervisor itself does for a new one can fail too (an address that is taken, a log that cannot be written):
it comes before anything is changed. Then the workers are told, and new ones start before old ones retire.

While one is checked, further requests become one more check that follows. While workers still adopt one, a request
is checked at once, and the newest configuration wins: so a worker that cannot adopt the one cannot hold up the next.
Every request is counted once, as a success when all workers serve by it, or are told the next.
"""

from __future__ import annotations

import logging
import os
import selectors
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.server.channel import Adopt
from gateway.server.checker import Check, start_check
from gateway.server.crew import Crew
from gateway.server.fleet_meters import FleetMeters
from gateway.server.listeners import Listener
from gateway.server.own_log import OwnLog
from gateway.server.readiness import Notifier
from gateway.server.settings import FIXED, Address, Settings, unchanged
from gateway.server.verdict import Approved, Refused

LOOK = 1.0  # seconds between two looks at a checker, at most

log = logging.getLogger("gateway")


class Refusal(Exception):
    """Why a configuration is not brought about: one problem for each argument."""


class Reloads:
    """What is configured, and what may be configured next."""

    def __init__(
        self,
        files: Sequence[Path],
        workers: int | None,
        *,
        crew: Crew,
        meters: FleetMeters,
        selector: selectors.BaseSelector,
        own_log: OwnLog,
        notify: Notifier,
        opened: Callable[[Sequence[Listener]], None],
    ) -> None:
        """`opened` is called for each: when all its sockets are open, before any worker hears of it."""
        self.settings: Settings | None = None
        self.first: Approved | None = None
        self.adopting = False  # some workers do not serve by the newest yet
        self._files = files
        self._workers = workers
        self._crew = crew
        self._meters = meters
        self._selector = selector
        self._log = own_log
        self._notify = notify
        self._opened = opened
        self._generation = 0
        self._listening = False
        self._check: Check | None = None
        self._asked_again = False

    def start(self) -> None:
        """Check the files. Raises OSError when there is no process to do it."""
        self._check = start_check(self._files, workers=self._workers)
        self._selector.register(self._check.fileno(), selectors.EVENT_READ, lambda _: None)

    def ask(self) -> None:
        """Somebody wants the files to be read again."""
        if self._check is not None:
            self._asked_again = self.settings is not None
            return
        log.info("reloading")
        self._notify.reloading()
        try:
            self.start()
        except OSError as problem:
            self._refuse([f"the configuration cannot be checked: {problem.strerror}"])

    @property
    def look_at(self) -> list[float]:
        """When to look at the check, whatever it says itself."""
        return [] if self._check is None else [self._check.deadline, time.monotonic() + LOOK]

    def look(self) -> None:
        """Go on, if there is a result. Raises Refusal if it is the first, and bad."""
        if self._check is None:
            return
        reader = self._check.fileno()
        found = self._check.result()
        if found is None:
            return
        self._selector.unregister(reader)
        self._check = None
        try:
            self._bring_about(found)
        except Refusal as refusal:
            if self.settings is None:
                raise
            self._refuse(refusal.args)
        if self._asked_again:
            self._asked_again = False
            self.ask()

    def reaped(self, pid: int, status: int) -> bool:
        """Whether it was the checker."""
        if self._check is None or pid != self._check.pid:
            return False
        self._check.reaped(status)
        return True

    def settled(self) -> None:
        """Every worker serves by the newest."""
        self.adopting = False
        assert self.settings is not None
        told = {
            "address": ", ".join(self.where),
            "lane": self.settings.lane,
            "workers": self._crew.fleet.want,
            "generation": self._generation,
        }
        log.info("reloaded" if self._listening else "listening", extra=told)
        self._listening = True
        if self._generation > 1:
            self._meters.reloads["success"].add()
        self._notify.ready()

    @property
    def where(self) -> list[str]:
        return [listener.where for listener in self._crew.listeners]

    def abandon(self) -> None:
        if self._check is not None:
            self._selector.unregister(self._check.fileno())
            self._check.abandon()
            self._check = None

    def disown(self) -> None:
        """In a child: only the descriptor."""
        if self._check is not None:
            os.close(self._check.fileno())

    def _bring_about(self, found: Approved | Refused) -> None:
        """All of it, or a Refusal and nothing."""
        if isinstance(found, Refused):
            raise Refusal(*found.problems)
        settings = found.settings
        wanted = {address.place: address for address in settings.addresses}
        kept = [listener for listener in self._crew.listeners if listener.address.place in wanted]
        there = {listener.address.place for listener in kept}
        fresh = self._open([address for place, address in wanted.items() if place not in there], settings.workers)
        by_place = {listener.address.place: listener for listener in (*kept, *fresh)}
        listeners = [by_place[place] for place in wanted]  # as they are written
        try:
            _grow(kept, settings.workers)
            self._opened(listeners)
            self._send_log_to(settings)
        except Refusal:
            _close(fresh)
            raise
        if self.settings is not None:
            for text in (*unchanged(self.settings, settings), *found.warnings):
                log.warning(text)
        if self.adopting and self._generation > 1:  # the one before is overtaken
            self._meters.reloads["success"].add()
        dropped = [listener for listener in self._crew.listeners if listener not in listeners]
        self._crew.settle(time.monotonic())  # if somebody died just now: another accepts what waits on those dropped
        self._crew.listeners = listeners
        for listener in kept:
            listener.becomes(wanted[listener.address.place])
        self._employ(found)
        self._crew.settle(time.monotonic())
        self._crew.finish(dropped)

    def _employ(self, found: Approved) -> None:
        fixed = {} if self.settings is None else {field: getattr(self.settings, field) for field in FIXED}
        self.settings = replace(found.settings, **fixed)
        self.first = self.first or found
        self.adopting = True
        self._generation += 1
        self._meters.generation.set(self._generation)
        adopt = Adopt(self._generation, found.config, self.settings.lane)
        self._crew.employ(found.settings.workers, found.settings.worker_timeout, adopt)

    def _refuse(self, problems: Sequence[str]) -> None:
        for problem in problems:
            log.error(problem)
        log.error("the configuration is refused; nothing has changed", extra={"problems": len(problems)})
        self._meters.reloads["failure"].add()
        if not self.adopting:
            self._notify.ready()

    def _open(self, addresses: Iterable[Address], workers: int) -> list[Listener]:
        opened: list[Listener] = []
        for address in addresses:
            try:
                opened.append(Listener(address, workers, beside=[*self._crew.listeners, *opened]))
            except OSError as problem:
                _close(opened)
                raise Refusal(f"cannot serve on {address.text}: {problem.strerror or problem}") from problem
        return opened

    def _send_log_to(self, settings: Settings) -> None:
        try:
            self._log.send_to(settings)
        except OSError as problem:
            raise Refusal(f"cannot write {settings.log}: {problem.strerror}") from problem


def _grow(listeners: Iterable[Listener], workers: int) -> None:
    for listener in listeners:
        try:
            listener.grow(workers)
        except OSError as problem:
            raise Refusal(f"no more sockets for {listener.where}: {problem.strerror}") from problem


def _close(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.close()
