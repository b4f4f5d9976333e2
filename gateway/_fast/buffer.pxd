cdef struct Buffer:
    char* start
    Py_ssize_t size
    Py_ssize_t room

cdef void release(Buffer* buffer) noexcept
cdef int resize(Buffer* buffer, Py_ssize_t room) except -1
cdef int append(Buffer* buffer, const char* text, Py_ssize_t count) except -1
cdef void drop_first(Buffer* buffer, Py_ssize_t count) noexcept
cdef int trim(Buffer* buffer, Py_ssize_t idle_room) except -1
cdef bytes take(Buffer* buffer)
