/* One set of limits: ask all, then take all or none. What limiters.pyx calls; the rest is in the headers below.

 1  the stripes of all keys are locked, in ascending order, each once: two sets cannot wait for each other
 2  every key's row is found; a key listed twice is one row that sees both
 3  in the caller's order each limit is asked, on a copy of its row; one that refuses ends it, and nothing was written
 4  the rows that change are noted in the journal, written, and committed by one word (limit_journal.h)

A refused set, and a cost of 0, write nothing: neither a row nor the time in it. */
#ifndef LIMIT_SET_H
#define LIMIT_SET_H

#include "limit_journal.h"

enum limit_reason { LIMIT_TAKEN, LIMIT_REACHED, LIMIT_FULL, LIMIT_STUCK };

struct limit_step {
    const struct limit_rule* rule;
    struct limit_key key;
    int64_t amount;
    int32_t row;   /* in: where it was last, or LIMIT_NO_ROW; out: where it is */
    int32_t first; /* the step of this set with the same key: this one, or one before it */
    bool inserts, changes, passed_over;
    uint64_t held;
    struct limit_row next;
};

struct limit_set {
    struct limit_table* table;
    int32_t column, count;
    int64_t now, taken; /* taken: when that was taken which is given back */
    int64_t patience;   /* ns to wait for locks, in all */
    bool asks;          /* a take; else a settlement, which nothing refuses */
    uint64_t stripes;   /* locked */
    struct limit_step* steps;
    bool passed_over;   /* a step was let pass uncounted */
    int32_t refused;    /* the step that refused */
    struct limit_report report;
};

/* 1 */

static inline uint64_t limit_stripes(const struct limit_set* set) {
    uint64_t stripes = 0;
    for (int32_t i = 0; i < set->count; i++)
        stripes |= (uint64_t)1 << limit_stripe_of(set->table, set->steps[i].key);
    return stripes;
}

/* Whether the set can do without this stripe: all of its limits there let pass what they cannot count. */
static __attribute__((noinline)) bool limit_pass_over(struct limit_set* set, int32_t stripe) {
    for (int32_t i = 0; i < set->count; i++) {
        struct limit_step* step = &set->steps[i];
        if (limit_stripe_of(set->table, step->key) != stripe) continue;
        step->passed_over = true;
        set->passed_over = true;
        if (set->asks && step->rule->admits) continue;
        set->refused = i;
        set->report = (struct limit_report){.retry_after = set->patience};
        return false;
    }
    return true;
}

static inline bool limit_lock_all(struct limit_set* set) {
    struct limit_patience patience = {.ns = set->patience};
    uint64_t wanted = limit_stripes(set);
    for (set->stripes = 0; wanted; wanted &= wanted - 1) {
        int32_t stripe = __builtin_ctzll(wanted);
        if (__builtin_expect(limit_lock(set->table, stripe, set->column, &patience), 1)) {
            set->stripes |= (uint64_t)1 << stripe;
            continue;
        }
        if (set->patience) limit_count(set->table, LIMIT_BUSY);
        if (limit_pass_over(set, stripe)) continue;
        limit_unlock_all(set->table, set->stripes);
        return false;
    }
    return true;
}

/* Whether the set can do without the whole table. */
static inline bool limit_pass_over_all(struct limit_set* set) {
    if (set->patience) limit_count(set->table, LIMIT_BUSY);
    for (uint64_t left = limit_stripes(set); left; left &= left - 1)
        if (!limit_pass_over(set, __builtin_ctzll(left))) return false;
    return true;
}

/* 2 */

static inline bool limit_is_at(const struct limit_table* table, int32_t row, struct limit_key key) {
    return row != LIMIT_NO_ROW && limit_same_key(table->rows[row].key, key) && table->rows[row].algorithm;
}

static inline void limit_find_all(struct limit_set* set) {
    for (int32_t i = 0; i < set->count; i++) {
        struct limit_step* step = &set->steps[i];
        for (step->first = 0; !limit_same_key(set->steps[step->first].key, step->key);) step->first++;
        if (step->passed_over) continue;
        if (!limit_is_at(set->table, step->row, step->key))
            step->row = limit_find(set->table, limit_stripe_of(set->table, step->key), step->key);
        step->inserts = step->row == LIMIT_NO_ROW;
    }
}

/* 3 */

static inline bool limit_is_used(const struct limit_set* set, int32_t row) {
    for (int32_t i = 0; i < set->count; i++)
        if (set->steps[i].row == row) return true;
    return false;
}

static __attribute__((noinline)) int32_t limit_victim(const struct limit_set* set, struct limit_range* range,
                                                      int32_t start, int32_t size) {
    int64_t earliest = LIMIT_FAR;
    if (range->earliest > set->now) return LIMIT_NO_ROW;
    for (int32_t i = 0; i < size; i++) {
        uint32_t at = (range->hand + (uint32_t)i) % (uint32_t)size;
        const struct limit_row* row = &set->table->rows[start + (int32_t)at];
        if (row->fresh_at <= set->now && !limit_is_used(set, start + (int32_t)at)) {
            range->hand = (at + 1) % (uint32_t)size;
            return start + (int32_t)at;
        }
        if (row->fresh_at < earliest) earliest = row->fresh_at;
    }
    range->earliest = earliest;
    return LIMIT_NO_ROW;
}

/* A row for a new key: one never used, else one that is as good as new, else LIMIT_NO_ROW. Changes nothing yet. */
static inline int32_t limit_room(const struct limit_set* set, const struct limit_step* step) {
    int which = step->rule->algorithm == LIMIT_CONCURRENCY;
    int32_t stripe = limit_stripe_of(set->table, step->key);
    int32_t start = limit_range_start(set->table, stripe, which), size = limit_range_size(set->table, which);
    struct limit_range* range = &set->table->stripes[stripe].ranges[which];
    for (int32_t row = start + (int32_t)range->used; row < start + size; row++)
        if (!limit_is_used(set, row)) return row;
    return limit_victim(set, range, start, size);
}

static inline void limit_begin(const struct limit_set* set, struct limit_step* step) {
    const struct limit_table* table = set->table;
    int64_t floor = table->stripes[limit_stripe_of(table, step->key)].evicted_at;
    if (step->inserts) step->next = limit_fresh_row(step->rule, step->key, set->now > floor ? set->now : floor);
    else step->next = table->rows[step->row];
    step->held = 0;
    if (!step->inserts && step->rule->algorithm == LIMIT_CONCURRENCY)
        step->held = *limit_held(table, set->column, step->row);
}

static inline void limit_change(const struct limit_set* set, struct limit_step* step, int64_t amount) {
    bool holds = step->next.algorithm == LIMIT_CONCURRENCY;
    if (amount > 0) {
        uint64_t before = step->next.low;
        limit_more(&step->next, (uint64_t)amount);
        if (holds) step->held += step->next.low - before;
    } else {
        uint64_t back = (uint64_t)-amount;
        if (holds && back > step->held) back = step->held;
        limit_less(&step->next, back, set->taken);
        if (holds) step->held -= back;
    }
    step->changes = true;
}

static __attribute__((noinline)) bool limit_no_room(struct limit_set* set, struct limit_step* step) {
    const struct limit_table* table = set->table;
    int which = step->rule->algorithm == LIMIT_CONCURRENCY;
    int64_t earliest = table->stripes[limit_stripe_of(table, step->key)].ranges[which].earliest;
    step->passed_over = set->steps[step->first].passed_over = set->passed_over = true;
    limit_count(set->table, set->asks && !step->rule->admits ? LIMIT_REFUSED_FULL : LIMIT_ADMITTED_FULL);
    if (!set->asks || step->rule->admits) return true;
    set->report = (struct limit_report){.retry_after = 0};
    if (!which && earliest > set->now) set->report.retry_after = earliest - set->now;
    return false;
}

static inline enum limit_reason limit_ask(struct limit_set* set, struct limit_step* step) {
    struct limit_step* first = &set->steps[step->first];
    if (first->passed_over) {
        step->passed_over = true;
        return LIMIT_TAKEN;
    }
    if (first == step) limit_begin(set, step);
    int64_t now = limit_advance(&first->next, step->rule, set->now);
    if (set->asks && !limit_passes(&first->next, step->rule, (uint64_t)step->amount, now)) {
        set->report = limit_describe(&first->next, step->rule, (uint64_t)step->amount, now);
        return LIMIT_REACHED;
    }
    if (step->amount == 0 || (step->amount < 0 && first->row == LIMIT_NO_ROW)) return LIMIT_TAKEN;
    if (first->row == LIMIT_NO_ROW && (first->row = limit_room(set, first)) == LIMIT_NO_ROW)
        return limit_no_room(set, step) ? LIMIT_TAKEN : LIMIT_FULL;
    limit_change(set, first, step->amount);
    first->next.fresh_at = limit_fresh_at(&first->next, step->rule);
    return LIMIT_TAKEN;
}

/* 4 */

static inline void limit_copy_row(struct limit_row* to, const struct limit_row* from) {
    memcpy(to, from, 32);
    STEP("half a row"); /* what a kill may leave */
    memcpy((char*)to + 32, (const char*)from + 32, 32);
}

static __attribute__((noinline)) void limit_insert(struct limit_set* set, struct limit_step* step) {
    struct limit_table* table = set->table;
    int32_t stripe = limit_stripe_of(table, step->key), which = limit_may_hold(table, step->row);
    uint32_t at = (uint32_t)(step->row - limit_range_start(table, stripe, which));
    struct limit_stripe* it = &table->stripes[stripe];
    if (table->rows[step->row].algorithm) {
        limit_count(table, LIMIT_EVICTED);
        if (!which && it->evicted_at < set->now) it->evicted_at = set->now;
        limit_index_drop(table, stripe, step->row);
        STEP("dropped");
    }
    limit_copy_row(&table->rows[step->row], &step->next);
    limit_index_add(table, stripe, step->row);
    STEP("added");
    if (it->ranges[which].used <= at) it->ranges[which].used = at + 1;
}

static inline void limit_write(struct limit_set* set, struct limit_step* step) {
    struct limit_table* table = set->table;
    struct limit_stripe* it = &table->stripes[limit_stripe_of(table, step->key)];
    struct limit_range* range = &it->ranges[step->next.algorithm == LIMIT_CONCURRENCY];
    if (step->inserts) limit_insert(set, step);
    else limit_copy_row(&table->rows[step->row], &step->next);
    if (range->earliest > step->next.fresh_at) range->earliest = step->next.fresh_at;
    if (step->next.algorithm != LIMIT_CONCURRENCY) return;
    STEP("row without its hold");
    *limit_held(table, set->column, step->row) = step->held;
}

static inline void limit_write_all(struct limit_set* set) {
    uint32_t count = 0;
    for (int32_t i = 0; i < set->count; i++)
        if (set->steps[i].changes) limit_journal_note(set->table, set->column, count++, set->steps[i].row);
    if (count == 0) return;
    limit_journal_begin(set->table, set->column, count);
    for (int32_t i = 0; i < set->count; i++)
        if (set->steps[i].changes) limit_write(set, &set->steps[i]);
    limit_journal_end(set->table, set->column);
}

/* all */

static __attribute__((noinline)) void limit_column_used(struct limit_table* table, int32_t column) {
    uint32_t known = __atomic_load_n(&table->head->columns, __ATOMIC_RELAXED), mine = (uint32_t)column + 1;
    while (known < mine && !__atomic_compare_exchange_n(&table->head->columns, &known, mine, 0, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {
    }
}

static inline bool limit_ready(struct limit_set* set) {
    struct limit_table* table = set->table;
    if (__builtin_expect(__atomic_load_n(&table->head->columns, __ATOMIC_RELAXED) <= (uint32_t)set->column, 0))
        limit_column_used(table, set->column);
    if (__builtin_expect(table->journals[set->column].active == 0, 1)) return true;
    return limit_mend(table, set->column, set->patience);
}

static inline enum limit_reason limit_do(struct limit_set* set) {
    enum limit_reason reason = LIMIT_TAKEN;
    if (!limit_ready(set)) return limit_pass_over_all(set) ? LIMIT_TAKEN : LIMIT_STUCK;
    if (!limit_lock_all(set)) return LIMIT_STUCK;
    limit_find_all(set);
    for (int32_t i = 0; i < set->count && reason == LIMIT_TAKEN; i++) {
        set->refused = i;
        reason = limit_ask(set, &set->steps[i]);
    }
    if (reason == LIMIT_TAKEN) limit_write_all(set);
    limit_unlock_all(set->table, set->stripes);
    return reason;
}

/* What is left of the first step's limit and when all of it is back, into the report; false if its stripe is stuck,
   even to a limit that would let pass: what is not locked is not looked at. */
static inline bool limit_peek(struct limit_set* set) {
    struct limit_step* step = &set->steps[0];
    if (!limit_ready(set) || !limit_lock_all(set) || step->passed_over) return false;
    limit_find_all(set);
    limit_begin(set, step);
    set->report = limit_describe(&step->next, step->rule, 0, limit_advance(&step->next, step->rule, set->now));
    limit_unlock_all(set->table, set->stripes);
    return true;
}

#endif
