/* The explorer judged by itself: known numbers of orders, a lost update found, a deadlock found, deaths tried. */
#include "interleave.h"

static int shared, lock, seen_lost, dead;

static void reset(void) { shared = lock = dead = 0; }

static void careless_add(int actor) {
    (void)actor;
    STEP("load");
    int value = shared;
    STEP("store");
    shared = value + 1;
}

static void two_steps(int actor) {
    (void)actor;
    STEP("first");
    STEP("second");
}

static int is_free(void *what) { return *(int *)what == 0; }

static void locked_add(int actor) {
    interleave_wait(is_free, &lock);
    lock = actor + 1;
    careless_add(actor);
    lock = 0;
}

static const char *notes_lost(void) {
    seen_lost += shared != 2;
    return NULL;
}

static const char *both_counted(void) { return shared == 2 ? NULL : "an update was lost"; }

static void count_dead(int actor) { dead |= 1 << actor; }

static void freed_by_death(int actor) {
    count_dead(actor);
    if (lock == actor + 1) {
        lock = 0;
    }
}

static const char *living_counted(void) { return shared >= 2 - (dead != 0) ? NULL : "a living actor's add is gone"; }

static int is_right(const char *name, long found, long expected) {
    printf("%s: %ld, expected %ld\n", name, found, expected);
    return found == expected;
}

int main(void) {
    struct exploration orders = {.name = "orders", .actors = 2, .reset = reset, .act = two_steps};
    struct exploration lost = {.name = "lost", .actors = 2, .reset = reset, .act = careless_add, .final = notes_lost};
    struct exploration found = lost, locked = lost, stuck = lost, bounded = orders;
    found.name = "found (expected)", found.final = both_counted;
    locked.name = "locked", locked.act = locked_add, locked.final = both_counted;
    stuck.name = "stuck (expected)", stuck.act = locked_add, stuck.died = count_dead, stuck.deaths = 1;
    bounded.actors = 3, bounded.switches = 1;
    struct exploration freed = stuck;
    freed.name = "freed", freed.final = living_counted, freed.died = freed_by_death;
    int right = is_right("orders of 3 + 3 steps", explore(&orders), 20); /* 6 over 3 */
    right &= is_right("runs of the careless", explore(&lost), 20);
    right &= is_right("runs of them that lost", seen_lost, 12); /* 8 have no other step between load and store */
    right &= is_right("the careless are found out", explore(&found), -1);
    right &= explore(&locked) > 2;
    right &= is_right("a dead one keeps its lock", explore(&stuck), -1);
    right &= explore(&freed) > explore(&locked);
    right &= explore(&bounded) < 1680 && explore(&bounded) > 6;
    printf(right ? "right\n" : "WRONG\n");
    return !right;
}
