"""Reloads under load lose no request and cut no stream: the same configuration, changed ones, and wrong ones.

Small here; `tests/soak` does it in full.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.harness import FakeProvider, Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import clients
from tests.harness.sampling import Sampling, read
from tests.server.raw import Wire, request
from tests.supervision.instance import (
    QUICK,
    SLOW,
    configuration,
    generations,
    health,
    hup,
    is_complete,
    reload,
    reloads,
    repeats,
    restarts,
    said,
    write,
)

ASK = b'{"model":"quick","messages":[{"role":"user","content":"hello"}]}'
WRONG = [  # what is wrong, and how its line in the log begins to say so
    ("server: [", "gateway.yaml:"),
    ("server: {listne: 1}\nproviders: {e: {type: ech}}", "server.listne: unknown key"),
    ("providers: {e: {type: echo, models: {m: {}}}}\nmodels: {m: {targets: [{provider: nobody}]}}", "nobody"),
    ("providers: {e: {type: 'no_such_module_here:Name'}}", "no_such_module_here"),
    ("", "gateway.yaml"),
]


@contextmanager
def under_load(gateway: Gateway, *, streams: int, far: bool) -> Iterator[list[Load]]:
    """Whole answers over kept and new connections, and streams, from a provider inside and a real one."""
    address = ("127.0.0.1", gateway.port)
    with ExitStack() as stack:
        loads = [Load(address, kept=6, fresh=2, model=QUICK), Load(address, streams=streams, model=SLOW, seed=2)]
        if far:
            loads.append(Load(address, kept=2, streams=streams // 8, words=20, model="m", seed=3))
        for load in loads:
            stack.enter_context(load)
        yield loads
        for load in loads:
            load.goes_on()
    for load in loads:
        load.loses_nothing()


def variant(config: dict[str, Any], number: int) -> dict[str, Any]:
    """A right configuration that differs a little, or not at all."""
    changed: dict[str, Any] = {**config, "providers": {name: {**each} for name, each in config["providers"].items()}}
    kind = number % 4
    if kind == 0:  # a new pool for the real provider, while streams run over the old one
        changed["providers"]["p0"]["connection_pool"] = {"max_connections_per_host": 50 + number}
    elif kind == 1:  # a provider comes, and goes with the next
        changed["providers"]["passing"] = {"type": "echo", "models": {f"passing-{number}": {}}}
    elif kind == 2:
        changed["streaming"] = {"keepalive_after": f"{10 + number}s"}
    return changed


def storm(gateway: Gateway, config: dict[str, Any], rounds: int, dice: random.Random) -> None:
    """Good and bad files mixed, every kind of them; every outcome is exactly as it should be."""
    every = list(range(rounds))
    dice.shuffle(every)
    for number in every:
        good, bad = reloads(gateway)
        generation = health(gateway)["generation"]
        if number % 5 < 3:
            reload(gateway, variant(config, number))
            eventually(lambda: generations(gateway) == {generation + 1}, what="the new generation everywhere")  # noqa: B023
            assert reloads(gateway) == (good + 1, bad)
            continue
        text, words = WRONG[number // 2 % len(WRONG)]
        lines = len(gateway.log)
        reload(gateway, text, good=False)
        assert generations(gateway) == {generation}
        eventually(lambda: any(words in str(line) for line in gateway.log[lines:]), what=f"{words} in the log")  # noqa: B023


@pytest.fixture
def far() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        provider.answer(repeats)
        yield provider


def test_reloads_lose_nothing(far: FakeProvider) -> None:
    config = configuration(far.url)
    with Gateway(config) as gateway, Sampling(gateway.port) as sampling:
        with under_load(gateway, streams=40, far=True) as loads:
            storm(gateway, config, 10, random.Random(1))
            loads[1].goes_on()
        sampling.never_fell()
        assert sampling.unanswered == 0
        assert restarts(gateway) == {}
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)
        answered = sum(sum(load.answered.values()) for load in loads)
        counted = {name: value for name, value in gateway.metrics().items() if "llm_gateway_requests_total" in name}
        assert sum(counted.values()) == answered, counted


def test_every_problem_of_a_bad_file_is_logged_and_nothing_changes() -> None:
    config = configuration()
    with Gateway(config) as gateway:
        before = read(gateway.port, "/v1/models")
        reload(gateway, "server: {listne: 1}\nproviders:\n  e: {type: ech}\n  f: {type: echo, mdels: {}}\n", good=False)
        for what in ("gateway.yaml:1:10: server.listne", "gateway.yaml:3:13: providers.e.type", "providers.f.mdels"):
            eventually(lambda: said(gateway, what), what=what)  # noqa: B023
        assert read(gateway.port, "/v1/models") == before
        assert (health(gateway)["generation"], reloads(gateway)) == (1, (0, 1))


def test_the_number_of_workers_goes_up_and_down() -> None:
    config = configuration(workers=2)
    with Gateway(config) as gateway, Sampling(gateway.port) as sampling:
        with under_load(gateway, streams=20, far=False) as loads:
            for number in (3, 1, 2):
                reload(gateway, {**config, "server": {**config["server"], "workers": number}})
                eventually(lambda: ready(gateway) == number, what=f"{number} workers")  # noqa: B023
                for load in loads:
                    load.goes_on()
        sampling.never_fell()
        assert sampling.unanswered == 0
        assert restarts(gateway) == {}
        eventually(lambda: is_complete(gateway, 2), ceiling=100, what="retired workers gone")


def test_a_retiring_worker_keeps_idle_connections_and_asks_them_to_leave(stack: ExitStack) -> None:
    """A client that sends just as its connection is closed would lose its request: so the client is told to close."""
    config = configuration(workers=3)
    with Gateway(config) as gateway:
        wires = [stack.enter_context(Wire(gateway.port)) for _ in range(24)]
        assert {wire.ask(request(ASK)).status for wire in wires} == {200}
        reload(gateway, {**config, "server": {**config["server"], "workers": 1}})
        retiring = [worker["pid"] for worker in health(gateway)["workers"] if worker["state"] == "retiring"]
        theirs = set[int]().union(*(clients(pid, gateway.port) for pid in retiring))
        time.sleep(1)  # whoever closes idle connections soon has done so by now
        assert theirs, "they had nobody"
        for wire in wires:
            port = wire.socket.getsockname()[1]
            answer = wire.ask(request(ASK))
            assert (answer.status, answer.headers.get("connection") == "close") == (200, port in theirs)
        eventually(lambda: is_complete(gateway, 1), what="they leave when their last client has left")


def ready(gateway: Gateway) -> int:
    return [worker["state"] for worker in health(gateway)["workers"]].count("ready")


def test_fifty_reloads_at_once_are_some_reloads() -> None:
    """Signals that come while a reload runs ask for one more, of the newest file: the last one written counts."""
    config = configuration()
    with Gateway(config) as gateway, under_load(gateway, streams=10, far=False):
        for number in range(50):
            write(gateway, {**config, "models": {f"m{number}": {"targets": [{"provider": "quick", "model": QUICK}]}}})
            hup(gateway)
        eventually(lambda: '"m49"' in read(gateway.port, "/v1/models"), ceiling=60, what="the last file")
        eventually(lambda: generations(gateway) == {reloads(gateway)[0] + 1}, what="one generation")
        good, bad = reloads(gateway)
        assert (1 <= good <= 50, bad) == (True, 0)
        assert restarts(gateway) == {}
        assert gateway.process.poll() is None
