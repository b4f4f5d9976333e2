"""Durations of the whole machine: quantiles, mean, count, of ever and of the last slices; see histogram_steps.h.

- Writers and readers: any worker. A value costs two atomic operations, and one more for the recent ones.
- Values and `now` are whole ns; `now` is of the monotonic clock, which all processes share.
- Space is named when the object is made; memory is taken page by page by the first values: 8 KiB, and 4 KiB for each
  slice, at most, so 24 KiB with the four slices of 15 s; values that are alike touch half of that. One without slices
  (slices=0) has no recent values.
- A histogram of other slices is another one, and begins empty: numbers of slices of another length say nothing, and
  after a reload to longer ones would be in the future for as long as the machine has been up.
- A quantile reads all buckets: 0.5 us, or a few us for recent ones. For a pick per request use an Ewma.
- `le` buckets for Prometheus are not these: see HistogramCell.
"""

from cython cimport final
from libc.stdint cimport int64_t, uint64_t

from gateway._fast.arena cimport Arena


cdef extern from "histogram_steps.h":
    enum: HISTOGRAM_BUCKETS, HISTOGRAM_RECENT, HISTOGRAM_SLICES, HISTOGRAM_FINE, HISTOGRAM_COARSE
    int64_t HISTOGRAM_LEAST, HISTOGRAM_MOST
    void histogram_record(uint64_t* words, int64_t value, int64_t slice, int64_t slices) noexcept nogil
    uint64_t histogram_counts(const uint64_t* words, int64_t slice, int64_t slices, uint64_t* counts) noexcept nogil
    int64_t histogram_quantile(const uint64_t* counts, uint64_t count, double q, int bits) noexcept nogil
    double histogram_mean(const uint64_t* counts, uint64_t count, int bits) noexcept nogil
    int64_t histogram_value(int64_t index, int bits) noexcept nogil

cdef extern from "atomics.h":
    double number_load(const double* at) noexcept nogil


@final
cdef class Histogram:
    def __cinit__(self, Arena arena not None, str name not None, *, int slices=4, int64_t slice_time=15_000_000_000):
        if not 0 <= slices <= HISTOGRAM_SLICES:
            raise ValueError(f"slices is a number from 0 (no recent values) to {HISTOGRAM_SLICES}")
        if slice_time < 1_000_000_000:
            raise ValueError("slice_time is a second or more, in ns")
        self._arena = arena
        size = (1 + HISTOGRAM_BUCKETS + HISTOGRAM_RECENT * slices) * sizeof(uint64_t)
        shape = f"{slices}x{slice_time}" if slices else "0"
        self._words = <uint64_t*> (arena.start + arena.area(f"histogram/{shape}/{name}", size))
        self._slices = slices
        self._slice_time = slice_time

    def record(self, int64_t value, int64_t now, /):
        histogram_record(self._words, value, now // self._slice_time if now > 0 else 0, self._slices)

    @property
    def count(self):
        cdef uint64_t counts[HISTOGRAM_BUCKETS]
        return histogram_counts(self._words, -1, 0, counts)

    @property
    def sum(self):
        """ns of all values; those outside the range count as its end."""
        return number_load(<double*> self._words)

    @property
    def outside(self):
        """How many were shorter than 1 us, and how many longer than 1 h."""
        cdef uint64_t counts[HISTOGRAM_BUCKETS]
        if histogram_counts(self._words, -1, 0, counts) == 0:
            return 0, 0
        return counts[0], counts[HISTOGRAM_BUCKETS - 1]

    def mean(self):
        count = self.count
        return number_load(<double*> self._words) / count if count else None

    def quantile(self, double q, /):
        cdef uint64_t counts[HISTOGRAM_BUCKETS]
        cdef uint64_t count = histogram_counts(self._words, -1, 0, counts)
        return histogram_quantile(counts, count, self._share(q), HISTOGRAM_FINE) if count else None

    def buckets(self):
        """What stands in the buckets that are not empty: (its value in ns, count), rising."""
        cdef uint64_t counts[HISTOGRAM_BUCKETS]
        if histogram_counts(self._words, -1, 0, counts) == 0:
            return []
        return [(histogram_value(i, HISTOGRAM_FINE), counts[i]) for i in range(HISTOGRAM_BUCKETS) if counts[i]]

    def recent_count(self, int64_t now, /):
        cdef uint64_t counts[HISTOGRAM_RECENT]
        return self._recent(now, counts)

    def recent_mean(self, int64_t now, /):
        """Of the buckets' values, so within 3.2 % of the mean."""
        cdef uint64_t counts[HISTOGRAM_RECENT]
        cdef uint64_t count = self._recent(now, counts)
        return histogram_mean(counts, count, HISTOGRAM_COARSE) if count else None

    def recent_quantile(self, double q, int64_t now, /):
        cdef uint64_t counts[HISTOGRAM_RECENT]
        cdef uint64_t count = self._recent(now, counts)
        return histogram_quantile(counts, count, self._share(q), HISTOGRAM_COARSE) if count else None

    cdef uint64_t _recent(self, int64_t now, uint64_t* counts) noexcept:
        return histogram_counts(self._words, now // self._slice_time if now > 0 else 0, self._slices, counts)

    cdef double _share(self, double q) except -1:
        if not 0 <= q <= 1:
            raise ValueError("a quantile is a number from 0 to 1")
        return q
