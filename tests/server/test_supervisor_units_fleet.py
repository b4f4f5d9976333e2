"""Which workers are started, retired and given up: decisions, without a process."""

from __future__ import annotations

import random

import pytest

from gateway.server.fleet import (
    FIRST_DELAY,
    GIVE_UP,
    LONGEST_DELAY,
    OVERDUE,
    STABLE,
    Fleet,
    Phase,
    Retire,
    Start,
    delay,
)


class Yard:
    """A fleet whose orders are carried out at once."""

    def __init__(self, want: int) -> None:
        self.fleet = Fleet(want)
        self.now = 1000.0
        self.pids = iter(range(1, 1 << 30))
        self.steps: list[Start | Retire] = []

    def settle(self) -> list[Start | Retire]:
        steps = []
        for step in self.fleet.next_steps(self.now):
            steps.append(step)
            if isinstance(step, Start):
                self.fleet.started(step.slot, next(self.pids), self.now)
            else:
                self.fleet.retiring(step.slot, self.now)
        return steps

    def ready(self, *slots: int) -> None:
        for slot in slots:
            self.fleet.ready(slot, self.now)

    def up(self) -> Yard:
        self.settle()
        self.ready(*self.fleet.members)
        return self

    def phase(self, slot: int) -> Phase:
        return self.fleet.members[slot].phase


def test_as_many_as_wanted_in_the_lowest_slots() -> None:
    yard = Yard(3)
    assert yard.settle() == [Start(1), Start(2), Start(3)]
    assert yard.settle() == []
    assert yard.fleet.accepting() == []
    yard.ready(2)
    assert yard.fleet.accepting() == [2]


def test_a_replacement_takes_the_slot_of_the_dead_at_once() -> None:
    yard = Yard(3).up()
    yard.fleet.exited(2, yard.now)
    assert yard.settle() == [Start(2)]


def test_deaths_in_a_row_wait_longer_and_longer_and_others_do_not_suffer() -> None:
    yard = Yard(2).up()
    waits = []
    for _ in range(14):
        yard.fleet.exited(1, yard.now)
        due = yard.fleet.wake_at(yard.now)
        waits.append(0.0 if due is None else round(due - yard.now, 3))
        assert yard.settle() == [] if due else [Start(1)]
        yard.now = due or yard.now
        yard.settle()
        yard.ready(1)
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0, 30.0]
    yard.fleet.exited(2, yard.now)
    assert yard.settle() == [Start(2)]


def test_whoever_was_stable_clears_the_account() -> None:
    yard = Yard(1).up()
    for _ in range(5):
        yard.fleet.exited(1, yard.now)
        yard.now += LONGEST_DELAY
        yard.up()
    yard.now += STABLE
    yard.fleet.exited(1, yard.now)
    assert yard.settle() == [Start(1)]


def test_it_is_hopeless_when_none_comes_up_and_not_while_one_serves() -> None:
    alone, served = Yard(1), Yard(2).up()
    for yard in (alone, served):
        if yard is served:
            yard.fleet.exited(1, yard.now)
        for deaths in range(GIVE_UP):
            assert not yard.fleet.hopeless, deaths
            yard.settle()
            yard.fleet.exited(1, yard.now)
            yard.now += LONGEST_DELAY
    assert alone.fleet.hopeless
    assert not served.fleet.hopeless
    served.settle()
    served.ready(1)
    served.fleet.exited(1, served.now)
    served.fleet.exited(2, served.now)
    assert not served.fleet.hopeless  # one was ready in between


def test_no_process_to_be_had_counts_as_an_early_death() -> None:
    fleet = Fleet(1)
    for number in range(GIVE_UP):
        fleet.not_started(1, 1000.0 + number)
    assert fleet.hopeless


def test_more_workers() -> None:
    yard = Yard(2).up()
    yard.fleet.want = 4
    assert yard.settle() == [Start(3), Start(4)]


def test_fewer_workers_retire_the_last() -> None:
    yard = Yard(4).up()
    yard.fleet.want = 2
    assert yard.settle() == [Retire(3), Retire(4)]
    assert yard.fleet.accepting() == [1, 2]
    yard.fleet.want = 3
    assert yard.settle() == [Start(5)]  # the slots of the retiring are in use
    yard.fleet.exited(3, yard.now)
    yard.fleet.exited(4, yard.now)
    assert yard.settle() == []


def test_whoever_has_retired_has_not_failed() -> None:
    yard = Yard(2).up()
    for _ in range(4):
        yard.fleet.want = 1
        assert yard.settle() == [Retire(2)]
        yard.fleet.exited(2, yard.now)
        yard.fleet.want = 2
        assert yard.settle() == [Start(2)]
        yard.ready(2)


def test_fewer_while_some_still_start() -> None:
    yard = Yard(4)
    yard.settle()
    yard.ready(1, 3)
    yard.fleet.want = 2
    assert yard.settle() == [Retire(2), Retire(4)]


def test_an_outworn_one_serves_until_another_is_ready() -> None:
    yard = Yard(2).up()
    yard.fleet.outworn(1)
    assert yard.settle() == [Start(3)]
    assert yard.fleet.accepting() == [1, 2]
    assert yard.settle() == []
    yard.ready(3)
    assert yard.settle() == [Retire(1)]
    assert yard.fleet.accepting() == [2, 3]
    yard.fleet.exited(1, yard.now)
    assert yard.settle() == []


def test_all_outworn_are_replaced_and_all_serve_meanwhile() -> None:
    yard = Yard(2).up()
    yard.fleet.outworn(1)
    yard.fleet.outworn(2)
    assert yard.settle() == [Start(3), Start(4)]
    yard.ready(3)
    assert yard.settle() == []
    yard.ready(4)
    assert yard.settle() == [Retire(1), Retire(2)]


def test_one_that_is_ending_keeps_its_place_but_not_for_ever() -> None:
    yard = Yard(2).up()
    yard.fleet.ending(1, yard.now, "silent")
    assert yard.fleet.accepting() == [2]
    assert yard.settle() == []
    yard.now += OVERDUE
    assert yard.settle() == [Start(3)]
    yard.ready(3)
    assert yard.fleet.exited(1, yard.now).ending_for == "silent"
    assert yard.settle() == []


def test_the_first_reason_counts() -> None:
    yard = Yard(1).up()
    yard.fleet.ending(1, yard.now)
    yard.fleet.ending(1, yard.now, "silent")
    yard.fleet.ending(1, yard.now, "other")
    assert yard.fleet.members[1].ending_for == "silent"


def test_nothing_is_started_while_it_stops() -> None:
    yard = Yard(2).up()
    yard.fleet.stopping = True
    yard.fleet.exited(1, yard.now)
    assert yard.settle() == []


def test_ready_does_not_bring_back_one_that_retires() -> None:
    yard = Yard(2)
    yard.settle()
    yard.ready(1)
    yard.fleet.want = 1
    assert yard.settle() == [Retire(2)]
    yard.ready(2)
    assert yard.phase(2) is Phase.RETIRING


def test_delays() -> None:
    assert [delay(deaths) for deaths in (1, 2, 3)] == [0.0, FIRST_DELAY, 2 * FIRST_DELAY]
    assert delay(10_000) == LONGEST_DELAY


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_it_comes_to_rest_with_as_many_as_wanted(seed: int) -> None:
    """Never fewer than one serving through our own doing, and in the end exactly what is wanted, all fresh."""
    chance = random.Random(seed)
    yard = Yard(chance.randint(1, 6)).up()
    for _ in range(200):
        yard.now += chance.choice((0.0, 0.05, 1.0, 40.0))
        members = list(yard.fleet.members.values())
        one = chance.choice(members) if members else None
        happening = chance.randrange(7)
        if happening == 0:
            yard.fleet.want = chance.randint(1, 6)
        elif one is not None and happening == 1:
            yard.fleet.exited(one.slot, yard.now)
        elif one is not None and happening == 2:
            yard.fleet.ready(one.slot, yard.now)
        elif one is not None and happening == 3 and one.phase is Phase.READY:
            yard.fleet.outworn(one.slot)
        elif one is not None and happening == 4:
            yard.fleet.ending(one.slot, yard.now, "silent")
        served = set(yard.fleet.accepting())
        steps = yard.settle()
        assert yard.fleet.accepting() or not served  # we took nobody's last worker away
        assert len(steps) == len(set(steps))
    for _ in range(20):
        yard.now += LONGEST_DELAY
        for slot, member in list(yard.fleet.members.items()):
            if member.phase in (Phase.RETIRING, Phase.ENDING):
                yard.fleet.exited(slot, yard.now)
            elif member.phase is Phase.STARTING:
                yard.fleet.ready(slot, yard.now)
        yard.settle()
    assert len(yard.fleet.members) == yard.fleet.want
    assert all(member.phase is Phase.READY and not member.outworn for member in yard.fleet.members.values())
