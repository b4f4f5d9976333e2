"""Limits that are true for the whole machine: a set of them is taken in one step, all or none.

    limits = LimitTable(arena)
    per_key = TokenBucket("requests per key", limit=600, period=60 * 10**9)
    slot = limits.slot(per_key, "key-17")           # keep it
    refusal = limits.take([(slot, 1), …], now)      # None: all are taken; else nothing is
    limits.settle([(slot, -1), …], now)             # gives back, or takes more without asking

The steps in shared memory are C without Python, so that harnesses can kill and interleave them: limit_rules.h has the
arithmetic and its bounds, limit_table.h the layout, limit_journal.h what makes a set whole after a kill, limit_set.h the
set. Here are arguments, names and what one process remembers.

- Writers: any process that has joined a column of its own, one thread at a time: the GIL is kept. Readers: the same.
  Everything of a stripe is read and written under its robust mutex; nothing here depends on a weaker order.
- A row belongs to a 128-bit keyed hash of the rule's name, its algorithm and the key, equal in all processes. Limit,
  period and burst come with each call: a reload may change them, and the state stays.
- `now` is in ns, from one clock for all users of a table; it may come late from some (limit_rules.h). Windows begin at its
  multiples of the period.
- Refused: `limit`: this one is reached. `full`: no row for a new key, every row of its stripe being in use. `busy`: whoever
  has the lock does not go on; it is waited for `patience` ns once, then not again until it was free. A rule with
  `on_full="admit"` lets pass uncounted what met the latter two; that is counted (`tell`, `usage`).
- retry_after: ns; None if the cost never passes, being more than the burst; 0 where another's settlement decides.
- A cost of 0 passes unless the limit is overshot, and changes nothing. A settlement never fails: what meets a stuck
  stripe is owed and paid by the next calls; what a process owes when it dies, recover() gives back if it is held.
- What is given back was taken at `taken` (now, unless said): of a window that is over nothing comes back. A bucket has no
  memory of it: never more comes back than is missing.
- `recover(column)`: by the supervisor, when the process of that column is reaped and before another one joins it. False:
  a stripe is stuck, call again. A process that joins a column nobody recovered does it itself before its first take.
- Errors: ValueError and TypeError for arguments, before anything is changed; MemoryError when the arena is full.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject
from libc.string cimport memcpy
from cython cimport final, freelist

from gateway._fast.limit_rules cimport LIMIT_LARGEST, within

cdef extern from "Python.h":
    object PySequence_Fast(object items, const char* message)
    Py_ssize_t PySequence_Fast_GET_SIZE(object items)
    PyObject** PySequence_Fast_ITEMS(object items)
    bint PyTuple_CheckExact(PyObject* item)
    Py_ssize_t PyTuple_GET_SIZE(PyObject* item)
    PyObject* PyTuple_GET_ITEM(PyObject* item, Py_ssize_t at)
    bint PyLong_Check(PyObject* item)
    long long as_long_long "PyLong_AsLongLong"(PyObject* item) except? -1

cdef extern from "limit_set.h":
    int64_t limit_place(limit_table* table, char* start, int32_t rows, int32_t stripes, int32_t columns) noexcept nogil
    bint limit_make_locks(limit_table* table) noexcept nogil
    int limit_do(limit_set* set) noexcept nogil
    bint limit_pass_over_all(limit_set* set) noexcept nogil
    bint limit_peek(limit_set* set) noexcept nogil
    bint limit_recover(limit_table* table, int32_t column, int32_t by, int64_t patience_ns) noexcept nogil

cdef tuple EVENTS = ("evicted", "refused_full", "admitted_full", "busy", "repaired")
cdef tuple REASONS = ("", "limit", "full", "busy")
cdef dict names = {}    # by pid: what this process calls itself; a fork begins anew


cdef uint64_t name_of_process() except 0:
    cdef object pid = os.getpid()
    if pid not in names:
        names.clear()
        names[pid] = int.from_bytes(os.urandom(8), "little") | 1
    return names[pid]


@final
cdef class Slot:
    """One limit for one key, in one table."""

    def __cinit__(self, Rule rule not None, key not None, LimitTable table not None):
        if not isinstance(key, (str, bytes)):
            raise TypeError(f"a key is text or bytes, not {type(key).__name__}")
        self.rule, self._table, self._rule = rule, table, rule._rule
        memcpy(&self._key, PyBytes_AS_STRING(rule._hash(table._seed, key)), sizeof(limit_key))
        self._row = LIMIT_NO_ROW

    @property
    def key(self):
        """The hash."""
        return (<char*> &self._key)[:sizeof(limit_key)]


@final
@freelist(16)
cdef class Refusal:
    """Which limit of the set refused, why, and what is known of it."""

    cdef readonly Py_ssize_t index
    cdef readonly str reason
    cdef readonly int64_t remaining, reset
    cdef readonly object retry_after

    def __cinit__(self, *, Py_ssize_t index, str reason not None, int64_t remaining, int64_t reset, retry_after):
        self.index, self.reason, self.remaining, self.reset = index, reason, remaining, reset
        self.retry_after = retry_after

    def __repr__(self):
        return (f"Refusal(index={self.index}, reason={self.reason!r}, remaining={self.remaining}, reset={self.reset}, "
                f"retry_after={self.retry_after})")


@final
cdef class LimitTable:
    def __cinit__(self, Arena arena not None, *, str name not None="limits", int64_t rows=1 << 18,
                  int64_t stripes=64, int64_t patience=250_000_000):
        if rows & (rows - 1) or stripes & (stripes - 1) or not 2 * stripes <= rows <= 1 << 28 or stripes < 1:
            raise ValueError(f"{rows} rows in {stripes} stripes: powers of two, at least two rows for each stripe")
        if stripes > LIMIT_STRIPES_MOST or not 0 <= patience <= 60_000_000_000:
            raise ValueError(f"at most {LIMIT_STRIPES_MOST} stripes, and a patience of 0 to 60 s")
        cdef int64_t size = limit_place(&self._table, NULL, <int32_t> rows, <int32_t> stripes, arena.COLUMNS)
        cdef char* start = arena.start + arena.area(name, size + 64)
        start += <size_t> -<Py_ssize_t> start % 128     # areas lie at multiples of 64
        limit_place(&self._table, start, <int32_t> rows, <int32_t> stripes, arena.COLUMNS)
        if not limit_make_locks(&self._table):
            raise OSError("this system's mutexes cannot be shared and survive their holder")
        self._arena, self._patience, self._seed = arena, patience, arena.seed
        self._owed, self._uncounted, self._joins = [], {}, -1

    def slot(self, Rule rule not None, key not None):
        """The limit `rule` for `key`. It can be kept as long as one likes: rows come and go with use."""
        return Slot(rule, key, self)

    def take(self, items not None, int64_t now):
        """Take all, and return None; or none, and say which one refused."""
        cdef limit_step steps[LIMIT_SET_MOST]
        cdef limit_set set
        cdef int reason
        items = PySequence_Fast(items, "a set is a list of pairs of slot and cost")
        if self._owed or self._joins != self._arena.joins:
            items = list(items)     # to enter and to pay may run the counters' code, which could change the caller's
        self._begin(&set, steps, now)
        self._read(&set, items, True)
        if self._joins != self._arena.joins and not self._enter():
            reason = LIMIT_TAKEN if limit_pass_over_all(&set) else LIMIT_STUCK
        else:
            if self._owed:
                self._pay()
            reason = limit_do(&set)
        self._note(items, &set, reason == LIMIT_TAKEN)
        return None if reason == LIMIT_TAKEN else self._refusal(&set, reason)

    def settle(self, items not None, int64_t now, taken=None):
        """Give back (below 0) or take more (above 0, even past the limit). `taken`: when it was taken."""
        cdef int64_t then = now if taken is None else within(taken, "taken", 0, LIMIT_LARGEST - 1)
        cdef list mine = list(items)
        if self._owed:
            self._pay()
        if self._uncounted:
            mine = self._without_uncounted(mine)
        if not self._settle(mine, now, then, self._patience):
            self._owed.append((mine, now, then))

    def peek(self, Slot slot not None, int64_t now):
        """What remains, and in how many ns all of it is back; None if the table is busy."""
        cdef limit_step step
        cdef limit_set set
        self._begin(&set, &step, now)
        self._read(&set, [(slot, 0)], True)
        if not limit_peek(&set):
            return None
        return set.report.remaining, set.report.reset

    def recover(self, column not None):
        """Undo what the dead process of this column left half done, and give back what it held. Whether it is done."""
        cdef int32_t dead = <int32_t> within(column, "column", 0, self._table.columns - 1)
        cdef bint done = limit_recover(&self._table, dead, self._arena.column, self._patience)
        if self._table.has_noticed:
            self._tell()
        return done

    def tell(self, counters not None):
        """Add to these what happens here from now on: by event, something with `add`."""
        if set(counters) != set(EVENTS):
            raise ValueError(f"counters are wanted for {', '.join(EVENTS)}")
        self._counters = dict(counters)

    def usage(self):
        """Rows in use and in all, bytes, and how often each event happened on this machine."""
        cdef limit_table* table = &self._table
        cdef int64_t used = 0, stripe
        for stripe in range(table.stripe_count):
            used += table.stripes[stripe].ranges[0].used + table.stripes[stripe].ranges[1].used
        found = {"rows": table.row_count * table.stripe_count, "used": used}
        for event in range(LIMIT_EVENTS):
            found[EVENTS[event]] = table.head.events[event]
        return found

    # the parts

    cdef bint _enter(self) except -1:
        """Begin in this column: owing nothing, and holding nothing that a predecessor left. False: a stripe is stuck."""
        cdef limit_journal* journal = &self._table.journals[self._arena.column]
        cdef uint64_t name = name_of_process()
        if self._joins >= 0:
            self._owed.clear()
            self._uncounted.clear()
            self._joins = -1        # once: what passes uncounted until we are in is ours
        if journal.owner != name:
            if not self.recover(self._arena.column):
                return False
            journal.owner = name
        self._joins = self._arena.joins
        return True

    cdef int _begin(self, limit_set* set, limit_step* steps, int64_t now) except -1:
        if not 0 <= now < LIMIT_LARGEST:
            raise ValueError(f"now is {now} ns; it must be from 0 to {LIMIT_LARGEST - 1}")
        set.table, set.steps, set.column = &self._table, steps, self._arena.column
        set.now = set.taken = now
        set.patience, set.asks, set.passed_over, set.count = self._patience, True, False, 0
        return 0

    cdef int _read(self, limit_set* set, object items, bint asks) except -1:
        """The pairs into steps. No Python code runs between reading a pair and using it."""
        cdef Py_ssize_t count = PySequence_Fast_GET_SIZE(items), i
        cdef PyObject** pairs = PySequence_Fast_ITEMS(items)
        cdef PyObject* first
        cdef PyObject* second
        cdef Slot slot
        cdef limit_step* step
        cdef long long amount
        if count > LIMIT_SET_MOST:
            raise ValueError(f"a set has at most {LIMIT_SET_MOST} limits, not {count}")
        for i in range(count):
            if not PyTuple_CheckExact(pairs[i]) or PyTuple_GET_SIZE(pairs[i]) != 2:
                raise TypeError("a set is a list of pairs of slot and cost")
            first, second = PyTuple_GET_ITEM(pairs[i], 0), PyTuple_GET_ITEM(pairs[i], 1)
            if type(<object> first) is not Slot or not PyLong_Check(second):
                raise TypeError("a set is a list of pairs of slot and cost")
            slot = <Slot> first
            if slot._table is not self:
                raise ValueError("a slot of another table")
            amount = as_long_long(second)
            if amount > LIMIT_LARGEST or amount < (0 if asks else -LIMIT_LARGEST):
                raise ValueError(f"an amount of {amount} is impossible")
            step = &set.steps[i]
            step.rule, step.key, step.row, step.amount = &slot._rule, slot._key, slot._row, amount
            step.inserts = step.changes = step.passed_over = False
        set.count = <int32_t> count
        return 0

    cdef int _note(self, object items, limit_set* set, bint take) except -1:
        """Remember where the rows are, and what was let pass uncounted."""
        cdef PyObject** pairs = PySequence_Fast_ITEMS(items)
        cdef Slot slot
        cdef int32_t i
        for i in range(set.count):
            slot = <Slot> PyTuple_GET_ITEM(pairs[i], 0)
            slot._row = set.steps[i].row
            if take and set.passed_over and set.steps[i].passed_over and slot._rule.algorithm == LIMIT_CONCURRENCY:
                self._uncounted[slot.key] = self._uncounted.get(slot.key, 0) + set.steps[i].amount
        if self._table.has_noticed:
            self._tell()
        return 0

    cdef object _refusal(self, limit_set* set, int reason):
        cdef limit_report* report = &set.report
        return Refusal(
            index=set.refused, reason=REASONS[reason], remaining=report.remaining, reset=report.reset,
            retry_after=None if report.retry_after < 0 else report.retry_after)

    cdef bint _settle(self, list items, int64_t now, int64_t taken, int64_t patience) except -1:
        cdef limit_step steps[LIMIT_SET_MOST]
        cdef limit_set set
        cdef int reason
        self._begin(&set, steps, now)
        set.taken, set.patience = taken, patience
        set.asks = False
        self._read(&set, items, False)  # before anything can keep it waiting: what is owed is sound
        if self._joins != self._arena.joins and not self._enter():
            return False
        reason = limit_do(&set)
        self._note(items, &set, False)
        return reason == LIMIT_TAKEN

    def _pay(self):
        """Settle what is owed, without waiting."""
        while self._owed:
            items, now, taken = self._owed[0]
            if not self._settle(items, now, taken, 0):
                return
            del self._owed[0]

    def _without_uncounted(self, list items not None):
        """What was never counted cannot be given back: someone else's would be."""
        cdef limit_step steps[LIMIT_SET_MOST]
        cdef limit_set set
        cdef Slot slot
        self._begin(&set, steps, 0)
        self._read(&set, items, False)  # wrong ones change nothing
        settled = []
        for slot, amount in items:
            uncounted = self._uncounted.get(slot.key, 0)
            if uncounted and amount < 0:
                part = min(uncounted, -amount)
                amount += part
                self._uncounted[slot.key] = uncounted - part
                if uncounted == part:
                    del self._uncounted[slot.key]
            settled.append((slot, amount))
        return settled

    cdef int _tell(self) except -1:
        cdef int event
        self._table.has_noticed = False
        for event in range(LIMIT_EVENTS):
            if self._table.noticed[event] and self._counters is not None:
                self._counters[EVENTS[event]].add(self._table.noticed[event])
            self._table.noticed[event] = 0
        return 0
