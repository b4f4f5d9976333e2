/* What the harnesses of the limit table share: a small table, sets over keys whose stripe is chosen, and what must hold. */
#ifndef LIMIT_TABLE_CHECK_H
#define LIMIT_TABLE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "limit_set.h"

enum { SECOND = 1000000000 };

static const struct limit_rule BUCKET = {10, 10, SECOND, LIMIT_TOKEN_BUCKET, 0};
static const struct limit_rule WINDOW = {10, 10, SECOND, LIMIT_SLIDING_WINDOW, 0};
static const struct limit_rule HOLDS = {10, 10, 1, LIMIT_CONCURRENCY, 0};

/* The key of this number in this stripe; all keys of a stripe share two homes in its index, so that they collide. */
static inline struct limit_key key_of(int stripe, int number) {
    return (struct limit_key){(uint64_t)stripe + 64 * (uint64_t)number, (uint64_t)(number % 2)};
}

static inline struct limit_step step_of(const struct limit_rule* rule, int stripe, int number, int64_t amount) {
    return (struct limit_step){.rule = rule, .key = key_of(stripe, number), .amount = amount, .row = LIMIT_NO_ROW};
}

static inline enum limit_reason do_set(struct limit_table* table, int column, int64_t now, bool asks, int count,
                                       const struct limit_step* steps) {
    struct limit_step mine[LIMIT_SET_MOST];
    struct limit_set set = {.table = table, .column = column, .count = count, .now = now, .taken = now, .asks = asks};
    set.patience = SECOND, set.steps = mine;
    memcpy(mine, steps, sizeof *steps * (size_t)count);
    return limit_do(&set);
}

static inline uint64_t total_of(struct limit_table* table, int row) {
    uint64_t total = 0;
    for (int column = 0; column < table->columns; column++) total += *limit_held(table, column, row);
    return total;
}

static inline const char* wrong_in_row(struct limit_table* table, int stripe, int number) {
    struct limit_row* row = &table->rows[number];
    bool concurrency = row->algorithm == LIMIT_CONCURRENCY;
    if (row->algorithm == LIMIT_NO_ALGORITHM)
        return limit_may_hold(table, number) && total_of(table, number) ? "held in an empty row" : NULL;
    if (limit_stripe_of(table, row->key) != stripe) return "a row in a foreign stripe";
    if (limit_may_hold(table, number) != concurrency) return "a row in the wrong range";
    if (limit_find(table, stripe, row->key) != number) return "a row that the index does not find";
    if (concurrency && row->low != total_of(table, number)) return "a total that is not the sum of what is held";
    return NULL;
}

/* NULL, or what is wrong in a stripe that nobody is changing. */
static inline const char* wrong_in_stripe(struct limit_table* table, int stripe) {
    uint32_t* places = limit_places(table, stripe);
    int first = limit_first_row(table, stripe), rows = 0, indexed = 0;
    for (int i = 0; i < 2 * table->row_count; i++) indexed += places[i] != 0;
    for (int number = first; number < first + table->row_count; number++) {
        int which = limit_may_hold(table, number);
        struct limit_range* range = &table->stripes[stripe].ranges[which];
        bool used = table->rows[number].algorithm != LIMIT_NO_ALGORITHM;
        const char* wrong = wrong_in_row(table, stripe, number);
        if (wrong) return wrong;
        rows += used;
        if (used && (int)range->used <= number - limit_range_start(table, stripe, which)) return "a row past `used`";
        if (used && table->rows[number].fresh_at < range->earliest) return "a row fresh before `earliest`";
    }
    if (rows != indexed) return "an index with more than the rows";
    return table->stripes[stripe].holder ? "a holder that is not there" : NULL;
}

static inline const char* wrong_in_table(struct limit_table* table) {
    for (int stripe = 0; stripe < table->stripe_count; stripe++) {
        const char* wrong = wrong_in_stripe(table, stripe);
        if (wrong) return wrong;
    }
    return NULL;
}

#endif
