"""Which workers there are and what is to be done about them. Plain decisions: no process, no clock, no signal.

    starting ──▶ ready ──▶ retiring ──▶ (exit)       ending: killed or told to stop, its exit is awaited
        └──────────┴───────────┴──▶ ending ──▶ (exit)

The rules:

* A worker has a slot, the lowest that is free: a replacement goes on in its predecessor's column.
* `want` workers are kept. One that is `outworn` (told to leave by a signal of its own, or it could not adopt a
  configuration) counts as missing, and is retired when its replacement is ready: new before old, always.
* After a death its slot is filled at once, and later from time to time: 0, 0.1, 0.2 … 30 seconds. A worker that
  stayed ready for `STABLE` seconds clears the account.
* `GIVE_UP` deaths in a row before being ready, while nobody is: nothing that a restart could cure.
* Only ready workers accept. A retiring one takes nothing new; one that is ending may be stopped for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

LAST_SLOT = 255
FIRST_DELAY, LONGEST_DELAY = 0.1, 30.0  # seconds
STABLE = 10.0
GIVE_UP = 5
OVERDUE = 5.0  # seconds: one that was killed and does not go (a disk that hangs) is not waited for


class Phase(Enum):
    """Of a worker's life."""

    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"
    ENDING = "ending"


@dataclass(slots=True)
class Member:
    """One worker."""

    slot: int
    pid: int
    phase: Phase
    since: float  # in this phase
    generation: int = 0  # adopted
    outworn: bool = False
    ending_for: str | None = None  # why we killed it: silent; None: not by us


@dataclass(frozen=True, slots=True)
class Start:
    """Fork a worker for this slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Tell it to finish what it does and go."""

    slot: int


class Fleet:
    """All workers."""

    def __init__(self, want: int) -> None:
        self.want = want
        self.members: dict[int, Member] = {}
        self.stopping = False  # nobody is started any more
        self.early_deaths = 0
        self._deaths: dict[int, int] = {}  # by slot, since one was stable there
        self._due: dict[int, float] = {}  # when the slot may be filled

    # --- what happened --------------------------------------------------------------------------------

    def started(self, slot: int, pid: int, now: float) -> None:
        self.members[slot] = Member(slot, pid, Phase.STARTING, now)

    def not_started(self, slot: int, now: float) -> None:
        """There was no process to be had."""
        self._account(Member(slot, 0, Phase.STARTING, now), now)

    def ready(self, slot: int, now: float) -> None:
        self.early_deaths = 0
        member = self.members[slot]
        if member.phase is Phase.STARTING:
            member.phase, member.since = Phase.READY, now

    def outworn(self, slot: int) -> None:
        """It has to be replaced."""
        self.members[slot].outworn = True

    def retiring(self, slot: int, now: float) -> None:
        self.members[slot].phase, self.members[slot].since = Phase.RETIRING, now

    def ending(self, slot: int, now: float, why: str | None = None) -> None:
        """It has been killed, or told to stop."""
        member = self.members[slot]
        member.ending_for = member.ending_for or why
        if member.phase is not Phase.ENDING:
            self._account(member, now)
            member.phase, member.since = Phase.ENDING, now

    def exited(self, slot: int, now: float) -> Member:
        member = self.members.pop(slot)
        if member.phase is not Phase.ENDING:
            self._account(member, now)
        return member

    def _account(self, member: Member, now: float) -> None:
        """An end that was not asked for delays the next start in its slot, the more the quicker it came."""
        if member.phase is Phase.RETIRING:
            return
        if member.phase is Phase.STARTING:
            self.early_deaths += 1
        elif now - member.since >= STABLE:
            self._deaths.pop(member.slot, None)
        deaths = self._deaths[member.slot] = self._deaths.get(member.slot, 0) + 1
        self._due[member.slot] = now + delay(deaths)

    # --- what to do ------------------------------------------------------------------------------------

    def next_steps(self, now: float) -> Iterator[Start | Retire]:
        """Carry one out, and tell, before asking for the next."""
        if self.stopping:
            return
        for slot in self._vacant(now):
            if self._due.get(slot, 0.0) <= now:
                yield Start(slot)
        fresh = [member for member in self.members.values() if not member.outworn]
        ready = sorted(member.slot for member in fresh if member.phase is Phase.READY)
        if len(ready) < self.want:
            return
        for slot in ready[self.want :]:
            yield Retire(slot)
        for member in list(self.members.values()):
            late = member.phase is Phase.STARTING and not member.outworn
            if late or (member.outworn and member.phase in (Phase.STARTING, Phase.READY)):
                yield Retire(member.slot)

    def wake_at(self, now: float) -> float | None:
        """When a slot becomes due, if one is waited for."""
        waiting = [due for slot in self._vacant(now) if (due := self._due.get(slot, 0.0)) > now]
        return min(waiting, default=None)

    @property
    def hopeless(self) -> bool:
        return self.early_deaths >= GIVE_UP and not any(self.accepting())

    def accepting(self) -> list[int]:
        """The slots of those that may accept connections."""
        return sorted(member.slot for member in self.members.values() if member.phase is Phase.READY)

    def slot_of(self, pid: int) -> int | None:
        return next((member.slot for member in self.members.values() if member.pid == pid), None)

    def _vacant(self, now: float) -> list[int]:
        """The slots to fill."""
        counted = sum(self._counts(member, now) for member in self.members.values())
        free = (slot for slot in range(1, LAST_SLOT + 1) if slot not in self.members)
        return [slot for slot, _ in zip(free, range(self.want - counted))]

    def _counts(self, member: Member, now: float) -> bool:
        """Is it one of those that are wanted? One that is about to exit keeps its place for its replacement."""
        if member.phase is Phase.ENDING:
            return not member.outworn and now - member.since < OVERDUE
        return not member.outworn and member.phase is not Phase.RETIRING


def delay(deaths: int) -> float:
    """Seconds before the next start, after so many deaths in a row."""
    return 0.0 if deaths < 2 else min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(deaths - 2, 20))
