"""The supervisor: has the configuration checked, opens the sockets, forks the workers, and then only looks after them.

It has no event loop, no thread and nobody's plug-ins, so that it can fork as long as it lives; handlers of signals do
nothing but wake it. One `select` waits for signals, for the workers' channels and for the checker.

    SIGTERM SIGINT SIGQUIT   drain; once more: stop now        SIGHUP   reload        SIGUSR1   reopen the log files

At the end every worker has `drain_delay` and `drain_timeout`, and a little more, before it is killed. There is no
reload then. An error of the supervisor's own is logged, and it goes on: somebody has to look after the workers.
"""

from __future__ import annotations

import gc
import logging
import math
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway._fast import Arena, LimitTable
from gateway.server import children
from gateway.server.channel import Drain, Reopen, Stop
from gateway.server.crew import Crew
from gateway.server.departure import CUT, TELL
from gateway.server.fleet import Phase
from gateway.server.fleet_meters import FleetMeters
from gateway.server.listeners import Listener
from gateway.server.own_log import OwnLog
from gateway.server.pid_file import PidFile, Taken
from gateway.server.readiness import Notifier
from gateway.server.reloads import Refusal, Reloads
from gateway.server.signals import Signals
from gateway.server.title import set_title
from gateway.server.verdict import Approved, Refused
from gateway.telemetry.limit_meters import LimitMeters
from gateway.telemetry.meters import Meters

ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
SIGNALS = (*ENDS, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
CEILING = TELL + CUT + 5.0  # seconds beyond the drain after which a worker is killed
AT_ONCE = CUT + 3.0  # the same, when it is to stop now
SWEEP_AGAIN = 5.0  # seconds: each try is a second in which nobody looks after the workers
PAUSE = 0.1  # seconds after an error of its own
NEVER = math.inf

log = logging.getLogger("gateway")

Announce = Callable[[Approved, Sequence[str]], None]


class CannotStart(Exception):
    """Why, in words for the terminal."""


def run(
    files: Sequence[Path],
    *,
    announce: Announce,
    workers: int | None = None,
    port_file: Path | None = None,
    pid_file: Path | None = None,
) -> int:
    """Serve until told to stop; gives the exit status. `announce` is called when every worker is ready, with where."""
    if sys.platform != "linux":
        raise CannotStart("llm-gateway: needs Linux: its workers share memory and sockets in ways that others lack")
    try:
        lock = None if pid_file is None else PidFile(pid_file)
    except Taken as taken:
        raise CannotStart(f"llm-gateway: {taken}") from taken
    except OSError as problem:
        raise CannotStart(f"llm-gateway: cannot write {pid_file}: {problem.strerror}") from problem
    try:
        return Supervisor(files, announce=announce, workers=workers, port_file=port_file, lock=lock).serve()
    except (OSError, MemoryError) as problem:  # too little of something, before anything was served
        raise CannotStart(f"llm-gateway: cannot start: {problem}") from problem
    finally:
        if lock is not None:
            lock.remove()


class Supervisor:
    """One instance of the gateway."""

    def __init__(
        self,
        files: Sequence[Path],
        *,
        announce: Announce,
        workers: int | None = None,
        port_file: Path | None = None,
        lock: PidFile | None = None,
    ) -> None:
        self._announce: Announce | None = announce
        self._port_file = port_file
        self._port: int | None = None  # as it is written there
        self._lock = lock
        self._status: int | None = None
        self._stopping = False
        self._look_at = 0.0
        self._kill_at = self._refuse_at = NEVER
        self._swept, self._sweep_at = 0, 0.0
        self._log = OwnLog()
        self._notify = Notifier()
        self._selector = selectors.DefaultSelector()
        self._signals = Signals(SIGNALS)
        self._selector.register(self._signals, selectors.EVENT_READ, lambda _: None)
        self._arena = Arena()
        meters, limits = Meters(self._arena), LimitTable(self._arena)
        self._meters = FleetMeters(meters)
        LimitMeters(meters, limits)  # what it repairs is counted too
        self._crew = Crew(self._arena, self._meters, self._selector, self._clean, recover=(limits.recover,))
        self._reloads = Reloads(
            files,
            workers,
            crew=self._crew,
            meters=self._meters,
            selector=self._selector,
            own_log=self._log,
            notify=self._notify,
            opened=self._write_port,
        )

    def serve(self) -> int:
        set_title("supervisor")
        _raise_descriptor_limit()
        gc.collect()
        gc.freeze()  # pages that nobody writes to are shared with every worker
        try:
            self._reloads.start()
            while self._status is None:
                try:
                    self._turn()
                except CannotStart:
                    raise
                except Exception:
                    log.exception("internal error of the supervisor; it goes on")
                    time.sleep(PAUSE)
        finally:
            self._close()
        return self._status

    # --- one turn -------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        wait = min(self._moments()) - time.monotonic()
        ready = [(key.data, events) for key, events in self._selector.select(max(0.0, wait))]
        self._answer_signals()
        for hear, events in ready:
            hear(events)
        self._reap()  # SIGCHLD only wakes: at every turn, and before anything is decided, the dead are no workers
        try:
            self._reloads.look()
        except Refusal as refusal:
            raise CannotStart(_complaint(refusal)) from refusal
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._crew.interval
            self._crew.look(now, share=self._shares)
            self._meters.process.stamp()
            self._meters.lines_dropped.follow(self._log.dropped)
        self._go_on(now)

    def _moments(self) -> list[float]:
        """When something is due."""
        due = self._crew.fleet.wake_at(time.monotonic())
        waits = [] if due is None else [due]
        return [self._look_at, self._kill_at, self._refuse_at, *self._reloads.look_at, *waits]

    def _go_on(self, now: float) -> None:
        if now >= self._refuse_at:
            self._refuse_at = NEVER
            for listener in self._crew.listeners:
                listener.vanish()
        self._crew.settle(now, share=self._shares)
        if self._stopping:
            self._end(now)
        elif self._crew.fleet.hopeless:
            self._give_up()
        elif self._reloads.adopting and self._crew.up_to_date():
            self._settled()
        self._sweep(now)

    @property
    def _shares(self) -> bool:
        """Sockets change hands, but not when they are being shut."""
        return not self._stopping or self._refuse_at < NEVER

    def _settled(self) -> None:
        self._reloads.settled()
        if self._announce is not None and self._reloads.first is not None:
            announce, self._announce = self._announce, None
            announce(self._reloads.first, self._reloads.where)

    def _sweep(self, now: float) -> None:
        """What only older generations used is free, once no exchange of theirs runs anywhere."""
        quiet = self._crew.quiet()
        if now < self._sweep_at or self._reloads.adopting or quiet <= self._swept:
            return
        try:
            self._arena.sweep(quiet)
        except TimeoutError:  # a worker was stopped at a bad moment: it will be killed
            self._sweep_at = now + SWEEP_AGAIN
        else:
            self._swept = quiet

    # --- signals --------------------------------------------------------------------------------------------

    def _answer_signals(self) -> None:
        for number in self._signals.take():
            if number in ENDS:
                self._stop_now() if self._stopping else self._drain()
            elif number is signal.SIGHUP and self._stopping:
                log.warning("SIGHUP: the gateway is stopping; its configuration stays as it is")
            elif number is signal.SIGHUP:
                self._reloads.ask()
            elif number is signal.SIGUSR1:
                self._log.reopen()
                self._crew.tell(Reopen())

    def _reap(self) -> None:
        for pid, status in children.reap():
            if not self._reloads.reaped(pid, status) and not self._crew.exited(pid, status, time.monotonic()):
                log.debug("a process that nobody waited for has ended", extra={"pid": pid})

    # --- the end --------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._stopping = self._crew.fleet.stopping = True
        self._notify.stopping()
        log.info("draining", extra={"workers": len(self._crew.fleet.members)})
        self._reloads.abandon()
        self._crew.tell(Drain())
        for slot, member in self._crew.fleet.members.items():
            if member.phase is Phase.STARTING:
                self._crew.kill(slot, signal.SIGTERM)
        settings = self._reloads.settings
        self._refuse_at = time.monotonic() + (settings.drain_delay if settings else 0.0)
        self._kill_at = self._refuse_at + (settings.drain_timeout if settings else 0.0) + CEILING

    def _stop_now(self) -> None:
        self._crew.tell(Stop())
        self._refuse_at = time.monotonic()
        self._kill_at = min(self._kill_at, time.monotonic() + AT_ONCE)

    def _end(self, now: float) -> None:
        """Wait for the workers, but not for ever."""
        if now >= self._kill_at:
            self._kill_at = NEVER
            for slot in self._crew.fleet.members:
                log.warning("worker does not end; killing it", extra={"worker": slot})
                self._crew.kill(slot)
        if not self._crew.fleet.members:
            log.info("stopped", extra={"ended": self._crew.ended, "cut": self._crew.cut})
            self._status = 0

    def _give_up(self) -> None:
        why = self._crew.last_words or "see the log"
        log.error("no worker comes up; giving up", extra={"why": why})
        self._status = 1
        if self._announce is not None:
            raise CannotStart(f"llm-gateway: no worker comes up: {why}")

    def _close(self) -> None:
        self._reloads.abandon()
        for slot in self._crew.fleet.members:
            self._crew.kill(slot)
        for listener in self._crew.listeners:
            listener.refuse()
            listener.close()
        self._signals.restore(but=ENDS)  # one that comes in the last moments must not change the exit status
        self._selector.close()
        self._log.close()

    # --- what others call -------------------------------------------------------------------------------------

    def _write_port(self, listeners: Sequence[Listener]) -> None:
        port = next((listener.port for listener in listeners if listener.port), 0)
        if self._port_file is not None and port != self._port:
            try:
                self._port_file.write_text(f"{port}\n")
            except OSError as problem:
                raise Refusal(f"cannot write {self._port_file}: {problem.strerror}") from problem
        self._port = port

    def _clean(self) -> None:
        """In a child: none of these is its own."""
        self._selector.close()
        self._signals.close()
        self._reloads.disown()
        for listener in self._crew.listeners:
            listener.disown()
        if self._lock is not None:
            self._lock.close()
        self._log.close()


def _complaint(refusal: Refusal) -> str:
    """Problems of the configuration as `check` prints them; anything else in one line."""
    if refusal.__cause__ is None:
        return Refused(tuple(refusal.args)).text.rstrip("\n")
    return f"llm-gateway: {refusal}"


def _raise_descriptor_limit() -> None:
    """As far as we may: each connection of a client takes one, its upstream another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
