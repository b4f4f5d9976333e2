/* Picks and evidence under four threads, for ThreadSanitizer: no data race, and nginx's share for each target. */
#define _GNU_SOURCE
#include <stdio.h>

#include "../../../gateway/_fast/select_steps.h"

enum { THREADS = 4, ROUNDS = 1000, PERIOD = 7 };

static RoundRobin group;
static Evidence evidence;
static Random never; /* nothing here is so large that it is drawn */
static const int32_t weights[3] = {5, 1, 1};
static int64_t picked[3];

static void *pick(void *nothing) {
    for (int i = 0; i < ROUNDS * PERIOD; i++) {
        int64_t target;
        while ((target = round_robin_pick(&group, "\1\1\1", weights, 3, 9)) == SELECT_BUSY) continue;
        word_add(&picked[target], 1);
        evidence_add(&never, i % 2 ? &evidence.successes : &evidence.failures, 1000, 600);
    }
    return nothing;
}

int main(void) {
    pthread_t threads[THREADS];
    if (round_robin_begin(&group)) return 1;
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, pick, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    double seen = evidence_amount(evidence.successes) + evidence_amount(evidence.failures);
    int right = picked[0] == 5 * THREADS * ROUNDS && picked[1] == THREADS * ROUNDS && picked[2] == THREADS * ROUNDS;
    right &= seen == THREADS * ROUNDS * PERIOD;
    printf("%ld %ld %ld, %s\n", (long)picked[0], (long)picked[1], (long)picked[2], right ? "right" : "WRONG");
    return !right;
}
