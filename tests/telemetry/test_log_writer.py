"""The writer of lines: never waits, loses nothing unseen, breaks no line. Against real pipes, disks and forks."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.telemetry import log_writer
from gateway.telemetry.log_writer import LogWriter

LINE = b'{"n":1}\n'
CEILING = 20.0  # seconds; what is waited for takes milliseconds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def pipe() -> Iterator[tuple[int, str]]:
    """A reading end, and a path that opens the writing end. One page is all the pipe holds."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    yield read, f"/proc/self/fd/{write}"
    os.close(write)
    os.close(read)


class Disk:
    """Stands between the writer and os.write: refuses, takes a part, or waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts = 0
        self.largest = 0
        self.plan: list[int | OSError] = []  # for each attempt: how many bytes to take, or what to raise
        self.refusal: OSError | None = None
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        self.attempts += 1
        self.largest = max(self.largest, len(data))
        step = self.plan.pop(0) if self.plan else self.refusal
        if isinstance(step, OSError):
            raise step
        return self._write(fd, data if step is None else data[:step])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


FULL = OSError(errno.ENOSPC, "No space left on device")


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + CEILING
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def lines(count: int, size: int = 100) -> list[bytes]:
    return [b"%d " % i + b"x" * (size - len(b"%d " % i) - 1) + b"\n" for i in range(count)]


def queue_together(writer: LogWriter, made: list[bytes]) -> None:
    """One batch, however slow this machine is: the thread hears of the first line when the last is queued."""
    writer._lines.extend(made)
    writer._accepted += sum(map(len, made))
    writer._wake()


def read_lines(fd: int, count: int, at_once: int) -> bytes:
    """So many lines, in small reads."""
    found = b""
    while found.count(b"\n") < count:
        assert select.select([fd], [], [], CEILING)[0], "nothing came"
        found += os.read(fd, at_once)
    return found


def drain(fd: int) -> bytes:
    os.set_blocking(fd, False)
    found = b""
    while True:
        try:
            part = os.read(fd, 65536)
        except BlockingIOError:
            return found
        if not part:
            return found
        found += part


def test_lines_arrive_in_order_without_a_close(file: Path) -> None:
    writer = LogWriter(str(file))
    made = lines(5_000)
    for line in made:
        writer.write(line)
    wait_for(lambda: file.stat().st_size == sum(map(len, made)))
    assert file.read_bytes() == b"".join(made)
    assert writer.dropped == 0
    writer.close()


def test_many_lines_are_one_write(file: Path, disk: Disk) -> None:
    writer = LogWriter(str(file))
    queue_together(writer, lines(1_000))
    writer.close()
    assert file.read_bytes().count(b"\n") == 1_000
    assert disk.attempts == 1


def test_a_trickle_of_lines_is_gathered(file: Path, disk: Disk) -> None:
    writer = LogWriter(str(file), linger=CEILING)
    for line in lines(5):
        writer.write(line)
        time.sleep(0.01)
    writer.close()
    assert disk.attempts == 1
    assert writer.dropped == 0


def test_what_is_written_makes_room_in_the_queue(file: Path) -> None:
    writer = LogWriter(str(file), max_bytes=1_000, linger=0)
    for number, line in enumerate(lines(50), start=1):
        writer.write(line)
        wait_for(lambda size=number * 100: file.stat().st_size == size and not writer._in_flight)  # type: ignore[misc]
    writer.close()
    assert writer.dropped == 0


def test_no_thread_before_the_first_line(file: Path) -> None:
    before = set(threading.enumerate())
    writer = LogWriter(str(file))
    assert set(threading.enumerate()) == before
    writer.write(LINE)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    writer.close()
    assert not thread.is_alive()


def test_what_is_there_is_kept(file: Path) -> None:
    file.write_bytes(b"old\n")
    writer = LogWriter(str(file))
    writer.write(LINE)
    writer.close()
    assert file.read_bytes() == b"old\n" + LINE


def test_a_line_that_somebody_left_unfinished_is_closed_first(file: Path) -> None:
    file.write_bytes(b'old\n{"half":')
    writer = LogWriter(str(file))
    writer.write(LINE)
    writer.close()
    assert file.read_bytes() == b'old\n{"half":\n' + LINE


def test_off_writes_and_counts_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter("off")
    writer.write(LINE)
    writer.reopen()
    writer.close()
    assert (writer.enabled, writer.dropped, capfd.readouterr().err) == (False, 0, "")


def test_stderr_is_written_and_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter("stderr")
    writer.write(LINE)
    writer.reopen()
    writer.close()
    os.fstat(2)
    assert capfd.readouterr().err == LINE.decode()


@pytest.mark.parametrize("path", ["missing/folder/access.log", "."])
def test_a_path_that_cannot_be_opened_is_said_at_once(tmp_path: Path, path: str) -> None:
    with pytest.raises((FileNotFoundError, IsADirectoryError)):
        LogWriter(str(tmp_path / path))


def test_a_named_pipe_without_a_reader_is_an_error_and_no_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device"):
        LogWriter(str(tmp_path / "fifo"))


def test_a_pipe_that_nobody_reads_never_blocks_and_every_line_is_accounted_for(pipe: tuple[int, str]) -> None:
    read, path = pipe
    writer = LogWriter(path, max_bytes=20_000, linger=0)
    slowest = 0.0
    made = lines(3_000)
    for line in made:
        began = time.perf_counter()
        writer.write(line)
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 1.0
    assert writer.dropped >= 3_000 - 40 - 200 - 50, "a page in the pipe, a page in hand, 200 lines in the queue"
    began = time.monotonic()
    writer.close(timeout=0.2)
    assert time.monotonic() - began < CEILING / 2
    stuck = writer._in_flight
    assert stuck > 0
    arrived = b""
    while any(thread.name == f"log {path}" for thread in threading.enumerate()):
        arrived += drain(read)
    arrived += drain(read)
    assert set(arrived.splitlines(keepends=True)) <= set(made), "no broken line"
    # What was stuck in a write is counted, though emptying the pipe lets it through.
    assert arrived.count(b"\n") + writer.dropped == 3_000 + stuck


def test_a_slow_reader_gets_whole_lines_and_the_rest_is_counted(pipe: tuple[int, str]) -> None:
    read, path = pipe
    writer = LogWriter(path, max_bytes=10_000, linger=0)
    made = lines(5_000, size=300)
    received: list[bytes] = []
    ready = threading.Event()

    def slowly() -> None:
        ready.wait(CEILING)
        while part := os.read(read, 1000):
            received.append(part)
            if part.endswith(b"END\n"):
                return

    reader = threading.Thread(target=slowly)
    reader.start()
    for line in made:
        writer.write(line)
    dropped = writer.dropped
    assert dropped > 0
    ready.set()
    wait_for(lambda: not writer._lines)
    writer.write(b"END\n")
    reader.join(CEILING)
    writer.close()
    arrived = b"".join(received).splitlines(keepends=True)
    assert set(arrived) <= {*made, b"END\n"}
    assert len(arrived) - 1 + dropped == 5_000
    assert writer.dropped == dropped


def test_a_pipe_gets_only_indivisible_writes(pipe: tuple[int, str], disk: Disk) -> None:
    read, path = pipe
    writer = LogWriter(path)
    queue_together(writer, lines(200))
    read_lines(read, 200, at_once=65536)
    writer.close()
    assert disk.largest <= log_writer.PIPE_BUF
    assert disk.attempts < 20


def test_a_pipe_that_does_not_block_is_waited_for(pipe: tuple[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    read, path = pipe
    writer = LogWriter(path)
    os.set_blocking(writer._fd, False)
    made = lines(500)
    for line in made:
        writer.write(line)
    received = read_lines(read, 500, at_once=700)
    writer.close()
    assert received == b"".join(made)
    assert writer.dropped == 0


def test_closing_on_a_full_pipe_that_does_not_block_counts_exactly(pipe: tuple[int, str]) -> None:
    read, path = pipe
    writer = LogWriter(path, linger=0)
    os.set_blocking(writer._fd, False)
    for line in lines(500):
        writer.write(line)
    writer.close(timeout=0.1)
    assert drain(read).count(b"\n") + writer.dropped == 500


def test_closing_waits_for_a_pipe_that_does_not_block(pipe: tuple[int, str]) -> None:
    read, path = pipe
    writer = LogWriter(path, linger=0)
    os.set_blocking(writer._fd, False)
    made = lines(200)
    for line in made:
        writer.write(line)
    closing = threading.Thread(target=writer.close, args=(CEILING,))
    closing.start()
    received = read_lines(read, 200, at_once=1000)
    closing.join(CEILING)
    assert received == b"".join(made)
    assert writer.dropped == 0


def test_a_full_disk_drops_and_counts_and_the_thread_lives() -> None:
    writer = LogWriter("/dev/full", max_bytes=1_000, linger=0, retry=0.01)
    for line in lines(100):
        writer.write(line)
    assert writer.dropped == 90
    assert writer._thread is not None
    assert writer._thread.is_alive()
    writer.close()
    assert writer.dropped == 100


def test_a_disk_that_has_room_again_gets_everything_that_was_kept(file: Path, disk: Disk) -> None:
    disk.refusal = FULL
    writer = LogWriter(str(file), linger=0, retry=0.005)
    made = lines(50)
    for line in made:
        writer.write(line)
    wait_for(lambda: disk.attempts > 3)
    assert file.read_bytes() == b""
    disk.refusal = None
    wait_for(lambda: file.read_bytes() == b"".join(made))
    assert writer.dropped == 0
    writer.close()


def test_a_write_that_takes_a_part_is_finished_first(file: Path, disk: Disk) -> None:
    disk.plan = [7, FULL, 1, FULL, 150, 3]
    writer = LogWriter(str(file), retry=0.001)
    made = lines(20)
    for line in made:
        writer.write(line)
    wait_for(lambda: file.read_bytes() == b"".join(made))
    writer.close()
    assert writer.dropped == 0


def test_giving_up_in_the_middle_of_a_batch_counts_the_lines_that_are_not_whole(file: Path, disk: Disk) -> None:
    disk.plan = [250]
    disk.refusal = FULL
    writer = LogWriter(str(file), retry=0.001)
    queue_together(writer, lines(10))
    wait_for(lambda: disk.attempts > 1)
    writer.close()
    assert writer.dropped == 8
    assert file.read_bytes().count(b"\n") == 2


def test_lines_after_the_close_are_counted(file: Path) -> None:
    writer = LogWriter(str(file))
    writer.write(LINE)
    writer.close()
    writer.write(LINE)
    writer.close()
    assert writer.dropped == 1
    assert file.read_bytes() == LINE


def test_close_races_with_many_writers_and_nothing_is_lost_unseen(file: Path) -> None:
    writer = LogWriter(str(file), linger=0.001)
    start = threading.Barrier(5)

    def write_many() -> None:
        start.wait(CEILING)
        for _ in range(5_000):
            writer.write(LINE)

    threads = [threading.Thread(target=write_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait(CEILING)
    wait_for(lambda: file.stat().st_size > 0)
    writer.close(timeout=CEILING)
    for thread in threads:
        thread.join(CEILING)
    assert file.read_bytes().count(b"\n") + writer.dropped == 20_000


def test_reopen_after_a_rotation(file: Path, tmp_path: Path) -> None:
    writer = LogWriter(str(file))
    writer.write(b"before\n")
    wait_for(lambda: file.read_bytes() == b"before\n")
    file.rename(tmp_path / "access.log.1")
    writer.reopen()
    wait_for(file.exists)
    writer.write(b"after\n")
    writer.close()
    assert (tmp_path / "access.log.1").read_bytes() == b"before\n"
    assert file.read_bytes() == b"after\n"


def test_reopen_that_fails_keeps_the_old_file(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = LogWriter(str(folder / "a.log"), linger=0)
    folder.rename(tmp_path / "moved")
    writer.reopen()
    wait_for(lambda: not writer._reopen_asked)
    writer.write(LINE)
    writer.close()
    assert (tmp_path / "moved" / "a.log").read_bytes() == LINE
    assert writer.dropped == 0


def test_reopen_on_a_full_disk_moves_the_half_written_line_as_a_whole(file: Path, tmp_path: Path, disk: Disk) -> None:
    disk.plan = [150]
    disk.refusal = FULL
    writer = LogWriter(str(file), retry=CEILING)
    made = lines(5)
    queue_together(writer, made)
    wait_for(lambda: disk.attempts > 1)
    file.rename(tmp_path / "full")
    disk.refusal = None
    writer.reopen()
    wait_for(lambda: file.exists() and file.read_bytes() == b"".join(made[1:]))
    writer.close()
    assert (tmp_path / "full").read_bytes() == b"".join(made)[:150]
    assert writer.dropped == 0


def test_a_forked_child_writes_its_own_lines_only(file: Path) -> None:
    writer = LogWriter(str(file), linger=0.5)
    writer.write(b"parent\n")  # still queued when the child begins
    pid = os.fork()
    if pid == 0:
        try:
            writer.write(b"child\n")
            writer.close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    writer.close()
    assert sorted(file.read_bytes().splitlines()) == [b"child", b"parent"]


def test_a_thread_that_cannot_start_is_tried_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = LogWriter(str(file))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        writer.write(b"1\n")
    writer.write(b"2\n")
    writer.close()
    assert file.read_bytes() == b"1\n2\n"


def test_a_destructor_that_logs_inside_of_write_is_no_deadlock(file: Path) -> None:
    writer = LogWriter(str(file))
    with writer._entry:  # where a destructor would run
        writer.write(LINE)
    writer.close()
    assert file.read_bytes() == LINE


def test_the_last_lines_are_written_when_the_program_ends_without_a_close(file: Path) -> None:
    program = f"from gateway.telemetry.log_writer import LogWriter; LogWriter({str(file)!r}).write(b'last words\\n')"
    root = Path(log_writer.__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, timeout=CEILING, cwd=root)
    assert file.read_bytes() == b"last words\n"
