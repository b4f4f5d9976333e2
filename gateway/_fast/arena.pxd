from libc.stdint cimport int32_t, int64_t

cdef extern from "arena.h":
    ctypedef struct ArenaSlot:
        int32_t state, kind, name_length
        int64_t name, offset, size, stamp

    ctypedef struct ArenaHead:
        int64_t reserve, columns_used, column_size, cells_taken, areas, areas_taken, slots_limit, slots_used
        int64_t used, resting, journal_end, repairs

    double* arena_cell(ArenaHead* head, int64_t column, int64_t offset) noexcept nogil
    bint arena_alive(ArenaHead* head, int64_t column) noexcept nogil
    double arena_sum_alive(ArenaHead* head, int64_t offset) noexcept nogil
    double arena_sum(ArenaHead* head, int64_t offset) noexcept nogil
    enum: ARENA_COLUMNS


cdef class Arena:
    cdef char* start                # of the mapping; every offset counts from here
    cdef char* column_start         # of this process's column; offsets of cells count from here
    cdef ArenaHead* head
    cdef readonly int column
    cdef readonly int joins         # how often this process took a column: 0 until it is a worker
    cdef public int64_t generation
    cdef readonly bytes seed

    cpdef int64_t area(self, str name, int64_t size) except -1
    cdef int lock(self) except -1
    cdef int64_t claim(self, str name, int32_t kind, int64_t size, bint known) except -1
    cdef object _full(self, str name, int64_t size)
    cdef int _check(self, int column) except -1


cdef class Watch:
    cdef Arena _arena
    cdef int64_t _repairs, _journal, _next

    cdef int64_t _step(self) noexcept
