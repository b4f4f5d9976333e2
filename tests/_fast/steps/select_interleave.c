/* Evidence and averages under every order of a few writers, one of whom may die: nothing is lost or decays twice. */
#define _GNU_SOURCE
#include "interleave.h"

#include "../../../gateway/_fast/ewma.h"
#include "../../../gateway/_fast/select_steps.h"

enum { HALF_LIFE = 999, THEN = 100000 };

static Evidence evidence;
static Ewma average;
static Random never; /* nothing here is so large that it is drawn */
static int dead;

static void fresh(void) {
    memset(&evidence, 0, sizeof evidence);
    memset(&average, 0, sizeof average);
    dead = 0;
    ewma_add(&average, 16, THEN, HALF_LIFE);
}

static void count_dead(int actor) {
    (void)actor;
    dead++;
}

static void succeed(int actor) {
    evidence_add(&never, &evidence.successes, 500, 10);
    if (actor == 0) evidence_add(&never, &evidence.successes, 500, 10);
}

static const char *all_evidence(void) {
    double amount = evidence_now(evidence.successes, 500, 10);
    if (dead ? amount < 2 || amount > 4 : amount != 4) return "evidence was lost";
    return evidence_now(evidence.successes, 510, 10) * 2 == amount ? NULL : "evidence does not halve";
}

/* Three writers of 0, a third of a half-life apart: together they halve the average. */
static void decay(int actor) {
    ewma_add(&average, 0, THEN + (uint64_t)(actor + 1) * HALF_LIFE / 3, HALF_LIFE);
}

static const char *halved_once(void) {
    double value = ewma_value(&average, -1);
    if (average.time < THEN + HALF_LIFE / 3 * 2) return "time was lost";
    if (value < 8 * 0.9997) return "a stretch of time decayed twice";
    if (!dead && value > 8 * 1.000001) return "a stretch of time did not decay";
    return NULL;
}

int main(void) {
    struct exploration what = {.name = "evidence", .actors = 3, .reset = fresh, .act = succeed, .final = all_evidence};
    struct exploration averages = {.name = "averages", .actors = 3, .reset = fresh, .act = decay, .final = halved_once};
    what.died = averages.died = count_dead;
    averages.switches = 4;
    int right = 1;
    for (int deaths = 0; deaths < 2; deaths++) {
        what.deaths = averages.deaths = deaths;
        long first = explore(&what), second = explore(&averages);
        printf("%d deaths: %ld runs of evidence, %ld of averages\n", deaths, first, second);
        right &= first > 0 && second > 0;
    }
    printf(right ? "right\n" : "WRONG\n");
    return !right;
}
