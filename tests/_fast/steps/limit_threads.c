/* The limit table under threads, for ThreadSanitizer: built with -fsanitize=thread -O1 -g -pthread it must exit 0.

Threads stand for processes, each with a column; some end in mid-step, holding robust mutexes, as if killed. The sanitizer
cannot know that the kernel orders a dead thread's stores before the next owner's loads: that one edge is told it. */
#define _GNU_SOURCE

#include <pthread.h>
#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define pthread_mutex_clocklock(mutex, clock, until) ((void)(until), pthread_mutex_lock(mutex)) /* which the sanitizer knows */
void __tsan_acquire(void* at);
void __tsan_release(void* at);
#else
#define __tsan_acquire(at) ((void)(at))
#define __tsan_release(at) ((void)(at))
#endif

static _Thread_local long steps_left;
static char deaths;

static void may_die(const char* name) {
    if (name[0] == 'o') __tsan_acquire(&deaths); /* "orphaned" */
    if (steps_left && --steps_left == 0) {
        __tsan_release(&deaths);
        pthread_exit(NULL);
    }
}

#define STEP(name) may_die(name)
#include "limit_table_check.h"

enum { STRIPES = 4, ROWS = 64, THREADS = 4, COLUMNS = THREADS + 1 };

static struct limit_table table;
static atomic_long taken;
static long rounds, generation;

static uint64_t drawn(uint64_t* state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}

static void* work(void* argument) {
    struct limit_table mine = table; /* what a process keeps of its own */
    int column = (int)(intptr_t)argument & 255;
    uint64_t chance = (uint64_t)(intptr_t)argument * 0x9e3779b97f4a7c15u;
    steps_left = (intptr_t)argument >> 8 & 1 ? 1 + (long)(drawn(&chance) % 4000) : 0;
    for (long i = 0; i < rounds; i++) {
        struct limit_step steps[4];
        int64_t now = (int64_t)SECOND * ((generation * rounds + i) / 10);
        for (int j = 0; j < 3; j++)
            steps[j] = step_of(j == 2 ? &HOLDS : &BUCKET, (int)(drawn(&chance) % STRIPES),
                               j == 2 ? 1 : 10 + (int)(drawn(&chance) % 15), 1);
        steps[3] = step_of(&WINDOW, (int)(drawn(&chance) % STRIPES), 3, 1);
        if (do_set(&mine, column, now, true, 4, steps) != LIMIT_TAKEN) continue;
        atomic_fetch_add(&taken, 1);
        steps[2].amount = -1;
        do_set(&mine, column, now, false, 1, &steps[2]);
    }
    return NULL;
}

static bool run(void) {
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void*)((generation * THREADS + i) << 9 | (i % 2) << 8 | (i + 1)));
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int column = 1; column < COLUMNS; column++)
        if (!limit_recover(&table, column, 0, SECOND)) return false;
    const char* wrong = wrong_in_table(&table);
    for (int stripe = 0; stripe < STRIPES && !wrong; stripe++) {
        int row = limit_find(&table, stripe, key_of(stripe, 1));
        if (row >= 0 && table.rows[row].low) wrong = "held by nobody";
    }
    if (wrong) fprintf(stderr, "generation %ld: %s\n", generation, wrong);
    return !wrong;
}

int main(int count, char** arguments) {
    rounds = count > 1 ? atol(arguments[1]) : 300;
    int64_t size = limit_place(&table, NULL, ROWS, STRIPES, COLUMNS);
    char* memory = aligned_alloc(128, (size_t)size);
    memset(memory, 0, (size_t)size);
    limit_place(&table, memory, ROWS, STRIPES, COLUMNS);
    bool right = limit_make_locks(&table);
    for (generation = 1; right && generation <= 10; generation++) right = run();
    printf("%ld sets taken, %lu evictions, %lu repairs\n", atomic_load(&taken),
           (unsigned long)table.head->events[LIMIT_EVICTED], (unsigned long)table.head->events[LIMIT_REPAIRED]);
    return !(right && table.head->events[LIMIT_REPAIRED] && table.head->events[LIMIT_EVICTED] && atomic_load(&taken));
}
