cdef enum Fate:
    PASS
    DROP        # this event does not go out
    STOP        # neither this event nor anything after it goes out


cdef class EventJudge:
    cdef bint content, finished, done
    cdef bytes error
    cdef dict usage
    cdef Py_ssize_t events, malformed, unjudged, removed

    cdef str _items, _delta, _finish, _usage, _error
    cdef tuple _content
    cdef bytes _done
    cdef bint _strip_usage, _drop_malformed
    cdef unsigned long long _seen, _ended
    cdef dict _rare
    cdef Py_ssize_t _rare_open, _count, _least

    cdef int judge(self, bytes data, bint error_event) except -1
    cdef int judge_rest(self, bytes data, bint error_event) except -1
    cdef void let_pass(self) noexcept
    cdef int _judge_value(self, object value, bytes data, bint error_event) except -1
    cdef int _judge_error(self, bytes data) except -1
    cdef int _judge_item(self, dict item) except -1
    cdef int _follow(self, object index, bint ended) except -1
