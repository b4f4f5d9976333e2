"""The table of limits in /metrics: how full it is, and what happened in it, whoever it happened to."""

from __future__ import annotations

from gateway._fast import Arena, LimitTable, TokenBucket
from gateway.telemetry.exposition import render
from gateway.telemetry.limit_meters import LimitMeters
from gateway.telemetry.meters import Meters
from tests._fast.forks import run


def lines(meters: Meters) -> set[str]:
    meters.refresh()
    text = render(meters).decode()
    return {
        line for line in text.splitlines() if line.startswith("llm_gateway_limit_table_") and not line.endswith(" 0")
    }


def fill(limits: LimitTable) -> None:
    """Two rows for three keys."""
    rule = TokenBucket("r", limit=1, period=10**9)
    for key in "abc":
        limits.take([(limits.slot(rule, key), 1)], 10**12)


def test_rows_and_events_of_all_processes_are_shown() -> None:
    arena = Arena(reserve=32 << 20)
    meters, limits = Meters(arena), LimitTable(arena, rows=4, stripes=1)
    _held = LimitMeters(meters, limits)
    assert lines(meters) == {'llm_gateway_limit_table_rows{what="free"} 4'}

    def worker() -> None:
        arena.join(1)
        mine = LimitTable(arena, rows=4, stripes=1)
        _held = LimitMeters(Meters(arena), mine)
        fill(mine)
        mine.take([(mine.slot(TokenBucket("r", limit=1, period=10**9), "d"), 1)], 10**12)

    run(worker)
    assert lines(meters) == {
        'llm_gateway_limit_table_rows{what="free"} 1',
        'llm_gateway_limit_table_rows{what="used"} 3',
        'llm_gateway_limit_table_events_total{event="refused_full"} 1',
    }
    limits.take([(limits.slot(TokenBucket("r", limit=1, period=10**9), "d"), 1)], 10**13)
    assert 'llm_gateway_limit_table_events_total{event="evicted"} 1' in lines(meters)
