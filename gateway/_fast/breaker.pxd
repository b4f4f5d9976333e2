from libc.stdint cimport int64_t, uint64_t

from gateway._fast.arena cimport Arena


cdef extern from "breaker_word.h":
    ctypedef struct BreakerRuleFields "BreakerRule":
        double rate
        int64_t window, minimum, consecutive, open_for, probes, probe_time

cdef extern from "ewma.h":
    ctypedef struct EwmaWords "Ewma":
        uint64_t time, bits


cdef class BreakerRule:
    cdef BreakerRuleFields fields


cdef class Breaker:
    cdef Arena _arena
    cdef uint64_t* _word
    cdef bint _report(self, int64_t now, BreakerRule rule, int64_t permit, int outcome) noexcept


cdef class Ewma:
    cdef Arena _arena
    cdef EwmaWords* _words
    cdef double _half_life
