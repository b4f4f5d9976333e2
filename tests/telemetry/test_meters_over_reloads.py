"""What a reload does to series: what no configured provider or model has goes, everything else stays."""

from __future__ import annotations

import weakref

import pytest

from gateway._fast import Arena
from gateway.telemetry.exposition import render
from gateway.telemetry.meters import Meters
from gateway.telemetry.request_meters import RequestMeters

HEALTH = 'llm_gateway_provider_health{provider="openai"}'
STREAK = 'llm_gateway_provider_faults_in_a_row{provider="openai"}'


@pytest.fixture
def arena() -> Arena:
    return Arena()


def shown(meters: Meters) -> dict[str, float]:
    lines = render(meters).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_a_reload_frees_what_no_configured_provider_has(arena: Arena) -> None:
    arena.generation = 1
    old, fresh = Meters(arena), Meters(arena)
    old_requests, requests = RequestMeters(old), RequestMeters(fresh)
    for name in ("stays", "goes", None):
        old_requests.route(name, "m").answered(200, 1)
        requests.route(name, "m").answered(200, 1)
    requests.overhead("parse").observe(1)
    kept, dropped = requests.route("stays", "m"), requests.route("goes", "m")
    for meters in (old, fresh):
        meters.keep(2, {"provider": ["stays"]})
    assert requests.route("goes", "m") is dropped, "an exchange of the old configuration is still counted"
    dropped.answered(200, 1)
    for meters in (old, fresh):
        meters.forget()
    requests_of = 'llm_gateway_requests_total{{provider="{}",model="{}",status="200"}}'
    assert shown(fresh)[requests_of.format("goes", "m")] == 3, "shown until it is swept"
    assert arena.sweep(2) > 5
    for meters in (old, fresh, Meters(arena)):
        seen = shown(meters)
        assert not any("goes" in name for name in seen)
        assert seen[requests_of.format("stays", "m")] == seen[requests_of.format("none", "m")] == 2
        assert seen['llm_gateway_overhead_seconds_count{part="parse"}'] == 1
    assert requests.route("stays", "m") is kept
    arena.sweep(2)
    back = requests.route("goes", "m")
    assert back is not dropped
    back.answered(200, 1)
    assert shown(old)[requests_of.format("goes", "m")] == 1, "a new beginning"


def test_a_model_goes_with_its_route_however_long_its_name_and_what_has_none_stays(arena: Arena) -> None:
    arena.generation = 1
    meters = Meters(arena)
    requests = RequestMeters(meters)
    long, longer = "x" * 256, "y" * 256  # a label shows 200 of them
    kept = requests.route("p", long)
    requests.route("p", longer).answered(200, 1)
    requests.route("p", None).answered(404, 1)
    requests.route(None, None).answered(404, 1)
    meters.keep(2, {"provider": ["p"], "model": [long]})
    meters.forget()
    arena.sweep(2)
    meters.adopt_all()
    models = {values[1] for values, _ in requests.durations.series()}
    assert models == {"x" * 200, "other"}
    assert len([values for values, _ in requests.durations.series()]) == 3
    assert requests.route("p", long) is kept


def test_a_provider_that_comes_back_before_the_sweep_goes_on(arena: Arena) -> None:
    arena.generation = 1
    meters = Meters(arena)
    requests = RequestMeters(meters)
    requests.route("p", "m").answered(200, 1)
    requests.route("p", "m").attempt("timeout")
    meters.keep(2, {"provider": []})
    meters.forget()
    requests.route("p", "m").answered(200, 1)
    assert arena.sweep(2) == 1
    seen = shown(meters)
    assert seen['llm_gateway_requests_total{provider="p",model="m",status="200"}'] == 2
    assert not any("outcome" in name for name in seen)


def test_to_show_a_series_is_not_to_want_it(arena: Arena) -> None:
    arena.generation = 1
    RequestMeters(Meters(arena)).route("goes", "m").answered(200, 1)
    arena.generation = 2
    meters = Meters(arena)
    RequestMeters(meters)
    assert any("goes" in name for name in shown(meters))
    arena.sweep(2)
    assert not any("goes" in name for name in shown(meters))


def test_a_plug_ins_series_are_not_swept_for_it_may_hold_them(arena: Arena) -> None:
    meters = Meters(arena)
    meters.keep(1, {"provider": ["p"]})
    held = meters.counter("acme_total", "", ("provider",)).cell("p")
    meters.keep(2, {"provider": []})
    meters.forget()
    arena.sweep(2)
    held.add()
    assert shown(meters)['acme_total{provider="p"}'] == 1


def test_a_callback_goes_with_the_extension_that_a_reload_has_dropped(arena: Arena) -> None:
    """Each reload makes another; the one before writes no number any more, and nobody keeps it in memory."""

    class Extension:
        def __init__(self, number: int) -> None:
            self.gauge, self.number = meters.gauge("acme_number", "", across="one").cell(), number
            meters.before_scrape(self.read)

        def read(self) -> None:
            asked.append(self.number)
            self.gauge.set(self.number)

    asked: list[int] = []
    meters = Meters(arena)
    for number in range(3):
        kept = Extension(number)
    dropped = Extension(3)
    gone = weakref.ref(dropped)
    del dropped
    assert (shown(meters)["acme_number"], asked, gone()) == (2, [2], None)
    assert (len(meters._before_scrape), kept.number) == (1, 2)


def test_who_only_declares_the_families_is_not_held(arena: Arena) -> None:
    meters = Meters(arena)
    for _ in range(3):
        RequestMeters(meters).route(None, None).answered(404, 1)
    assert (meters._before_scrape, meters._forgetting) == ([], [])


@pytest.mark.parametrize("changes", ["provider", "model"])
def test_many_reloads_take_no_more_room(changes: str, arena: Arena) -> None:
    meters = Meters(arena)
    requests = RequestMeters(meters)
    taken = []
    for generation in range(1, 60):
        names = [f"{changes}-{generation}-{i}" for i in range(3)]
        meters.keep(generation, {"provider": ["p"], "model": ["m"], changes: names})
        for name in names:
            requests.route(*{"provider": "p", "model": "m", changes: name}.values()).answered(200, 1)
        meters.forget()
        arena.sweep(generation)
        shown(meters)
        taken.append(arena.usage()["taken"])
    assert len(set(taken[10:])) == 1
