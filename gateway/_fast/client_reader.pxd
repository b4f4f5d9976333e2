from gateway._fast.client_request cimport Outlet, Request

cdef enum Phase:
    READING
    DEAF  # what comes is no request: it was broken, or another connection was asked for
    LINGERING
    CLOSING

cdef class ClientReader(Outlet):
    cdef object _parser
    cdef object _feed
    cdef Request _reading
    cdef list _queue
    cdef bytes _target
    cdef tuple _refused
    cdef Py_ssize_t _behind
    cdef Py_ssize_t _unfinished
    cdef Phase _phase
    cdef bint _in_head
    cdef bint _head_began
    cdef bint _came_on
    cdef bint _upgrading
    cdef bint _priming
    cdef double _since

    cdef int begin_reading(self) except -1
    cdef int read(self, bytes data) except -1
    cdef int refuse(self, str kind, str reason) except -1
    cdef bytes _parse(self, bytes data)
    cdef int _weigh(self, Py_ssize_t size) except -1
    cdef int _minor(self, Request request) except -2
    cdef int _ignore_upgrade(self) except -1
    cdef int _break(self, problem) except -1

cdef double now() noexcept
