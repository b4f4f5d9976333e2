"""The writer of lines in trouble: pipes that nobody reads, disks that are full or take a part."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from gateway.telemetry import log_writer
from gateway.telemetry.log_writer import LogWriter
from tests.telemetry.log_stage import CEILING, FULL, Disk, drain, lines, queue_together, read_lines, wait_for


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
    wait_for(lambda: not writer._blocks)
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
