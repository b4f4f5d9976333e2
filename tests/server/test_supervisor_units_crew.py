"""What the supervisor does for those who died."""

from __future__ import annotations

import selectors
from collections.abc import Iterator

import pytest

from gateway._fast import Arena
from gateway.server.crew import Crew
from gateway.server.fleet_meters import FleetMeters
from gateway.telemetry.meters import Meters

NOW = 1000.0


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


def test_what_a_dead_worker_held_is_asked_for_until_it_is_given_back(selector: selectors.BaseSelector) -> None:
    """The table of limits says no while another worker is stopped in it."""
    arena, answers, asked = Arena(reserve=16 << 20), [False, False, True], list[int]()

    def recover(slot: int) -> bool:
        asked.append(slot)
        return answers[len(asked) - 1]

    crew = Crew(arena, FleetMeters(Meters(arena)), selector, lambda: None, recover=(recover,))
    crew.fleet.started(3, 4711, NOW)
    assert crew.exited(4711, 9, NOW)
    for turn in range(5):
        crew.look(NOW + turn, share=False)
    assert asked == [3, 3, 3]


def test_nobody_gives_back_what_a_successor_holds(selector: selectors.BaseSelector) -> None:
    arena, asked = Arena(reserve=16 << 20), list[int]()

    def recover(slot: int) -> bool:
        asked.append(slot)
        return False

    crew = Crew(arena, FleetMeters(Meters(arena)), selector, lambda: None, recover=(recover,))
    crew.fleet.started(3, 4711, NOW)
    assert crew.exited(4711, 9, NOW)
    crew.fleet.started(3, 4712, NOW)
    crew.look(NOW + 1, share=False)
    assert asked == [3]
