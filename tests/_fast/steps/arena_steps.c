/* The arena's steps without Python: killed at each of them, and raced by threads. test_arena_steps.py compiles and runs it.

   kill   every scenario is run once per STEP, in a child that kills itself there while it holds the mutex; the next
          locker is killed at a step of its repair, too. Whoever comes then finds a whole directory.
   wait   a holder that is stopped is waited for as long as was said; once it is killed, the next locker goes on.
   race   threads claim, stamp, sweep and count at once; for ThreadSanitizer. */

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void step(const char *name);
#define STEP(name) step(name)
#include "arena_steps.h"

#define RESERVE ARENA_LEAST
#define CHECK(what) ((what) ? (void)0 : failed(#what, __LINE__))

static _Thread_local int steps, last_step; /* how many so far; at which to die, 0 for none */
static const char *scenario = "";
static int killed_at, repair_killed_at;

static void step(const char *name) {
    (void)name;
    if (++steps == last_step) kill(getpid(), SIGKILL);
}

static void failed(const char *what, int line) {
    fprintf(stderr, "line %d: %s (%s, killed at %d, repair at %d)\n", line, what, scenario, killed_at, repair_killed_at);
    exit(1);
}

static ArenaHead *fresh(void) {
    void *memory = mmap(NULL, RESERVE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(arena_begin(memory, RESERVE, "0123456789abcdef") == 0);
    return memory;
}

static int64_t claim(ArenaHead *head, const char *name, int kind, int64_t size, int64_t generation) {
    return arena_claim(head, name, (int32_t)strlen(name), kind, size, generation);
}

static char *memory_of(ArenaHead *head, int64_t index) { return (char *)head + arena_slot(head, index)->offset; }

/* Names of all kinds; some are swept and may be taken again, one rests, one will be swept next. Every space is dirty. */
static void furnish(ArenaHead *head) {
    char name[32];
    CHECK(arena_lock(head, 1000) == 0);
    arena_turn(head, 3);
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "old-%d", i);
        int64_t index = claim(head, name, i % 3, i % 3 == ARENA_AREA ? 200 : 5, i < 6 ? 1 : i == 6 ? 2 : i == 7 ? 3 : 9);
        CHECK(index == i);
        if (i % 3 == ARENA_AREA) memset(memory_of(head, index), 7, 200);
        else for (int cell = 0; cell < 5; cell++) *arena_cell(head, 3, arena_slot(head, index)->offset + 8 * cell) = 7;
    }
    CHECK(arena_sweep(head, 2) == 6);
    CHECK(arena_sweep(head, 3) == 1);
    arena_unlock(head);
}

static void want(ArenaHead *head, const char *name, int kind, int64_t size) {
    CHECK(claim(head, name, kind, size, 5) >= 0);
}

static void new_area(ArenaHead *head) { want(head, "wanted", ARENA_AREA, 900); }
static void area_again(ArenaHead *head) { want(head, "wanted", ARENA_AREA, 250); }
static void cells_again(ArenaHead *head) { want(head, "wanted", ARENA_COUNTERS, 5); }
static void gauge_again(ArenaHead *head) { want(head, "wanted", ARENA_GAUGES, 5); }
static void long_name(ArenaHead *head) {
    char name[301] = {0};
    memset(name, 'w', 300);
    want(head, name, ARENA_AREA, 250);
}
static void sweep(ArenaHead *head) { arena_sweep(head, 5); }
static void turn(ArenaHead *head) { arena_turn(head, 3); }

static const struct {
    const char *name;
    void (*run)(ArenaHead *);
} SCENARIOS[] = {{"new area", new_area},       {"area again", area_again}, {"cells again", cells_again},
                 {"gauge again", gauge_again}, {"long name", long_name},   {"sweep", sweep},
                 {"turn", turn}};

static void locked(ArenaHead *head, void (*run)(ArenaHead *)) {
    int failure = arena_lock(head, 5000);
    if (failure) _exit(100 + failure);
    if (run) run(head);
    arena_unlock(head);
}

/* In a child that kills itself at this step, 0 for never; how many steps it made, or -1 if it was killed. */
static int in_child(ArenaHead *head, void (*run)(ArenaHead *), int at) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        steps = 0, last_step = at;
        locked(head, run);
        _exit(steps);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return -1;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 100);
    return WEXITSTATUS(status);
}

static int64_t length_of_list(ArenaHead *head, int32_t first, char *seen, int state) {
    int64_t count = 0;
    for (; first; first = arena_slot(head, first - 1)->next, count++) {
        CHECK(first - 1 < head->slots_used && !seen[first - 1]);
        CHECK(arena_slot(head, first - 1)->state == state);
        seen[first - 1] = 1;
    }
    return count;
}

/* Every slot is in the one list that its state says, the numbers agree, and no two slots share a byte. */
static void whole(ArenaHead *head) {
    char seen[RESERVE / 8192] = {0};
    int64_t states[3] = {0}, chained = 0, free = 0;
    for (int64_t i = 0; i < head->slots_used; i++) states[arena_slot(head, i)->state]++;
    for (int64_t i = 0; i < head->buckets_count; i++)
        chained += length_of_list(head, *arena_bucket(head, (uint32_t)i), seen, ARENA_USED);
    for (int i = 0; i < 2 * ARENA_CLASSES; i++)
        free += length_of_list(head, head->freed[i % 2][i / 2], seen, ARENA_FREE);
    CHECK(chained == states[ARENA_USED] && chained == head->used);
    CHECK(free == states[ARENA_FREE] && states[ARENA_RESTING] == head->resting);
    for (int64_t i = 0; i < head->slots_used; i++) {
        ArenaSlot *a = arena_slot(head, i);
        CHECK(a->kind == ARENA_AREA ? a->offset + a->room * ARENA_LINE <= head->areas + head->areas_taken
                                    : a->offset + a->room * 8 <= head->cells_taken);
        for (int64_t j = 0; j < i; j++) {
            ArenaSlot *b = arena_slot(head, j);
            int64_t unit = a->kind == ARENA_AREA ? ARENA_LINE : 8;
            if ((a->kind == ARENA_AREA) != (b->kind == ARENA_AREA)) continue;
            CHECK(a->offset + a->room * unit <= b->offset || b->offset + b->room * unit <= a->offset);
        }
    }
}

static void zeroed(ArenaHead *head, int64_t index) {
    ArenaSlot *slot = arena_slot(head, index);
    int area = slot->kind == ARENA_AREA;
    for (int64_t i = 0; area && i < slot->room * ARENA_LINE; i++) CHECK(memory_of(head, index)[i] == 0);
    for (int64_t i = 0; !area && i < slot->room; i++) CHECK(*arena_cell(head, 3, slot->offset + 8 * i) == 0);
}

/* After any death: the directory is whole, what was known is where it was, and everything can still be done. */
static void survived(ArenaHead *head, void (*run)(ArenaHead *)) {
    char name[32];
    CHECK(arena_lock(head, 1000) == 0);
    whole(head);
    for (int i = 8; i < 12; i++) {
        snprintf(name, sizeof name, "old-%d", i);
        int64_t index = arena_find(head, name, (int32_t)strlen(name));
        CHECK(index == i);
        if (i % 3 == ARENA_AREA) CHECK(memory_of(head, index)[199] == 7);
        if (i % 3 == ARENA_COUNTERS) CHECK(*arena_cell(head, 3, arena_slot(head, index)->offset) == 7);
    }
    run(head);
    whole(head);
    for (int kind = ARENA_AREA; kind <= ARENA_GAUGES; kind++) {
        for (int i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "after-%d-%d", kind, i);
            int64_t index = claim(head, name, kind, kind == ARENA_AREA ? 200 : 5, 5);
            CHECK(index >= 0 && arena_find(head, name, (int32_t)strlen(name)) == index);
            zeroed(head, index);
        }
    }
    whole(head);
    arena_sweep(head, 100);
    arena_sweep(head, 100);
    whole(head);
    CHECK(head->used == 0 && head->resting == 0);
    arena_unlock(head);
}

static int killed(void (*run)(ArenaHead *)) {
    int count = 0, deaths = 0;
    for (killed_at = 0; killed_at <= count; killed_at++) {
        for (repair_killed_at = 0;; repair_killed_at++) {
            ArenaHead *head = fresh();
            furnish(head);
            int made = in_child(head, run, killed_at);
            CHECK(killed_at == 0 ? made > 0 : made == -1);
            if (killed_at == 0) count = made;
            int died_again = repair_killed_at && in_child(head, NULL, repair_killed_at) == -1;
            deaths += (made == -1) + died_again;
            survived(head, run);
            munmap(head, RESERVE);
            if (made != -1 || (repair_killed_at && !died_again)) break;
        }
    }
    return deaths;
}

static void *racer(void *of) {
    ArenaHead *head = of;
    char name[32];
    unsigned seed = (unsigned)(uintptr_t)&name;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "name-%d", rand_r(&seed) % 40);
        if (arena_lock(head, 20000)) failed("lock", __LINE__);
        int64_t index = claim(head, name, ARENA_COUNTERS, 3, 1 + i / 1000);
        int64_t offset = index < 0 ? -1 : arena_slot(head, index)->offset;
        if (i % 100 == 99) arena_sweep(head, i / 1000);
        arena_unlock(head);
        if (index < 0) failed("claim", __LINE__);
        arena_sum(head, offset);
        number_add((double *)((char *)head + head->areas), 1);
        word_load(&head->journal_end);
    }
    return NULL;
}

static void raced(void) {
    pthread_t threads[8];
    ArenaHead *head = fresh();
    arena_lock(head, 1000);
    arena_claim(head, "sum", 3, ARENA_AREA, 8, 0);
    arena_unlock(head);
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, racer, head);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    whole(head);
    CHECK(number_load((double *)((char *)head + head->areas)) == 8 * 3000);
}

static void waited(void) {
    ArenaHead *head = fresh();
    int told[2];
    char byte = 0;
    CHECK(pipe(told) == 0);
    pid_t holder = fork();
    CHECK(holder >= 0);
    if (holder == 0) {
        arena_lock(head, 1000);
        if (write(told[1], &byte, 1) == 1) pause();
        _exit(1);
    }
    CHECK(read(told[0], &byte, 1) == 1);
    CHECK(arena_lock(head, 0) == ETIMEDOUT);
    CHECK(arena_lock(head, 30) == ETIMEDOUT);
    CHECK(arena_lock(head, 1999) == ETIMEDOUT);
    kill(holder, SIGKILL);
    CHECK(arena_lock(head, 20000) == 0 && head->repairs == 1);
    CHECK(arena_lock(head, 1000) == EDEADLK);
    arena_unlock(head);
    CHECK(waitpid(holder, NULL, 0) == holder);
}

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "race")) {
        raced();
        puts("raced");
        return 0;
    }
    if (count > 1 && !strcmp(words[1], "wait")) {
        waited();
        puts("waited");
        return 0;
    }
    for (size_t i = 0; i < sizeof SCENARIOS / sizeof *SCENARIOS; i++) {
        scenario = SCENARIOS[i].name;
        printf("%s: %d deaths\n", scenario, killed(SCENARIOS[i].run));
    }
    return 0;
}
