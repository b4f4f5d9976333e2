cdef class Attempt:
    cdef public object target, connected, answered, ended, status, outcome, providers_fault
    cdef public double started

cdef class Exchange:
    cdef public object id, method, path, endpoint, snapshot, headers, peer, correlation_id, caller, now
    cdef public object call, plan, usage, body_read, first_content, ended, status, error, ended_by
    cdef public list attempts
    cdef public double received, arrived, read_time, prepare_time, relay_time
    cdef public Py_ssize_t bytes_in, bytes_out
    cdef public bint released, settled
