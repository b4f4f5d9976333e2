"""The picks over plain lists, and the generator in arithmetic modulo 2**64: equal seeds, equal picks."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable

MASK = 2**64 - 1
TICK = 100_000_000


def mixed(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def hashed(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK
    return mixed(value)


class Xoshiro:
    def seed(self, seed: bytes) -> None:
        start, words = hashed(seed), []
        for i in range(4):
            start = (start + 0x9E3779B97F4A7C15) & MASK
            words.append(mixed(start ^ int.from_bytes(seed[8 * i : 8 * i + 8], "little")))
        self.words = words

    def next(self) -> int:
        a, b, c, d = self.words
        turned = b * 5 & MASK
        result = ((turned << 7 | turned >> 57) * 9) & MASK
        c, d = c ^ a, d ^ b
        last = (d << 45 | d >> 19) & MASK
        self.words = [a ^ d, b ^ c, c ^ (b << 17 & MASK), last]
        return result

    def uniform(self) -> float:
        return (self.next() >> 11) / 2**53

    def below(self, limit: int) -> int:
        while True:
            product = self.next() * limit
            if product & MASK >= 2**64 % limit:
                return product >> 64

    def normal(self) -> float:
        while True:
            x, y = 2 * self.uniform() - 1, 2 * self.uniform() - 1
            square = x * x + y * y
            if 0 < square < 1:
                return x * math.sqrt(-2 * math.log(square) / square)

    def gamma(self, shape: float) -> float:
        d = shape - 1 / 3
        c = 1 / math.sqrt(9 * d)
        while True:
            x = self.normal()
            v = 1 + c * x
            if v <= 0:
                continue
            v = v * v * v
            u, square = self.uniform(), x * x
            if u < 1 - 0.0331 * square * square or math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
                return d * v

    def beta(self, a: float, b: float) -> float:
        x = self.gamma(a)
        return x / (x + self.gamma(b))


generator = Xoshiro()


def seed_random(seed: bytes | None = None, /) -> None:
    generator.seed(os.urandom(32) if seed is None else seed)


def uniform() -> float:
    return generator.uniform()


seed_random()


class Weights:
    def __init__(self, values: Iterable[int], /) -> None:
        self.values = list(values)
        self.count = len(self.values)
        if not all(isinstance(weight, int) for weight in self.values):
            raise TypeError("weights")
        if not 0 < self.count <= 1024 or not all(0 <= weight <= 65535 for weight in self.values):
            raise ValueError("weights")

    def candidates(self, mask: bytes) -> list[int]:
        if len(mask) != self.count:
            raise ValueError("mask and weights")
        return [i for i, weight in enumerate(self.values) if mask[i] and weight]

    def pick(self, mask: bytes, /) -> int:
        line = [i for i in self.candidates(mask) for _ in range(self.values[i])]
        return line[generator.below(len(line))] if line else -1


class RoundRobin:
    def __init__(self, arena: object, name: str) -> None:
        self._current: list[int] = []
        self._weights: list[int] = []

    def pick(self, mask: bytes, weights: Weights, /) -> int:
        candidates = weights.candidates(mask)
        if self._weights != weights.values:
            self._weights, self._current = weights.values, [0] * weights.count
        for i in candidates:
            self._current[i] += weights.values[i]
        best = max(candidates, key=lambda i: self._current[i], default=-1)
        if best >= 0:
            self._current[best] -= sum(weights.values[i] for i in candidates)
        return best


class InFlight:
    def __init__(self, arena: object, names: Iterable[str], /) -> None:
        self._names = list(names)
        self.count = len(self._names)
        if not 0 < self.count <= 1024 or len(set(self._names)) != self.count:
            raise ValueError("names")
        self._loads = [0] * self.count

    def acquire(self, i: int, /) -> None:
        self._loads[self._index(i)] += 1

    def release(self, i: int, /) -> None:
        self._loads[self._index(i)] = max(0, self._loads[i] - 1)

    def load(self, i: int, /) -> int:
        return self._loads[self._index(i)]

    def pick_least(self, mask: bytes, weights: Weights, /) -> int:
        best, equals = -1, 0
        for i in self._candidates(mask, weights):
            mine = self._loads[i] * weights.values[best]
            if best < 0 or mine < self._loads[best] * weights.values[i]:
                best, equals = i, weights.values[i]
            elif mine == self._loads[best] * weights.values[i]:
                equals += weights.values[i]
                best = i if generator.below(equals) < weights.values[i] else best
        return best

    def pick_of_two(self, mask: bytes, weights: Weights, /) -> int:
        left = self._candidates(mask, weights)
        if not left:
            return -1
        first = left.pop(generator.below(len(left)))
        second = left[generator.below(len(left))] if left else first
        better = self._loads[second] * weights.values[first] < self._loads[first] * weights.values[second]
        return second if better else first

    def pick_by_key(self, mask: bytes, weights: Weights, key: bytes, bound: float = 1.25, /) -> int:
        if bound != 0 and not bound >= 1:
            raise ValueError("bound")
        candidates = self._candidates(mask, weights)
        load = float(1 + sum(self._loads[i] for i in candidates))
        weight = float(sum(weights.values[i] for i in candidates))
        most = {i: math.ceil(bound * load / weight * weights.values[i]) for i in candidates}
        room = [i for i in candidates if not bound or self._loads[i] < most[i]]
        return min(room, key=lambda i: self._score(key, i) / weights.values[i], default=-1)

    def _score(self, key: bytes, i: int) -> float:
        return -math.log(((mixed(hashed(key) ^ hashed(self._names[i].encode())) >> 11) + 0.5) / 2**53)

    def _index(self, i: int) -> int:
        if not 0 <= i < self.count:
            raise IndexError(i)
        return i

    def _candidates(self, mask: bytes, weights: Weights) -> list[int]:
        if weights.count != self.count:
            raise ValueError("weights and targets")
        return weights.candidates(mask)


class Evidence:
    def __init__(self, arena: object, names: Iterable[str], /, *, half_life: int) -> None:
        if half_life < 1_000_000_000:
            raise ValueError("half_life")
        self.count = len(list(names))
        self._half_life = half_life / TICK
        self._seen = [[(0.0, 0), (0.0, 0)] for _ in range(self.count)]  # amount and its tick, of each outcome

    def success(self, i: int, now: int, /) -> None:
        self._add(i, 0, now // TICK)

    def failure(self, i: int, now: int, /) -> None:
        self._add(i, 1, now // TICK)

    def look(self, i: int, now: int, /) -> tuple[float, float]:
        if not 0 <= i < self.count:
            raise IndexError(i)
        return self._left(i, 0, now // TICK), self._left(i, 1, now // TICK)

    def pick(self, mask: bytes, now: int, /) -> int:
        if len(mask) != self.count:
            raise ValueError("mask and targets")
        draws = [(generator.beta(*(1 + left for left in self.look(i, now))), -i) for i in range(self.count) if mask[i]]
        return -max(draws, default=(0.0, 1))[1]

    def _left(self, i: int, outcome: int, tick: int) -> float:
        amount, seen = self._seen[i][outcome]
        return amount * math.exp2(-max(tick - seen, 0) / self._half_life)

    def _add(self, i: int, outcome: int, tick: int) -> None:
        if not 0 <= i < self.count:
            raise IndexError(i)
        _, seen = self._seen[i][outcome]
        one = math.exp2((tick - seen) / self._half_life) if tick < seen else 1
        (rounded,) = struct.unpack("f", struct.pack("f", self._left(i, outcome, tick) + one))
        self._seen[i][outcome] = rounded, max(tick, seen)
