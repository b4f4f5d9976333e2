from libc.stdint cimport int64_t, uint64_t

from gateway._fast.arena cimport Arena


cdef class Histogram:
    cdef Arena _arena
    cdef uint64_t* _words
    cdef int _slices
    cdef int64_t _slice_time
    cdef uint64_t _recent(self, int64_t now, uint64_t* counts) noexcept
    cdef double _share(self, double q) except -1
