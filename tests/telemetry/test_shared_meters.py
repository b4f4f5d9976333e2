"""One truth for the machine: what any process counted is shown by all, over deaths, replacements and reloads."""

from __future__ import annotations

import os
import signal

import pytest

from gateway._fast import Arena, Words
from gateway.server.channel import Channel
from gateway.server.worker import Worker
from gateway.telemetry.exposition import render
from gateway.telemetry.memory_meters import MemoryMeters
from gateway.telemetry.meters import Meters
from gateway.telemetry.request_meters import RequestMeters
from tests._fast.forks import fork, run

HEALTH = 'llm_gateway_provider_health{provider="openai"}'
STREAK = 'llm_gateway_provider_faults_in_a_row{provider="openai"}'


@pytest.fixture
def arena() -> Arena:
    return Arena()


def shown(meters: Meters) -> dict[str, float]:
    lines = render(meters).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_what_only_another_process_declared_is_shown_with_its_help_and_kind(arena: Arena) -> None:
    meters = Meters(arena)

    def worker() -> None:
        arena.join(1)
        mine = Meters(arena)
        mine.counter("acme_answers_total", "Answers given, \\ by mood.", ("mood",)).cell("größe\n").add(3)
        mine.histogram("acme_wait_seconds", "W.", ("y",), buckets=(1, 2)).cell("z").observe(1.5)
        mine.gauge("acme_own", "O.", across="each").cell().set(5)

    run(worker)
    assert render(meters).decode() == (
        "# HELP acme_answers_total Answers given, \\\\ by mood.\n"
        "# TYPE acme_answers_total counter\n"
        'acme_answers_total{mood="größe\\n"} 3\n'
        "# HELP acme_wait_seconds W.\n"
        "# TYPE acme_wait_seconds histogram\n"
        'acme_wait_seconds_bucket{y="z",le="1.0"} 0\n'
        'acme_wait_seconds_bucket{y="z",le="2.0"} 1\n'
        'acme_wait_seconds_bucket{y="z",le="+Inf"} 1\n'
        'acme_wait_seconds_count{y="z"} 1\n'
        'acme_wait_seconds_sum{y="z"} 1.5\n'
        "# HELP acme_own O.\n"
        "# TYPE acme_own gauge\n"
        'acme_own{worker="supervisor"} 0\n'
        'acme_own{worker="1"} 5\n'
    )
    family = meters.counter("acme_answers_total", "Mine.", ("mood",))
    assert family.cell("größe\n").value == 3


def test_numbers_survive_the_death_of_their_worker_and_go_on_in_its_replacement(arena: Arena) -> None:
    ready = Words(arena, "ready", 1)
    meters = Meters(arena)

    def worker() -> None:
        arena.join(1)
        mine = RequestMeters(Meters(arena))
        mine.active.add(3)
        mine.route("openai", "smart").answered(200, 0.3)
        ready.add(0)
        signal.pause()

    for life in range(1, 4):
        child = fork(worker)
        while ready.load(0) < life:
            pass
        assert shown(meters)["llm_gateway_active_requests"] == 3
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        arena.leave(1)
        seen = shown(meters)
        assert seen["llm_gateway_active_requests"] == 0
        assert seen['llm_gateway_requests_total{provider="openai",model="smart",status="200"}'] == life
        assert seen['llm_gateway_request_duration_seconds_count{provider="openai",model="smart"}'] == life


def test_a_streak_of_faults_is_the_machines(arena: Arena) -> None:
    """Three workers see one fault each; a fourth sees the answer."""
    meters = Meters(arena)
    requests = RequestMeters(meters)
    assert requests.provider("openai").health.value == 1
    seen = []
    for column, fault in ((1, True), (2, True), (3, True), (4, False), (1, True)):

        def worker(column: int = column, fault: bool = fault) -> None:
            arena.join(column)
            RequestMeters(Meters(arena)).route("openai", "a").attempt("any", providers_fault=fault)

        run(worker)
        lines = shown(meters)
        seen.append((lines[HEALTH], lines[STREAK]))
    assert seen == [(1, 1), (1, 2), (0, 3), (1, 0), (1, 1)]


def test_health_that_was_written_too_late_is_put_right_by_the_next_scrape(arena: Arena) -> None:
    meters = Meters(arena)
    provider = RequestMeters(meters).provider("openai")
    provider.health.set(0)
    assert shown(meters)[HEALTH] == 1


def test_a_worker_that_begins_shows_no_zeros_for_its_process(arena: Arena) -> None:
    """Making its extensions may take long; a scrape through another worker would read that it started in 1970."""
    ours, theirs = Channel.pair()

    def begins() -> None:
        arena.join(1)
        Worker(1, theirs, arena)

    run(begins)
    ours.close()
    theirs.close()
    seen = shown(Meters(arena))
    for name in ("resident_memory_bytes", "open_fds", "start_time_seconds"):
        assert seen[f'process_{name}{{worker="1"}}'] > 0


def test_what_is_running_is_said_once(arena: Arena) -> None:
    for column in (1, 2, 3):
        arena.join(column)
        RequestMeters(Meters(arena)).build_info("1.2.3", "aiohttp")
    RequestMeters(Meters(arena)).build_info("1.2.4", "aiohttp")
    seen = {name: value for name, value in shown(Meters(arena)).items() if "build" in name}
    assert sorted(seen.values()) == [0, 1]
    assert seen['llm_gateway_build_info{version="1.2.4",lane="aiohttp"}'] == 1


def test_the_bound_of_series_is_the_machines(arena: Arena) -> None:
    """Two processes count different values; together they may not pass it."""

    def worker() -> None:
        arena.join(1)
        family = Meters(arena, max_series=10).counter("a_total", "", ("x",))
        for i in range(6):
            family.cell(f"child {i}").add()

    meters = Meters(arena, max_series=10)
    family = meters.counter("a_total", "", ("x",))
    run(worker)
    for i in range(6):
        family.cell(f"parent {i}").add()
    values = [values for values, _ in family.series()]
    assert len(values) == 11
    assert family.cell("other").value == 2
    assert family.cell("child 0").value == 1
    assert shown(meters)['llm_gateway_metric_series_dropped_total{metric="a_total"}'] == 2


def test_another_shape_elsewhere_is_not_mixed_with_ours(arena: Arena) -> None:
    """A plug-in was changed: workers of before and after run at once. Each shows its own."""
    before, after = Meters(arena), Meters(arena)
    before.counter("acme_total", "", ("x",)).cell("old").add()
    assert shown(after)['acme_total{x="old"}'] == 1
    after.counter("acme_total", "", ("y",)).cell("new").add()
    after.gauge("acme_b_sum", "").cell().set(1)
    before.histogram("acme_b", "", buckets=(1,)).cell().observe(0.5)
    assert [name for name in shown(before) if "acme_total" in name] == ['acme_total{x="old"}']
    assert [name for name in shown(after) if "acme_total" in name] == ['acme_total{y="new"}']
    assert [name for name in shown(after) if "acme_b" in name] == ["acme_b_sum"]
    assert shown(before)["acme_b_count"] == 1


def test_names_that_are_not_of_meters_are_passed_over(arena: Arena) -> None:
    for name in (
        "limits",
        "family",
        "family [",
        "family []",
        "series x",
        "series x 5",
        'series 00 ["a"]',
        "family " + "[1]",
    ):
        arena.area(name, 8)
    meters = Meters(arena)
    assert shown(meters) == {}
    assert meters.counter("a_total", "").cell().value == 0


def test_a_directory_that_is_read_anew_disturbs_no_cell() -> None:
    """More has changed than the journal holds."""
    arena = Arena(reserve=1 << 20)
    meters = Meters(arena)
    family = meters.counter("a_total", "", ("x",))
    cell = family.cell("y")
    cell.add()
    shown(meters)
    for generation in range(1, 100):
        arena.generation = generation
        arena.area(f"area {generation}", 8)
        arena.sweep(generation)
    Meters(arena).counter("a_total", "", ("x",)).cell("z").add()
    assert shown(meters) == {'a_total{x="y"}': 1, 'a_total{x="z"}': 1}
    assert family.cell("y") is cell


def test_a_full_arena_stops_no_request(caplog: pytest.LogCaptureFixture) -> None:
    arena = Arena(reserve=1 << 20)
    meters = Meters(arena)
    requests = RequestMeters(meters)
    for i in range(200):
        requests.route(f"provider-{i}", "m").answered(200, 1)
    requests.route(None, None).answered(404, 1)
    seen = shown(meters)
    assert seen['llm_gateway_requests_total{provider="provider-0",model="m",status="200"}'] == 1
    assert sum("the arena is full" in record.getMessage() for record in caplog.records) == 1


def test_the_shared_memory_shows_how_full_it_is(arena: Arena) -> None:
    arena.join(2)
    meters = Meters(arena)
    _held = MemoryMeters(meters)
    before = shown(meters)
    arena.area("more", 1 << 20)
    after = shown(meters)
    bytes_ = 'llm_gateway_shared_memory_bytes{{what="{}"}}'
    assert after[bytes_.format("reserved")] == 1 << 30
    assert after[bytes_.format("taken")] - before[bytes_.format("taken")] >= 1 << 20
    assert before[bytes_.format("free")] - after[bytes_.format("free")] >= 1 << 20
    assert after["llm_gateway_shared_memory_entries"] == before["llm_gateway_shared_memory_entries"] + 1


def test_every_column_of_a_gauge_is_summed_also_in_use(arena: Arena) -> None:
    meters = Meters(arena)
    gauge = meters.gauge("a", "").cell()
    for column in range(5):
        arena.join(column)
        gauge.add(column)
    assert shown(meters)["a"] == 10
