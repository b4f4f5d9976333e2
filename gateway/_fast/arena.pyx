"""One shared mapping for everything that must be true on the whole machine, and the names in it.

It is taken before the fork and is at the same address in all processes; what is handed out are offsets, so that nothing
depends on that. Address space is reserved (1 GiB), memory is used as pages are touched. arena.h has the layout,
arena_steps.h every step in the directory; here are names, errors and this process's column.

- Writers: any process, any time, under one robust mutex in the mapping. A claim is rare (a reload, the first request of
  a new label) and short; the hot path keeps the offset. No Python code runs while the mutex is held, and the GIL is let
  go while it is waited for.
- A holder that was stopped, not killed, is waited for up to a second, then TimeoutError: its process is what the
  supervisor kills next. `leave` alone does without: the supervisor cannot be held up.
- Columns: column 0 is the supervisor's, the others are the workers' slots. A column has one writer at a time, who writes
  relaxed; readers sum. A replacement joins its predecessor's column: counters go on, gauges begin at zero. A process
  that was forked and has not joined writes into its parent's column: it must not count.
- Identity: a name is the same area or cells in all processes and generations. `sweep` frees what no generation from
  `before` on has claimed or stamped; the caller knows that nobody uses it any more. What was claimed while `generation`
  was 0 is never freed.
- Errors: ValueError for an impossible name or size and for a name that is known with another size; MemoryError when the
  arena is full, telling what it holds; TimeoutError as above.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython cimport final
from libc.errno cimport ETIMEDOUT

cdef extern from "arena_steps.h":
    enum: ARENA_LEAST, ARENA_LONGEST_NAME
    enum: ARENA_USED
    enum: ARENA_AREA, ARENA_COUNTERS, ARENA_GAUGES
    enum: ARENA_OTHER_SHAPE, ARENA_UNKNOWN
    int arena_begin(void* memory, int64_t reserve, const char* seed) nogil
    int arena_lock(ArenaHead* head, int64_t milliseconds) nogil
    void arena_unlock(ArenaHead* head) nogil
    ArenaSlot* arena_slot(ArenaHead* head, int64_t index) nogil
    int32_t* arena_journal(ArenaHead* head, int64_t position) nogil
    int64_t arena_find(ArenaHead* head, const char* name, int32_t length) nogil
    int64_t arena_claim(
        ArenaHead* head, const char* name, int32_t length, int32_t kind, int64_t size, int64_t generation) nogil
    int64_t arena_known(ArenaHead* head, const char* name, int32_t length, int32_t kind, int64_t size) nogil
    void arena_stamp(ArenaSlot* slot, int64_t generation) nogil
    int64_t arena_sweep(ArenaHead* head, int64_t before) nogil
    void arena_turn(ArenaHead* head, int32_t column) nogil
    void arena_set_alive(ArenaHead* head, int64_t column, int alive) nogil

cdef extern from "atomics.h":
    int64_t word_load(int64_t* at) noexcept nogil

cdef extern from "sys/mman.h" nogil:
    void* mmap(void* start, size_t length, int protection, int flags, int descriptor, long offset)
    int munmap(void* start, size_t length)
    void* MAP_FAILED
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_ANONYMOUS, MAP_NORESERVE

cdef enum:
    PATIENCE = 1000  # milliseconds
    SHORT_PATIENCE = 50
    BATCH = 256


@final
cdef class Arena:
    COLUMNS = ARENA_COLUMNS

    def __cinit__(self, *, int64_t reserve=1 << 30, bytes seed=None):
        if reserve < 0 or reserve > <int64_t> 1 << 40:
            raise ValueError(f"an arena of {reserve} bytes is impossible")
        reserve = max(<int64_t> 1, (reserve + ARENA_LEAST - 1) // ARENA_LEAST) * ARENA_LEAST
        self.seed = os.urandom(16) if seed is None else seed
        if len(self.seed) != 16:
            raise ValueError("the seed of an arena has 16 bytes")
        cdef void* memory = mmap(
            NULL, <size_t> reserve, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if memory == MAP_FAILED:
            raise MemoryError(f"{reserve} bytes of address space for the arena cannot be reserved")
        self.start = <char*> memory
        self.head = <ArenaHead*> memory
        self.head.reserve = reserve
        cdef int failed = arena_begin(memory, reserve, PyBytes_AS_STRING(self.seed))
        if failed:
            raise OSError(failed, os.strerror(failed))
        self.column_start = <char*> arena_cell(self.head, 0, 0)

    def __dealloc__(self):
        if self.start != NULL:
            munmap(self.start, <size_t> self.head.reserve)

    def join(self, int column):
        """Write `column` from now on, as its only writer. Its gauges begin at zero."""
        self._check(column)
        self.lock()
        arena_turn(self.head, column)
        arena_unlock(self.head)
        arena_set_alive(self.head, column, True)
        self.column = column
        self.column_start = <char*> arena_cell(self.head, column, 0)
        self.joins += 1

    def leave(self, int column):
        """The writer of `column` is dead: its gauges count no more. Never waits long, and never fails: zeros are tidier,
        but readers pass over a column that is not alive."""
        self._check(column)
        arena_set_alive(self.head, column, False)
        if arena_lock(self.head, SHORT_PATIENCE) == 0:
            arena_turn(self.head, column)
            arena_unlock(self.head)

    def alive(self):
        """The columns that somebody has joined and not left; column 0 from the beginning."""
        cdef int64_t column
        return [column for column in range(word_load(&self.head.columns_used)) if arena_alive(self.head, column)]

    cpdef int64_t area(self, str name, int64_t size) except -1:
        """The offset of `size` bytes, aligned to 64, zero when they are new."""
        return self.claim(name, ARENA_AREA, size, False)

    def cells(self, str name not None, int64_t count, *, bint gauge):
        """The offset, in every column, of so many numbers in a row."""
        return self.claim(name, ARENA_GAUGES if gauge else ARENA_COUNTERS, count, False)

    def stamp(self, str name not None):
        """Keep this name for our generation. Whether there is such a name."""
        cdef bytes text = name.encode()
        self.lock()
        cdef int64_t index = arena_find(self.head, PyBytes_AS_STRING(text), <int32_t> len(text))
        if index >= 0:
            arena_stamp(arena_slot(self.head, index), self.generation)
        arena_unlock(self.head)
        return index >= 0

    def sweep(self, int64_t before):
        """Free what was last claimed or stamped by a generation smaller than `before`; how many names."""
        self.lock()
        cdef int64_t swept = arena_sweep(self.head, before)
        arena_unlock(self.head)
        return swept

    def entries(self):
        """Every name that is claimed now, and its size: bytes of an area, or number of cells."""
        cdef dict known = {}
        watch = Watch(self)
        while changes := watch.changes():
            for index, name in changes:
                known[index] = name
        return {
            name: arena_slot(self.head, <int64_t> index).size for index, name in known.items() if name is not None
        }

    def watch(self):
        """What is in the directory, and then what changes in it."""
        return Watch(self)

    def usage(self):
        """Bytes: reserved, taken (address space given to names), free. Numbers: entries, resting, columns, repairs."""
        cdef ArenaHead* head = self.head
        cdef int64_t columns = word_load(&head.columns_used)
        cdef int64_t free = head.reserve - head.areas - head.areas_taken
        return {
            "reserved": head.reserve,
            "taken": head.areas_taken + head.cells_taken * columns,
            "free": free + (head.column_size - head.cells_taken) * columns,
            "entries": head.used,
            "resting": head.resting,
            "columns": columns,
            "repairs": head.repairs,
        }

    cdef int lock(self) except -1:
        cdef int failed = arena_lock(self.head, 0)
        if failed == ETIMEDOUT:
            with nogil:
                failed = arena_lock(self.head, PATIENCE)
        if failed == ETIMEDOUT:
            raise TimeoutError("the directory of the shared memory is held by a process that does not go on")
        if failed:
            raise OSError(failed, os.strerror(failed))
        return 0

    cdef int64_t claim(self, str name, int32_t kind, int64_t size, bint known) except -1:
        """The offset of a name's area or cells; `known`: only if there are any, and without stamping them."""
        cdef bytes text = name.encode()
        if not 0 < len(text) <= ARENA_LONGEST_NAME:
            raise ValueError(f"a name in the arena has 1 to {ARENA_LONGEST_NAME} bytes, not {len(text)}")
        if size < 1:
            raise ValueError(f"{name}: a size of {size} is impossible")
        cdef int64_t offset = 0, index
        self.lock()
        if known:
            index = arena_known(self.head, PyBytes_AS_STRING(text), <int32_t> len(text), kind, size)
        else:
            index = arena_claim(
                self.head, PyBytes_AS_STRING(text), <int32_t> len(text), kind, size, self.generation)
        if index >= 0:
            offset = arena_slot(self.head, index).offset
        arena_unlock(self.head)
        if index == ARENA_OTHER_SHAPE:
            raise ValueError(f"{name} is already in the arena with another size or kind, not {size}")
        if index == ARENA_UNKNOWN:
            raise KeyError(name)
        if index < 0:
            raise self._full(name, size)
        return offset

    cdef object _full(self, str name, int64_t size):
        cdef ArenaHead* head = self.head
        return MemoryError(
            f"the arena is full: {name[:80]} of size {size} finds no place among {head.slots_used} of {head.slots_limit}"
            f" names ({head.resting} swept), {head.areas_taken} of {head.reserve - head.areas} bytes of areas, and"
            f" {head.cells_taken} of {head.column_size} bytes of cells per worker")

    cdef int _check(self, int column) except -1:
        if not 0 <= column < ARENA_COLUMNS:
            raise ValueError(f"there is no column {column}")
        return 0


@final
cdef class Watch:
    """Follows the directory: first every name, then what changes. Slots are given by index, so that a freed one is known
    by the name it had. After a repair, or when more has changed than the journal holds, it begins anew.
    """

    def __cinit__(self, Arena arena not None):
        self._arena = arena
        self._repairs = -1

    def changes(self, Py_ssize_t limit=BATCH):
        """Up to `limit` pairs of slot and name, None for what was freed; an empty list when there is nothing new."""
        cdef ArenaHead* head = self._arena.head
        limit = min(max(limit, 1), head.slots_limit)
        if (word_load(&head.repairs) == self._repairs and word_load(&head.journal_end) == self._journal
                and self._next < 0):
            return []
        cdef list indices = [None] * limit, names = [None] * limit
        cdef Py_ssize_t count = 0
        cdef int64_t index
        cdef ArenaSlot* slot
        self._arena.lock()
        if head.repairs != self._repairs or head.journal_end - self._journal > head.slots_limit:
            self._repairs, self._journal, self._next = head.repairs, head.journal_end, 0
        try:
            while count < limit:
                index = self._step()
                if index < 0:
                    break
                slot = arena_slot(head, index)
                if slot.state == ARENA_USED:
                    names[count] = PyBytes_FromStringAndSize(self._arena.start + slot.name, slot.name_length)
                indices[count] = index
                count += 1
        finally:
            arena_unlock(head)
        return [
            (indices[i], None if names[i] is None else (<bytes> names[i]).decode())
            for i in range(count)
        ]

    cdef int64_t _step(self) noexcept:
        """The index of the next slot to look at, or -1."""
        cdef ArenaHead* head = self._arena.head
        if 0 <= self._next < head.slots_used:
            self._next += 1
            return self._next - 1
        self._next = -1
        if self._journal == head.journal_end:
            return -1
        self._journal += 1
        return arena_journal(head, self._journal - 1)[0]
