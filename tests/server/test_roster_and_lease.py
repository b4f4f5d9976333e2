"""Who works here, and who does what only one may do: both in shared memory."""

from __future__ import annotations

import os
from array import array

import pytest

from gateway._fast import Arena
from gateway.lease import ROWS, Lease, give_up_all
from gateway.roster import Roster, State

SECOND = 1_000_000_000


def test_a_row_from_start_to_end() -> None:
    arena = Arena()
    ours, theirs = Roster(arena), Roster(arena)
    assert list(ours.rows()) == []
    ours.starts(3, 4711, 5 * SECOND)
    theirs.becomes(3, State.READY)
    theirs.adopts(3, 2)
    theirs.is_quiet(3, 1)
    theirs.beat(3, 6 * SECOND)
    (row,) = ours.rows()
    assert row == (3, 4711, State.READY, 2, 1, 6 * SECOND, 5 * SECOND)
    assert ours.heartbeat(3) == 6 * SECOND
    ours.starts(1, 4712, 7 * SECOND)
    assert [row.slot for row in theirs.rows()] == [1, 3]
    ours.clear(3)
    assert [row.slot for row in theirs.rows()] == [1]
    ours.starts(3, 4713, 8 * SECOND)
    assert ours.row(3) == (3, 4713, State.STARTING, 0, 0, 8 * SECOND, 8 * SECOND)


def test_a_worker_may_be_ready_before_the_supervisor_has_noted_that_it_starts() -> None:
    roster = Roster(Arena())
    roster.becomes(1, State.READY)
    roster.starts(1, 4711, SECOND)
    assert roster.row(1)[:3] == (1, 4711, State.READY)


@pytest.mark.parametrize("slot", [0, -1, 256])
def test_there_is_no_other_slot(slot: int) -> None:
    with pytest.raises(ValueError, match="no slot"):
        Roster(Arena()).beat(slot, 1)


def test_a_fork_sees_and_is_seen() -> None:
    arena = Arena()
    roster = Roster(arena)
    roster.starts(1, 1, SECOND)
    pid = os.fork()
    if pid == 0:
        Roster(arena).beat(1, 2 * SECOND)
        os._exit(0)
    os.waitpid(pid, 0)
    assert roster.heartbeat(1) == 2 * SECOND


@pytest.fixture
def arena() -> Arena:
    return Arena()


def test_one_holds_it_and_keeps_it(arena: Arena) -> None:
    one, two = (Lease(arena, "checks", slot=slot, ttl=5) for slot in (1, 2))
    assert one.holder == 0
    assert one.hold(SECOND)
    assert not two.hold(SECOND)
    assert one.hold(5 * SECOND)
    assert not two.hold(9 * SECOND)
    assert two.holder == 1


def test_it_runs_out_with_a_holder_that_hangs(arena: Arena) -> None:
    one, two = (Lease(arena, "checks", slot=slot, ttl=5) for slot in (1, 2))
    assert one.hold(SECOND)
    assert not two.hold(6 * SECOND - 1)
    assert two.hold(6 * SECOND)
    assert not one.hold(6 * SECOND)


def test_the_dead_give_up_all_they_had_and_nobody_elses(arena: Arena) -> None:
    first, second, third = (Lease(arena, name, slot=1) for name in ("a", "b", "c"))
    other = Lease(arena, "c", slot=2)
    assert first.hold(SECOND)
    assert second.hold(SECOND)
    assert other.hold(SECOND)
    give_up_all(arena, 1)
    assert (first.holder, second.holder, third.holder) == (0, 0, 2)
    assert Lease(arena, "a", slot=2).hold(SECOND)


def test_given_up_by_its_holder_only(arena: Arena) -> None:
    one, two = (Lease(arena, "checks", slot=slot) for slot in (1, 2))
    assert one.hold(SECOND)
    two.give_up()
    assert one.holder == 1
    one.give_up()
    assert two.hold(SECOND)


def test_names_do_not_touch_each_other_and_their_number_is_bounded(arena: Arena) -> None:
    leases = [Lease(arena, f"lease {number}", slot=number % 200 + 1) for number in range(ROWS)]
    assert all(lease.hold(SECOND) for lease in leases)
    again = [Lease(arena, f"lease {number}", slot=250) for number in range(ROWS)]
    assert [lease.holder for lease in again] == [number % 200 + 1 for number in range(ROWS)]
    with pytest.raises(ValueError, match="more than 64 leases"):
        Lease(arena, "one more", slot=1)


def test_no_reload_frees_the_table_of_those_who_hold_a_lease(arena: Arena) -> None:
    arena.generation = 1
    one = Lease(arena, "checks", slot=1)
    assert one.hold(SECOND)
    arena.generation = 2
    assert arena.sweep(2) == arena.sweep(2) == 0
    assert arena.generation == 2
    assert Lease(arena, "checks", slot=2).holder == 1


def test_of_many_processes_one_gets_it(arena: Arena) -> None:
    """Each tries as often as it can, a step of the clock after the other; no step has two holders."""
    reader, writer = os.pipe()
    for slot in range(1, 5):
        if os.fork() == 0:
            lease = Lease(arena, "race", slot=slot, ttl=1)
            won = [turn for turn in range(1, 2001) if lease.hold(turn * 2 * SECOND)]
            os.write(writer, array("H", won).tobytes())  # in one piece: less than PIPE_BUF
            os._exit(0)
    for _ in range(4):
        os.wait()
    os.close(writer)
    turns = array("H", os.read(reader, 1 << 20))
    os.close(reader)
    assert max(turns) == 2000
    assert len(set(turns)) == len(turns)
    assert Lease(arena, "race", slot=9).holder in range(1, 5)
