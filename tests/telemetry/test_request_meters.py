"""The meters of requests: names, labels, health, and no zeros of features that do not exist."""

from __future__ import annotations

import pytest

from gateway.telemetry import request_meters
from gateway.telemetry.exposition import render
from gateway.telemetry.meters import MAX_SERIES, Meters
from gateway.telemetry.request_meters import RequestMeters


class Log:
    dropped = 0


def _lines(meters: Meters) -> dict[str, float]:
    lines = render(meters).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def requests(meters: Meters) -> RequestMeters:
    return RequestMeters(meters)


def test_a_request_is_seen_under_the_names_of_the_specification(meters: Meters, requests: RequestMeters) -> None:
    requests.active.add()
    route = requests.route("openai", "smart")
    route.attempt("timeout", providers_fault=True)
    route.attempt("ok", providers_fault=False)
    route.first_token.observe(0.3)
    route.gap.observe(0.02)
    route.count_tokens(10, 20, 4, None)
    route.answered(200, 1.5)
    route.answered(200, 0.5)
    route.answered(502, 9)
    requests.overhead("parse").observe(0.00002)
    requests.client_left("stream")
    requests.build_info("1.2.3", "aiohttp")
    seen = _lines(meters)
    where = 'provider="openai",model="smart"'
    assert seen[f'llm_gateway_requests_total{{{where},status="200"}}'] == 2
    assert seen[f'llm_gateway_requests_total{{{where},status="502"}}'] == 1
    assert seen[f"llm_gateway_request_duration_seconds_count{{{where}}}"] == 3
    assert seen[f'llm_gateway_request_duration_seconds_bucket{{{where},le="0.5"}}'] == 1
    assert seen[f'llm_gateway_request_duration_seconds_bucket{{{where},le="600.0"}}'] == 3
    assert seen[f"llm_gateway_time_to_first_token_seconds_sum{{{where}}}"] == 0.3
    assert seen[f'llm_gateway_inter_chunk_seconds_bucket{{{where},le="0.025"}}'] == 1
    kinds = {"input": 10, "output": 20, "cached_input": 4, "reasoning": 0}
    assert {kind: seen[f'llm_gateway_tokens_total{{{where},type="{kind}"}}'] for kind in kinds} == kinds
    assert seen[f'llm_gateway_upstream_attempts_total{{{where},outcome="timeout"}}'] == 1
    assert seen[f'llm_gateway_upstream_attempts_total{{{where},outcome="ok"}}'] == 1
    assert seen['llm_gateway_overhead_seconds_bucket{part="parse",le="2.5e-05"}'] == 1
    assert seen['llm_gateway_client_disconnects_total{phase="stream"}'] == 1
    assert seen[f"llm_gateway_stream_events_malformed_total{{{where}}}"] == 0
    assert seen[f"llm_gateway_stream_cut_total{{{where}}}"] == 0
    assert seen['llm_gateway_build_info{version="1.2.3",lane="aiohttp"}'] == 1
    assert seen["llm_gateway_active_requests"] == 1


def test_an_unknown_model_and_no_provider_have_names_of_their_own(meters: Meters, requests: RequestMeters) -> None:
    requests.route(None, None).answered(404, 0.001)
    seen = _lines(meters)
    assert seen['llm_gateway_requests_total{provider="none",model="other",status="404"}'] == 1
    assert not any(name.startswith("llm_gateway_provider_health") for name in seen)


def test_a_route_is_made_once_and_routes_are_bounded(requests: RequestMeters) -> None:
    assert requests.route("a", "b") is requests.route("a", "b")
    for i in range(MAX_SERIES + 100):
        requests.route("a", f"model-{i}")
    assert requests.route("a", "one more") is requests.route("a", "and another")
    assert len(requests._routes) == MAX_SERIES + 1


def test_health_is_0_only_after_three_faults_in_a_row(requests: RequestMeters) -> None:
    health = requests.provider("openai").health
    route = requests.route("openai", "a")
    other_route = requests.route("openai", "b")
    seen: list[float] = []
    for fault in (True, True, False, True, True, None, True, True, None, False):
        (route if len(seen) % 2 else other_route).attempt("any", providers_fault=fault)
        seen.append(health.value)
    assert seen == [1, 1, 1, 1, 1, 1, 0, 0, 0, 1]


def test_a_configured_provider_is_healthy_before_its_first_request(meters: Meters, requests: RequestMeters) -> None:
    requests.provider("idle")
    assert _lines(meters)['llm_gateway_provider_health{provider="idle"}'] == 1
    assert b"last three attempts in a row" in render(meters)


@pytest.mark.parametrize("nonsense", [None, -5, 0])
def test_nonsense_for_a_token_count_is_not_counted(
    meters: Meters, requests: RequestMeters, nonsense: int | None
) -> None:
    requests.route("a", "b").count_tokens(nonsense, 3)
    seen = _lines(meters)
    assert seen['llm_gateway_tokens_total{provider="a",model="b",type="input"}'] == 0
    assert seen['llm_gateway_tokens_total{provider="a",model="b",type="output"}'] == 3


def test_dropped_log_lines_are_fetched_at_the_scrape(meters: Meters, requests: RequestMeters) -> None:
    log = Log()
    requests.watch_log("access", log)
    log.dropped = 7
    assert _lines(meters)['llm_gateway_log_lines_dropped_total{log="access"}'] == 7


def test_features_that_do_not_exist_show_no_zeros(meters: Meters, requests: RequestMeters) -> None:
    requests.route("a", "b").answered(200, 1)
    promised = ("llm_gateway_cache_hits_total", "llm_gateway_rate_limit_exceeded_total", "llm_gateway_cost_dollars")
    text = render(meters).decode()
    for name in promised:
        assert name in (request_meters.__doc__ or "")
        assert name not in text
