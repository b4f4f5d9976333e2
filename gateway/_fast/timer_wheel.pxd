cdef class TimerWheel

cdef class Deadline:
    cdef TimerWheel _wheel
    cdef object _fire
    cdef Deadline _before, _next    # in the list of its slot
    cdef long long _slot            # negative: nowhere
    cdef bint _guards
    cdef readonly double at
    cdef public double latest       # TOTAL: no other clock may move beyond it
    cdef readonly object clock

    cpdef set(self, clock, double seconds)
    cpdef stop(self)
    cpdef run_out(self)
    cdef int drain(self) except -1

cdef class Guard(Deadline):
    cdef object _task
    cdef int _cancelling
    cdef bint _fired

cdef class TimerWheel:
    cdef readonly double tick, over
    cdef readonly object now
    cdef bint _real
    cdef object loop, _call_later, _alarm
    cdef list _lists
    cdef long long _turned, _armed
    cdef Py_ssize_t _count

    cdef double moment(self) except? -1.0
    cdef int place(self, Deadline deadline) except -1
    cdef int remove(self, Deadline deadline) except -1
    cdef int _arm(self, long long slot) except -1
    cdef int _deal_with(self, long long slot, double now) except -1
    cdef long long _earliest(self, long long slot)
