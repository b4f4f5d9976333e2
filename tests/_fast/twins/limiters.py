"""The limits once more: exact fractions where the core has scaled whole numbers, waiting times found by bisection where
it has formulas, and a table that is a dictionary. Of one process: there is nothing to lock and nobody to die.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

MOST = 2**63 - 1


def keyed(seed: bytes, text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16, key=seed).digest()


@dataclass(frozen=True)
class Rule:
    name: str
    algorithm: str
    limit: int
    period: int
    capacity: int
    on_full: str = "refuse"


def TokenBucket(name: str, *, limit: int, period: int, burst: int | None = None, on_full: str = "refuse") -> Rule:  # noqa: N802
    return Rule(name, "token_bucket", limit, period, burst or limit, on_full)


def LeakyBucket(name: str, *, limit: int, period: int, capacity: int | None = None, on_full: str = "refuse") -> Rule:  # noqa: N802
    return Rule(name, "leaky_bucket", limit, period, capacity or limit, on_full)


def FixedWindow(name: str, *, limit: int, period: int, on_full: str = "refuse") -> Rule:  # noqa: N802
    return Rule(name, "fixed_window", limit, period, limit, on_full)


def SlidingWindow(name: str, *, limit: int, period: int, on_full: str = "refuse") -> Rule:  # noqa: N802
    return Rule(name, "sliding_window", limit, period, limit, on_full)


def Concurrency(name: str, *, limit: int, on_full: str = "refuse") -> Rule:  # noqa: N802
    return Rule(name, "concurrency", limit, 1, limit, on_full)


@dataclass(frozen=True)
class Slot:
    rule: Rule
    key: bytes


@dataclass
class Refusal:
    index: int
    reason: str
    remaining: int
    reset: int
    retry_after: int | None


@dataclass
class Row:
    """One key's state. `level` is exact; `counts` are of the windows that begin at `at` and one period before."""

    rule: Rule
    at: int
    level: Fraction = Fraction(0)
    counts: tuple[int, int] = (0, 0)
    held: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Row:
        return Row(self.rule, self.at, self.level, self.counts, dict(self.held))

    @property
    def bucket(self) -> bool:
        return self.rule.algorithm.endswith("bucket")

    def adopt(self, rule: Rule, now: int) -> None:
        """The rule may have another period than the one this was counted for."""
        if rule.period != self.rule.period:
            if self.bucket:
                self.level = Fraction(math.ceil(self.level * rule.period), rule.period)
            else:
                self.advance(now)
                self.counts = (min(MOST, math.ceil(self.estimate(now))), 0)
                self.at = max(now, self.at) // rule.period * rule.period
        self.rule = rule

    def advance(self, now: int) -> int:
        now = max(now, self.at)
        period = self.rule.period
        if self.bucket:
            self.level = max(Fraction(0), self.level - Fraction((now - self.at) * self.rule.limit, period))
            self.at = now
        elif self.rule.algorithm != "concurrency":
            passed = now // period - self.at // period
            if passed:
                slides = self.rule.algorithm == "sliding_window" and passed == 1
                self.counts, self.at = (0, self.counts[0] if slides else 0), now // period * period
        return now

    def estimate(self, now: int) -> Fraction:
        if self.bucket:
            return self.level
        if self.rule.algorithm == "concurrency":
            return Fraction(sum(self.held.values()))
        return self.counts[0] + self.counts[1] * Fraction(self.at + self.rule.period - now, self.rule.period)

    def passes(self, cost: int, now: int) -> bool:
        return self.estimate(now) + cost <= self.rule.capacity

    def later(self, now: int) -> Fraction:
        """What the estimate will be then, if nothing more is taken."""
        ahead = self.copy()
        return ahead.estimate(ahead.advance(now))

    def wait(self, now: int, most: Fraction | int) -> int:
        """How long until the estimate is `most` or less."""
        span = 2 * self.rule.period
        if self.bucket:
            span = math.ceil(self.level * self.rule.period / self.rule.limit)
        low, high = -1, span
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.later(now + middle) <= most else (middle, high)
        return high

    def reset(self, now: int) -> int:
        if self.rule.algorithm == "concurrency":
            return 0
        if self.bucket:
            return min(MOST, now + self.wait(now, 0)) - now
        windows = 2 if self.rule.algorithm == "sliding_window" and self.counts[0] else 1
        return self.at + windows * self.rule.period - now if any(self.counts) else 0

    def refusal(self, index: int, cost: int, now: int) -> Refusal:
        left = self.rule.capacity - cost
        after: int | None = None
        if left >= 0:
            after = 0 if self.rule.algorithm == "concurrency" else min(MOST, self.wait(now, left))
        return Refusal(index, "limit", self.remaining(now), self.reset(now), after)

    def remaining(self, now: int) -> int:
        return max(0, math.floor(self.rule.capacity - self.estimate(now)))

    def more(self, amount: int, column: int) -> None:
        if self.bucket:
            self.level = min(Fraction(MOST), self.level + amount)
        elif self.rule.algorithm == "concurrency":
            self.held[column] = self.held.get(column, 0) + min(amount, MOST - sum(self.held.values()))
        else:
            self.counts = (min(MOST, self.counts[0] + amount), self.counts[1])

    def less(self, amount: int, taken: int, column: int) -> None:
        current, before = self.counts
        if self.bucket:
            self.level = max(Fraction(0), self.level - amount)
        elif self.rule.algorithm == "concurrency":
            self.held[column] = max(0, self.held.get(column, 0) - amount)
        elif taken >= self.at:
            self.counts = (max(0, current - amount), before)
        elif taken >= self.at - self.rule.period:
            self.counts = (current, max(0, before - amount))

    def fresh(self, now: int) -> bool:
        if self.rule.algorithm == "concurrency":
            return not sum(self.held.values())
        return now >= self.at and now >= self.at + self.reset(self.at)


@dataclass
class Range:
    """The places of one kind in one stripe: whose row is where, and where the next search for a victim begins."""

    size: int
    keys: list[bytes] = field(default_factory=list)
    hand: int = 0


class LimitTable:
    """`arena`: what has a seed and a column. A full range gives a new key the place of one that is as good as new."""

    def __init__(self, arena: Any, *, name: str = "limits", rows: int = 1 << 18, stripes: int = 64) -> None:
        self._arena = arena
        self._stripes = stripes
        holds = max(1, rows // stripes // 8)
        sizes = {True: holds, False: rows // stripes - holds}
        self._ranges = {(s, held): Range(size) for s in range(stripes) for held, size in sizes.items()}
        self._evicted_at = [0] * stripes
        self._rows: dict[bytes, Row] = {}

    def slot(self, rule: Rule, key: bytes | str) -> Slot:
        prefix = keyed(self._arena.seed, f"{rule.algorithm}:{rule.name}".encode())
        return Slot(rule, keyed(prefix, key.encode() if isinstance(key, str) else key))

    def take(self, items: Any, now: int) -> Refusal | None:
        return self._do(items, now, now, asks=True)

    def settle(self, items: Any, now: int, taken: int | None = None) -> None:
        self._do(items, now, now if taken is None else taken, asks=False)

    def peek(self, slot: Slot, now: int) -> tuple[int, int]:
        row, now = self._brought(self._rows.get(slot.key), slot, now)
        return row.remaining(now), row.reset(now)

    def recover(self, column: int) -> bool:
        for row in self._rows.values():
            row.held.pop(column, None)
        return True

    def _do(self, items: Any, now: int, taken: int, *, asks: bool) -> Refusal | None:
        seen: dict[bytes, Row] = {}  # as the limits so far have left them: a key listed twice is one row
        changed: set[bytes] = set()
        passed_over: set[bytes] = set()
        places: dict[bytes, tuple[Range, int]] = {}
        for slot, _ in items:
            if slot.key in self._rows:
                places[slot.key] = self._range(slot), self._range(slot).keys.index(slot.key)
        for index, (slot, amount) in enumerate(items):
            if slot.key in passed_over:
                continue
            known = slot.key in self._rows or slot.key in changed
            row, at = self._brought(seen.get(slot.key) or self._rows.get(slot.key), slot, now)
            if asks and not row.passes(amount, at):
                return row.refusal(index, amount, at)
            seen[slot.key] = row
            if amount == 0 or (amount < 0 and not known):
                continue
            if not known and not self._found_place(slot, places, now):
                if asks and slot.rule.on_full == "refuse":
                    return Refusal(index, "full", 0, 0, self._until_room(slot, now))
                passed_over.add(slot.key)
                continue
            if amount > 0:
                row.more(amount, self._arena.column)
            else:
                row.less(-amount, taken, self._arena.column)
            changed.add(slot.key)
        for slot, _ in sorted(items, key=lambda item: places.get(item[0].key, (None, 0))[1]):
            if slot.key in changed:
                self._put(slot, places[slot.key][1], seen[slot.key], now)
        return None

    def _brought(self, row: Row | None, slot: Slot, now: int) -> tuple[Row, int]:
        if row is None:
            began = max(now, self._evicted_at[slot.key[0] % self._stripes])
            windowed = slot.rule.algorithm.endswith("window")
            row = Row(slot.rule, began // slot.rule.period * slot.rule.period if windowed else began)
        if row.rule.algorithm == "concurrency":
            return Row(slot.rule, 0, held=dict(row.held)), now
        row, now = row.copy(), max(now, row.at)
        row.adopt(slot.rule, now)
        return row, row.advance(now)

    def _range(self, slot: Slot) -> Range:
        return self._ranges[slot.key[0] % self._stripes, slot.rule.algorithm == "concurrency"]

    def _found_place(self, slot: Slot, places: dict[bytes, tuple[Range, int]], now: int) -> bool:
        """Rows that this set uses cannot make room for another of its keys, fresh or not."""
        near = self._range(slot)
        taken = {place for where, place in places.values() if where is near}
        free = [place for place in range(len(near.keys), near.size) if place not in taken]
        if not free:
            order = [(near.hand + i) % near.size for i in range(near.size)]
            fresh = [at for at in order if at not in taken and self._rows[near.keys[at]].fresh(now)]
            if not fresh:
                return False
            near.hand = (fresh[0] + 1) % near.size
        places[slot.key] = near, (free or fresh)[0]
        return True

    def _put(self, slot: Slot, place: int, row: Row, now: int) -> None:
        near, stripe = self._range(slot), slot.key[0] % self._stripes
        if slot.key not in self._rows and place < len(near.keys):
            del self._rows[near.keys[place]]
            near.keys[place] = slot.key
            if slot.rule.algorithm != "concurrency":
                self._evicted_at[stripe] = max(self._evicted_at[stripe], now)
        elif slot.key not in self._rows:
            near.keys.append(slot.key)
        self._rows[slot.key] = row

    def _until_room(self, slot: Slot, now: int) -> int:
        if slot.rule.algorithm == "concurrency":
            return 0
        times = [row.at + row.reset(row.at) for row in map(self._rows.__getitem__, self._range(slot).keys)]
        return max(0, min(times, default=now) - now)
