"""The compiled core, and its only door: everyone writes `from gateway._fast import …`. README.md has the rules."""

from __future__ import annotations

try:
    from gateway._fast.access_line import AccessRecord
    from gateway._fast.arena import Arena, Watch
    from gateway._fast.breaker import Breaker, BreakerRule, Ewma
    from gateway._fast.client_connection import ClientConnection
    from gateway._fast.client_request import Request
    from gateway._fast.counters import CounterCell, GaugeCell, HistogramCell, Words
    from gateway._fast.histogram import Histogram
    from gateway._fast.json_spans import DuplicateKey, parse, top_level
    from gateway._fast.limit_rules import Concurrency, FixedWindow, LeakyBucket, Rule, SlidingWindow, TokenBucket
    from gateway._fast.limiters import LimitTable, Refusal, Slot
    from gateway._fast.reply_head import ReplyHeads
    from gateway._fast.request_head import Refused, RequestHead
    from gateway._fast.select import Evidence, InFlight, RoundRobin, Weights, seed_random, uniform
    from gateway._fast.sse import SseScanner
    from gateway._fast.timer_wheel import Clock, Deadline, DeadlinePassed, Guard, TimerWheel
    from gateway._fast.upstream_answer import AnswerBroken, AnswerLost, AnswerRefused, UpstreamAnswer
    from gateway._fast.upstream_connection import UpstreamConnection
    from gateway._fast.uuid7 import UuidSource
except ImportError as _missing:
    raise ImportError(
        f"the compiled modules of gateway/_fast are missing or stale: run `make build` ({_missing})"
    ) from _missing

__all__ = [
    "AccessRecord",
    "AnswerBroken",
    "AnswerLost",
    "AnswerRefused",
    "Arena",
    "Breaker",
    "BreakerRule",
    "ClientConnection",
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
    "Refused",
    "ReplyHeads",
    "Request",
    "RequestHead",
    "RoundRobin",
    "Rule",
    "SlidingWindow",
    "Slot",
    "SseScanner",
    "TimerWheel",
    "TokenBucket",
    "UpstreamAnswer",
    "UpstreamConnection",
    "UuidSource",
    "Watch",
    "Weights",
    "Words",
    "parse",
    "seed_random",
    "top_level",
    "uniform",
]
