"""The supervisor's small parts, each by itself: watching, the pid file, systemd, signals, forking."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.server import children
from gateway.server.pid_file import PidFile, Taken
from gateway.server.readiness import Notifier
from gateway.server.signals import Signals
from gateway.server.watch import Watch, beat_interval

# --- watch --------------------------------------------------------------------------------------------------


def looks(watch: Watch, start: float, seconds: float, beats: dict[int, float]) -> dict[int, float]:
    """Look as often as a supervisor would; when each slot was found silent."""
    found: dict[int, float] = {}
    now = start
    while now < start + seconds:
        now += watch.interval
        for slot in watch.look(now, beats):
            found.setdefault(slot, now)
    return found


@pytest.mark.parametrize("timeout", [1.0, 3.0, 10.0, 60.0])
def test_the_silent_is_found_within_the_timeout_and_no_other(timeout: float) -> None:
    watch = Watch(timeout, 1000.0)
    alive = 1000.0 + 3 * timeout
    found = looks(watch, 1000.0, 2 * timeout, {1: alive, 2: 1000.0})
    assert found.keys() == {2}
    assert timeout - 2 * watch.interval - 0.001 <= found[2] - 1000.0 <= timeout + 0.001
    assert beat_interval(timeout) <= timeout / 5
    assert timeout - watch.interval > 3 * beat_interval(timeout)  # one beat may be late, and the next


@pytest.mark.parametrize("asleep", [8.0, 100.0, 1e6])
def test_whoever_looks_late_blames_nobody(asleep: float) -> None:
    watch = Watch(10.0, 1000.0)
    watch.look(1001.0, {1: 1000.5})
    woken = 1001.0 + asleep
    assert watch.look(woken, {1: 1000.5}) == []
    assert looks(watch, woken, 8.0, {1: 1000.5}) == {}
    assert 8.0 < looks(watch, woken + 8.0, 5.0, {1: 1000.5, 2: 2e9})[1] - woken <= 10.0


def test_another_timeout_holds_once_a_sign_in_the_old_rhythm_could_have_come() -> None:
    watch = Watch(60.0, 1000.0)
    watch.look(1001.0, {})
    watch.change(2.0, 1001.0)
    found = looks(watch, 1001.0, 5.0, {1: 999.0, 2: 2e9})
    assert found.keys() == {1}
    assert found[1] - 1001.0 <= beat_interval(60.0) + 2.0


def test_the_same_timeout_again_spares_nobody() -> None:
    watch = Watch(10.0, 1000.0)
    for second in range(1, 9):
        assert watch.look(1000.0 + second, {1: 999.0}) == []
        watch.change(10.0, 1000.5 + second)
    assert watch.look(1009.0, {1: 999.0}) == [1]


@pytest.mark.parametrize("before", [2.0, 10.0, 60.0])
@pytest.mark.parametrize("phase", [step / 20 for step in range(20)])
def test_a_shorter_timeout_blames_nobody_who_is_alive(phase: float, before: float) -> None:
    """The next sign comes when the old timeout said, wherever in the rhythms of both the change falls."""
    for beat in (step / 20 for step in range(20)):
        watch = Watch(before, 1000.0)
        watch.look(1001.0, {1: 1000.5})
        changed = 1001.0 + phase * watch.interval
        last, due = changed - beat * beat_interval(before), changed + (1 - beat) * beat_interval(before)
        next_look = 1001.0 + watch.interval
        watch.change(1.0, changed)
        while next_look < due:
            assert watch.look(next_look, {1: last}) == []
            next_look += watch.interval


# --- pid file -----------------------------------------------------------------------------------------------


def test_the_pid_file_holds_our_number_and_goes_with_us(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("a much longer text than any number\n")
    lock = PidFile(path)
    assert path.read_text() == f"{os.getpid()}\n"
    with pytest.raises(Taken, match=f"pid is locked: another instance runs as process {os.getpid()}"):
        PidFile(path)
    assert path.read_text() == f"{os.getpid()}\n"
    lock.remove()
    assert not path.exists()
    PidFile(path).remove()


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    lock = PidFile(path)
    path.unlink()
    path.write_text("another\n")
    lock.remove()
    assert path.read_text() == "another\n"


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    program = f"from gateway.server.pid_file import PidFile; from pathlib import Path; PidFile(Path({str(path)!r}))"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert path.exists()
    PidFile(path).remove()


# --- systemd ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        name = str(tmp_path / "notify") if request.param == "path" else f"@llm-gateway-test-{os.getpid()}"
        end.bind("\0" + name[1:] if name.startswith("@") else name)
        end.settimeout(10)
        yield end, name


def test_systemd_is_told(systemd: tuple[socket.socket, str]) -> None:
    end, name = systemd
    notify = Notifier({"NOTIFY_SOCKET": name})
    notify.ready()
    assert end.recv(999).decode() == f"READY=1\nMAINPID={os.getpid()}"
    before = time.monotonic_ns() // 1000
    notify.reloading()
    first, _, second = end.recv(999).decode().partition("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    assert before <= int(second) <= time.monotonic_ns() // 1000
    notify.stopping()
    assert end.recv(999) == b"STOPPING=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_listens_and_nothing_happens(environ: dict[str, str]) -> None:
    Notifier(environ).ready()


def test_without_a_descriptor_systemd_is_not_told_and_nothing_breaks(tmp_path: Path) -> None:
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).stopping()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- signals, forking ---------------------------------------------------------------------------------------


def test_signals_can_be_read_and_end_where_they_began() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    signals = Signals([signal.SIGUSR2, signal.SIGWINCH])
    assert list(signals.take()) == []
    os.kill(os.getpid(), signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGWINCH)
    assert set(signals.take()) == {signal.SIGUSR2, signal.SIGWINCH}
    signals.restore()
    assert signal.getsignal(signal.SIGUSR2) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_no_signal_is_lost_in_a_storm_of_others() -> None:
    """More than the socket holds, while nobody looks: a container's process 1 may see so many children end."""
    signals = Signals([signal.SIGUSR2, signal.SIGWINCH])
    try:
        for _ in range(2000):
            os.kill(os.getpid(), signal.SIGWINCH)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert list(signals.take()) == [signal.SIGWINCH, signal.SIGUSR2]
        assert select.select([signals], [], [], 0)[0] == []
        os.kill(os.getpid(), signal.SIGUSR2)
        assert select.select([signals], [], [], 20)[0] == [signals]
    finally:
        signals.restore()


def test_a_signal_whose_predecessor_cannot_be_answered_is_still_there() -> None:
    signals = Signals([signal.SIGUSR2, signal.SIGWINCH])
    try:
        os.kill(os.getpid(), signal.SIGWINCH)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert next(iter(signals.take())) == signal.SIGWINCH
        assert list(signals.take()) == [signal.SIGUSR2]
    finally:
        signals.restore()


WORDS = {0: "exited with status 0", 3 << 8: "exited with status 3", 9: "killed by SIGKILL", 40: "killed by signal 40"}


@pytest.mark.parametrize("status", WORDS)
def test_how_a_process_ended(status: int) -> None:
    assert children.in_words(status) == WORDS[status]


CHILD = """
import os, signal, sys, time
from gateway.server import children
from gateway.server.signals import Signals

signals = Signals([signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD])
cleaned = os.pipe()

def work():
    with open(sys.argv[1], "w") as file:
        states = {number.name: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        print(signal.set_wakeup_fd(-1), blocked, states["SIGTERM"] == signal.SIG_DFL, file=file)
        print(states["SIGINT"] == states["SIGHUP"] == signal.SIG_IGN, os.get_inheritable(0), file=file)
    if sys.argv[2] == "raise":
        raise RuntimeError("in the child")
    if sys.argv[2] == "wait":
        time.sleep(60)
    return 7

def clean():
    signals.close()

pid = children.fork(work, clean)
print(pid, flush=True)
if sys.argv[2] == "wait":
    while not os.path.exists(sys.argv[1]) or not os.path.getsize(sys.argv[1]):
        time.sleep(0.01)
    os._exit(0)  # the parent goes, the child must go too
while not (ended := children.reap()):
    time.sleep(0.01)
print(children.in_words(dict(ended)[pid]), flush=True)
print(children.reap(), signal.SIGCHLD in signals.take(), flush=True)
"""


def run_child(how: str, tmp_path: Path) -> tuple[list[str], str]:
    report = tmp_path / "report"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(report), how], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines(), report.read_text()


def test_a_child_has_nothing_of_its_parents_signals(tmp_path: Path) -> None:
    said, report = run_child("exit", tmp_path)
    assert report == "-1 set() True\nTrue True\n"
    assert said[1:] == ["exited with status 7", "[] True"]


def test_a_child_that_fails_ends_all_the_same(tmp_path: Path) -> None:
    said, _ = run_child("raise", tmp_path)
    assert said[1] == f"exited with status {children.BROKEN}"


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    said, _ = run_child("wait", tmp_path)
    end = time.monotonic() + 20
    while Path(f"/proc/{said[0]}/stat").exists() and " Z " not in Path(f"/proc/{said[0]}/stat").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
