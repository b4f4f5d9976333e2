"""Addresses that come and go while the gateway runs: nobody who is connected is lost, whoever connects is refused."""

from __future__ import annotations

import errno
import os
import signal
import socket
from contextlib import ExitStack
from typing import Any

from tests.harness import Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import children, ended_children, state, threads
from tests.harness.sampling import read
from tests.server.raw import Wire, request
from tests.supervision.instance import (
    QUICK,
    SLOW,
    configuration,
    health,
    hup,
    is_complete,
    pids,
    reload,
    restarts,
    said,
    write,
)
from tests.supervision.test_bad_moments import ASK
from tests.supervision.test_reload_under_load import under_load


def test_listeners_come_and_go() -> None:
    """An address comes beside the first, which then goes: who is connected is served on, who connects is refused."""
    first, second = free_ports(2)
    config = configuration()
    with Gateway(listening(config, first)) as gateway:
        clients: list[Load] = []
        with under_load(gateway, streams=10, far=False):
            reload(gateway, listening(config, first, second))
            for number in range(3):  # comes, goes, comes again
                eventually(lambda: "ok" in read(second, "/live"), what="the new address")
                with Load(
                    ("127.0.0.1", second), kept=4, fresh=4, streams=4, words=10, model=QUICK, seed=number
                ) as load:
                    reload(gateway, listening(config, first))
                    eventually(lambda: is_refused(second), what="the address is gone")
                clients.append(load)
                reload(gateway, listening(config, first, second))
        with Load(("127.0.0.1", first), kept=4, fresh=4, streams=8, words=10, model=SLOW) as load:
            write(gateway, listening(config, second))
            hup(gateway)
            eventually(lambda: is_refused(first), what="the first address is gone")
        clients.append(load)
        for load in clients:
            assert [lost for lost in load.lost if lost.port or "ConnectionRefused" not in lost.why] == []
        gateway.port = second
        assert is_complete(gateway, 2)
        assert restarts(gateway) == {}


def test_the_port_file_says_the_port_of_the_first_address_after_every_reload() -> None:
    first, second = free_ports(2)
    config = configuration()
    with Gateway(listening(config, first)) as gateway:
        file = gateway.folder / "port"
        for ports in ([second, first], [second], [first, second]):
            reload(gateway, listening(config, *ports))
            assert int(file.read_text()) == ports[0]
            gateway.port = ports[0]
            if first not in ports:
                eventually(lambda: is_refused(first), what="the first address is gone")
        file.unlink()
        file.mkdir()
        reload(gateway, listening(config, second), good=False)
        assert said(gateway, f"cannot write {file}: Is a directory")
        assert health(gateway)["generation"] == 4
        reload(gateway, listening(config, first))  # the same port: there is nothing to write


def test_who_waits_on_a_dropped_address_for_a_worker_that_dies_now_is_served_by_another() -> None:
    """The supervisor hears of both at once."""
    first, second = free_ports(2)
    config = configuration()
    with Gateway(listening(config, first, second)) as gateway, ExitStack() as stack:
        supervisor, victim = gateway.process.pid, pids(gateway)[0]
        file = gateway.folder / "gateway.yaml"
        gateway.write(listening(config, second))
        text = file.read_text()
        file.unlink()
        os.mkfifo(file)
        hup(gateway)
        eventually(lambda: len(children(supervisor)) == 3, what="the checker, which waits for its file")
        for pid in (supervisor, victim):
            os.kill(pid, signal.SIGSTOP)
            eventually(lambda: state(pid) == "T")  # noqa: B023
        file.write_text(text)
        eventually(lambda: len(ended_children(supervisor)) == 1, what="the check is over")
        waiting = [stack.enter_context(Wire(first)).send(request(ASK)) for _ in range(30)]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: state(victim) == "Z" and threads(victim) == [victim], what="the worker too, whole")
        os.kill(supervisor, signal.SIGCONT)
        assert {wire.answer().status for wire in waiting} == {200}
        eventually(lambda: is_refused(first), what="the address is gone")


def listening(config: dict[str, Any], *ports: int) -> dict[str, Any]:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    return {**config, "server": {**config["server"], "listen": addresses}}


def free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [probe.getsockname()[1] for probe in probes]


def is_refused(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(20)
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
