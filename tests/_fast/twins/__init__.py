"""The compiled modules once more, in plain Python and on another way: the oracles of the tests here. One file each."""

from __future__ import annotations

from tests._fast.twins.access_line import AccessRecord
from tests._fast.twins.arena import Arena, Watch
from tests._fast.twins.breaker import Breaker, BreakerRule, Ewma
from tests._fast.twins.counters import CounterCell, GaugeCell, HistogramCell, Words
from tests._fast.twins.deadlines import Clock, Deadline, DeadlinePassed, Guard, TimerWheel
from tests._fast.twins.histogram import Histogram
from tests._fast.twins.json_spans import DuplicateKey, parse, top_level
from tests._fast.twins.limiters import (
    Concurrency,
    FixedWindow,
    LeakyBucket,
    LimitTable,
    Refusal,
    Rule,
    SlidingWindow,
    Slot,
    TokenBucket,
)
from tests._fast.twins.select import Evidence, InFlight, RoundRobin, Weights, seed_random, uniform
from tests._fast.twins.sse import SseScanner
from tests._fast.twins.uuid7 import UuidSource

__all__ = [
    "AccessRecord",
    "Arena",
    "Breaker",
    "BreakerRule",
    "Clock",
    "Concurrency",
    "CounterCell",
    "Deadline",
    "DeadlinePassed",
    "DuplicateKey",
    "Evidence",
    "Ewma",
    "FixedWindow",
    "GaugeCell",
    "Guard",
    "Histogram",
    "HistogramCell",
    "InFlight",
    "LeakyBucket",
    "LimitTable",
    "Refusal",
    "RoundRobin",
    "Rule",
    "SlidingWindow",
    "Slot",
    "SseScanner",
    "TimerWheel",
    "TokenBucket",
    "UuidSource",
    "Watch",
    "Weights",
    "Words",
    "parse",
    "seed_random",
    "top_level",
    "uniform",
]
