cdef class ResponseHead:
    cdef list _lines
    cdef dict _headers
    cdef bytes _coding, _encoding, _keep_alive
    cdef int _count, _lengths, _codings
    cdef readonly int status
    cdef readonly bint until_close

    cdef str add(self, bytes name, bytes value)
    cdef str judge(self, int status, bint http_1_1)
    cdef dict headers(self)
    cdef double patience(self) except? -2.0
    cdef str encoding(self)
