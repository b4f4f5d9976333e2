"""Which target gets the next call: picks over the indices of a group's targets. The steps are select_steps.h.

`mask` has one byte per target, 0 for one that must not be picked now; `Weights` come with the call and are made once
per configuration: another configuration has others, while what is shared goes on. Every pick gives an index, or -1.

- RoundRobin: one robust lock per group in shared memory; a pick is one step for all workers. When its holder is stopped
  by force, the others draw by weight after a millisecond instead of waiting.
- InFlight: calls in flight, counted where each call is made: one cell per target *name* and column, so that a reload
  may order the targets anew, and what a dead worker had in flight is gone when its column is left or taken over.
  Writer: the column's process, relaxed; readers sum. `acquire` and `release` are for that process's loop alone.
- Evidence: successes and failures of a target by its name, halved with each half-life, for Thompson sampling. Written
  by any worker by compare-and-swap, sequentially consistent, and read without a lock.
- The generator belongs to the process and is seeded at import and after every fork; `seed_random` is for tests.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cython cimport final
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from gateway._fast.arena cimport Arena, ArenaHead, arena_sum_alive


cdef extern from "arena_steps.h":
    void arena_unlock(ArenaHead* head) noexcept nogil

cdef extern from "atomics.h":
    uint64_t word_load(const uint64_t* at) noexcept nogil
    double number_load_relaxed(const double* at) noexcept nogil
    void number_store_relaxed(double* at, double value) noexcept nogil

cdef extern from "random.h":
    void random_seed(Random* random, const char* seed, int64_t length) noexcept nogil
    double random_uniform(Random* random) noexcept nogil
    uint64_t random_hash(const char* bytes, int64_t length) noexcept nogil

cdef extern from "select_steps.h":
    enum: SELECT_BUSY
    int64_t SELECT_TICK
    int round_robin_begin(RoundRobinGroup* group) noexcept nogil
    int64_t round_robin_pick(RoundRobinGroup* group, const char* mask, const int32_t* weights, int64_t count,
                             uint64_t mark) noexcept nogil
    int64_t pick_random(Random* random, const char* mask, const int32_t* weights, int64_t count) noexcept nogil
    int64_t pick_least(Random* random, const char* mask, const int32_t* weights, int64_t count,
                       const double* loads) noexcept nogil
    int pick_two(Random* random, const char* mask, const int32_t* weights, int64_t count, int64_t* two) noexcept nogil
    int64_t pick_by_key(const char* mask, const int32_t* weights, int64_t count, const double* loads,
                        const uint64_t* targets, uint64_t key, double bound) noexcept nogil
    int64_t pick_by_evidence(Random* random, const char* mask, int64_t count, EvidenceWords** evidence, uint32_t tick,
                             double half_life) noexcept nogil
    double evidence_now(uint64_t word, uint32_t tick, double half_life) noexcept nogil
    void evidence_add(Random* random, uint64_t* at, uint32_t tick, double half_life) noexcept nogil

cdef Random generator


def seed_random(bytes seed=None, /):
    """The same seed gives the same draws again; without one it is the machine's randomness."""
    if seed is None:
        seed = os.urandom(32)
    random_seed(&generator, PyBytes_AS_STRING(seed), PyBytes_GET_SIZE(seed))


def uniform():
    """From 0 to 1, without 1."""
    return random_uniform(&generator)


seed_random()
os.register_at_fork(after_in_child=seed_random)


cdef void* _room(Py_ssize_t count, size_t size) except NULL:
    cdef void* room = PyMem_Calloc(count, size)
    if room == NULL:
        raise MemoryError
    return room


cdef tuple _names(object names):
    found = tuple(names)
    if not 0 < len(found) <= SELECT_LIMIT or len(set(found)) != len(found):
        raise ValueError(f"names are 1 to {SELECT_LIMIT} different names")
    return found


@final
cdef class Weights:
    def __cinit__(self, values, /):
        cdef tuple given = tuple(values)
        if not 0 < len(given) <= SELECT_LIMIT:
            raise ValueError(f"weights are 1 to {SELECT_LIMIT} numbers")
        self.values = <int32_t*> _room(len(given), sizeof(int32_t))
        for i, weight in enumerate(given):
            if not isinstance(weight, int):     # cut to a whole number, 0.5 would be never
                raise TypeError(f"a weight is a whole number, not {weight!r}")
            if not 0 <= weight <= 65535:
                raise ValueError("a weight is a whole number from 0 (never) to 65535")
            self.values[i] = weight
        self.count = <int> len(given)
        self.mark = random_hash(<const char*> self.values, self.count * <int64_t> sizeof(int32_t)) | 1

    def __dealloc__(self):
        PyMem_Free(self.values)

    def pick(self, bytes mask not None, /):
        """Weighted random."""
        return pick_random(&generator, self.candidates(mask), self.values, self.count)

    cdef const char* candidates(self, bytes mask) except NULL:
        if PyBytes_GET_SIZE(mask) != self.count:
            raise ValueError(f"{PyBytes_GET_SIZE(mask)} targets in the mask, {self.count} weights")
        return PyBytes_AS_STRING(mask)


@final
cdef class RoundRobin:
    def __cinit__(self, Arena arena not None, str name not None):
        self._arena = arena
        self._group = <RoundRobinGroup*> (arena.start + arena.area(f"round_robin/{name}", sizeof(RoundRobinGroup)))
        arena.lock()
        failed = round_robin_begin(self._group)
        arena_unlock(arena.head)
        if failed:
            raise OSError(failed, "the lock of a round robin group cannot be made")

    def pick(self, bytes mask not None, Weights weights not None, /):
        """Smooth and weighted, in nginx's order."""
        cdef const char* candidates = weights.candidates(mask)
        cdef int64_t picked = round_robin_pick(self._group, candidates, weights.values, weights.count, weights.mark)
        if picked == SELECT_BUSY:
            picked = pick_random(&generator, candidates, weights.values, weights.count)
        return picked


@final
cdef class InFlight:
    def __cinit__(self, Arena arena not None, names, /):
        cdef tuple given = _names(names)
        self._arena = arena
        self._offsets = <int64_t*> _room(len(given), sizeof(int64_t))
        self._hashes = <uint64_t*> _room(len(given), sizeof(uint64_t))
        for i, name in enumerate(given):
            encoded = (<str?> name).encode()
            self._offsets[i] = arena.cells(f"in_flight/{name}", 1, gauge=True)
            self._hashes[i] = random_hash(PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))
            self.count = <int> i + 1

    def __dealloc__(self):
        PyMem_Free(self._offsets)
        PyMem_Free(self._hashes)

    def acquire(self, Py_ssize_t i, /):
        cdef double* own = self._own(i)
        number_store_relaxed(own, number_load_relaxed(own) + 1)

    def release(self, Py_ssize_t i, /):
        cdef double* own = self._own(i)
        cdef double load = number_load_relaxed(own)
        if load > 0:
            number_store_relaxed(own, load - 1)

    def load(self, Py_ssize_t i, /):
        """In flight in all workers."""
        self._own(i)
        return int(arena_sum_alive(self._arena.head, self._offsets[i]))

    def pick_least(self, bytes mask not None, Weights weights not None, /):
        """The fewest in flight for its weight."""
        cdef double loads[SELECT_LIMIT]
        cdef const char* candidates = self._candidates(mask, weights)
        self._sum(candidates, loads)
        return pick_least(&generator, candidates, weights.values, self.count, loads)

    def pick_of_two(self, bytes mask not None, Weights weights not None, /):
        """Of two different ones drawn at random, the one with fewer in flight for its weight."""
        cdef int64_t two[2]
        cdef double first, second
        cdef int found = pick_two(&generator, self._candidates(mask, weights), weights.values, self.count, two)
        if found < 2:
            return two[0] if found else -1
        first = arena_sum_alive(self._arena.head, self._offsets[two[0]]) * weights.values[two[1]]
        second = arena_sum_alive(self._arena.head, self._offsets[two[1]]) * weights.values[two[0]]
        return two[1] if second < first else two[0]

    def pick_by_key(self, bytes mask not None, Weights weights not None, bytes key not None, double bound=1.25, /):
        """The key's own target, unless that has more than `bound` times its share in flight. 0: no bound."""
        cdef double loads[SELECT_LIMIT]
        cdef const char* candidates = self._candidates(mask, weights)
        if bound != 0 and not bound >= 1:
            raise ValueError("bound is 0 (none), or a number from 1")
        if bound != 0:
            self._sum(candidates, loads)
        return pick_by_key(candidates, weights.values, self.count, loads, self._hashes,
                           random_hash(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), bound)

    cdef double* _own(self, Py_ssize_t i) except NULL:
        if not 0 <= i < self.count:
            raise IndexError(f"target {i} of {self.count}")
        return <double*> (self._arena.column_start + self._offsets[i])

    cdef void _sum(self, const char* mask, double* loads) noexcept:
        for i in range(self.count):
            if mask[i]:
                loads[i] = arena_sum_alive(self._arena.head, self._offsets[i])

    cdef const char* _candidates(self, bytes mask, Weights weights) except NULL:
        if weights.count != self.count:
            raise ValueError(f"{weights.count} weights, {self.count} targets")
        return weights.candidates(mask)


@final
cdef class Evidence:
    def __cinit__(self, Arena arena not None, names, /, *, int64_t half_life):
        cdef tuple given = _names(names)
        if half_life < 1_000_000_000:
            raise ValueError("half_life is a second or more, in ns")
        self._arena = arena
        self._half_life = <double> half_life / <double> SELECT_TICK
        self._words = <EvidenceWords**> _room(len(given), sizeof(EvidenceWords*))
        for i, name in enumerate(given):
            self._words[i] = <EvidenceWords*> (arena.start + arena.area(f"evidence/{name}", sizeof(EvidenceWords)))
            self.count = <int> i + 1

    def __dealloc__(self):
        PyMem_Free(self._words)

    def success(self, Py_ssize_t i, int64_t now, /):
        self._add(i, now, False)

    def failure(self, Py_ssize_t i, int64_t now, /):
        self._add(i, now, True)

    def look(self, Py_ssize_t i, int64_t now, /):
        """What is left of (successes, failures)."""
        cdef uint32_t tick = <uint32_t> (<uint64_t> now // <uint64_t> SELECT_TICK)
        if not 0 <= i < self.count:
            raise IndexError(f"target {i} of {self.count}")
        return (evidence_now(word_load(&self._words[i].successes), tick, self._half_life),
                evidence_now(word_load(&self._words[i].failures), tick, self._half_life))

    def pick(self, bytes mask not None, int64_t now, /):
        """Thompson sampling: each as often as it is likely to be the best."""
        if PyBytes_GET_SIZE(mask) != self.count:
            raise ValueError(f"{PyBytes_GET_SIZE(mask)} targets in the mask, {self.count} here")
        return pick_by_evidence(&generator, PyBytes_AS_STRING(mask), self.count, self._words,
                                <uint32_t> (<uint64_t> now // <uint64_t> SELECT_TICK), self._half_life)

    cdef int _add(self, Py_ssize_t i, int64_t now, bint failed) except -1:
        if not 0 <= i < self.count:
            raise IndexError(f"target {i} of {self.count}")
        evidence_add(&generator, &self._words[i].failures if failed else &self._words[i].successes,
                     <uint32_t> (<uint64_t> now // <uint64_t> SELECT_TICK), self._half_life)
        return 0
