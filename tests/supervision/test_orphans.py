"""The supervisor killed: its workers notice, finish what runs, and go. Nobody is left, and nothing is cut."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

from tests.harness import Gateway, eventually
from tests.harness.load import Load
from tests.harness.processes import is_alive, state, users_of
from tests.server.raw import Wire, request
from tests.supervision.instance import SLOW, configuration, pids, said

WORDS = 80
LONG = b'{"model":"slow","stream":true,"messages":[{"role":"user","content":"' + b"word " * WORDS + b'"}]}'


def test_a_killed_supervisor_leaves_no_orphan_and_cuts_no_stream(stack: ExitStack) -> None:
    with Gateway(configuration()) as gateway:
        workers = pids(gateway)
        streams = [stack.enter_context(Wire(gateway.port)).send(request(LONG)) for _ in range(12)]
        assert {stream.head()[0] for stream in streams} == {200}
        gateway.process.send_signal(signal.SIGKILL)
        for stream in streams:
            said_whole = stream.chunks()
            assert said_whole.count(b'"content":" word"') == WORDS - 1
            assert said_whole.endswith(b"data: [DONE]\n\n")
        eventually(lambda: not any(is_alive(pid) for pid in workers), ceiling=100, what="the workers are gone")
        assert said(gateway, "supervisor is gone")
        assert not gateway.access or {line["status"] for line in gateway.access if line.get("stream")} == {200}


def test_idle_workers_go_soon() -> None:
    with Gateway(configuration()) as gateway, Wire(gateway.port) as idle:
        workers = pids(gateway)
        gateway.process.send_signal(signal.SIGKILL)
        assert idle.is_closed()
        eventually(lambda: not any(is_alive(pid) for pid in workers), ceiling=50)


def test_a_worker_that_was_stopped_meanwhile_goes_too() -> None:
    with Gateway(configuration()) as gateway:
        workers = pids(gateway)
        os.kill(workers[0], signal.SIGSTOP)
        eventually(lambda: state(workers[0]) == "T")
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait(20)
        os.kill(workers[0], signal.SIGCONT)
        eventually(lambda: not any(is_alive(pid) for pid in workers), ceiling=50)


def test_one_killed_in_the_middle_of_a_start_leaves_nobody() -> None:
    """Workers that have not come up yet, and the checker of a reload."""
    with Gateway(configuration()) as gateway, Load(("127.0.0.1", gateway.port), streams=4, words=10, model=SLOW):
        workers = pids(gateway)
        os.kill(workers[0], signal.SIGKILL)
        gateway.process.send_signal(signal.SIGHUP)
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait(20)
        eventually(
            lambda: not users_of(gateway.folder), ceiling=100, what=f"processes left: {users_of(gateway.folder)}"
        )
