"""Several things at once: deaths in the middle of reloads, drains and starts; everybody told to stop; nobody there."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.harness import Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import is_alive, state
from tests.server.raw import Wire, request
from tests.supervision.instance import (
    PROBING,
    QUICK,
    SLOW,
    configuration,
    generations,
    health,
    hup,
    is_complete,
    kill,
    order,
    pids,
    reload,
    reloads,
    restarts,
    said,
    with_probe,
    write,
)

STREAM = b'{"model":"slow","stream":true,"messages":[{"role":"user","content":"' + b"word " * 40 + b'"}]}'
ASK = b'{"model":"quick","messages":[{"role":"user","content":"hello"}]}'


def begun(stack: ExitStack, gateway: Gateway, number: int) -> list[Wire]:
    """Streams that have begun."""
    wires = [stack.enter_context(Wire(gateway.port)).send(request(STREAM)) for _ in range(number)]
    assert {wire.head()[0] for wire in wires} == {200}
    return wires


def test_whoever_connects_while_nobody_is_there_is_served_by_the_next(stack: ExitStack) -> None:
    """The only worker is dead: who waits in its queue is not reset, and who comes meanwhile is not refused."""
    with Gateway(configuration(workers=1)) as gateway:
        for _ in range(3):
            os.kill((victim := pids(gateway)[0]), signal.SIGSTOP)
            eventually(lambda: state(victim) == "T")
            waiting = [stack.enter_context(Wire(gateway.port)).send(request(ASK)) for _ in range(20)]
            os.kill(victim, signal.SIGKILL)
            waiting += [stack.enter_context(Wire(gateway.port)).send(request(ASK)) for _ in range(20)]
            assert {wire.answer().status for wire in waiting} == {200}
        eventually(lambda: restarts(gateway) == {"killed": 3})


def test_deaths_in_the_middle_of_reloads() -> None:
    """Every reload succeeds, whoever dies meanwhile; in the end all serve by the newest."""
    config = configuration()
    dice = random.Random(11)
    with Gateway(config) as gateway, Load(("127.0.0.1", gateway.port), fresh=4, model=QUICK) as load:
        for number in range(1, 9):
            victim = dice.choice(pids(gateway))
            hup(gateway)
            time.sleep(dice.random() * 0.06)
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: reloads(gateway) == (number, 0), ceiling=100, what=f"reload {number}")  # noqa: B023
            eventually(lambda: victim not in pids(gateway) and is_complete(gateway, 2), ceiling=100)  # noqa: B023
            assert generations(gateway) == {number + 1}
            load.goes_on()
        assert restarts(gateway) == {"killed": 8}


def test_all_workers_killed_at_once(stack: ExitStack) -> None:
    with Gateway(configuration(workers=3)) as gateway:
        begun(stack, gateway, 12)
        before = pids(gateway)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        with Wire(gateway.port) as wire:
            assert wire.ask(request(ASK)).status == 200
        eventually(lambda: not set(pids(gateway)) & set(before) and is_complete(gateway, 3), ceiling=100)
        assert restarts(gateway) == {"killed": 3}
        assert gateway.metrics()["llm_gateway_active_requests"] == 0


def test_everybody_is_told_to_stop(stack: ExitStack) -> None:
    """As systemd and a terminal do it: a signal to every process, in any order. Streams finish, nobody is replaced."""
    for number, end in enumerate([signal.SIGTERM, signal.SIGTERM, signal.SIGINT]):
        with Gateway(configuration(server={"drain_timeout": "60s"})) as gateway:
            wires = begun(stack, gateway, 6)
            everybody = [gateway.process.pid, *pids(gateway)]
            random.Random(number).shuffle(everybody)
            for pid in everybody:
                os.kill(pid, end)
            assert all(wire.chunks().endswith(b"data: [DONE]\n\n") for wire in wires)
            assert gateway.process.wait(60) == 0
            assert not any(is_alive(pid) for pid in everybody)


def test_a_retiring_worker_that_is_killed_takes_only_its_own(stack: ExitStack) -> None:
    """Nobody takes its slot afterwards; what it held is given back all the same."""
    config = configuration(workers=3, server={"max_in_flight": 18})
    with Gateway(config) as gateway:
        wires = begun(stack, gateway, 18)
        reload(gateway, {**config, "server": {**config["server"], "workers": 1}})
        retiring = [worker["pid"] for worker in health(gateway)["workers"] if worker["state"] == "retiring"]
        assert retiring, "nobody has a stream"
        os.kill(retiring[0], signal.SIGKILL)
        eventually(lambda: retiring[0] not in pids(gateway))
        complete = [is_whole(wire) for wire in wires]
        assert any(complete)
        stack.close()
        eventually(lambda: is_complete(gateway, 1), ceiling=100)
        assert gateway.metrics()["llm_gateway_active_requests"] == 0
        with ExitStack() as again:
            begun(again, gateway, 18)
            assert gateway.chat(model=QUICK).status_code == 503


def is_whole(wire: Wire) -> bool:
    try:
        return wire.chunks().endswith(b"data: [DONE]\n\n")
    except (AssertionError, OSError, ValueError):
        return False


def test_a_stopped_worker_holds_up_neither_a_reload_nor_the_end() -> None:
    timeout = {"worker_timeout": "2s", "drain_timeout": "2s"}
    with Gateway(configuration(server=timeout)) as gateway:
        os.kill(stopped := pids(gateway)[0], signal.SIGSTOP)
        hup(gateway)
        eventually(lambda: gateway.log and "reloaded" in str(gateway.log), ceiling=50, what="the reload")
        eventually(lambda: generations(gateway) == {2} and is_complete(gateway, 2), ceiling=50)
        assert not is_alive(stopped)
        os.kill(pids(gateway)[0], signal.SIGSTOP)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(60) == 0


def test_a_worker_killed_before_it_is_up_is_another_start(tmp_path: Path) -> None:
    orders = tmp_path / "orders.json"
    with Gateway(with_probe(configuration(), orders), environ=PROBING) as gateway:
        order(orders, worker="hang")
        before = set(pids(gateway))
        os.kill(min(before), signal.SIGKILL)
        eventually(lambda: "starting" in states(gateway), what="one that hangs while it starts")
        order(orders)
        os.kill((set(pids(gateway)) - before).pop(), signal.SIGKILL)
        eventually(lambda: is_complete(gateway, 2), ceiling=50)
        assert restarts(gateway) == {"killed": 2}


def states(gateway: Gateway) -> set[str]:
    return {worker["state"] for worker in health(gateway)["workers"]}


def test_another_number_while_another_number_is_being_brought_about() -> None:
    config = configuration()
    with (
        Gateway(config) as gateway,
        Load(("127.0.0.1", gateway.port), kept=4, fresh=4, streams=8, words=20, model=SLOW) as load,
    ):
        for number in (4, 1, 3, 1, 2):
            write(gateway, {**config, "server": {**config["server"], "workers": number}})
            hup(gateway)
            time.sleep(0.05)
        eventually(lambda: generations(gateway) and states(gateway) <= {"ready", "retiring"}, ceiling=50)
        eventually(lambda: [w["state"] for w in health(gateway)["workers"]].count("ready") == 2, ceiling=100)
        load.goes_on()
        assert restarts(gateway) == {}
    load.loses_nothing()


def test_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(20)
        heard: list[str] = []
        with Gateway(configuration(), environ={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as gateway:
            heard.append(ear.recv(4096).decode())
            reload(gateway, configuration())
            reload(gateway, "server: [", good=False)
            heard += [ear.recv(4096).decode() for _ in range(4)]
            gateway.stop()
            heard.append(ear.recv(4096).decode())
            assert heard[0].splitlines()[0] == "READY=1"
            assert f"MAINPID={gateway.process.pid}" in heard[0]
        words = [said.splitlines()[0] for said in heard]
        assert words == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_many_signals_of_every_kind_at_once() -> None:
    """Whatever comes in whatever order: the gateway lives, serves, and ends when told."""
    config = configuration()
    dice = random.Random(42)
    with Gateway(config) as gateway, Load(("127.0.0.1", gateway.port), kept=4, fresh=4, model=QUICK) as load:
        storm: list[Any] = [signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGWINCH]

        def send() -> None:
            mine = random.Random(dice.random())
            for _ in range(200):
                gateway.process.send_signal(mine.choice(storm))

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        load.goes_on()
        hup(gateway)
        eventually(lambda: generations(gateway) == {reloads(gateway)[0] + 1}, ceiling=100)
        assert restarts(gateway) == {}
        kill(gateway, pids(gateway)[0])
    assert len(load.lost) <= 8


def test_a_worker_that_is_told_to_stop_twice_takes_no_socket_with_it(tmp_path: Path) -> None:
    """It goes before its replacement is ready. Whoever connects meanwhile waits for that, and then nobody does."""
    orders = tmp_path / "orders.json"
    with Gateway(with_probe(configuration(workers=1), orders), environ=PROBING) as gateway:
        order(orders, worker="hang")
        first = pids(gateway)[0]
        os.kill(first, signal.SIGTERM)
        eventually(lambda: said(gateway, "told to stop"), what="the supervisor knows")
        os.kill(first, signal.SIGTERM)
        eventually(lambda: not is_alive(first), what="it goes at once")
        eventually(lambda: len(gateway.workers) == 1, what="its replacement, which hangs")
        with Wire(gateway.port) as early:
            early.send(request(ASK))
            order(orders)
            os.kill(gateway.workers[0], signal.SIGKILL)
            assert early.answer().status == 200
        for _ in range(10):
            assert gateway.chat(model=QUICK).status_code == 200
        eventually(lambda: is_complete(gateway, 1))
