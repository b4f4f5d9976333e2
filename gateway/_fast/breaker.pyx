"""Circuit breakers and moving averages for the whole machine. Their steps are breaker_word.h and ewma.h.

Breaker: one word in an area of its name. Writers and readers: any worker; sequentially consistent, by compare-and-swap.
Ewma:    two words, the time of the latest value and the average. Writers: any worker. Readers load one word.

- The rule comes with each call, for a reload may change it; the word goes on. Times of a rule are ns of one monotonic
  clock, and so is `now`.
- `allow` gives a permit (>= 0) or -1. Each permit is reported once: `success`, `failure`, or `withdraw` when nothing
  was learnt, as when the client went away. They say whether this report changed the state, so that one worker logs it.
- Ewma: NaN and infinity are not counted: one of them would be the average for ever.
"""

from cython cimport final
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t

from gateway._fast.arena cimport Arena


cdef extern from "breaker_word.h":
    ctypedef struct BreakerView:
        int state
        int64_t calls, failures, consecutive, given, succeeded
        uint64_t until
    enum:
        BREAKER_OPEN, BREAKER_CLOSED, BREAKER_SUCCESS, BREAKER_FAILURE, BREAKER_WITHDRAWN
        BREAKER_CONSECUTIVE_LIMIT, BREAKER_CALLS_LIMIT
    int64_t BREAKER_TICK
    uint64_t BREAKER_EVER
    int64_t breaker_allow(uint64_t* at, int64_t now, const BreakerRuleFields* rule) noexcept nogil
    int breaker_report(uint64_t* at, int64_t now, const BreakerRuleFields* rule, int64_t permit,
                       int outcome) noexcept nogil
    uint64_t breaker_after(int64_t now, int64_t time) noexcept nogil
    void breaker_force(uint64_t* at, int64_t now, int state, uint64_t until) noexcept nogil
    BreakerView breaker_view(const uint64_t* at, int64_t now, const BreakerRuleFields* rule) noexcept nogil

cdef extern from "ewma.h":
    void ewma_add(EwmaWords* at, double value, uint64_t now, double half_life) noexcept nogil
    double ewma_value(const EwmaWords* at, double otherwise) noexcept nogil

cdef tuple STATES = ("closed", "open", "half_open")
cdef int64_t LONGEST = 12 * 3600 * 1_000_000_000


@final
cdef class BreakerRule:
    def __cinit__(self, *, double rate=0.5, int64_t window=10_000_000_000, int64_t minimum=20, int64_t consecutive=5,
                  int64_t open_for=30_000_000_000, int64_t probes=1, int64_t probe_time=60_000_000_000):
        if not 0 <= rate <= 1:
            raise ValueError("rate is a share from 0 (never by rate) to 1")
        if not 1 <= minimum <= BREAKER_CALLS_LIMIT // 2:
            raise ValueError(f"minimum is a number of calls from 1 to {BREAKER_CALLS_LIMIT // 2}")
        if not 0 <= consecutive <= BREAKER_CONSECUTIVE_LIMIT:
            raise ValueError(f"consecutive is 0 (never) to {BREAKER_CONSECUTIVE_LIMIT} failures")
        if not 1 <= probes <= 255:
            raise ValueError("probes is a number from 1 to 255")
        for time in (window, open_for, probe_time):
            if not BREAKER_TICK <= time <= LONGEST:
                raise ValueError("window, open_for and probe_time are times from 0.1 seconds to 12 hours, in ns")
        self.fields = BreakerRuleFields(rate, window, minimum, consecutive, open_for, probes, probe_time)


@final
cdef class Breaker:
    def __cinit__(self, Arena arena not None, str name not None):
        self._arena = arena
        self._word = <uint64_t*> (arena.start + arena.area(f"breaker/{name}", sizeof(uint64_t)))

    def allow(self, int64_t now, BreakerRule rule not None, /):
        return breaker_allow(self._word, now, &rule.fields)

    def success(self, int64_t now, BreakerRule rule not None, int64_t permit, /):
        return self._report(now, rule, permit, BREAKER_SUCCESS)

    def failure(self, int64_t now, BreakerRule rule not None, int64_t permit, /):
        return self._report(now, rule, permit, BREAKER_FAILURE)

    def withdraw(self, int64_t now, BreakerRule rule not None, int64_t permit, /):
        return self._report(now, rule, permit, BREAKER_WITHDRAWN)

    def state(self, int64_t now, BreakerRule rule not None, /):
        return STATES[breaker_view(self._word, now, &rule.fields).state]

    def look(self, int64_t now, BreakerRule rule not None, /):
        """(state, calls, failures, consecutive, probes given, probes succeeded, ns it stays open, or -1:
        until it is closed by hand)"""
        cdef BreakerView view = breaker_view(self._word, now, &rule.fields)
        cdef int64_t left = 0
        if view.state == BREAKER_OPEN:
            left = -1 if view.until == BREAKER_EVER else <int64_t> view.until * BREAKER_TICK - now
        return STATES[view.state], view.calls, view.failures, view.consecutive, view.given, view.succeeded, left

    def force_open(self, int64_t now, int64_t time=-1, /):
        """For so many ns; without a time until it is closed by hand."""
        breaker_force(self._word, now, BREAKER_OPEN, BREAKER_EVER if time < 0 else breaker_after(now, time))

    def force_close(self, int64_t now, /):
        breaker_force(self._word, now, BREAKER_CLOSED, 0)

    cdef bint _report(self, int64_t now, BreakerRule rule, int64_t permit, int outcome) noexcept:
        return permit >= 0 and breaker_report(self._word, now, &rule.fields, permit, outcome)


@final
cdef class Ewma:
    def __cinit__(self, Arena arena not None, str name not None, *, int64_t half_life):
        if half_life <= 0:
            raise ValueError("half_life is a time in ns, more than 0")
        self._arena = arena
        self._words = <EwmaWords*> (arena.start + arena.area(f"ewma/{name}", sizeof(EwmaWords)))
        self._half_life = <double> half_life

    def add(self, double value, int64_t now, /):
        if isfinite(value):
            ewma_add(self._words, value, <uint64_t> now, self._half_life)

    def value(self, double otherwise=0.0, /):
        """The average; `otherwise` before the first value."""
        return ewma_value(self._words, otherwise)
