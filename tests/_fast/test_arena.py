"""Names in the arena: one place for a name, zeros when new, freed when nobody wants it, a clear word when full."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from gateway import _fast

MEBIBYTE = 1 << 20


@pytest.fixture
def arena(fast: ModuleType) -> Any:
    return fast.Arena(seed=bytes(16))


def names(watch: Any, known: dict[int, str]) -> set[str]:
    """What `watch` has told so far, over all calls with the same `known`."""
    while changes := watch.changes(3):
        assert len(changes) <= 3
        for slot, name in changes:
            known.pop(slot, None)
            known.update({slot: name} if name is not None else {})
    return set(known.values())


def test_a_name_is_one_area_and_areas_do_not_meet(arena: Any) -> None:
    sizes = [1, 8, 63, 64, 65, 200, 4096, 100_000]
    places = {size: arena.area(f"area of {size}", size) for size in sizes}
    assert all(place % 64 == 0 for place in places.values())
    ends = [place + size for size, place in sorted(places.items(), key=lambda item: item[1])]
    assert all(end <= place for end, place in zip(ends, sorted(places.values())[1:]))
    assert {size: arena.area(f"area of {size}", size) for size in sizes} == places
    assert arena.entries() == {f"area of {size}": size for size in sizes}


def test_a_name_has_one_size_and_one_kind(arena: Any) -> None:
    arena.area("a", 100)
    arena.cells("b", 3, gauge=False)
    again: list[Callable[[], object]] = [
        lambda: arena.area("a", 101),
        lambda: arena.area("b", 3),
        lambda: arena.cells("a", 100, gauge=False),
        lambda: arena.cells("b", 4, gauge=False),
        lambda: arena.cells("b", 3, gauge=True),
    ]
    for claim in again:
        with pytest.raises(ValueError, match=r"already in the arena|^\('"):
            claim()


@pytest.mark.parametrize(
    ("name", "size"), [("", 1), ("a", 0), ("a", -5), ("n" * 4097, 1), ("é" * 2049, 1), ("\udc80", 1)]
)
def test_impossible_names_and_sizes_are_refused(arena: Any, name: str, size: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        arena.area(name, size)
    assert arena.entries() == {}
    arena.area("é" * 2048, 1)


def test_impossible_arenas_are_refused(fast: ModuleType) -> None:
    for wrong in ({"reserve": -1}, {"reserve": 1 << 50}, {"seed": b"short"}):
        with pytest.raises(ValueError):  # noqa: PT011
            fast.Arena(**wrong)
    assert len(fast.Arena(reserve=0).seed) == 16
    assert fast.Arena().seed != fast.Arena().seed
    for column in (-1, 256):
        with pytest.raises(ValueError):  # noqa: PT011
            fast.Arena().join(column)


def test_what_no_generation_wants_is_freed(arena: Any) -> None:
    arena.area("for ever", 8)
    arena.generation = 1
    for name in ("claimed again", "stamped", "dropped"):
        arena.area(name, 8)
    arena.generation = 2
    arena.area("claimed again", 8)
    assert arena.stamp("stamped")
    assert not arena.stamp("unheard of")
    assert arena.sweep(1) == 0
    assert arena.sweep(2) == 1
    assert set(arena.entries()) == {"for ever", "claimed again", "stamped"}
    assert not arena.stamp("dropped")
    arena.area("dropped", 800)
    assert arena.sweep(100) == 3
    assert set(arena.entries()) == {"for ever"}


def test_the_past_takes_no_stamp_back_and_generation_0_is_for_ever(arena: Any) -> None:
    arena.generation = 5
    arena.area("a", 8)
    arena.area("b", 8)
    arena.generation = 4
    arena.stamp("a")
    assert arena.sweep(5) == 0
    arena.generation = 0
    arena.area("b", 8)
    arena.generation = 7
    arena.stamp("b")
    assert arena.sweep(100) == 1
    assert set(arena.entries()) == {"b"}


def test_a_watcher_learns_every_name_and_every_change(arena: Any) -> None:
    arena.generation = 1
    for i in range(10):
        arena.cells(f"old {i}", 2, gauge=True)
    watch, known = arena.watch(), dict[int, str]()
    assert names(watch, known) == {f"old {i}" for i in range(10)}
    assert watch.changes() == []
    arena.generation = 2
    arena.area("new", 100)
    arena.stamp("old 3")
    arena.sweep(2)
    assert names(watch, known) == {"new", "old 3"}
    arena.sweep(2)
    for i in range(9):
        arena.cells(f"next {i}", 2, gauge=False)
    assert names(watch, known) == {"new", "old 3", *(f"next {i}" for i in range(9))}
    assert names(arena.watch(), {}) == names(watch, known)
    assert len(arena.watch().changes(2**40)) == len(arena.watch().changes(1000))
    assert watch.changes() == []


def test_columns_are_alive_from_join_to_leave(arena: Any) -> None:
    assert (arena.column, arena.alive(), arena.joins) == (0, [0], 0)
    arena.join(7)
    arena.join(2)
    assert (arena.column, arena.alive(), arena.joins) == (2, [0, 2, 7], 2)
    assert arena.usage()["columns"] == 8
    arena.leave(7)
    assert arena.alive() == [0, 2]


def test_freed_space_is_taken_again_but_not_at_once() -> None:
    """One sweep long a reader that has not heard of it still reads the last numbers, and never another name's."""
    arena = _fast.Arena(reserve=MEBIBYTE)
    arena.generation = 1
    before = {arena.area(f"a{i}", 1000) for i in range(20)}
    arena.sweep(2)
    taken = arena.usage()["taken"]
    assert not before & {arena.area(f"b{i}", 1000) for i in range(20)}
    assert arena.usage()["taken"] > taken
    arena.sweep(1)
    assert arena.usage()["resting"] == 0
    taken = arena.usage()["taken"]
    assert {arena.area(f"c{i}", 1010) for i in range(20)} == before
    assert arena.usage()["taken"] == taken


def test_freed_space_comes_back_as_zeros() -> None:
    arena = _fast.Arena(reserve=MEBIBYTE * 4)
    arena.generation = 1
    for name, size in (("small", 9), ("large", 30_000)):
        words = _fast.Words(arena, name, size)
        for i in range(size):
            words.store(i, -1)
    cells = [_fast.CounterCell(arena, f"cell {i}") for i in range(3)]
    for column in (0, 1, 5):
        arena.join(column)
        for cell in cells:
            cell.add(7)
    arena.sweep(2)
    arena.sweep(2)
    for name, size in (("another", 9), ("large one", 30_000)):
        words = _fast.Words(arena, name, size)
        assert {words.load(i) for i in range(size)} == {0}
    assert [_fast.GaugeCell(arena, f"gauge {i}").value for i in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(("kind", "size"), [("area", 8), ("area", 50_000), ("cells", 20)])
def test_a_full_arena_says_what_it_holds_and_goes_on(kind: str, size: int) -> None:
    arena = _fast.Arena(reserve=MEBIBYTE)
    arena.generation = 1

    def claim(name: str) -> int:
        return arena.area(name, size) if kind == "area" else arena.cells(name, size, gauge=False)

    def fill() -> None:
        for i in range(1000):
            claim(f"n{i}")

    first = claim("n0")
    with pytest.raises(MemoryError, match=r"arena is full: n\d+ of size \d+ .* of 128 names \(0 swept\), .* of cells"):
        fill()
    assert claim("n0") == first
    with pytest.raises(MemoryError, match="arena is full"):
        arena.area("huge", 1 << 62)
    arena.sweep(2)
    arena.sweep(2)
    claim("another")


def test_a_thousand_generations_need_no_more_space_than_a_few() -> None:
    arena = _fast.Arena(reserve=MEBIBYTE)
    taken = set()
    for generation in range(1, 1000):
        arena.generation = generation
        for i in range(10):
            arena.area(f"{generation} {i} {'long ' * (i * generation % 20)}", 100 + 100 * i)
            arena.cells(f"{generation} {i}", 1 + i, gauge=False)
        arena.sweep(generation)
        taken.add(arena.usage()["taken"])
    assert len(taken) < 80
    assert arena.usage()["entries"] == 20


def test_a_watcher_that_slept_too_long_begins_anew() -> None:
    arena = _fast.Arena(reserve=MEBIBYTE)
    watch, known = arena.watch(), dict[int, str]()
    assert names(watch, known) == set()
    arena.area("before it slept", 8)
    for generation in range(1, 100):
        arena.generation = generation
        for i in range(9):
            arena.area(f"{generation} {i}", 8)
        if generation in (50, 51, 99):
            assert names(watch, known) == set(arena.entries())
        arena.sweep(generation)
    assert names(watch, known) == set(arena.entries())
