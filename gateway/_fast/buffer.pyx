"""A growing run of bytes in C memory, for compiled modules only: Python sees nothing of it.

A Buffer of zeros is an empty one, which is what a compiled class starts with; its owner calls `release` in __dealloc__.
Room doubles, so that a byte at a time costs no more than all at once. What may fail raises MemoryError and leaves the
buffer as it was. A module, not a header of inline functions, because coverage cannot look into those.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcpy, memmove


cdef void release(Buffer* buffer) noexcept:
    PyMem_Free(buffer.start)
    buffer.start = NULL
    buffer.size = buffer.room = 0


cdef int resize(Buffer* buffer, Py_ssize_t room) except -1:
    cdef char* moved = <char*> PyMem_Realloc(buffer.start, <size_t> room)
    if moved == NULL:
        raise MemoryError
    buffer.start = moved
    buffer.room = room
    return 0


cdef int append(Buffer* buffer, const char* text, Py_ssize_t count) except -1:
    cdef Py_ssize_t size = buffer.size + count
    if size > buffer.room:
        resize(buffer, max(size, 2 * buffer.room))
    if count:
        memcpy(buffer.start + buffer.size, text, <size_t> count)
        buffer.size = size
    return 0


cdef void drop_first(Buffer* buffer, Py_ssize_t count) noexcept:
    buffer.size -= count
    if count and buffer.size:
        memmove(buffer.start, buffer.start + count, <size_t> buffer.size)


cdef int trim(Buffer* buffer, Py_ssize_t idle_room) except -1:
    """Give memory back: keep no more than `idle_room`, or four times what is in use."""
    if buffer.room > idle_room and buffer.room > 4 * buffer.size:
        if buffer.size:
            resize(buffer, buffer.size)
        else:
            release(buffer)
    return 0


cdef bytes take(Buffer* buffer):
    """All of it as bytes; the buffer is empty then."""
    cdef bytes whole = PyBytes_FromStringAndSize(buffer.start, buffer.size)
    release(buffer)
    return whole
