from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from gateway._fast.arena cimport Arena


cdef extern from "random.h":
    ctypedef struct Random:
        pass

cdef extern from "select_steps.h":
    enum: SELECT_LIMIT
    ctypedef struct RoundRobinGroup "RoundRobin":
        pass
    ctypedef struct EvidenceWords "Evidence":
        uint64_t successes, failures


cdef class Weights:
    cdef readonly int count
    cdef int32_t* values
    cdef uint64_t mark
    cdef const char* candidates(self, bytes mask) except NULL


cdef class RoundRobin:
    cdef Arena _arena
    cdef RoundRobinGroup* _group


cdef class InFlight:
    cdef Arena _arena
    cdef readonly int count
    cdef int64_t* _offsets
    cdef uint64_t* _hashes
    cdef double* _own(self, Py_ssize_t i) except NULL
    cdef void _sum(self, const char* mask, double* loads) noexcept
    cdef const char* _candidates(self, bytes mask, Weights weights) except NULL


cdef class Evidence:
    cdef Arena _arena
    cdef readonly int count
    cdef double _half_life
    cdef EvidenceWords** _words
    cdef int _add(self, Py_ssize_t i, int64_t now, bint failed) except -1
