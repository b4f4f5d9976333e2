from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "limit_rules.h":
    enum: LIMIT_TOKEN_BUCKET, LIMIT_LEAKY_BUCKET, LIMIT_FIXED_WINDOW, LIMIT_SLIDING_WINDOW, LIMIT_CONCURRENCY
    int64_t LIMIT_LARGEST, LIMIT_SHORTEST_PERIOD, LIMIT_LONGEST_PERIOD

    struct limit_key:
        uint64_t low, high

    struct limit_rule:
        uint64_t limit, capacity
        int64_t period
        uint32_t algorithm, admits


cdef int64_t within(object value, str what, int64_t least, int64_t most) except -1


cdef class Rule:
    cdef readonly str name, algorithm, on_full
    cdef limit_rule _rule
    cdef bytes _seed, _prefix       # of the table it was last used with; the hash of name and algorithm under that
    cdef dict _hashes               # of the latest keys

    cdef int _set(self, str name, int algorithm, object limit, object period, object capacity, str on_full) except -1
    cdef bytes _hash(self, bytes seed, object key)
