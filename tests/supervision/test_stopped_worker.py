"""A worker that hangs: it is noticed by its heartbeat, its sockets are another's at once, and it is replaced."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from tests.harness import Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import is_alive, state
from tests.harness.sampling import Sampling, read
from tests.supervision.instance import QUICK, SLOW, configuration, is_complete, pids, restarts, said

TIMEOUT = 2.0  # seconds


def stop(gateway: Gateway) -> int:
    """One of the workers; its number."""
    pid = pids(gateway)[0]
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: state(pid) == "T")
    return pid


def stopped_gateway() -> Gateway:
    return Gateway(configuration(server={"worker_timeout": f"{TIMEOUT:.0f}s"}))


def test_a_stopped_worker_is_replaced_in_time() -> None:
    with stopped_gateway() as gateway, Sampling(gateway.port) as sampling:
        address = ("127.0.0.1", gateway.port)
        with (
            Load(address, kept=4, model=QUICK) as kept,
            Load(address, streams=10, words=20, model=SLOW, seed=2) as slow,
        ):
            kept.goes_on()
            slow.goes_on()
            pid, began = stop(gateway), time.monotonic()
            waits = connect_for(gateway.port, 2 * TIMEOUT)
            eventually(lambda: not is_alive(pid), ceiling=10 * TIMEOUT, what="it is killed")
            eventually(lambda: is_complete(gateway, 2), ceiling=10 * TIMEOUT, what="it is replaced")
            kept.goes_on()
            slow.goes_on()
        assert max(waits) < TIMEOUT + 1.0, sorted(waits)[-5:]
        assert max(waits) > 0.2, "nobody was in the stopped one's queue: this proves nothing"
        for load in (kept, slow):
            assert all(lost.connected < began for lost in load.lost), load.lost
        eventually(lambda: restarts(gateway) == {"silent": 1})
        assert said(gateway, "silent")
        sampling.goes_on()
        sampling.never_fell()
        eventually(lambda: gateway.metrics()["llm_gateway_active_requests"] == 0)


def connect_for(port: int, seconds: float) -> list[float]:
    """Ask over a new connection, again and again, many at once; how long each answer took."""
    end = time.monotonic() + seconds

    def ask() -> list[float]:
        waits = []
        while (began := time.monotonic()) < end:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(b"GET /live HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.1 200"
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
        return waits

    with ThreadPoolExecutor(8) as pool:
        return [wait for each in [pool.submit(ask) for _ in range(8)] for wait in each.result()]


def test_all_workers_stopped_are_all_replaced() -> None:
    with stopped_gateway() as gateway:
        workers = pids(gateway)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        assert "ok" in read(gateway.port, "/live")  # waits for a replacement
        eventually(lambda: not any(is_alive(pid) for pid in workers), ceiling=10 * TIMEOUT)
        eventually(lambda: is_complete(gateway, 2), ceiling=10 * TIMEOUT)
        eventually(lambda: restarts(gateway) == {"silent": 2})


def test_one_that_was_stopped_for_a_moment_goes_on() -> None:
    with stopped_gateway() as gateway, Load(("127.0.0.1", gateway.port), kept=4, fresh=4, model=QUICK) as load:
        pid = stop(gateway)
        time.sleep(TIMEOUT / 4)
        os.kill(pid, signal.SIGCONT)
        for _ in range(20):
            load.goes_on()
        assert is_alive(pid)
        assert restarts(gateway) == {}
        load.loses_nothing()


def test_a_frozen_container_blames_nobody() -> None:
    """Everybody was stopped, as when a machine sleeps, and the supervisor wakes first: it missed the signs itself."""
    with stopped_gateway() as gateway, Load(("127.0.0.1", gateway.port), kept=4, fresh=4, model=QUICK) as load:
        workers = pids(gateway)
        for pid in [gateway.process.pid, *workers]:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2 * TIMEOUT)
        gateway.process.send_signal(signal.SIGCONT)
        time.sleep(TIMEOUT / 4)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        time.sleep(TIMEOUT)
        load.goes_on()
        assert restarts(gateway) == {}
        assert pids(gateway) == workers
    load.loses_nothing()
