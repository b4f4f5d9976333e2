/* The breaker's word under four threads, for ThreadSanitizer: no data race, and never more probes out than a round has.

   What is out is counted after a permit is given and before it is reported, so a count is never above the truth. */
#include <pthread.h>
#include <stdio.h>

#include "../../../gateway/_fast/breaker_word.h"

enum { THREADS = 4, CALLS = 20000 };

static const BreakerRule rule = {
    .rate = 0.5, .window = 10 * BREAKER_TICK, .minimum = 10, .consecutive = 3, .open_for = BREAKER_TICK, .probes = 2,
    .probe_time = INT64_C(1000000) * BREAKER_TICK,
};
static uint64_t word;
static int64_t clock_now = 1000 * BREAKER_TICK;
static int out[BREAKER_EPOCHS], changes, wrong;

static void *calls(void *seed) {
    uint32_t dice = (uint32_t)(uintptr_t)seed * 2654435761u + 1;
    for (int i = 0; i < CALLS; i++) {
        int64_t now = word_add(&clock_now, BREAKER_TICK / 8);
        int64_t permit = breaker_allow(&word, now, &rule);
        if (permit < 0) continue;
        int *held = permit >> 10 ? &out[permit % BREAKER_EPOCHS] : NULL;
        if (held && word_add(held, 1) > rule.probes) word_store(&wrong, 1);
        dice = dice * 1664525u + 1013904223u;
        int how = dice >> 24 < 120 ? BREAKER_FAILURE : dice >> 24 < 130 ? BREAKER_WITHDRAWN : BREAKER_SUCCESS;
        if (held) word_add(held, -1);
        word_add(&changes, breaker_report(&word, now, &rule, permit, how));
        if (i % 1000 == 0 && breaker_view(&word, now, &rule).state > BREAKER_HALF_OPEN) word_store(&wrong, 1);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, calls, (void *)(i + 1));
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("%d changes of state, %s\n", changes, wrong ? "WRONG" : "right");
    return wrong || changes < 100;
}
