/* A log-linear histogram of durations in shared memory. No Python here.

   sum (f64 bits) | buckets[HISTOGRAM_BUCKETS] | recent[HISTOGRAM_RECENT][slices]      all 64-bit words, zero when fresh

   Writers: any process. Readers: any process, each word as it is at that moment. Buckets are relaxed adds, for nobody
   orders anything by them; the sum and the recent words change by compare-and-swap, sequentially consistent.
   - Values are whole ns from 1 us to 1 h; each power of two has 32 buckets of equal width, so the middle of a bucket is
     within 1/64 (1.5625 %) of every value in it. What is shorter or longer counts in the first or last bucket,
     whose value is 1 us or 1 h, in the sum as well.
   - The number of values is the sum of the buckets: there is no second count to disagree with. The sum is added first:
     a process killed in between leaves it one value ahead, and a sum of 0 says that nothing was ever recorded (a reader
     then touches no further page).
   - The sum is a double: in ns, 64 bits of integer would last three weeks of 10,000 concurrent requests.
   - recent: 16 buckets to a power of two (the middle is within 1/32, 3.125 %), and of each bucket one word per slice of
     time: number of the slice (32 bits) and count (32 bits, stops when full). A value goes to the slice of its own
     `now`. Whoever comes first to a word in a new slice replaces what was there, by the same compare-and-swap that
     counts: so there is no moment of rotation, nothing to clear, nothing a dead process could leave half done, and no
     value is lost or counted in another slice however late its writer is. Only a value whose slice has
     already left the window is not counted. Words of 32 bits would have had too few for the slice. The slices of a
     bucket lie side by side, so durations that are alike touch few pages.
   - The window ends with the reader's slice, which has just begun or is almost over: it reaches back by between
     slices - 1 and slices slices. What a reader that is behind finds newer than itself, it counts too.
   - Slice numbers repeat after 2**32 slices, of a second or more: 136 years.
   - The value at quantile q is that of the first bucket at which max(1, ceil(q * count)) values are reached. */
#ifndef GATEWAY_HISTOGRAM_STEPS_H
#define GATEWAY_HISTOGRAM_STEPS_H

#include <math.h>
#include <stdint.h>

#include "atomics.h"

#define HISTOGRAM_LEAST INT64_C(1000)
#define HISTOGRAM_MOST INT64_C(3600000000000)

enum { HISTOGRAM_FINE = 5, HISTOGRAM_COARSE = 4 };  /* bits: buckets in a power of two */
enum { HISTOGRAM_BUCKETS = 1017, HISTOGRAM_RECENT = 510, HISTOGRAM_SLICES = 60 };

/* Buckets counted from the value 0: the power of two, then its part. */
static inline int64_t histogram_place(int64_t value, int bits) {
    int power = 63 - __builtin_clzll((uint64_t)value);
    return ((int64_t)power << bits) + (value >> (power - bits)) - ((int64_t)1 << bits);
}

static inline int64_t histogram_index(int64_t value, int bits) {
    int64_t first = histogram_place(HISTOGRAM_LEAST, bits);
    if (value < HISTOGRAM_LEAST) return 0;
    if (value > HISTOGRAM_MOST) return histogram_place(HISTOGRAM_MOST, bits) - first + 2;
    return histogram_place(value, bits) - first + 1;
}

static inline int64_t histogram_low(int64_t index, int bits) {
    int64_t place = histogram_place(HISTOGRAM_LEAST, bits) + index - 1, part = (int64_t)1 << bits;
    return (part + (place & (part - 1))) << ((place >> bits) - bits);
}

/* What a bucket stands for: its middle; the ends stand for the ends of the range. */
static inline int64_t histogram_value(int64_t index, int bits) {
    if (index <= 0) return HISTOGRAM_LEAST;
    if (index >= histogram_index(HISTOGRAM_MOST, bits) + 1) return HISTOGRAM_MOST;
    int64_t low = histogram_low(index, bits), middle = low + (histogram_low(index + 1, bits) - low) / 2;
    return middle < HISTOGRAM_MOST ? middle : HISTOGRAM_MOST;
}

static inline void histogram_recent_add(uint64_t *word, uint32_t slice) {
    STEP("recent: load");
    uint64_t found = word_load(word), next;
    do {
        int32_t newer = (int32_t)((uint32_t)(found >> 32) - slice);
        if (newer > 0 || (newer == 0 && (uint32_t)found == UINT32_MAX)) return;
        next = newer == 0 ? found + 1 : (uint64_t)slice << 32 | 1;
        STEP("recent: swap");
    } while (!word_swap(word, &found, next));
}

static inline void histogram_record(uint64_t *words, int64_t value, int64_t slice, int64_t slices) {
    int64_t inside = value < HISTOGRAM_LEAST ? HISTOGRAM_LEAST : value > HISTOGRAM_MOST ? HISTOGRAM_MOST : value;
    STEP("sum");
    number_add((double *)words, (double)inside);
    STEP("bucket");
    add_relaxed(words + 1 + histogram_index(value, HISTOGRAM_FINE), 1);
    if (slices)
        histogram_recent_add(words + 1 + HISTOGRAM_BUCKETS + histogram_index(value, HISTOGRAM_COARSE) * slices +
                             slice % slices, (uint32_t)slice);
}

static inline uint64_t histogram_recent_count(const uint64_t *words, int64_t index, int64_t slice, int64_t slices) {
    const uint64_t *first = words + 1 + HISTOGRAM_BUCKETS + index * slices;
    uint64_t count = 0;
    for (int64_t i = 0; i < slices; i++) {
        uint64_t word = load_relaxed(first + i);
        if ((int32_t)((uint32_t)slice - (uint32_t)(word >> 32)) < slices) count += (uint32_t)word;
    }
    return count;
}

/* Copies the counts of all buckets, of ever (slice < 0) or of the window that ends with `slice`; gives their sum. */
static inline uint64_t histogram_counts(const uint64_t *words, int64_t slice, int64_t slices, uint64_t *counts) {
    uint64_t count = 0;
    int64_t buckets = slice < 0 ? HISTOGRAM_BUCKETS : HISTOGRAM_RECENT;
    if (word_load(words) == 0) return 0;
    for (int64_t i = 0; i < buckets; i++) {
        counts[i] = slice < 0 ? load_relaxed(words + 1 + i) : histogram_recent_count(words, i, slice, slices);
        count += counts[i];
    }
    return count;
}

static inline int64_t histogram_quantile(const uint64_t *counts, uint64_t count, double q, int bits) {
    double exact = ceil(q * (double)count);
    uint64_t rank = exact < 1 ? 1 : exact > (double)count ? count : (uint64_t)exact, reached = 0;
    int64_t index = 0;
    while ((reached += counts[index]) < rank) index++;
    return histogram_value(index, bits);
}

static inline double histogram_mean(const uint64_t *counts, uint64_t count, int bits) {
    double sum = 0;
    for (int64_t i = 0; i < (bits == HISTOGRAM_FINE ? HISTOGRAM_BUCKETS : HISTOGRAM_RECENT); i++)
        if (counts[i]) sum += (double)counts[i] * (double)histogram_value(i, bits);
    return sum / (double)count;
}

#endif
