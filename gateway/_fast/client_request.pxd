from gateway._fast.reply_head cimport Framing, ReplyHeads
from gateway._fast.request_head cimport RequestHead

cdef class Outlet:
    cdef object _lane
    cdef object _loop
    cdef object _transport
    cdef object _put
    cdef ReplyHeads _heads
    cdef list _waiting
    cdef bint _paused
    cdef readonly str peer

    cdef object room(self)
    cdef int wake(self, bint lost) except -1
    cdef int answered(self, Request request) except -1

cdef class Request:
    cdef Outlet _outlet
    cdef object _arrival
    cdef list _parts
    cdef bytes _whole
    cdef Py_ssize_t _filled
    cdef bytes _held
    cdef long long _received
    cdef long long _left
    cdef Framing _framing
    cdef bint _each
    cdef bint _answered
    cdef bint _closing
    cdef bint _withheld
    cdef readonly RequestHead headers
    cdef readonly bint complete
    cdef readonly bint oversized
    cdef readonly bint started
    cdef readonly bint gone
    cdef readonly str peer
    cdef readonly str broken
    cdef public bint late
    cdef public bint begun
    cdef public long long limit
    cdef public object task

    cdef int part(self, bytes data) except -1
    cdef int over(self) except -1
    cdef bint _gathers(self) except -1
    cdef int _fill(self, bytes data) except -1
    cdef int breaks(self, str reason) except -1
    cdef bint unread(self) noexcept
    cdef Py_ssize_t size(self) noexcept
    cdef int leaves(self) except -1
    cdef int _arrived(self) except -1
    cdef int _ending(self, Outlet outlet) except -1
    cdef object _end(self, Outlet outlet)
    cdef Outlet _present(self)
