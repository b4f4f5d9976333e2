from libc.stdint cimport int64_t

from gateway._fast.arena cimport Arena


cdef class Words:
    cdef Arena _arena
    cdef int64_t* _first
    cdef readonly Py_ssize_t count
    cdef int64_t* _at(self, Py_ssize_t i) except NULL


cdef class CounterCell:
    cdef public tuple prefixes
    cdef Arena _arena
    cdef int64_t _offset
    cdef double _followed
    cdef int _joins


cdef class GaugeCell:
    cdef public tuple prefixes
    cdef readonly str across
    cdef Arena _arena
    cdef int64_t _offset
    cdef double* _one                   # NULL unless there is one number for all


cdef class HistogramCell:
    cdef public tuple prefixes
    cdef readonly tuple bounds
    cdef Arena _arena
    cdef int64_t _offset                # of the sum; the counts follow
    cdef double* _bounds
    cdef Py_ssize_t _count
