"""The arena between processes: one area per name whoever asks, columns with one writer, holders that stop or die."""

from __future__ import annotations

import gc
import os
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gateway._fast import Arena, CounterCell, GaugeCell, HistogramCell, InFlight, Words
from tests._fast.forks import finish, fork, run
from tests.harness import eventually

PROCESSES = 8


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_processes_that_claim_at_once_get_one_area_per_name() -> None:
    arena = Arena()
    names = [f"name {i}" for i in range(400)]
    places = Words(arena, "places", PROCESSES * len(names))
    gate = Words(arena, "gate", 1)

    def claim(process: int) -> None:
        order = list(range(len(names)))
        random.Random(process).shuffle(order)
        gate.add(0)
        while gate.load(0) < PROCESSES:
            pass
        for i in order:
            offset = arena.area(names[i], 24) if i % 2 else arena.cells(names[i], 3, gauge=False)
            places.store(process * len(names) + i, offset + 1)

    finish(*(fork(lambda process=process: claim(process)) for process in range(PROCESSES)))  # type: ignore[misc]
    per_name = [{places.load(p * len(names) + i) for p in range(PROCESSES)} for i in range(len(names))]
    assert all(len(found) == 1 for found in per_name)
    assert len(set.union(*per_name[::2])) == len(set.union(*per_name[1::2])) == len(names) // 2
    assert arena.usage()["entries"] == len(names) + 2


def test_what_a_child_claims_is_there_when_it_is_gone() -> None:
    arena = Arena()
    watch = arena.watch()

    def child() -> None:
        arena.join(1)
        Words(arena, "child's", 1).add(0, 42)
        CounterCell(arena, "counted").add(5)
        GaugeCell(arena, "gauge").set(9)

    run(child)
    assert [name for _, name in watch.changes()] == ["child's", "counted", "gauge"]
    assert Words(arena, "child's", 1).load(0) == 42
    assert (CounterCell(arena, "counted").value, GaugeCell(arena, "gauge").value) == (5, 9)
    arena.leave(1)
    assert (CounterCell(arena, "counted").value, GaugeCell(arena, "gauge").value) == (5, 0)


def test_counting_in_columns_loses_nothing() -> None:
    """Each in its own column, three lives each, all at once; a number that all change, and words, beside it."""
    arena = Arena()
    counter, one = CounterCell(arena, "counter"), GaugeCell(arena, "one", "one")
    histogram, words = HistogramCell(arena, "histogram", (1.0, 2.0)), Words(arena, "words", 2)

    def count(column: int) -> None:
        arena.join(column)
        for i in range(5_000):
            counter.add()
            one.add(0.25)
            histogram.observe(i % 3 + 0.5)
            words.add(0)
            while not words.swap(1, value := words.load(1), value + 1):
                pass

    for _ in range(3):
        finish(*(fork(lambda column=column: count(column)) for column in range(1, PROCESSES)))  # type: ignore[misc]
    total = 3 * 5_000 * (PROCESSES - 1)
    assert (counter.value, one.value, words.load(0), words.load(1)) == (total, total / 4, total, total)
    assert histogram.count == total


def test_address_space_is_reserved_and_not_memory() -> None:
    gc.collect()
    before = resident()
    arena = Arena(reserve=1 << 30)
    assert resident() - before < 1 << 20
    arena.area("limits", 64 << 20)
    for i in range(2_000):
        CounterCell(arena, f"a counter of some label values {i}").add()
    assert resident() - before < 4 << 20
    assert arena.usage()["reserved"] == 1 << 30


def test_swept_memory_goes_back_to_the_machine_when_it_is_claimed_again() -> None:
    arena = Arena()
    arena.generation = 1
    words = Words(arena, "large", 4 << 20)
    for i in range(0, 4 << 20, 512):
        words.store(i, 1)
    full = resident()
    del words
    arena.sweep(2)
    arena.sweep(2)
    assert Words(arena, "large again", 4 << 20).load(512) == 0
    assert full - resident() > 24 << 20


def has_turned(turns: Words, since: int) -> bool:
    return turns.load(0) > since


def stop_while_it_holds(arena: Arena, work: Callable[[], object]) -> int:
    """A child that was stopped with the mutex in its hands: it has it nearly always, if it gets to run at all."""
    turns = Words(arena, "turns", 1)

    def hold() -> None:
        while True:
            work()
            turns.add(0)

    child = fork(hold)
    try:
        for _ in range(500):
            began = turns.load(0)
            eventually(partial(has_turned, turns, began), ceiling=60, what="a turn of the holder")
            os.kill(child, signal.SIGSTOP)
            os.waitpid(child, os.WUNTRACED)
            try:
                arena.entries()
            except TimeoutError:
                return child
            os.kill(child, signal.SIGCONT)
        pytest.fail("it was never stopped while it held the directory")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def test_a_holder_that_stopped_is_not_waited_for_and_one_that_died_is_repaired() -> None:
    arena = Arena()
    arena.generation = 1
    for i in range(300):
        arena.area(f"name {i}", 64)
    targets, gauge = InFlight(arena, ["target"]), GaugeCell(arena, "gauge")

    def work() -> None:
        arena.join(3)
        targets.acquire(0)
        gauge.add()

    run(work)
    child = stop_while_it_holds(arena, lambda: arena.sweep(0))
    try:
        for claim in (lambda: arena.area("new", 8), lambda: arena.join(1), lambda: arena.watch().changes()):
            with pytest.raises(TimeoutError, match="held by a process that does not go on"):
                claim()
        arena.leave(3)
        assert (targets.load(0), gauge.value) == (0, 0)  # the zeros have to wait, the death counts at once
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    arena.area("new", 8)
    assert arena.usage()["repairs"] == 1
    assert set(arena.entries()) == {"new", "turns", "in_flight/target", "gauge", *(f"name {i}" for i in range(300))}


def test_processes_killed_anywhere_leave_a_directory_that_works() -> None:
    arena = Arena()
    chance = random.Random(7)
    watch, known = arena.watch(), dict[int, str]()

    def churn() -> None:
        for generation in range(1, 1_000_000):
            arena.generation = generation
            for i in range(5):
                arena.area(f"{os.getpid()} {generation} {i}", 64 * i + 1)
                arena.cells(f"{os.getpid()} {generation} cells {i}", i + 1, gauge=i == 3)
            arena.sweep(generation - 2)

    for _ in range(30):
        children = [fork(churn) for _ in range(3)]
        for _ in range(chance.randrange(1, 40)):
            arena.entries()
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        arena.area("kept", 100)
        while changes := watch.changes():
            for slot, name in changes:
                known.pop(slot, None)
                known.update({slot: name} if name is not None else {})
        assert sorted(known.values()) == sorted(arena.entries())
    arena.sweep(1 << 40)
    assert set(arena.entries()) == {"kept"}
