"""What older generations left in shared memory is freed once, and not given up while a stopped worker is in the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.server.supervisor import SWEEP_AGAIN, Supervisor


class Held:
    """The shared memory, whose lock somebody has so many times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.swept: list[int] = []

    def sweep(self, before: int) -> int:
        self.times -= 1
        if self.times >= 0:
            raise TimeoutError
        self.swept.append(before)
        return 0


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Any]:
    supervisor: Any = Supervisor([tmp_path / "none.yaml"], announce=lambda approved, where: None)
    supervisor._crew.quiet = lambda: 3
    signals = supervisor._signals
    yield supervisor
    supervisor._close()
    signals.restore()  # all of them: those that end a process too, which are ignored by now


def test_what_is_held_is_swept_later_and_once(supervisor: Any) -> None:
    supervisor._arena = held = Held(2)
    for moment in (0.0, SWEEP_AGAIN / 2, SWEEP_AGAIN, 1.5 * SWEEP_AGAIN):
        supervisor._sweep(1000.0 + moment)
        assert held.swept == []
    assert held.times == 0, "not at every turn: each try takes a second"
    for _ in range(3):
        supervisor._sweep(1000.0 + 2 * SWEEP_AGAIN)
    assert held.swept == [3]
