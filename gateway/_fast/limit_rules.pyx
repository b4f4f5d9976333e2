"""The rules of limits: what a limit is, apart from whose it is. limit_rules.h has their arithmetic and its bounds.

They are of one process and never change; nothing here is shared. A reload makes new ones, and the state in the table
stays with the rule's name, its algorithm and the key. Times are in ns.

- A rule remembers the hash of its name and algorithm under the seed of the table it was last used with, so that a key
  costs one hash of the key alone.
- Errors: ValueError for what is out of bounds, TypeError for what is no whole number.
"""

from cython cimport final

cdef extern from "limit_rules.h":
    limit_key limit_hash(limit_key seed, const unsigned char* text, size_t size) noexcept nogil

cdef tuple ALGORITHMS = ("", "token_bucket", "leaky_bucket", "fixed_window", "sliding_window", "concurrency")


cdef int64_t within(object value, str what, int64_t least, int64_t most) except -1:
    if not isinstance(value, int):
        raise TypeError(f"{what} is a whole number, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{what} is {value}; it must be from {least} to {most}")
    return value


cdef class Rule:
    """What all kinds of limits have; made by one of the classes below."""

    def __cinit__(self, *given, **named):
        if type(self) is Rule:
            raise TypeError("a rule is a TokenBucket, LeakyBucket, FixedWindow, SlidingWindow or Concurrency")

    cdef int _set(self, str name, int algorithm, object limit, object period, object capacity, str on_full) except -1:
        if on_full not in ("refuse", "admit"):
            raise ValueError(f"on_full is {on_full!r}; it must be refuse or admit")
        self.name, self.algorithm, self.on_full = name, ALGORITHMS[algorithm], on_full
        self._rule.limit = <uint64_t> within(limit, "limit", 1, LIMIT_LARGEST)
        self._rule.period = within(period, "period", LIMIT_SHORTEST_PERIOD, LIMIT_LONGEST_PERIOD)
        self._rule.capacity = self._rule.limit
        if capacity is not None:
            self._rule.capacity = <uint64_t> within(capacity, "burst or capacity", 1, LIMIT_LARGEST)
        self._rule.algorithm = <uint32_t> algorithm
        self._rule.admits = on_full == "admit"
        return 0

    cdef int _take_seed(self, limit_key seed) except -1:
        cdef bytes prefix = self.algorithm.encode() + b":" + self.name.encode()
        self._prefix = limit_hash(seed, prefix, <size_t> len(prefix))
        self._seed, self._seeded = seed, True
        return 0

    @property
    def limit(self):
        return self._rule.limit

    @property
    def period(self):
        """ns; 0 for a concurrency limit."""
        return 0 if self._rule.algorithm == LIMIT_CONCURRENCY else self._rule.period

    @property
    def capacity(self):
        """How much passes at once: the burst."""
        return self._rule.capacity


@final
cdef class TokenBucket(Rule):
    """Full at rest, refilled by `limit` per period, holds `burst`: GCRA."""

    def __cinit__(self, str name not None, *, limit, period, burst=None, str on_full not None="refuse"):
        self._set(name, LIMIT_TOKEN_BUCKET, limit, period, burst, on_full)


@final
cdef class LeakyBucket(Rule):
    """Empty at rest, drained by `limit` per period, holds `capacity`."""

    def __cinit__(self, str name not None, *, limit, period, capacity=None, str on_full not None="refuse"):
        self._set(name, LIMIT_LEAKY_BUCKET, limit, period, capacity, on_full)


@final
cdef class FixedWindow(Rule):
    """`limit` in each period of the clock."""

    def __cinit__(self, str name not None, *, limit, period, str on_full not None="refuse"):
        self._set(name, LIMIT_FIXED_WINDOW, limit, period, None, on_full)


@final
cdef class SlidingWindow(Rule):
    """`limit` in any period, estimated from two windows; limit_rules.h has the bound of its error."""

    def __cinit__(self, str name not None, *, limit, period, str on_full not None="refuse"):
        self._set(name, LIMIT_SLIDING_WINDOW, limit, period, None, on_full)


@final
cdef class Concurrency(Rule):
    """`limit` held at once, by all processes; what a dead one held comes back by recover()."""

    def __cinit__(self, str name not None, *, limit, str on_full not None="refuse"):
        self._set(name, LIMIT_CONCURRENCY, limit, LIMIT_SHORTEST_PERIOD, None, on_full)
