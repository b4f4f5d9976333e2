"""The workers as processes: forked, told, listened to, watched, reaped. What is to be done about them `fleet` decides.

Nothing here waits. A worker that does not read its channel is told nothing and found by its silence.
"""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from gateway._fast import Arena
from gateway.lease import give_up_all
from gateway.roster import Roster
from gateway.server import children, worker
from gateway.server.channel import (
    MOST_DESCRIPTORS,
    Accept,
    Adopt,
    Adopted,
    Channel,
    Drained,
    Failed,
    Finish,
    Leaving,
    Message,
    Ready,
    Release,
    Retire,
)
from gateway.server.fleet import Fleet, Member, Phase, Start
from gateway.server.fleet_meters import FleetMeters
from gateway.server.listeners import Listener
from gateway.server.ownership import gained, shared_out
from gateway.server.watch import Watch

SLOW_START = 60.0  # seconds until a worker must be ready: a plug-in may take its time

log = logging.getLogger("gateway")


class Crew:
    """All. `clean` closes the supervisor's descriptors in a child. `recover` gives back what a dead one held, and says
    whether it could: if not, it is asked again until the slot has somebody new, who does it before he counts."""

    def __init__(
        self,
        arena: Arena,
        meters: FleetMeters,
        selector: selectors.BaseSelector,
        clean: Callable[[], None],
        recover: Iterable[Callable[[int], bool]] = (),
    ) -> None:
        self.fleet = Fleet(0)
        self.ended = self.cut = 0  # exchanges, as leaving workers report
        self.last_words = ""  # why a worker could not begin
        self.listeners: list[Listener] = []
        self._roster = Roster(arena)
        self._arena = arena
        self._meters = meters
        self._selector = selector
        self._clean = clean
        self._recover = tuple(recover)
        self._unrecovered: set[int] = set()
        self._channels: dict[int, Channel] = {}
        self._held: dict[int, set[int]] = {}  # sockets that a worker was told to accept on
        self._watch = Watch(math.inf, time.monotonic())  # until it is said how long
        self._adopt = Adopt(0, b"")

    # --- what the supervisor wants ----------------------------------------------------------------------

    def employ(self, want: int, timeout: float, adopt: Adopt) -> None:
        """So many workers, by this configuration; `settle` does the rest."""
        self.fleet.want = want
        self._watch.change(timeout, time.monotonic())
        self._adopt = adopt
        self.tell(adopt)

    def tell(self, message: Message) -> None:
        for slot, channel in self._channels.items():
            channel.send(message)
            self._arm(slot)

    def settle(self, now: float, *, share: bool = True) -> None:
        """Bring about what is wanted, as far as that is possible now."""
        for step in self.fleet.next_steps(now):
            if isinstance(step, Start):
                self._start(step.slot, now)
            else:
                self._retire(step.slot, now)
        if share:
            self._share()
        self._meters.workers.set(len(self.fleet.accepting()))

    def finish(self, listeners: Sequence[Listener]) -> None:
        """These are gone from the configuration: whoever waits there is served, nobody comes after."""
        for listener in listeners:
            listener.vanish()
            for slot, held in self._held.items():
                if mine := held & listener.sockets.keys():
                    self._send(slot, Finish(tuple(mine)))
                    held -= mine
            listener.close()

    def look(self, now: float, *, share: bool) -> None:
        """Kill those that hang."""
        beats = {
            member.slot: self._roster.heartbeat(member.slot) / 1e9
            for member in self.fleet.members.values()
            if member.phase in (Phase.READY, Phase.RETIRING)
        }
        silent = self._watch.look(now, beats)
        for member in list(self.fleet.members.values()):
            if member.slot in silent or (member.phase is Phase.STARTING and now - member.since > SLOW_START):
                log.error("worker is silent; killing it", extra={"worker": member.slot, "pid": member.pid})
                self.fleet.ending(member.slot, now, "silent")
        self.settle(now, share=share)  # before the kill: its queue has an owner when it is gone
        for slot in [slot for slot, member in self.fleet.members.items() if member.ending_for]:
            self.kill(slot)
        for slot in self._unrecovered - self.fleet.members.keys():
            self._give_back(slot)

    @property
    def interval(self) -> float:
        return self._watch.interval

    def kill(self, slot: int, number: signal.Signals = signal.SIGKILL) -> None:
        try:
            os.kill(self.fleet.members[slot].pid, number)
        except ProcessLookupError:  # it has exited; SIGCHLD is on its way
            return

    def up_to_date(self) -> bool:
        """Enough workers are ready, all by the newest configuration."""
        ready = [each for each in self.fleet.members.values() if each.phase is Phase.READY and not each.outworn]
        return len(ready) >= self.fleet.want and all(each.generation == self._adopt.generation for each in ready)

    def quiet(self) -> int:
        """No worker has an exchange of a generation older than this."""
        return min((self._roster.row(slot).quiet for slot in self.fleet.members), default=0)

    # --- what happens -----------------------------------------------------------------------------------

    def exited(self, pid: int, status: int, now: float) -> bool:
        """Whether it was one of ours."""
        slot = self.fleet.slot_of(pid)
        if slot is None:
            return False
        self._hear(slot)  # its last words
        member = self.fleet.exited(slot, now)
        self._held.pop(slot, None)
        self._hang_up(slot)
        self._count(member, status)
        steps: list[Callable[[int], object]] = [
            self._roster.clear,
            partial(give_up_all, self._arena),
            self._give_back,
            self._arena.leave,
        ]
        for step in steps:
            try:
                step(slot)
            except Exception:  # one that cannot be set right now must not keep the others from it
                log.exception("what a dead worker left behind could not be put in order", extra={"worker": slot})
        return True

    def _give_back(self, slot: int) -> None:
        self._unrecovered.discard(slot)
        if not all(recover(slot) for recover in self._recover):
            self._unrecovered.add(slot)

    def _count(self, member: Member, status: int) -> None:
        told = {"worker": member.slot, "pid": member.pid, "how": children.in_words(status)}
        if member.phase is Phase.RETIRING or self.fleet.stopping:
            log.debug("worker has left", extra=told)
            return
        killed = "killed" if os.WIFSIGNALED(status) else "failed" if status >> 8 == worker.NOT_UP else "exited"
        self._meters.restarts[member.ending_for or killed].add()
        if self.last_words and member.phase is Phase.STARTING:
            told["why"] = self.last_words
        log.error("worker has died", extra=told)

    def hear(self, slot: int) -> Callable[[int], None]:
        def events(mask: int) -> None:
            if mask & selectors.EVENT_WRITE and slot in self._channels:
                self._channels[slot].flush()
            self._hear(slot)
            self._arm(slot)

        return events

    def _hear(self, slot: int) -> None:
        channel = self._channels.get(slot)
        for message, _ in channel.receive() if channel is not None else ():
            self._heard(slot, message)
        if channel is not None and channel.ended:
            self._hang_up(slot)

    def _heard(self, slot: int, message: Message) -> None:
        member = self.fleet.members[slot]
        told: dict[str, object] = {"worker": slot, "pid": member.pid}
        match message:
            case Ready(generation):
                member.generation = generation
                self.fleet.ready(slot, time.monotonic())
                log.debug("worker is ready", extra=told)
            case Adopted(generation):
                member.generation = generation
            case Failed(generation, why) if member.phase is Phase.STARTING:
                self.last_words = why
            case Failed(generation, why):
                told |= {"generation": generation, "why": why}
                log.error("worker cannot adopt the configuration; replacing it", extra=told)
                self._meters.restarts["failed"].add()
                self.fleet.outworn(slot)
            case Leaving(gone) if not self.fleet.stopping:
                log.info("worker was told to stop; replacing it", extra=told)
                self.fleet.outworn(slot)
                if gone and member.phase is Phase.READY:
                    self._retire(slot, time.monotonic())
            case Drained(ended, cut):
                self.ended += ended
                self.cut += cut

    # --- processes, channels, sockets -------------------------------------------------------------------

    def _start(self, slot: int, now: float) -> None:
        try:
            ours, theirs = Channel.pair()
        except OSError as problem:
            self._not_started(slot, now, problem)
            return
        adopt, arena = self._adopt, self._arena

        def clean() -> None:
            ours.close()
            for channel in self._channels.values():
                channel.close()
            self._clean()

        try:
            pid = children.fork(lambda: worker.run(slot, adopt, theirs, arena), clean)
        except OSError as problem:
            ours.close()
            self._not_started(slot, now, problem)
            return
        finally:
            theirs.close()
        self._channels[slot] = ours
        self._held[slot] = set()
        self.fleet.started(slot, pid, now)
        self._unrecovered.discard(slot)
        self._selector.register(ours, selectors.EVENT_READ, self.hear(slot))

    def _not_started(self, slot: int, now: float, problem: OSError) -> None:
        self.last_words = f"no worker can be forked: {problem.strerror}"
        log.error("no worker can be forked", extra={"worker": slot, "why": problem.strerror})
        self.fleet.not_started(slot, now)

    def _retire(self, slot: int, now: float) -> None:
        self.fleet.retiring(slot, now)
        self._share()  # its sockets have another owner before it lets go
        self._send(slot, Retire())

    def _share(self) -> None:
        """Every socket has an owner, as long as there is one who accepts."""
        accepting = self.fleet.accepting()
        if not accepting:
            return
        owner = {number: slot for slot, held in self._held.items() for number in held}
        sockets = {number: each for listener in self.listeners for number, each in listener.sockets.items()}
        former = {number for listener in self.listeners for number in listener.former}
        wanted = {  # `finish` takes what is dropped
            slot: held - sockets.keys() - former for slot, held in self._held.items()
        }
        for listener in self.listeners:
            if listener.shared:
                shares = [(number, slot) for number in listener.sockets for slot in accepting]
            else:
                shares = list(shared_out(list(listener.sockets), accepting, owner).items())
            for number, slot in shares:
                wanted[slot].add(number)
        secure = {number for listener in self.listeners if listener.address.tls for number in listener.sockets}
        for change in gained(self._held, wanted):
            for tls in (False, True):
                told = [number for number in change.sockets if (number in secure) is tls]
                for start in range(0, len(told), MOST_DESCRIPTORS):
                    some = tuple(told[start : start + MOST_DESCRIPTORS])
                    self._send(change.slot, Accept(some, tls), [sockets[number].fileno() for number in some])
        for change in gained(wanted, self._held):
            self._send(change.slot, Release(change.sockets))
        self._held = wanted

    def _send(self, slot: int, message: Message, descriptors: Sequence[int] = ()) -> None:
        if slot in self._channels:
            self._channels[slot].send(message, descriptors)
            self._arm(slot)

    def _arm(self, slot: int) -> None:
        """Watch for room only while something waits for it."""
        channel = self._channels.get(slot)
        if channel is not None:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.pending else 0)
            if self._selector.get_key(channel).events != events:
                self._selector.modify(channel, events, self.hear(slot))

    def _hang_up(self, slot: int) -> None:
        channel = self._channels.pop(slot, None)
        if channel is not None:
            self._selector.unregister(channel)
            channel.close()
