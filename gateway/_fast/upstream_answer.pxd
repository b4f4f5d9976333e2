from gateway._fast.response_head cimport ResponseHead

cdef class AnswerSource:
    cdef object loop            # whose futures are waited for
    cdef object broken          # makes the exception for an answer that breaks off

    cdef int pause(self) except -1
    cdef int resume(self) except -1
    cdef int leave_off(self, UpstreamAnswer answer) except -1

cdef class UpstreamAnswer:
    cdef AnswerSource source    # until it is closed
    cdef ResponseHead head
    cdef bytes _part            # of the body, not yet given out; with further ones: _parts
    cdef list _parts
    cdef Py_ssize_t _held
    cdef object _waiter         # a future: push()'s while there is a _feed, else head()'s
    cdef object _feed, _pending, _raised
    cdef str failure            # why it cannot come to its end
    cdef object cause
    cdef bint begun, head_done, ended, lost

    cdef int keep(self, bytes part) except -1
    cdef int fail(self, str failure, cause) except -1
    cdef object wait_for_head(self)
    cdef int tell(self) except -1
    cdef bint quiet(self) noexcept

    cdef bytes _take(self)
    cdef int _give_up(self) except -1
    cdef int _tell_head(self) except -1
    cdef int _pour(self) except -1
