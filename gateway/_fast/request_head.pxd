cdef class RequestHead:
    cdef list _names
    cdef list _values
    cdef Py_ssize_t _size
    cdef Py_ssize_t _host
    cdef int _lengths
    cdef int _codings
    cdef int _tokens
    cdef readonly str method
    cdef readonly str target
    cdef readonly str path
    cdef readonly int minor
    cdef readonly long long content_length
    cdef readonly bint chunked
    cdef readonly bint closes
    cdef readonly bint waits
    cdef readonly bint encoded
    cdef readonly bint upgrades

    cdef int header(self, bytes name, bytes value) except -1
    cdef int finish(self, bytes method, bytes target, int minor) except -1
    cdef str find(self, str name)
    cdef int _note(self, int role, bytes value) except -1
    cdef str _of_absolute_form(self, bytes target)
    cdef dict _decoded(self)
