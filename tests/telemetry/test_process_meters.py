"""The process's own numbers: against psutil, and absent where they cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from gateway._fast import Arena
from gateway.telemetry.exposition import render
from gateway.telemetry.meters import Meters
from gateway.telemetry.process_meters import ProcessMeters


def _read(meters: Meters) -> dict[str, float]:
    lines = render(meters).decode().splitlines()
    numbers = (line.split(" ") for line in lines if not line.startswith("#"))
    return {name.replace('{worker="supervisor"}', ""): float(value) for name, value in numbers}


def test_the_numbers_are_those_of_psutil() -> None:
    meters = Meters()
    _held = ProcessMeters(meters)
    me = psutil.Process()
    descriptors = me.num_fds()
    seen = _read(meters)
    assert seen["process_resident_memory_bytes"] == pytest.approx(me.memory_info().rss, rel=0.2)
    assert seen["process_start_time_seconds"] == pytest.approx(me.create_time(), abs=2)
    assert seen["process_open_fds"] == pytest.approx(descriptors, abs=3)
    times = me.cpu_times()
    assert 0 < seen["process_cpu_seconds_total"] <= times.user + times.system + 0.1


def test_an_open_file_is_seen_at_the_next_scrape() -> None:
    meters = Meters()
    _held = ProcessMeters(meters)
    before = _read(meters)["process_open_fds"]
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    after = _read(meters)["process_open_fds"]
    for fd in opened:
        os.close(fd)
    assert after - before == 20


def test_a_command_with_spaces_and_parentheses_moves_no_field(tmp_path: Path) -> None:
    own = tmp_path / "self"
    (own / "fd").mkdir(parents=True)
    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["S", *["0"] * 10, str(3 * ticks), str(2 * ticks), *["0"] * 6, str(7 * ticks), "0", "11"]
    (own / "stat").write_text(f"42 (odd ) (name) {' '.join(fields)} 0 0\n")
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1000\n")
    meters = Meters()
    _held = ProcessMeters(meters, proc=tmp_path)
    seen = _read(meters)
    assert seen["process_cpu_seconds_total"] == 5
    assert seen["process_start_time_seconds"] == 1007
    assert seen["process_resident_memory_bytes"] == 11 * os.sysconf("SC_PAGE_SIZE")


def test_without_proc_there_are_no_numbers(tmp_path: Path) -> None:
    meters = Meters()
    _held = ProcessMeters(meters, proc=tmp_path)
    assert _read(meters) == {}


def test_every_process_stamps_its_own_figures(tmp_path: Path) -> None:
    """And what it has not stamped again is still there for others to show; a replacement's CPU time goes on."""
    arena = Arena()
    ticks = os.sysconf("SC_CLK_TCK")
    own = tmp_path / "self"
    (own / "fd").mkdir(parents=True)
    (tmp_path / "stat").write_text("btime 1000\n")

    def be(column: int, seconds: int) -> ProcessMeters:
        fields = ["S", *["0"] * 10, str(seconds * ticks), *["0"] * 9, str(column)]
        (own / "stat").write_text(f"42 (name) {' '.join(fields)}\n")
        arena.join(column)
        process = ProcessMeters(Meters(arena), proc=tmp_path)
        process.stamp()
        return process

    be(1, 5)
    be(2, 7)
    be(1, 3)
    be(0, 1)
    page = os.sysconf("SC_PAGE_SIZE")
    seen = _read(Meters(arena))
    cpu = {name: value for name, value in seen.items() if "cpu" in name}
    assert list(cpu.values()) == [1, 8, 7]
    assert seen['process_resident_memory_bytes{worker="2"}'] == 2 * page
    arena.leave(2)
    seen = _read(Meters(arena))
    assert 'process_resident_memory_bytes{worker="2"}' not in seen
    assert seen['process_cpu_seconds_total{worker="2"}'] == 7
