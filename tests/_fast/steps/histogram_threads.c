/* A histogram under four writers and a reader, for ThreadSanitizer: no data race, no value lost, none counted twice.

   Two and two share a clock, three slices of eight apart, so every value is still inside the window. */
#include <pthread.h>
#include <stdio.h>

#include "../../../gateway/_fast/histogram_steps.h"

enum { THREADS = 4, VALUES = 20000, SLICES = 8 };

static uint64_t words[1 + HISTOGRAM_BUCKETS + HISTOGRAM_RECENT * SLICES];
static int over;

static void *record(void *thread) {
    int64_t value = 1000;
    for (int i = 0; i < VALUES; i++) {
        value = value > HISTOGRAM_MOST ? 500 : value + value / 7;
        histogram_record(words, value, 100 + (int64_t)(uintptr_t)thread / 2 * 3, SLICES);
    }
    return NULL;
}

static void *read_all(void *nothing) {
    uint64_t counts[HISTOGRAM_BUCKETS], before = 0;
    while (!word_load(&over)) {
        uint64_t count = histogram_counts(words, -1, SLICES, counts);
        if (count < before) return (void *)words;
        before = count;
        histogram_counts(words, 103, SLICES, counts);
    }
    return nothing;
}

int main(void) {
    pthread_t threads[THREADS], reader;
    uint64_t counts[HISTOGRAM_BUCKETS];
    void *went_down;
    pthread_create(&reader, NULL, read_all, NULL);
    for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, record, (void *)i);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    word_store(&over, 1);
    pthread_join(reader, &went_down);
    uint64_t ever = histogram_counts(words, -1, SLICES, counts), recent = histogram_counts(words, 103, SLICES, counts);
    int wrong = ever != THREADS * VALUES || recent != THREADS * VALUES || went_down != NULL;
    printf("%lu values, %lu recent, %s\n", (unsigned long)ever, (unsigned long)recent, wrong ? "WRONG" : "right");
    return wrong;
}
