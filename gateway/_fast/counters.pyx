"""Numbers in the arena: the cells of meters, and words that every process changes. The hot path holds them.

Cells of meters are f64, exact to 2**53:
- Writers: one per column, the thread of that process's event loop, relaxed: an add is a load and a store, and never
  waits. Readers, of any process, sum over the columns, each as it is at that moment. A histogram's count is the sum of
  its buckets, so the two always agree; its sum may be one value ahead or behind.
- A counter never goes down. `add` refuses a negative number and NaN, because either would be read as a restart, or
  poison the sum for ever. The column of a dead worker is continued by its replacement.
- `follow` takes over a total that this process counts elsewhere: it adds what the total has grown by since it was last
  followed here. A replacement begins at zero again in the same column, and that stays right. After a join the total is
  a new process's.
- A gauge is `summed` over the workers that are alive, or `one` for the whole machine (changed by all, sequentially consistent, the
  last writer wins), or `each` worker's own.
- `known`: the cell of a name that somebody else has claimed, to read it; nothing is claimed. KeyError without one.
- A histogram counts each value once, in the first bucket whose bound is not below it (Prometheus bounds are inclusive).
- `prefixes` belongs to the exposition: the text before the value, rendered once and kept here.

Words are sequentially consistent, for everything that is not a sum.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cython cimport final
from libc.stdint cimport int64_t

from gateway._fast.arena cimport Arena, arena_alive, arena_cell, arena_sum, arena_sum_alive

cdef extern from "arena.h":
    enum: ARENA_AREA, ARENA_COUNTERS, ARENA_GAUGES

cdef extern from "atomics.h":
    int64_t word_load(int64_t* at) noexcept nogil
    void word_store(int64_t* at, int64_t value) noexcept nogil
    int64_t word_add(int64_t* at, int64_t n) noexcept nogil
    bint word_swap(int64_t* at, int64_t* expected, int64_t value) noexcept nogil
    double number_load(double* at) noexcept nogil
    void number_store(double* at, double value) noexcept nogil
    double number_add(double* at, double n) noexcept nogil
    double number_load_relaxed(double* at) noexcept nogil
    void number_store_relaxed(double* at, double value) noexcept nogil


@final
cdef class Words:
    """64-bit integers that any process changes."""

    def __cinit__(self, Arena arena not None, str name not None, Py_ssize_t count):
        if not 0 < count <= arena.head.reserve // 8:
            raise ValueError(f"{name}: {count} words are impossible")
        self._arena = arena
        self._first = <int64_t*> (arena.start + arena.area(name, <int64_t> count * 8))
        self.count = count

    def load(self, Py_ssize_t i):
        return word_load(self._at(i))

    def store(self, Py_ssize_t i, int64_t value):
        word_store(self._at(i), value)

    def add(self, Py_ssize_t i, int64_t n=1):
        """The new value."""
        return word_add(self._at(i), n)

    def swap(self, Py_ssize_t i, int64_t expected, int64_t new):
        """Make it `new` if it is `expected`; whether it was."""
        return word_swap(self._at(i), &expected, new)

    cdef int64_t* _at(self, Py_ssize_t i) except NULL:
        if not 0 <= i < self.count:
            raise IndexError(f"word {i} of {self.count}")
        return self._first + i


cdef inline void add_own(Arena arena, int64_t offset, double n) noexcept:
    cdef double* cell = <double*> (arena.column_start + offset)
    number_store_relaxed(cell, number_load_relaxed(cell) + n)


cdef list columns_of(Arena arena, int64_t offset, bint counter):
    """Column and value, of the columns that are alive; of a counter also of the dead that have counted."""
    cdef list found = []
    cdef int64_t column
    cdef double value
    for column in range(word_load(&arena.head.columns_used)):
        value = number_load_relaxed(arena_cell(arena.head, column, offset))
        if arena_alive(arena.head, column) or (counter and value != 0):
            found.append((column, value))
    return found


@final
cdef class CounterCell:
    """A total that only grows."""

    def __cinit__(self, Arena arena not None, str name not None, *, bint known=False):
        self._arena = arena
        self._offset = arena.claim(name, ARENA_COUNTERS, 1, known)
        self.prefixes = ()

    @property
    def value(self):
        return arena_sum(self._arena.head, self._offset)

    def add(self, double n=1):
        if not n >= 0:
            raise ValueError(f"a counter cannot be changed by {n}")
        add_own(self._arena, self._offset, n)

    def follow(self, double total):
        """Take over what a total has grown by that is counted elsewhere. A smaller one changes nothing."""
        if self._joins != self._arena.joins:
            self._joins = self._arena.joins
            self._followed = 0
        if total > self._followed:
            add_own(self._arena, self._offset, total - self._followed)
            self._followed = total

    def columns(self):
        return columns_of(self._arena, self._offset, True)


@final
cdef class GaugeCell:
    """A number that goes up and down."""

    def __cinit__(self, Arena arena not None, str name not None, str across not None="summed", *, bint known=False):
        if across not in ("summed", "one", "each"):
            raise ValueError(f"a gauge is summed, one or each, not {across!r}")
        self._arena = arena
        self.across = across
        self.prefixes = ()
        if across == "one":
            self._one = <double*> (arena.start + arena.claim(name, ARENA_AREA, 8, known))
        else:
            self._offset = arena.claim(name, ARENA_GAUGES, 1, known)

    @property
    def value(self):
        """The sum, the one, or this process's own."""
        if self._one != NULL:
            return number_load(self._one)
        if self.across == "each":
            return number_load_relaxed(<double*> (self._arena.column_start + self._offset))
        return arena_sum_alive(self._arena.head, self._offset)

    def set(self, double value):
        if self._one != NULL:
            number_store(self._one, value)
        else:
            number_store_relaxed(<double*> (self._arena.column_start + self._offset), value)

    def add(self, double n=1):
        if self._one != NULL:
            number_add(self._one, n)
        else:
            add_own(self._arena, self._offset, n)

    def columns(self):
        if self._one != NULL:
            return [(0, number_load(self._one))]
        return columns_of(self._arena, self._offset, False)


@final
cdef class HistogramCell:
    """How often values fell between the bounds, and their sum."""

    def __cinit__(self, Arena arena not None, str name not None, tuple bounds not None, *, bint known=False):
        self._arena = arena
        self._count = len(bounds)
        self._bounds = <double*> PyMem_Malloc(max(1, self._count) * sizeof(double))
        if self._bounds == NULL:
            raise MemoryError
        for i in range(self._count):
            self._bounds[i] = bounds[i]
        self.bounds = bounds
        self._offset = arena.claim(name, ARENA_COUNTERS, self._count + 2, known)
        self.prefixes = ()

    def __dealloc__(self):
        PyMem_Free(self._bounds)

    def observe(self, double value):
        if value != value:  # NaN would make the sum NaN for ever
            return
        cdef Py_ssize_t low = 0, high = self._count, middle
        while low < high:
            middle = (low + high) // 2
            if self._bounds[middle] < value:
                low = middle + 1
            else:
                high = middle
        add_own(self._arena, self._offset + 8 * (low + 1), 1)
        add_own(self._arena, self._offset, value)

    @property
    def counts(self):
        return [<int64_t> arena_sum(self._arena.head, self._offset + 8 * i) for i in range(1, self._count + 2)]

    @property
    def count(self):
        cdef Py_ssize_t i
        cdef double count = 0
        for i in range(1, self._count + 2):
            count += arena_sum(self._arena.head, self._offset + 8 * i)
        return <int64_t> count

    @property
    def sum(self):
        return arena_sum(self._arena.head, self._offset)
