/* Kills a process at every step of a set, and the one that repairs after it at every step of the repair.

What must hold then: each killed set is in the table wholly or not at all, the index finds every row, what is held adds
up to its total, and after recover() nothing of the dead is held. The table is real: robust mutexes, shared memory, kill -9.
*/
#define _GNU_SOURCE

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static long steps_left, steps_done;

static void may_die(void) {
    steps_done++;
    if (steps_left && --steps_left == 0) kill(getpid(), SIGKILL);
}

#define STEP(name) may_die()
#include "limit_table_check.h"

enum { STRIPES = 4, ROWS = 64, COLUMNS = 4, DEAD = 1, OTHER = 2 };
#define LATER (5 * (int64_t)SECOND)

static struct limit_table table;
static char *memory, *before, *after;
static int64_t size;
static long kills;

struct scenario {
    const char* name;
    void (*prepare)(void);
    void (*act)(void);
    uint64_t evicts;
    bool in_parts; /* what it does is no single set, so a part of it may be done */
};

static void expect(bool right, const char* name, const char* what, long at, long again) {
    if (right) return;
    fprintf(stderr, "%s: killed at step %ld (repair at %ld): %s\n", name, at, again, what);
    exit(1);
}

static void nothing(void) {}

static void some_use(void) {
    for (int stripe = 0; stripe < STRIPES; stripe++) {
        struct limit_step steps[] = {step_of(&BUCKET, stripe, 0, 3), step_of(&WINDOW, stripe, 1, 4),
                                     step_of(&HOLDS, stripe, 2, 2)};
        do_set(&table, DEAD, SECOND, true, 3, steps);
        do_set(&table, OTHER, SECOND, true, 3, steps);
    }
}

static void full_of_fresh_rows(void) {
    some_use();
    for (int stripe = 0; stripe < STRIPES; stripe++)
        for (int number = 10; number < 22; number++)
            do_set(&table, OTHER, SECOND, true, 1, (struct limit_step[]){step_of(&BUCKET, stripe, number, 1)});
    for (int stripe = 0; stripe < STRIPES; stripe++) {
        struct limit_step one = step_of(&HOLDS, stripe, 22, 1), back = step_of(&HOLDS, stripe, 22, -1);
        do_set(&table, OTHER, LATER, true, 1, &one), do_set(&table, OTHER, LATER, false, 1, &back);
    }
}

static void take_over_stripes(void) {
    struct limit_step steps[] = {step_of(&HOLDS, 3, 2, 1), step_of(&BUCKET, 0, 0, 1), step_of(&WINDOW, 2, 1, 1),
                                 step_of(&HOLDS, 0, 2, 1), step_of(&BUCKET, 0, 0, 1)};
    do_set(&table, DEAD, SECOND, true, 5, steps);
}

static void take_new_keys(void) {
    struct limit_step steps[] = {step_of(&BUCKET, 1, 50, 1), step_of(&HOLDS, 2, 51, 5), step_of(&WINDOW, 1, 52, 2),
                                 step_of(&BUCKET, 0, 53, 7), step_of(&BUCKET, 1, 50, 1)};
    do_set(&table, DEAD, LATER, true, 5, steps);
}

static void settle_both_ways(void) {
    struct limit_step steps[] = {step_of(&BUCKET, 1, 0, -2), step_of(&HOLDS, 2, 2, -2), step_of(&WINDOW, 3, 1, 30),
                                 step_of(&HOLDS, 3, 2, -1), step_of(&BUCKET, 2, 60, 99)};
    do_set(&table, DEAD, LATER, false, 5, steps);
}

static void recover_the_dead(void) {
    limit_recover(&table, DEAD, OTHER, SECOND);
}

static const struct scenario SCENARIOS[] = {
    {"the first keys", nothing, take_new_keys, 0, false},
    {"a take over stripes", some_use, take_over_stripes, 0, false},
    {"new keys beside old", some_use, take_new_keys, 0, false},
    {"new keys evict", full_of_fresh_rows, take_new_keys, 4, false},
    {"a settlement", some_use, settle_both_ways, 0, false},
    {"a settlement evicts", full_of_fresh_rows, settle_both_ways, 1, false},
    {"recover itself", some_use, recover_the_dead, 0, true},
};

/* A child does it and dies at the given step; 0: it does it all. Whether it lived. */
static bool in_a_child(void (*act)(void), long at) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        steps_left = at;
        act();
        _exit(0);
    }
    waitpid(child, &status, 0);
    kills += WIFSIGNALED(status);
    return WIFEXITED(status);
}

/* Another worker meets what is left: in one stripe after the other, as its own sets come there. */
static void meet_every_stripe(void) {
    for (int stripe = STRIPES; stripe--;) {
        struct limit_step probe = step_of(&BUCKET, stripe, 0, 0);
        do_set(&table, OTHER, SECOND, true, 1, &probe);
    }
}

static void mend(void) {
    limit_mend(&table, DEAD, SECOND);
}

static bool same_rows(const char* image) {
    int64_t rows = (char*)table.rows - memory, held = (char*)table.held - memory;
    return !memcmp(image + rows, table.rows, sizeof *table.rows * ROWS) && !memcmp(image + held, table.held, size - held);
}

static void judge(const struct scenario* it, long at, long again) {
    mend();
    const char* wrong = wrong_in_table(&table);
    expect(wrong == NULL, it->name, wrong, at, again);
    bool none = same_rows(before), all = same_rows(after);
    expect(it->in_parts || none || all, it->name, "a part of the set was taken", at, again);
    expect(limit_recover(&table, DEAD, 0, SECOND), it->name, "recover met a stuck stripe", at, again);
    wrong = wrong_in_table(&table);
    expect(wrong == NULL, it->name, wrong, at, again);
    for (int stripe = 0; stripe < STRIPES; stripe++)
        for (int row = 0; row < table.hold_count; row++)
            expect(*limit_held(&table, DEAD, stripe * table.row_count + row) == 0, it->name, "held by the dead", at, again);
}

static void kill_everywhere(const struct scenario* it, void (*meet)(void), bool again_too) {
    for (long at = 1;; at++) {
        memcpy(memory, before, (size_t)size);
        if (in_a_child(it->act, at)) return;
        for (long again = 1;; again++) {
            memcpy(memory, before, (size_t)size);
            in_a_child(it->act, at);
            bool lived = in_a_child(meet, again_too ? again : 0);
            judge(it, at, again);
            if (lived) break;
        }
    }
}

/* Nobody recovered the dead: its successor in the column finds the journal active, and must neither lose what it holds
   nor, dying in turn, undo what others did since. */
static void judge_successor(long at, long again) {
    mend();
    const char* wrong = wrong_in_table(&table);
    int64_t hold0 = (int64_t)table.rows[limit_find(&table, 0, key_of(0, 2))].low - 4;
    int64_t hold3 = (int64_t)table.rows[limit_find(&table, 3, key_of(3, 2))].low - 4;
    int64_t bucket = (int64_t)(limit_level(&table.rows[limit_find(&table, 0, key_of(0, 0))]) / SECOND) - 6 - 1;
    int64_t window = (int64_t)table.rows[limit_find(&table, 2, key_of(2, 1))].low - 8 - 1;
    expect(wrong == NULL, "a successor", wrong, at, again);
    expect(hold0 == hold3 && hold0 == window && 2 * hold0 == bucket, "a successor", "sets in part", at, again);
}

static void kill_successors(void) {
    struct limit_step since[] = {step_of(&BUCKET, 0, 0, 1), step_of(&WINDOW, 2, 1, 1)};
    for (long at = 1, lived = 0; !lived; at++) {
        for (long again = 1, over = 0; !over; again++) {
            memcpy(memory, before, (size_t)size);
            lived = in_a_child(take_over_stripes, at);
            do_set(&table, OTHER, SECOND, true, 1, &since[0]), do_set(&table, OTHER, SECOND, true, 1, &since[1]);
            over = in_a_child(take_over_stripes, again);
            judge_successor(at, again);
        }
    }
    printf("a successor: %ld kills in all\n", kills);
}

static void try_out(const struct scenario* it) {
    memset(memory, 0, (size_t)size);
    for (int stripe = 0; stripe < STRIPES; stripe++) limit_mutex_make(&table.stripes[stripe].mutex);
    memset(table.journals, 0x5a, sizeof *table.journals * COLUMNS); /* of sets long over */
    for (int column = 0; column < COLUMNS; column++) table.journals[column].active = 0;
    it->prepare();
    memcpy(before, memory, (size_t)size);
    expect(in_a_child(it->act, 0), it->name, "it fails by itself", 0, 0);
    memcpy(after, memory, (size_t)size);
    expect(!same_rows(before), it->name, "it does nothing", 0, 0);
    expect(table.head->events[LIMIT_EVICTED] == it->evicts, it->name, "it evicts otherwise", 0, 0);
    expect(wrong_in_table(&table) == NULL, it->name, "it leaves it wrong by itself", 0, 0);
    long was = kills;
    kill_everywhere(it, meet_every_stripe, true);
    kill_everywhere(it, mend, false);
    if (it->act == take_over_stripes) kill_successors();
    printf("%s: %ld kills\n", it->name, kills - was);
}

int main(void) {
    size = limit_place(&table, NULL, ROWS, STRIPES, COLUMNS);
    memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    before = malloc((size_t)size), after = malloc((size_t)size);
    limit_place(&table, memory, ROWS, STRIPES, COLUMNS);
    for (size_t i = 0; i < sizeof SCENARIOS / sizeof *SCENARIOS; i++) try_out(&SCENARIOS[i]);
    return 0;
}
