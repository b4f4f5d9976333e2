"""The crew with real workers in real processes, and a supervisor that is kept waiting at bad moments."""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import wiring
from gateway._fast import Arena
from gateway.roster import Roster, State
from gateway.server import children
from gateway.server.channel import Adopt
from gateway.server.crew import Crew
from gateway.server.fleet_meters import FleetMeters
from gateway.telemetry.meters import Meters
from tests.harness import eventually

CONFIG = '{providers: {echo: {type: echo, models: {echo: {}}}}, logging: {log: "%s", access_log: "off"}}'


@pytest.fixture
def arena() -> Arena:
    return Arena()


@pytest.fixture
def crew(arena: Arena) -> Iterator[Crew]:
    with selectors.DefaultSelector() as selector:
        crew = Crew(arena, FleetMeters(Meters(arena)), selector, clean=lambda: None)
        yield crew
        for member in list(crew.fleet.members.values()):
            os.kill(member.pid, signal.SIGKILL)
            _, status = os.waitpid(member.pid, 0)
            assert crew.exited(member.pid, status, time.monotonic())


def employ(crew: Crew, workers: int, folder: Path) -> None:
    file = folder / "gateway.yaml"
    file.write_text(CONFIG % (folder / "app.log"))
    crew.employ(workers, 10.0, Adopt(1, pickle.dumps(wiring.load([file]))))


def test_a_worker_that_is_ready_before_the_supervisor_goes_on_is_shown_so(
    arena: Arena, crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roster = Roster(arena)
    fork = children.fork

    def slow_fork(work: Callable[[], int], clean: Callable[[], None]) -> int:
        pid = fork(work, clean)
        eventually(lambda: roster.row(1).state is State.READY, what="the worker")
        return pid

    monkeypatch.setattr(children, "fork", slow_fork)
    employ(crew, 1, tmp_path)
    crew.settle(time.monotonic())
    assert [(row.slot, row.state, row.pid) for row in roster.rows()] == [(1, State.READY, crew.fleet.members[1].pid)]
