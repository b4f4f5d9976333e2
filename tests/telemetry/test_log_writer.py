"""The writer of lines: never waits, loses nothing unseen, breaks no line. Against real files and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.telemetry import log_writer
from gateway.telemetry.log_writer import LogWriter
from tests.telemetry.log_stage import CEILING, FULL, LINE, Disk, lines, queue_together, wait_for


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
