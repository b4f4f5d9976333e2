"""The rules of limits: what a limit is, apart from whose it is. limit_rules.h has their arithmetic and its bounds.

They are of one process and never change; nothing here is shared. A reload makes new ones, and the state in the table
stays with the rule's name, its algorithm and the key. Times are in ns.

- Whose limit it is says a 128-bit BLAKE2b under the table's seed: equal in all processes, unforeseeable outside, so that
  nobody can make keys that share a row or fill one stripe. It takes 1,000 ns; so a rule remembers the hashes of its latest
  keys, and one that comes again costs a look-up. Whoever always sends new keys pays the hash each time, and no more.
- Errors: ValueError for what is out of bounds, TypeError for what is no whole number.
"""

from hashlib import blake2b

from cython cimport final

cdef int REMEMBERED = 4096      # keys of a rule
cdef int LONGEST = 256          # of a key that is remembered
cdef int SIZE = 16              # of a hash

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

    cdef bytes _hash(self, bytes seed, object key):
        cdef object found, text
        if self._seed is not seed and self._seed != seed:
            text = f"{self.algorithm}:{self.name}".encode()
            self._prefix, self._seed, self._hashes = blake2b(text, digest_size=SIZE, key=seed).digest(), seed, {}
        found = self._hashes.get(key)
        if found is None:
            text = key.encode() if isinstance(key, str) else key
            found = blake2b(text, digest_size=SIZE, key=self._prefix).digest()
            if len(self._hashes) >= REMEMBERED:
                self._hashes.clear()
            if len(text) <= LONGEST:
                self._hashes[key] = found
        return found

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
