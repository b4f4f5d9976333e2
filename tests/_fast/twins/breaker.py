"""The breaker with a field for each thing it knows, and an average with its time beside it."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Literal, Self

TICK = 100_000_000
EVER = 2**36 - 1
State = Literal["closed", "open", "half_open"]


def ticks(time: int) -> int:
    return -(-time // TICK)


@dataclass(frozen=True, kw_only=True)
class BreakerRule:
    rate: float = 0.5
    window: int = 10_000_000_000
    minimum: int = 20
    consecutive: int = 5
    open_for: int = 30_000_000_000
    probes: int = 1
    probe_time: int = 60_000_000_000

    def __post_init__(self) -> None:
        if not (0 <= self.rate <= 1 and 1 <= self.minimum <= 4095 and 0 <= self.consecutive <= 63):
            raise ValueError("rate, minimum or consecutive")
        if not 1 <= self.probes <= 255:
            raise ValueError("probes")
        if not all(TICK <= time <= 12 * 3600 * 10**9 for time in (self.window, self.open_for, self.probe_time)):
            raise ValueError("times")


class Breaker:
    def __init__(self, arena: object, name: str) -> None:
        self._state: State = "closed"
        self._epoch = self._start = self._calls = self._failures = self._consecutive = 0
        self._until = self._given = self._succeeded = 0

    def allow(self, now: int, rule: BreakerRule, /) -> int:
        aged = self._aged(now, rule)
        if aged._state == "closed":
            return aged._epoch
        if aged._state == "open" and (now // TICK < aged._until or aged._until == EVER):
            return -1
        if aged._state == "half_open" and aged._given >= rule.probes and aged._given > aged._succeeded:
            return -1
        if aged._state == "open":
            aged._turn("half_open")
        deadline = ticks(now + rule.probe_time)
        aged._given += 1
        aged._until = max(aged._until, deadline)
        self.__dict__.update(aged.__dict__)
        return aged._epoch + 1024 * deadline

    def success(self, now: int, rule: BreakerRule, permit: int, /) -> bool:
        return self._report(now, rule, permit, "success")

    def failure(self, now: int, rule: BreakerRule, permit: int, /) -> bool:
        return self._report(now, rule, permit, "failure")

    def withdraw(self, now: int, rule: BreakerRule, permit: int, /) -> bool:
        return self._report(now, rule, permit, "withdrawn")

    def state(self, now: int, rule: BreakerRule, /) -> State:
        return self.look(now, rule)[0]

    def look(self, now: int, rule: BreakerRule, /) -> tuple[State, int, int, int, int, int, int]:
        aged = self._aged(now, rule)
        counts = aged._calls, aged._failures, aged._consecutive, aged._given, aged._succeeded
        left = -1 if aged._until == EVER else aged._until * TICK - now
        due = aged._state == "open" and left != -1 and now // TICK >= aged._until
        if aged._state != "open" or due:
            return "half_open" if due else aged._state, *counts, 0
        return "open", *counts, left

    def force_open(self, now: int, time: int = -1, /) -> None:
        self._open(EVER if time < 0 else ticks(now + time))

    def force_close(self, now: int, /) -> None:
        self._close(now)

    def _turn(self, state: State) -> None:
        self._state, self._epoch = state, (self._epoch + 1) % 1024
        self._calls = self._failures = self._consecutive = self._until = self._given = self._succeeded = 0

    def _open(self, until: int) -> None:
        self._turn("open")
        self._until = until

    def _close(self, now: int) -> None:
        self._turn("closed")
        self._start = now // TICK

    def _aged(self, now: int, rule: BreakerRule) -> Self:
        aged = copy.copy(self)
        if aged._state == "half_open" and aged._given > aged._succeeded and now // TICK >= aged._until:
            aged._open(ticks(aged._until * TICK + rule.open_for))
        return aged

    def _report(self, now: int, rule: BreakerRule, permit: int, outcome: str) -> bool:
        aged = self._aged(now, rule)
        if permit < 0 or permit % 1024 != aged._epoch or aged._state == "open":
            return False
        if aged._state == "half_open":
            self._probed(now, rule, "failure" if now // TICK >= permit // 1024 else outcome)
        elif outcome != "withdrawn":
            self._counted(now, rule, outcome == "failure")
        return self._epoch != aged._epoch

    def _probed(self, now: int, rule: BreakerRule, outcome: str) -> None:
        if outcome == "failure":
            self._open(ticks(now + rule.open_for))
        elif self._given > self._succeeded:
            self._given -= outcome == "withdrawn"
            self._succeeded += outcome == "success"
            if outcome == "success" and self._succeeded >= rule.probes:
                self._close(now)

    def _counted(self, now: int, rule: BreakerRule, failed: bool) -> None:
        if not -600 < now // TICK - self._start < ticks(rule.window):
            self._start, self._calls, self._failures = now // TICK, 0, 0
        if self._calls == 8191:
            self._calls, self._failures = self._calls // 2, self._failures // 2
        self._calls += 1
        self._failures += failed
        self._consecutive = min(self._consecutive + 1, 63) if failed else 0
        by_rate = rule.rate > 0 and self._calls >= rule.minimum and self._failures >= rule.rate * self._calls
        if by_rate or 0 < rule.consecutive <= self._consecutive:
            self._open(ticks(now + rule.open_for))


class Ewma:
    def __init__(self, arena: object, name: str, *, half_life: int) -> None:
        if half_life <= 0:
            raise ValueError("half_life")
        self._half_life, self._time = half_life, 0
        self._average: float | None = None

    def add(self, value: float, now: int, /) -> None:
        if not math.isfinite(value):
            return
        elapsed = max(now - self._time, 0) / self._half_life
        weight = max(1 - 0.5**elapsed, 1 - 0.5**1e-4)
        self._time = max(self._time, now)
        self._average = value if self._average is None else self._average + weight * (value - self._average)

    def value(self, otherwise: float = 0.0, /) -> float:
        return otherwise if self._average is None else self._average
