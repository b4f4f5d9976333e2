"""Processes that have no descriptor left: they wait for better times, nobody is ended for it."""

from __future__ import annotations

import resource
import time

from tests.harness import Gateway, eventually
from tests.harness.processes import is_alive
from tests.supervision.instance import QUICK, configuration, is_complete, pids, restarts

TIMEOUT = 1.0  # seconds


def limit(pid: int, descriptors: int) -> None:
    """So many, from now on; those that are open stay so."""
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(descriptors, hard), hard))


def test_a_worker_without_a_free_descriptor_shows_that_it_lives() -> None:
    """Its clients took them all: they must not be cut off for that."""
    with Gateway(configuration(server={"worker_timeout": f"{TIMEOUT:.0f}s"})) as gateway:
        everybody = [gateway.process.pid, *pids(gateway)]
        for pid in everybody:
            limit(pid, 3)
        end = time.monotonic() + 3 * TIMEOUT
        while time.monotonic() < end:
            assert all(map(is_alive, everybody))
            time.sleep(0.01)
        for pid in everybody:
            limit(pid, 1000)
        eventually(lambda: is_complete(gateway, 2))
        assert gateway.chat(model=QUICK).status_code == 200
        assert [gateway.process.pid, *pids(gateway)] == everybody
        assert restarts(gateway) == {}
        assert not [line for line in gateway.log if "internal error" in line["message"]]
