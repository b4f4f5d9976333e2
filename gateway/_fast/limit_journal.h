/* All or none, also for who is killed: the journal of a set, and the repair of what the dead left.

A process that changes rows, in one stripe or in several, holds all their locks. It copies the rows as they are into its
column's journal, sets `active`, changes the rows, and clears `active`: that is the one moment from which the set is taken,
in all its stripes. Killed before it, the next one to lock each of these stripes gets EOWNERDEAD, finds by `holder` whose
journal to read, puts the stripe's old rows back and makes index and totals anew. Killed after it, it finds nothing to put back. So a take of the dead may have been counted or not, but never partly.

`holder` is set after the lock is taken and cleared after `active`, before the lock is given up: a holder of 0 changed
nothing. While a repair runs it still names the dead, so a repairer that is killed is followed by another that does
the same again: every step of it may be done twice.

A journal stays active until all stripes that its set touched are repaired; limit_recover passes through all of them, and
only then may its column be used again. A process that finds another `owner` in its journal recovers the column itself
before its first take, and one that finds the journal active mends: nothing depends on somebody else having done it. */
#ifndef LIMIT_JOURNAL_H
#define LIMIT_JOURNAL_H

#include "limit_table.h"

enum { LIMIT_NOBODY = -1 };

static inline void limit_undo(struct limit_table* table, int32_t stripe, int32_t column) {
    struct limit_journal* journal = &table->journals[column];
    uint32_t active = __atomic_load_n(&journal->active, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < active && i < LIMIT_SET_MOST; i++) {
        struct limit_image* image = &journal->images[i];
        if (image->number >> __builtin_ctz((unsigned)table->row_count) != stripe) continue;
        STEP("undo");
        table->rows[image->number] = image->row;
        if (limit_may_hold(table, image->number)) *limit_held(table, column, image->number) = image->held;
    }
}

static __attribute__((noinline)) void limit_repair(struct limit_table* table, int32_t stripe) {
    struct limit_stripe* it = &table->stripes[stripe];
    STEP("orphaned");
    if (it->holder) {
        limit_undo(table, stripe, (int32_t)it->holder - 1);
        limit_reindex(table, stripe);
        limit_recount(table, stripe);
    }
    STEP("repaired");
    limit_order();
    limit_mutex_consistent(&it->mutex);
    limit_count(table, LIMIT_REPAIRED);
}

static __attribute__((noinline)) bool limit_lock_slowly(struct limit_table* table, int32_t stripe, int got,
                                                        struct limit_patience* patience) {
    struct limit_stripe* it = &table->stripes[stripe];
    if (got == EBUSY) {
        if (patience->ns == 0 || __atomic_load_n(&it->stuck, __ATOMIC_RELAXED)) return false;
        got = limit_mutex_wait(&it->mutex, limit_until(patience));
        if (got && got != EOWNERDEAD) __atomic_store_n(&it->stuck, 1, __ATOMIC_RELAXED);
    }
    if (got == EOWNERDEAD) limit_repair(table, stripe), got = 0;
    return got == 0;
}

/* Whether the stripe is ours now, whole. If not, its holder does not come back for now: it is stuck. */
static inline bool limit_lock(struct limit_table* table, int32_t stripe, int32_t column,
                              struct limit_patience* patience) {
    struct limit_stripe* it = &table->stripes[stripe];
    int got = limit_mutex_try(&it->mutex);
    if (__builtin_expect(got != 0, 0) && !limit_lock_slowly(table, stripe, got, patience)) return false;
    if (__builtin_expect(__atomic_load_n(&it->stuck, __ATOMIC_RELAXED), 0))
        __atomic_store_n(&it->stuck, 0, __ATOMIC_RELAXED);
    STEP("locked");
    it->holder = (uint32_t)(column + 1);
    limit_order();
    STEP("named");
    return true;
}

static inline void limit_unlock(struct limit_table* table, int32_t stripe) {
    struct limit_stripe* it = &table->stripes[stripe];
    limit_order();
    it->holder = 0;
    limit_order();
    STEP("unlock");
    if (__builtin_expect(__atomic_load_n(&it->stuck, __ATOMIC_RELAXED), 0))
        __atomic_store_n(&it->stuck, 0, __ATOMIC_RELAXED);
    limit_mutex_unlock(&it->mutex);
}

static inline void limit_unlock_all(struct limit_table* table, uint64_t stripes) {
    for (; stripes; stripes &= stripes - 1) limit_unlock(table, __builtin_ctzll(stripes));
}

static inline void limit_journal_note(struct limit_table* table, int32_t column, uint32_t at, int32_t row) {
    struct limit_image* image = &table->journals[column].images[at];
    image->row = table->rows[row];
    image->number = row;
    if (limit_may_hold(table, row)) image->held = *limit_held(table, column, row);
}

static inline void limit_journal_begin(struct limit_table* table, int32_t column, uint32_t count) {
    STEP("noted");
    __atomic_store_n(&table->journals[column].active, count, __ATOMIC_RELEASE);
    limit_order();
    STEP("active");
}

static inline void limit_journal_end(struct limit_table* table, int32_t column) {
    STEP("written");
    __atomic_store_n(&table->journals[column].active, 0, __ATOMIC_RELEASE);
    limit_order();
    STEP("committed");
}

/* Makes whole every stripe that a set of this column left torn. False if one is stuck: then call again later.
   It changes nothing under the locks, and must not name itself as their holder: its own journal may be the one. */
static inline bool limit_mend(struct limit_table* table, int32_t column, int64_t patience_ns) {
    for (int32_t stripe = 0; stripe < table->stripe_count; stripe++) {
        struct limit_patience patience = {.ns = patience_ns};
        if (!limit_lock(table, stripe, LIMIT_NOBODY, &patience)) return false;
        limit_unlock(table, stripe);
    }
    limit_journal_end(table, column);
    return true;
}

/* The process of this column is dead and reaped, `by` is whose column this is: what it left torn is mended, what it held
   is given back. False if a stripe is stuck: then call again before the column is used. */
static inline bool limit_recover(struct limit_table* table, int32_t column, int32_t by, int64_t patience_ns) {
    if (!limit_mend(table, column, patience_ns)) return false;
    for (int32_t stripe = 0; stripe < table->stripe_count; stripe++) {
        struct limit_patience patience = {.ns = patience_ns};
        int32_t start = limit_first_row(table, stripe), end;
        if (!limit_lock(table, stripe, by, &patience)) return false;
        end = start + (int32_t)table->stripes[stripe].ranges[1].used;
        for (int32_t row = start; row < end; row++) {
            STEP("give back");
            *limit_held(table, column, row) = 0;
        }
        limit_recount(table, stripe);
        limit_unlock(table, stripe);
    }
    table->journals[column].owner = 0;
    return true;
}

#endif
