from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from gateway._fast.arena cimport Arena
from gateway._fast.limit_rules cimport LIMIT_CONCURRENCY, Rule, limit_key, limit_rule

cdef extern from "limit_set.h":
    enum: LIMIT_SET_MOST, LIMIT_STRIPES_MOST, LIMIT_EVENTS, LIMIT_NO_ROW
    enum: LIMIT_TAKEN, LIMIT_REACHED, LIMIT_FULL, LIMIT_STUCK

    struct limit_report:
        int64_t remaining, reset, retry_after

    struct limit_range:
        uint32_t used

    struct limit_stripe:
        limit_range ranges[2]

    struct limit_head:
        uint64_t* events

    struct limit_journal:
        uint64_t owner

    struct limit_table:
        limit_head* head
        limit_journal* journals
        limit_stripe* stripes
        int32_t stripe_count, row_count, hold_count, columns
        uint64_t* noticed
        bint has_noticed

    struct limit_step:
        const limit_rule* rule
        limit_key key
        int64_t amount
        int32_t row
        bint inserts, changes, passed_over

    struct limit_set:
        limit_table* table
        int32_t column, count
        int64_t now, taken, patience
        bint asks, passed_over
        limit_step* steps
        int32_t refused
        limit_report report


cdef class Slot:
    cdef readonly Rule rule
    cdef LimitTable _table
    cdef limit_rule _rule
    cdef limit_key _key
    cdef int32_t _row               # where it was last; only a guess


cdef class LimitTable:
    cdef Arena _arena
    cdef limit_table _table
    cdef bytes _seed
    cdef int64_t _patience
    cdef int _joins
    cdef list _owed                 # settlements that met a stuck stripe: (items, now, taken)
    cdef dict _uncounted            # per key: how much of a concurrency limit was let pass uncounted
    cdef object _counters

    cdef bint _enter(self) except -1
    cdef int _begin(self, limit_set* set, limit_step* steps, int64_t now) except -1
    cdef int _read(self, limit_set* set, object items, bint asks) except -1
    cdef int _note(self, object items, limit_set* set, bint take) except -1
    cdef object _refusal(self, limit_set* set, int reason)
    cdef bint _settle(self, list items, int64_t now, int64_t taken, int64_t patience) except -1
    cdef int _tell(self) except -1
