"""Who has died is known before anything is decided, whether or not its signal has been read yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.server.supervisor import Supervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Any]:
    supervisor: Any = Supervisor([tmp_path / "none.yaml"], announce=lambda approved, where: None)
    signals = supervisor._signals
    yield supervisor
    supervisor._close()
    signals.restore()


def test_a_worker_is_reaped_before_a_reload_is_brought_about(supervisor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its signal comes in the middle of the turn: what waits in its queues must go to those who live."""
    seen: list[object] = []
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(supervisor._signals, "take", lambda: iter(()))

    def exited(pid: int, *_: object) -> bool:
        seen.append(pid)
        return True

    monkeypatch.setattr(supervisor._crew, "exited", exited)
    monkeypatch.setattr(supervisor._reloads, "look", lambda: seen.append("look"))
    supervisor._turn()
    assert seen == [child, "look"]
