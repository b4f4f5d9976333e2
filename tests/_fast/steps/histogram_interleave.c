/* A histogram under every order of three writers: no value lost, each in its own slice, and the sum never behind. */
#include "interleave.h"

#include "../../../gateway/_fast/histogram_steps.h"

enum { SLICES = 4, VALUE = 1500 };

static uint64_t words[1 + HISTOGRAM_BUCKETS + HISTOGRAM_RECENT * SLICES], counts[HISTOGRAM_BUCKETS];
static int64_t slice_of[3];

static void fresh(void) {
    words[0] = 0;
    words[1 + histogram_index(VALUE, HISTOGRAM_FINE)] = 0;
    int64_t recent = 1 + HISTOGRAM_BUCKETS + histogram_index(VALUE, HISTOGRAM_COARSE) * SLICES;
    memset(words + recent, 0, SLICES * sizeof *words);
}

static void record(int actor) { histogram_record(words, VALUE, slice_of[actor], SLICES); }

static uint64_t in_window(int64_t slice) {
    return histogram_recent_count(words, histogram_index(VALUE, HISTOGRAM_COARSE), slice, SLICES);
}

static const char *sum_is_ahead(void) {
    uint64_t count = words[1 + histogram_index(VALUE, HISTOGRAM_FINE)];
    return number_load((double *)words) < (double)(count * VALUE) ? "a bucket counts what the sum has not" : NULL;
}

static const char *all_there(void) {
    if (histogram_counts(words, -1, SLICES, counts) != 3) return "a value was lost";
    if (number_load((double *)words) != 3 * VALUE) return "the sum lost a value";
    for (int64_t slice = 100; slice < 110; slice++) {
        uint64_t expected = 0, latest = 0;
        for (int i = 0; i < 3; i++) {
            int gone = 0;
            for (int j = 0; j < 3; j++) gone |= slice_of[j] > slice_of[i] && (slice_of[j] - slice_of[i]) % SLICES == 0;
            latest = (uint64_t)slice_of[i] > latest ? (uint64_t)slice_of[i] : latest;
            expected += !gone && slice_of[i] > slice - SLICES;
        }
        if (slice >= (int64_t)latest && in_window(slice) != expected) return "the window is not what its slices say";
    }
    return NULL;
}

static int run(const char *name, int64_t first, int64_t second, int64_t third, int deaths) {
    struct exploration what = {.name = name, .actors = 3, .reset = fresh, .act = record, .each = sum_is_ahead};
    slice_of[0] = first, slice_of[1] = second, slice_of[2] = third;
    what.deaths = deaths, what.switches = 3;
    if (!deaths) what.final = all_there;
    long runs = explore(&what);
    printf("%-40s %ld runs\n", name, runs);
    return runs > 0;
}

int main(void) {
    int right = run("three in one slice", 100, 100, 100, 0);
    right &= run("three in three slices", 100, 101, 102, 0);
    right &= run("one replaces two of a window ago", 100, 100, 104, 0);
    right &= run("two windows at once", 100, 104, 108, 0);
    right &= run("somebody dies", 100, 100, 104, 1);
    printf(right ? "right\n" : "WRONG\n");
    return !right;
}
