"""Workers killed under load: each takes its own connections with it, and nothing else is wrong afterwards.

A worker is stopped for an instant before it is killed, so that the kernel can say exactly whose connections it had; the
other half of them is killed without that, and a loss must then not be anybody's who was with another worker.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from contextlib import ExitStack

import pytest

from tests.harness import FakeProvider, Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import clients, kill_known
from tests.harness.sampling import Sampling
from tests.supervision.instance import (
    QUICK,
    SLOW,
    configuration,
    is_complete,
    pids,
    repeats,
    restarts,
    said,
)

MOST = 60  # requests at once


def test_who_has_no_descriptor_left_for_a_dead_ones_sockets_leaves_them_to_another() -> None:
    """Its clients took them all. It must not be believed to accept: half of all connections would wait for ever."""
    with Gateway(configuration(workers=2)) as gateway:
        full, victim = pids(gateway)
        resource.prlimit(full, resource.RLIMIT_NOFILE, (3, 1000))
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: said(gateway, "too many open files"), what="it is said")
        resource.prlimit(full, resource.RLIMIT_NOFILE, (1000, 1000))
        eventually(lambda: is_complete(gateway, 2) and full not in pids(gateway), ceiling=100, what="it is replaced")
        for _ in range(20):
            assert gateway.chat(model=QUICK).status_code == 200
        assert restarts(gateway) == {"killed": 1}


def kill_one(gateway: Gateway, workers: list[int], dice: random.Random) -> tuple[float, set[int], set[int]]:
    """Kill one of them; when that was, whose connections it may have had, and whose it cannot have had."""
    victim = dice.choice(workers)
    others = [pid for pid in workers if pid != victim]
    if dice.random() < 0.5:
        own = kill_known(victim, gateway.port)
        return time.monotonic(), own, set()
    spared = set[int]().union(*(clients(pid, gateway.port) for pid in others))
    os.kill(victim, signal.SIGKILL)
    return time.monotonic(), set(), spared


def kill(gateway: Gateway, loads: list[Load], kills: int, dice: random.Random) -> None:
    """One after the other, each under load that has recovered from the one before."""
    for number in range(1, kills + 1):
        for load in loads:
            load.goes_on()
        before = [len(load.lost) for load in loads]
        workers = pids(gateway)
        at, own, spared = kill_one(gateway, workers, dice)
        eventually(lambda: set(pids(gateway)) != set(workers), what="its death is seen")  # noqa: B023
        eventually(lambda: is_complete(gateway, len(workers)), ceiling=100, what="a replacement")  # noqa: B023
        eventually(lambda: sum(restarts(gateway).values()) == number, what="the restart is counted")  # noqa: B023
        for load in loads:
            load.goes_on()
        for load, known in zip(loads, before):
            for lost in load.lost[known:]:
                assert lost.port, lost
                assert lost.connected <= at, f"lost after the kill, at {at}: {lost}"
                assert lost.port in own if own else lost.port not in spared, lost


def test_a_killed_worker_loses_its_own_connections_only() -> None:
    killed_workers(kills=3, streams=40)


@pytest.mark.soak
def test_twenty_killed_workers_under_two_hundred_streams() -> None:
    killed_workers(kills=20, streams=200, pace="250ms")


def killed_workers(kills: int, streams: int, pace: str = "50ms") -> None:
    with FakeProvider() as far, ExitStack() as stack:
        far.answer(repeats)
        gateway = stack.enter_context(
            Gateway(configuration(far.url, pace=pace, server={"max_in_flight": streams + 40}))
        )
        sampling = stack.enter_context(Sampling(gateway.port))
        address = ("127.0.0.1", gateway.port)
        with (
            Load(address, kept=6, fresh=2, model=QUICK) as whole,
            Load(address, streams=streams, model=SLOW, seed=2) as slow,
            Load(address, kept=2, streams=4, words=20, model="m", seed=3) as real,
        ):
            kill(gateway, [whole, slow, real], kills, random.Random(7))
        loads = [whole, slow, real]
        sampling.goes_on()
        sampling.never_fell()
        assert sampling.unanswered <= kills
        assert restarts(gateway) == {"killed": kills}
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0, what="nobody is active")
        answered, lost = sum(sum(load.answered.values()) for load in loads), sum(len(load.lost) for load in loads)
        counted = sum(v for name, v in gateway.metrics().items() if name.startswith("llm_gateway_requests_total"))
        assert answered - lost - 12 * kills <= counted <= answered + lost, (answered, lost, counted)
        every_slot_is_free(gateway, streams + 40)


def every_slot_is_free(gateway: Gateway, most: int) -> None:
    """Whatever the dead held has been given back: so many streams at once are let in, and not one more."""
    with Load(("127.0.0.1", gateway.port), streams=most, words=200, model=SLOW) as load:
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == most, ceiling=100, what="all run")
        assert load.lost == []
        for _ in range(8):
            assert gateway.chat(model=QUICK).status_code == 503
