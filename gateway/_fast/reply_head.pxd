from gateway._fast.buffer cimport Buffer

cdef enum Framing:
    LENGTH  # declared
    CHUNKED
    TO_THE_END  # of the connection: all that HTTP/1.0 understands
    BODILESS  # a status without a body

cdef class ReplyHeads:
    cdef Buffer _room
    cdef dict _beginnings
    cdef long long _second
    cdef bytes _server

    cdef bytes render(self, int status, object headers, int minor, int ending, Framing framing, long long length,
                      bytes body)
    cdef bytes _beginning(self, int status, int minor)
    cdef int _header(self, str name, str value) except -1
    cdef int _content_length(self, long long length) except -1

cdef bytes chunk(bytes before, bytes data)
