"""How a check can end: with a result, killed, too late, unwanted. And what its process may not have."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.server.checker import LINGER, Check, Examine, start_check
from gateway.server.settings import Settings
from gateway.server.verdict import Approved, Refused
from tests.harness import eventually


def ends_with(examine: Examine, **options: Any) -> Refused:
    found = start_check([], examine=examine, **options).wait()
    assert isinstance(found, Refused)
    return found


def settings(**fields: Any) -> Settings:
    usual = dict.fromkeys(Settings.__dataclass_fields__, "")
    return Settings(**{**usual, "addresses": (), **fields})


def never(files: Sequence[Path], workers: int | None) -> Refused:
    time.sleep(1000)
    raise AssertionError


def is_gone(pid: int) -> bool:
    """Nobody, or dead and waiting for whoever is process 1 here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_one_that_takes_too_long_is_ended() -> None:
    now = [100.0]
    check = start_check([], examine=never, ceiling=60, now=lambda: now[0])
    assert check.result() is None
    now[0] = 159.9
    assert check.result() is None
    now[0] = 160.0
    assert check.result() == Refused(("the check of the configuration took longer than 60 s; does a plug-in wait?",))
    assert is_gone(check.pid)


def test_a_result_larger_than_a_pipe_and_nobody_waits_for_it() -> None:
    config = bytes(range(256)) * 16_384  # 4 MiB
    approved = Approved(settings(lane="aiohttp"), config, ("a warning",), ("m",))
    check = start_check([], examine=lambda *_: approved)
    looks = 0
    while (found := check.result()) is None:
        looks += 1
        assert select.select([check], [], [], 20)[0]
    assert found == approved
    assert looks > 1
    assert check.fileno() == -1
    assert check.result() is found


def test_it_is_asked_for_what_it_was_started_for(tmp_path: Path) -> None:
    seen: Any = start_check([tmp_path], workers=5, examine=lambda *asked: Refused((repr(asked),))).wait()
    assert seen.problems == (repr(([tmp_path], 5)),)


def test_somebody_else_may_meet_the_child() -> None:
    """As a supervisor does that waits for every child."""
    check = start_check([], examine=lambda *_: os._exit(3))
    _, status = os.waitpid(check.pid, 0)
    check.reaped(status)
    assert check.result() == Refused(("the check of the configuration ended without a result; is a plug-in at fault?",))
    check = start_check([], examine=lambda *_: os.kill(os.getpid(), signal.SIGTERM))  # type: ignore[arg-type]
    os.waitpid(check.pid, 0)
    assert "ended without a result" in str(check.wait())


def test_what_it_started_ends_with_it_whoever_meets_it(tmp_path: Path) -> None:
    """Also when it ends by itself, and is reaped before anybody asks for the result."""
    started = tmp_path / "started"

    def examine(files: Sequence[Path], workers: int | None) -> Refused:
        if os.fork() == 0:
            time.sleep(1000)
        with os.scandir("/proc") as entries:
            numbers = [entry.name for entry in entries if entry.name.isdecimal()]
        started.write_text(" ".join(number for number in numbers if parent_of(number) == os.getpid()))
        return Refused(("wrong",))

    check = start_check([], examine=examine)
    _, status = os.waitpid(check.pid, 0)
    (child,) = map(int, started.read_text().split())
    assert not is_gone(child)
    check.reaped(status)
    eventually(lambda: is_gone(child))
    assert check.result() == Refused(("wrong",))


def parent_of(number: str) -> int:
    try:
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_one_that_has_said_everything_but_does_not_end_is_ended() -> None:
    now = [0.0]
    check = start_check([], examine=stays_after(Refused(("wrong",))), now=lambda: now[0])
    eventually(lambda: select.select([check], [], [], 0)[0] and (check.result() or True))
    assert check.result() is None
    now[0] = LINGER
    assert check.result() == Refused(("wrong",))
    assert is_gone(check.pid)


def stays_after(found: Refused) -> Examine:
    def examine(files: Sequence[Path], workers: int | None) -> Approved | Refused:
        os._exit = lambda _: time.sleep(1000)  # type: ignore[assignment,return-value]
        return found

    return examine


def test_an_unwanted_check_leaves_nothing() -> None:
    check = start_check([], examine=never)
    check.abandon()
    assert (is_gone(check.pid), check.fileno()) == (True, -1)
    check.abandon()
    with pytest.raises(ChildProcessError):
        os.waitpid(check.pid, os.WNOHANG)


def test_an_interrupted_wait_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    check = start_check([], examine=never)

    def interrupted(_: Check) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Check, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            check.wait()
    assert is_gone(check.pid)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Path]:
    """A file as standard input."""
    file, before = tmp_path / "typed", os.dup(0)
    file.write_text("secret")
    with file.open() as typed:
        os.dup2(typed.fileno(), 0)
    yield file
    os.dup2(before, 0)
    os.close(before)


def test_the_child_has_given_up_what_it_inherited(terminal: Path) -> None:
    """Handlers, wakeup descriptor, descriptors; the signals meant for the supervisor do not end it."""
    heard: list[int] = []
    wakeup, woken = os.pipe()
    for end in (wakeup, woken):
        os.set_blocking(end, False)
    before = signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    old_wakeup = signal.set_wakeup_fd(woken)
    try:
        found = ends_with(_inventory)
    finally:
        signal.set_wakeup_fd(old_wakeup)
        signal.signal(signal.SIGUSR2, before)
        told = select.select([wakeup], [], [], 0)[0]
        os.close(wakeup)
        os.close(woken)
    descriptors, handler, session, survived = found.problems
    assert descriptors == f"0 1 2 3, 0 is {os.devnull}, none is woken"
    assert handler == str(signal.SIG_DFL)
    assert session == "leader"
    assert survived == "HUP USR1"
    assert (heard, told) == ([], [])


def _inventory(files: Sequence[Path], workers: int | None) -> Refused:
    with os.scandir("/proc/self/fd") as entries:
        there = [int(entry.name) for entry in entries if "/fd" not in os.readlink(entry.path)]
    handler = str(signal.getsignal(signal.SIGUSR2))
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGUSR1)
    session = "leader" if os.getsid(0) == os.getpid() else "member"
    woken = "none" if signal.set_wakeup_fd(-1) < 0 else "one"
    descriptors = f"{' '.join(map(str, sorted(there)))}, 0 is {os.readlink('/proc/self/fd/0')}, {woken} is woken"
    return Refused((descriptors, handler, session, "HUP USR1"))


def test_the_parents_signals_are_as_before() -> None:
    before = signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR2])
    try:
        ends_with(lambda *_: Refused(()))
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR2}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_many_checks_leave_no_descriptor_and_no_child() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        ends_with(lambda *_: Refused(("x",)))
    assert len(os.listdir("/proc/self/fd")) == before
