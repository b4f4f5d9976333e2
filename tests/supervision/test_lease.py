"""What must run once per machine, over real processes: never two holders, and another within seconds of a death."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

from gateway._fast import Arena, Words
from gateway.lease import Lease, give_up_all
from tests.harness import eventually

TTL = 0.5  # seconds
PROCESSES = 4


def in_children(work: Callable[[int], None], slots: range) -> dict[int, int]:
    """Run it in a process for each slot; their numbers."""
    found = {}
    for slot in slots:
        pid = os.fork()
        if pid == 0:
            try:
                work(slot)
            finally:
                os._exit(1)
        found[slot] = pid
    return found


def hold_for_ever(arena: Arena) -> Callable[[int], None]:
    """Whoever has it works: `inside` counts those at work, `wrong` those who met somebody there."""
    words = Words(arena, "at work", 8)

    def work(slot: int) -> None:
        lease, dice = Lease(arena, "checks", slot=slot, ttl=TTL), random.Random(slot)
        held = False
        while True:
            began = time.monotonic()
            if lease.hold():
                words.store(1, words.load(1) + 1)
                words.store(0, slot)
                if not held:
                    words.add(2)
                held = True
                time.sleep(dice.random() * TTL / 20)  # what others do meanwhile shows now
                if words.load(0) != slot and time.monotonic() - began < TTL / 2:  # else we were held up, and lost it
                    words.add(3)
            else:
                held = False
            time.sleep(dice.random() * TTL / 20)

    return work


def test_one_holder_and_another_soon_after_its_death() -> None:
    arena = Arena(reserve=1 << 26)
    words = Words(arena, "at work", 8)
    lease = Lease(arena, "checks", slot=0, ttl=TTL)
    workers = in_children(hold_for_ever(arena), range(1, PROCESSES + 1))
    try:
        for death in range(6):
            holder = eventually(lambda: lease.holder, what="a holder")
            began, worked = time.monotonic(), words.load(1)
            eventually(lambda: words.load(1) > worked + 5, what="it works")  # noqa: B023
            os.kill(workers[holder], signal.SIGKILL)
            os.waitpid(workers.pop(holder), 0)
            if death % 2:
                give_up_all(arena, holder)  # as the supervisor does
            eventually(lambda: lease.holder not in (0, holder), ceiling=10 * TTL, what="another holder")  # noqa: B023
            assert time.monotonic() - began < 10 * TTL + 20
            workers |= in_children(hold_for_ever(arena), range(holder, holder + 1))
        assert words.load(3) == 0, "two at work at once"
        assert words.load(2) >= 7
    finally:
        for pid in workers.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
