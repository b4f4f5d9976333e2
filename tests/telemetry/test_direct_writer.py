"""The supervisor's log: whole lines, at once, without a thread; a reader that is slow stops nobody for long."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from gateway.telemetry import direct_writer
from gateway.telemetry.direct_writer import DirectWriter


def test_a_line_is_there_when_write_returns(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("before\n")
    writer = DirectWriter(str(file))
    threads = threading.active_count()
    writer.write(b"one\n")
    assert file.read_text() == "before\none\n"
    writer.write(b"x" * 100_000 + b"\n")
    assert file.stat().st_size == len("before\none\n") + 100_001
    assert (writer.dropped, threading.active_count()) == (0, threads)
    writer.close()
    writer.write(b"too late\n")
    assert "late" not in file.read_text()


def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    file, old = tmp_path / "log", tmp_path / "log.1"
    writer = DirectWriter(str(file))
    writer.write(b"one\n")
    file.rename(old)
    writer.write(b"two\n")
    writer.reopen()
    writer.write(b"three\n")
    assert (old.read_text(), file.read_text()) == ("one\ntwo\n", "three\n")
    file.unlink()
    file.mkdir()
    writer.reopen()
    writer.write(b"four\n")  # where that was
    assert writer.dropped == 0
    writer.close()


def test_a_pipe_that_nobody_reads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_writer, "PATIENCE", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = DirectWriter(str(pipe))
    line = b"x" * 1000 + b"\n"
    began = time.monotonic()
    count = 0
    while writer.dropped < 3:
        writer.write(line)
        count += 1
    assert time.monotonic() - began < 20
    written = 0
    while True:
        try:
            written += len(os.read(reader, 1 << 20))
        except BlockingIOError:
            break
    assert written == (count - 3) * len(line)
    writer.write(line)
    assert writer.dropped == 3
    os.close(reader)
    writer.write(line)  # nobody is there at all
    assert writer.dropped == 4
    writer.close()


def test_a_pipe_that_nobody_reads_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand lines in a row must not keep the supervisor from its workers; whoever reads again gets the next."""
    monkeypatch.setattr(direct_writer, "PATIENCE", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = DirectWriter(str(pipe))
    began = time.monotonic()
    while writer.dropped < 1000:
        writer.write(b"x" * 1000 + b"\n")
    assert time.monotonic() - began < 10
    while len(os.read(reader, 1 << 20)) == 1 << 20:
        pass
    writer.write(b"again\n")
    assert (os.read(reader, 99), writer.dropped) == (b"again\n", 1000)
    os.close(reader)
    writer.close()


def test_off_and_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    off, stderr = DirectWriter("off"), DirectWriter("stderr")
    for writer in (off, stderr):
        writer.write(b"a line\n")
        writer.reopen()
        writer.close()
    assert capfd.readouterr().err == "a line\n"
    os.fstat(2)


def test_a_path_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DirectWriter(str(tmp_path / "nowhere" / "log"))
