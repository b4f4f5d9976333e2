/* The steps of the limit table in every order in which they can meet: inserting, evicting, taking, settling, and repairing
   what an actor left that died, each bounded in how often actors overtake each other in mid-step.

The lock is a cooperative one with the same promises as the robust mutex: who waits is woken when it is free, and the next
one after a dead holder is told so. After every run: each set is counted wholly or not at all, the living exactly. */
#define _GNU_SOURCE

#include "interleave.h"

#include <errno.h>
#include <time.h>

#define LIMIT_MUTEX
typedef struct {
    int owner, orphaned;
} limit_mutex;

static int limit_mutex_free(void* what) {
    return ((limit_mutex*)what)->owner == 0;
}

static inline int limit_mutex_try(limit_mutex* mutex) {
    STEP("try");
    if (mutex->owner) return EBUSY;
    mutex->owner = interleave.current + 2;
    return mutex->orphaned ? EOWNERDEAD : 0;
}

static inline int limit_mutex_wait(limit_mutex* mutex, const struct timespec* until) {
    (void)until;
    while (mutex->owner) interleave_wait(limit_mutex_free, mutex);
    return limit_mutex_try(mutex);
}

static inline void limit_mutex_consistent(limit_mutex* mutex) {
    mutex->orphaned = 0;
}

static inline void limit_mutex_unlock(limit_mutex* mutex) {
    mutex->owner = 0;
}

static inline int limit_mutex_make(limit_mutex* mutex) {
    return mutex->owner == 0;
}

#include "limit_table_check.h"

enum { STRIPES = 2, ROWS = 16, COLUMNS = 4, COST = 4, SIZE = 1 << 16 };
#define LATER (5 * (int64_t)SECOND)

static struct limit_table table;
static char memory[SIZE] __attribute__((aligned(128))), image[SIZE];
static int64_t size;
static enum limit_reason answers[INTERLEAVE_ACTORS];
static int dead;

static void reset(void) {
    memcpy(memory, image, (size_t)size);
    memset(answers, -1, sizeof answers);
    dead = 0;
}

static void died(int actor) {
    dead |= 1 << actor;
    for (int stripe = 0; stripe < STRIPES; stripe++) {
        limit_mutex* mutex = &table.stripes[stripe].mutex;
        if (mutex->owner == actor + 2) mutex->owner = 0, mutex->orphaned = 1;
    }
}

static int64_t level_of(int stripe, int number) {
    int row = limit_find(&table, stripe, key_of(stripe, number));
    if (row < 0) return 0;
    return limit_is_bucket(table.rows[row].algorithm) ? (int64_t)(limit_level(&table.rows[row]) / SECOND)
                                                      : (int64_t)table.rows[row].low;
}

static const char* mended(void) {
    for (int actor = 0; actor < INTERLEAVE_ACTORS; actor++)
        if (dead >> actor & 1 && !limit_mend(&table, actor + 1, SECOND)) return "mend met a stuck stripe";
    for (int column = 0; column < COLUMNS; column++)
        if (table.journals[column].active) return "a journal is active";
    return wrong_in_table(&table);
}

/* Both stripes in one set, listed in opposite orders; of three only two fit into the bucket. */
static void take_both(int actor) {
    struct limit_step a = step_of(&BUCKET, 0, 0, COST), b = step_of(&HOLDS, 1, 1, 1);
    struct limit_step steps[] = {actor % 2 ? a : b, actor % 2 ? b : a};
    answers[actor] = do_set(&table, actor + 1, SECOND, true, 2, steps);
}

static const char* all_or_none(void) {
    const char* wrong = mended();
    int taken = 0, unknown = 0, asked = interleave.what->actors;
    for (int actor = 0; actor < asked; actor++) {
        taken += !(dead >> actor & 1) && answers[actor] == LIMIT_TAKEN;
        unknown += dead >> actor & 1;
    }
    int64_t counted = level_of(1, 1);
    if (wrong) return wrong;
    if (level_of(0, 0) != COST * counted) return "a set was taken in part";
    if (counted < taken || counted > taken + unknown) return "the living are counted wrongly";
    if (taken + unknown < (asked < 2 ? asked : 2)) return "somebody was refused for nothing";
    return counted <= 2 ? NULL : "more than the limit";
}

/* Every row is as good as new: each actor evicts, and uses an old key beside its new one. */
static void evict_and_take(int actor) {
    struct limit_step steps[] = {step_of(&BUCKET, 0, 30 + actor, 2), step_of(&BUCKET, actor % 2, 4, 1),
                                 step_of(&BUCKET, 1, 40 + actor, 2)};
    answers[actor] = do_set(&table, actor + 1, LATER, true, 3, steps);
}

static const char* evicted_rightly(void) {
    const char* wrong = mended();
    int64_t taken[2] = {0, 0}, seen[2] = {level_of(0, 4), level_of(1, 4)};
    for (int actor = 0; actor < interleave.what->actors; actor++) {
        int64_t first = level_of(0, 30 + actor), last = level_of(1, 40 + actor);
        if (first != last || (first != 0 && first != 2)) return "a set was taken in part";
        if (!(dead >> actor & 1) && (answers[actor] == LIMIT_TAKEN) != (first == 2)) return "an answer that is not so";
        taken[actor % 2] += first == 2;
    }
    if (wrong) return wrong;
    return seen[0] == taken[0] && seen[1] == taken[1] ? NULL : "an old key is counted wrongly";
}

/* One takes, one gives back what it held before, and one recovers a third, which held something and is gone. */
static void settle_and_recover(int actor) {
    struct limit_step back[] = {step_of(&HOLDS, 0, 2, -1), step_of(&HOLDS, 1, 2, -1)};
    struct limit_step more[] = {step_of(&HOLDS, 0, 2, 1), step_of(&HOLDS, 1, 2, 1)};
    if (actor == 0) answers[0] = do_set(&table, 1, SECOND, false, 2, back);
    else if (actor == 1) answers[1] = do_set(&table, 2, SECOND, true, 2, more);
    else limit_recover(&table, 3, 0, SECOND);
}

static const char* held_rightly(void) {
    const char* wrong = mended();
    if (!wrong && !limit_recover(&table, 3, 0, SECOND)) wrong = "recover met a stuck stripe";
    if (!wrong && level_of(0, 2) != level_of(1, 2)) wrong = "a set was settled in part";
    int64_t least = 2 - 1 + (dead & 2 ? 0 : 1), most = 2 - (dead & 1 ? 0 : 1) + 1;
    if (wrong) return wrong;
    return level_of(0, 2) >= least && level_of(0, 2) <= most ? NULL : "held is not what the living hold";
}

static void prepare(int kind) {
    memset(memory, 0, SIZE);
    for (int number = 4; kind == 1 && number < 11; number++)
        for (int stripe = 0; stripe < STRIPES; stripe++) {
            struct limit_step step = step_of(&BUCKET, stripe, number, 1);
            do_set(&table, 1, SECOND, true, 1, &step);
        }
    struct limit_step both[] = {step_of(&HOLDS, 0, 2, 1), step_of(&HOLDS, 1, 2, 1)};
    for (int column = 1; kind == 2 && column < COLUMNS; column++) do_set(&table, column, SECOND, true, 2, both);
    memcpy(image, memory, SIZE);
}

static int all_right(const char* name, int kind, int actors, int deaths, int switches) {
    static void (*const acts[])(int) = {take_both, evict_and_take, settle_and_recover};
    static const char* (*const finals[])(void) = {all_or_none, evicted_rightly, held_rightly};
    struct exploration it = {.name = name, .actors = actors, .reset = reset, .act = acts[kind], .final = finals[kind]};
    it.died = died, it.deaths = deaths, it.switches = switches;
    prepare(kind);
    long runs = explore(&it);
    printf("%s: %ld runs\n", name, runs);
    return runs > 0;
}

int main(void) {
    size = limit_place(&table, memory, ROWS, STRIPES, COLUMNS);
    if (size > SIZE) return 2;
    return !(all_right("two take", 0, 2, 0, 0) & all_right("three take", 0, 3, 0, 3) &
             all_right("three take, one dies", 0, 3, 1, 1) & all_right("two take, both die", 0, 2, 2, 2) &
             all_right("two evict", 1, 2, 0, 0) & all_right("two evict, one dies", 1, 2, 1, 2) &
             all_right("settle, take, recover", 2, 3, 0, 2) & all_right("settle, take, recover, one dies", 2, 3, 1, 1));
}
