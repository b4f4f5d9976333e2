/* The arithmetic of the five kinds of limit, over one row. Whole numbers only: the twin in Python gets the same bits.

What a row says, by algorithm (`low` and `high` are its two words):
  token bucket    GCRA in its continuous-state form. The level, 128 bits over both words, is what is missing in the
  leaky bucket    bucket, or what is in the meter: in units × period, so that `limit` of it drains every nanosecond and
                  nothing is ever rounded. A cost passes if the level stays within capacity × period. Both do the same
                  arithmetic: one is full at rest and may be emptied, the other is empty at rest and may be filled.
  fixed window    low = taken in the window that starts at `at`. Windows are multiples of the period on the callers' clock.
  sliding window  high = taken in the window before; counted are low + the share of `high` that one period back from now
                  still covers, as if it had come evenly.
  concurrency     low = held now, over all processes. It knows no time.

The sliding window's error, against a log of every take: with f the elapsed share of the window, the count is at most
high × f too small (all of it came late) and high × (1 − f) too large (all of it came early), so less than `limit` either
way. It never admits more than `limit` in one aligned window, hence less than 2 × limit in any period, and what was
taken evenly is counted to within one unit.

Time. `now` comes from several processes and may be late. A row's time is `at`; an earlier `now` counts as `at`: a window
never steps back, a bucket gains nothing. Rules are the caller's and may have changed since the row was written: limit and
capacity are simply those of this call; from another period a bucket's level is converted and rounded up, and a window
keeps what its estimate said.

Bounds: limit and capacity 1 … 2^62, period 1 ms … 31 days (< 2^52 ns), 0 ≤ now < 2^62, |amount| ≤ 2^62. So a level of
capacity × period stays below 2^114 and what drains below 2^124; what overshoots stops at LIMIT_MOST units. */
#ifndef LIMIT_RULES_H
#define LIMIT_RULES_H

#include <stdbool.h>
#include <stdint.h>

struct limit_key { /* 128 bits of a keyed hash: of rule and key */
    uint64_t low, high;
};

enum limit_algorithm {
    LIMIT_NO_ALGORITHM,
    LIMIT_TOKEN_BUCKET,
    LIMIT_LEAKY_BUCKET,
    LIMIT_FIXED_WINDOW,
    LIMIT_SLIDING_WINDOW,
    LIMIT_CONCURRENCY,
};

typedef unsigned __int128 limit_wide;

#define LIMIT_LARGEST ((int64_t)1 << 62) /* limit, burst, amount; and no `now` reaches it */
#define LIMIT_SHORTEST_PERIOD ((int64_t)1000000)
#define LIMIT_LONGEST_PERIOD ((int64_t)31 * 86400 * 1000000000)
#define LIMIT_FAR INT64_MAX              /* a time that never comes */
#define LIMIT_MOST ((uint64_t)INT64_MAX) /* units: where every count stops */

struct limit_rule {
    uint64_t limit, capacity; /* capacity: how much at once; equals the limit where there is no burst */
    int64_t period;           /* ns */
    uint32_t algorithm;
    uint32_t admits;          /* when the table is full or a stripe is stuck */
};

struct limit_row {
    struct limit_key key;
    int64_t fresh_at; /* from then on it equals a row that was never used */
    int64_t at, period;
    uint64_t low, high;
    uint32_t algorithm; /* LIMIT_NO_ALGORITHM: nothing is in this row */
    uint32_t unused;
};

_Static_assert(sizeof(struct limit_row) == 64, "a row fills one cache line");

struct limit_report {
    int64_t remaining, reset, retry_after; /* units, ns, ns; retry_after is -1 if waiting cannot help */
};

static inline bool limit_is_bucket(uint32_t algorithm) {
    return algorithm <= LIMIT_LEAKY_BUCKET;
}

static inline limit_wide limit_level(const struct limit_row* row) {
    return (limit_wide)row->high << 64 | row->low;
}

static inline void limit_set_level(struct limit_row* row, limit_wide level) {
    row->low = (uint64_t)level, row->high = (uint64_t)(level >> 64);
}

static inline limit_wide limit_divided(limit_wide value, uint64_t by) {
    return value >> 64 ? value / by : (uint64_t)value / by; /* 128-bit division is a call, and five times as slow */
}

static inline limit_wide limit_divided_up(limit_wide value, uint64_t by) {
    return limit_divided(value + by - 1, by);
}

static inline int64_t limit_time(limit_wide ns) {
    return ns < (limit_wide)LIMIT_FAR ? (int64_t)ns : LIMIT_FAR;
}

/* to the present */

static inline uint64_t limit_count_more(uint64_t count, uint64_t amount) {
    return count + amount < LIMIT_MOST ? count + amount : LIMIT_MOST;
}

static inline int64_t limit_window_start(int64_t now, int64_t period) {
    return now - now % period;
}

static inline void limit_roll(struct limit_row* row, int64_t now) {
    if (now - row->at < row->period) return;
    int64_t start = limit_window_start(now, row->period);
    row->high = row->algorithm == LIMIT_SLIDING_WINDOW && start - row->at == row->period ? row->low : 0;
    row->low = 0, row->at = start;
}

static inline limit_wide limit_share(const struct limit_row* row, int64_t now) {
    return (limit_wide)row->high * (uint64_t)(row->at + row->period - now); /* still covered, in units × period */
}

static __attribute__((noinline)) void limit_change_period(struct limit_row* row, int64_t now, int64_t period) {
    uint64_t old = (uint64_t)row->period, new = (uint64_t)period;
    if (limit_is_bucket(row->algorithm)) {
        limit_wide level = limit_level(row), whole = level / old;
        limit_set_level(row, whole * new + limit_divided_up(level % old * new, old));
    } else {
        limit_roll(row, now);
        row->low = limit_count_more(row->low, (uint64_t)limit_divided_up(limit_share(row, now), old));
        row->high = 0, row->at = limit_window_start(now, period);
    }
    row->period = period;
}

/* Brings the row to `now`, and returns the time that holds for it. */
static inline int64_t limit_advance(struct limit_row* row, const struct limit_rule* rule, int64_t now) {
    if (row->algorithm == LIMIT_CONCURRENCY) return now;
    if (now < row->at) now = row->at;
    if (__builtin_expect(row->period != rule->period, 0)) limit_change_period(row, now, rule->period);
    if (limit_is_bucket(row->algorithm)) {
        limit_wide level = limit_level(row), drained = (limit_wide)(uint64_t)(now - row->at) * rule->limit;
        limit_set_level(row, level > drained ? level - drained : 0);
        row->at = now;
    } else {
        limit_roll(row, now);
    }
    return now;
}

static inline struct limit_row limit_fresh_row(const struct limit_rule* rule, struct limit_key key, int64_t now) {
    struct limit_row row = {.key = key, .period = rule->period, .algorithm = rule->algorithm};
    if (limit_is_bucket(rule->algorithm)) row.at = now;
    else if (rule->algorithm != LIMIT_CONCURRENCY) row.at = limit_window_start(now, rule->period);
    row.fresh_at = row.at;
    return row;
}

/* asking and changing; the row has been brought to `now` */

static inline bool limit_passes(const struct limit_row* row, const struct limit_rule* rule, uint64_t cost,
                                int64_t now) {
    limit_wide period = (uint64_t)rule->period;
    if (limit_is_bucket(row->algorithm)) return limit_level(row) + cost * period <= rule->capacity * period;
    if (row->algorithm != LIMIT_SLIDING_WINDOW || row->high == 0) return row->low + cost <= rule->limit;
    return (row->low + cost) * period + limit_share(row, now) <= rule->limit * period;
}

static inline void limit_more(struct limit_row* row, uint64_t amount) {
    if (limit_is_bucket(row->algorithm)) {
        limit_wide period = (uint64_t)row->period, level = limit_level(row) + amount * period;
        limit_set_level(row, level < LIMIT_MOST * period ? level : LIMIT_MOST * period);
    } else {
        row->low = limit_count_more(row->low, amount);
    }
}

/* Gives back what was taken at `taken`: of a window that is over nothing comes back, and nothing below nothing. */
static inline void limit_less(struct limit_row* row, uint64_t amount, int64_t taken) {
    if (limit_is_bucket(row->algorithm)) {
        limit_wide level = limit_level(row), back = (limit_wide)amount * (uint64_t)row->period;
        limit_set_level(row, level > back ? level - back : 0);
    } else if (row->algorithm == LIMIT_CONCURRENCY || taken >= row->at) {
        row->low -= amount < row->low ? amount : row->low;
    } else if (taken >= row->at - row->period) {
        row->high -= amount < row->high ? amount : row->high; /* a fixed window keeps none */
    }
}

static inline int64_t limit_fresh_at(const struct limit_row* row, const struct limit_rule* rule) {
    if (row->algorithm == LIMIT_CONCURRENCY) return row->low ? LIMIT_FAR : 0;
    if (limit_is_bucket(row->algorithm))
        return limit_time((limit_wide)(uint64_t)row->at + limit_divided_up(limit_level(row), rule->limit));
    if (row->algorithm == LIMIT_SLIDING_WINDOW && row->low) return row->at + 2 * row->period;
    return row->low || row->high ? row->at + row->period : row->at;
}

/* telling */

static inline int64_t limit_retry_sliding(const struct limit_row* row, const struct limit_rule* rule, uint64_t cost,
                                          int64_t now) {
    uint64_t period = (uint64_t)rule->period, before = row->high;
    int64_t left = row->at + row->period - now; /* in this window */
    uint64_t room = rule->limit - cost;
    if (row->low <= room) {
        room -= row->low;
        left -= row->period; /* the share is small enough when `covered` of it is left, now or before this window ends */
    } else {
        before = row->low;   /* in the next window, where this one is the one before */
    }
    if (before == 0) return left;
    limit_wide covered = limit_divided((limit_wide)room * period, before);
    return left + row->period - (covered < period ? (int64_t)covered : row->period);
}

static inline int64_t limit_retry_after(const struct limit_row* row, const struct limit_rule* rule, uint64_t cost,
                                        int64_t now) {
    limit_wide period = (uint64_t)rule->period;
    if (cost > rule->capacity) return -1;
    if (limit_passes(row, rule, cost, now) || row->algorithm == LIMIT_CONCURRENCY) return 0;
    if (limit_is_bucket(row->algorithm))
        return limit_time(limit_divided_up(limit_level(row) + cost * period - rule->capacity * period, rule->limit));
    if (row->algorithm == LIMIT_FIXED_WINDOW) return row->at + row->period - now;
    return limit_retry_sliding(row, rule, cost, now);
}

static inline struct limit_report limit_describe(const struct limit_row* row, const struct limit_rule* rule,
                                                 uint64_t cost, int64_t now) {
    limit_wide period = (uint64_t)rule->period, all = rule->capacity, used = row->low;
    struct limit_report report = {.retry_after = limit_retry_after(row, rule, cost, now)};
    if (row->algorithm != LIMIT_CONCURRENCY) {
        int64_t fresh = limit_fresh_at(row, rule);
        report.reset = fresh > now ? fresh - now : 0;
        all *= period;
        used = limit_is_bucket(row->algorithm) ? limit_level(row) : used * period;
        if (row->algorithm == LIMIT_SLIDING_WINDOW) used += limit_share(row, now);
    } else {
        period = 1;
    }
    report.remaining = used < all ? (int64_t)limit_divided(all - used, (uint64_t)period) : 0;
    return report;
}

#endif
