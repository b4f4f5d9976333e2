/* The table of limits: rows by 128-bit key, in stripes. Python-free: harnesses in C kill and interleave these steps.

Memory, one area of the arena:  head | stripes | index | rows | journals | held
  A stripe has a lock, `rows` rows and an index of twice as many places (open addressing, row number + 1, 0 is empty).
  The first `holds` rows of a stripe are for concurrency limits, the others for the rest: two ranges. A range is used from
  its start, so memory is touched as keys come; when it is full, a new key takes the row of one that is as good as new.
  held[column][row of the first range] is what that column's process holds of that row; its total is the row's `low`.

Writers and readers: everything of a stripe, and held[*][its rows], belongs to who has its lock, plainly read and written.
  A journal belongs to the process of its column; of a dead process, to who has the lock of the stripe it repairs.
  The head's words are written by anybody with atomic adds, relaxed: nothing follows from them.

Evicted is only a row that nobody could tell from a new one: fresh_at ≤ now. The stripe remembers the latest such `now`,
and a new row begins no earlier: to a caller whose clock is behind, the key has not forgotten more than it had.
`earliest` is never above the smallest fresh_at of a full range: below it no search for a victim can succeed, so a table
full of keys in use costs a flood of new ones one comparison each. */
#ifndef LIMIT_TABLE_H
#define LIMIT_TABLE_H

#include "atomics.h"
#include "limit_lock.h"
#include "limit_rules.h"

enum { LIMIT_SET_MOST = 32, LIMIT_STRIPES_MOST = 64, LIMIT_NO_ROW = -1 };
enum limit_event { LIMIT_EVICTED, LIMIT_REFUSED_FULL, LIMIT_ADMITTED_FULL, LIMIT_BUSY, LIMIT_REPAIRED, LIMIT_EVENTS };

struct limit_range {
    int64_t earliest;
    uint32_t used, hand; /* rows that were ever taken; where the next search for a victim begins */
};

struct limit_stripe {
    limit_mutex mutex;
    uint32_t holder; /* column + 1 of who has the lock; 0: nobody, or nothing was changed yet */
    uint32_t stuck;  /* atomic, relaxed: set by who waited in vain, cleared by who finds it free */
    int64_t evicted_at;
    struct limit_range ranges[2];
} __attribute__((aligned(128)));

struct limit_image { /* of a row, before a set changed it */
    struct limit_row row;
    uint64_t held;
    int32_t number;
};

struct limit_journal {
    uint32_t active; /* how many images count; the one word that commits or undoes a set */
    uint64_t owner;  /* which process recovered the column when it entered; 0: none since the last recovery */
    struct limit_image images[LIMIT_SET_MOST];
} __attribute__((aligned(128)));

struct limit_head {
    uint64_t events[LIMIT_EVENTS];
    uint32_t columns; /* the highest column that ever took something, + 1 */
} __attribute__((aligned(128)));

struct limit_table { /* where things are; local to a process, the same in all */
    struct limit_head* head;
    struct limit_stripe* stripes;
    uint32_t* index;
    struct limit_row* rows;
    struct limit_journal* journals;
    uint64_t* held;
    int32_t stripe_count, row_count, hold_count; /* the latter two per stripe; stripes and rows are powers of two */
    int32_t columns;
    uint64_t noticed[LIMIT_EVENTS]; /* events that this process has met and not yet told */
    bool has_noticed;
};

/* What the shared memory must hold before and after a step, in the order of the program: a process is killed between two
   instructions, so this is a matter of the compiler alone. */
static inline void limit_order(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline int64_t limit_place(struct limit_table* table, char* start, int32_t rows, int32_t stripes,
                                  int32_t columns) {
    int64_t at = 0, all = rows;
    table->stripe_count = stripes, table->columns = columns, table->row_count = rows / stripes;
    table->hold_count = table->row_count < 8 ? 1 : table->row_count / 8;
#define LIMIT_PART(name, count) \
    table->name = (void*)(start + at), at += (int64_t)sizeof *table->name * (count), at = (at + 127) / 128 * 128
    LIMIT_PART(head, 1);
    LIMIT_PART(stripes, stripes);
    LIMIT_PART(index, 2 * all);
    LIMIT_PART(rows, all);
    LIMIT_PART(journals, columns);
    LIMIT_PART(held, (int64_t)stripes * table->hold_count * columns);
#undef LIMIT_PART
    return at;
}

static inline bool limit_make_locks(struct limit_table* table) {
    bool made = true;
    for (int32_t stripe = 0; stripe < table->stripe_count; stripe++)
        made = made && limit_mutex_make(&table->stripes[stripe].mutex);
    return made;
}

static inline void limit_count(struct limit_table* table, enum limit_event event) {
    __atomic_fetch_add(&table->head->events[event], 1, __ATOMIC_RELAXED);
    table->noticed[event]++, table->has_noticed = true;
}

static inline int32_t limit_stripe_of(const struct limit_table* table, struct limit_key key) {
    return (int32_t)(key.low & (uint64_t)(table->stripe_count - 1));
}

static inline int32_t limit_first_row(const struct limit_table* table, int32_t stripe) {
    return stripe * table->row_count;
}

static inline bool limit_same_key(struct limit_key a, struct limit_key b) {
    return a.low == b.low && a.high == b.high;
}

/* Where range `which` of a stripe begins and how long it is: 1 is that of concurrency. */
static inline int32_t limit_range_start(const struct limit_table* table, int32_t stripe, int which) {
    return limit_first_row(table, stripe) + (which ? 0 : table->hold_count);
}

static inline int32_t limit_range_size(const struct limit_table* table, int which) {
    return which ? table->hold_count : table->row_count - table->hold_count;
}

static inline bool limit_may_hold(const struct limit_table* table, int32_t row) {
    return (row & (table->row_count - 1)) < table->hold_count;
}

static inline uint64_t* limit_held(const struct limit_table* table, int32_t column, int32_t row) {
    int32_t stripe = row >> __builtin_ctz((unsigned)table->row_count), hold = row & (table->row_count - 1);
    return table->held + ((int64_t)column * table->stripe_count + stripe) * table->hold_count + hold;
}

/* the index */

static inline uint32_t* limit_places(const struct limit_table* table, int32_t stripe) {
    return table->index + 2 * (int64_t)limit_first_row(table, stripe);
}

static inline uint32_t limit_home(const struct limit_table* table, struct limit_key key) {
    return (uint32_t)key.high & (uint32_t)(2 * table->row_count - 1);
}

static inline int32_t limit_find(const struct limit_table* table, int32_t stripe, struct limit_key key) {
    const uint32_t* places = limit_places(table, stripe);
    uint32_t mask = (uint32_t)(2 * table->row_count - 1), at = limit_home(table, key);
    for (; places[at]; at = (at + 1) & mask)
        if (limit_same_key(table->rows[places[at] - 1].key, key)) return (int32_t)places[at] - 1;
    return LIMIT_NO_ROW;
}

static inline void limit_index_add(struct limit_table* table, int32_t stripe, int32_t row) {
    uint32_t* places = limit_places(table, stripe);
    uint32_t mask = (uint32_t)(2 * table->row_count - 1), at = limit_home(table, table->rows[row].key);
    while (places[at]) at = (at + 1) & mask;
    places[at] = (uint32_t)row + 1;
}

/* What follows the gap moves into it if a search from its home passes there: no marks of the dead are left. */
static inline void limit_index_drop(struct limit_table* table, int32_t stripe, int32_t row) {
    uint32_t* places = limit_places(table, stripe);
    uint32_t mask = (uint32_t)(2 * table->row_count - 1), gap = limit_home(table, table->rows[row].key);
    while (places[gap] != (uint32_t)row + 1) gap = (gap + 1) & mask;
    for (uint32_t at = (gap + 1) & mask; places[at]; at = (at + 1) & mask) {
        uint32_t home = limit_home(table, table->rows[places[at] - 1].key);
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            places[gap] = places[at];
            STEP("index moved");
            gap = at;
        }
    }
    places[gap] = 0;
}

/* What follows from the rows and from what is held, made anew: after both a stripe is whole, whatever was torn. */

static inline void limit_recount(struct limit_table* table, int32_t stripe) {
    uint32_t columns = __atomic_load_n(&table->head->columns, __ATOMIC_RELAXED);
    int32_t start = limit_range_start(table, stripe, 1), end = start + (int32_t)table->stripes[stripe].ranges[1].used;
    for (int32_t number = start; number < end; number++) {
        struct limit_row* row = &table->rows[number];
        uint64_t total = 0;
        for (uint32_t column = 0; column < columns; column++) total += *limit_held(table, (int32_t)column, number);
        STEP("recount");
        row->low = total, row->fresh_at = total ? LIMIT_FAR : 0;
    }
    table->stripes[stripe].ranges[1].earliest = 0;
}

static inline void limit_reindex(struct limit_table* table, int32_t stripe) {
    memset(limit_places(table, stripe), 0, 2 * (size_t)table->row_count * sizeof *table->index);
    for (int which = 0; which < 2; which++) {
        int32_t start = limit_range_start(table, stripe, which), size = limit_range_size(table, which);
        struct limit_range range = {0, 0, 0};
        for (int32_t number = start; number < start + size; number++) {
            if (table->rows[number].algorithm == LIMIT_NO_ALGORITHM) continue;
            STEP("reindex");
            limit_index_add(table, stripe, number);
            range.used = (uint32_t)(number - start + 1);
        }
        table->stripes[stripe].ranges[which] = range;
    }
}

#endif
