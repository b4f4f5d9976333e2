/* The breaker's word under every order of two or three actors, with a clock that runs and actors that die.

   What must hold in each order: no round has more than its probes out; a change of state is seen by exactly one report;
   reports of other rounds change nothing; and a probe that died does not keep the breaker from closing in the end. */
#include "interleave.h"

#include "../../../gateway/_fast/breaker_word.h"

static const BreakerRule rules = {
    .rate = 0.5, .window = 100 * BREAKER_TICK, .minimum = 4, .consecutive = 2, .open_for = 10 * BREAKER_TICK,
    .probes = 1, .probe_time = 20 * BREAKER_TICK,
};
static BreakerRule rule;
static uint64_t word;
static int64_t now;
static const char *wrong_close;
static int out[BREAKER_EPOCHS], changes, outcome[INTERLEAVE_ACTORS];

static int64_t allow(void) {
    int64_t permit = breaker_allow(&word, now, &rule);
    if (permit >> 10 > 0) out[permit % BREAKER_EPOCHS]++;
    return permit;
}

static int report(int64_t permit, int how) {
    int64_t when = now;
    int changed = breaker_report(&word, when, &rule, permit, how);
    if (permit >> 10 > 0) out[permit % BREAKER_EPOCHS]--;
    changes += changed;
    if (changed && breaker_state_of(word) == BREAKER_CLOSED) {
        if (how != BREAKER_SUCCESS) wrong_close = "closed by a failure";
        if ((uint64_t)permit % BREAKER_EPOCHS + 1 != breaker_epoch(word)) wrong_close = "closed by an earlier round";
        if (when / BREAKER_TICK >= permit >> 10) wrong_close = "closed by a late probe";
    }
    return changed;
}

static const char *probes_bounded(void) {
    for (int epoch = 0; epoch < 16; epoch++)
        if (out[epoch] > rule.probes) return "more probes out than the round has";
    return wrong_close;
}

static void fresh(void) {
    rule = rules;
    word = 0;
    now = 1000 * BREAKER_TICK;
    changes = 0;
    wrong_close = NULL;
    memset(out, 0, sizeof out);
}

static void half_open(void) {
    fresh();
    breaker_force(&word, now, BREAKER_OPEN, (uint64_t)(now / BREAKER_TICK));
}

static void calls(int actor) {
    int64_t permit = allow();
    STEP("the call");
    if (permit >= 0) report(permit, outcome[actor]);
}

static void two_calls(int actor) {
    calls(actor);
    calls(actor);
}

/* Actor 0 is the clock: half way and then past the deadline of the first probe, and past the open time after it. */
static void calls_beside_a_clock(int actor) {
    if (actor > 0) {
        calls(actor);
        return;
    }
    for (int half = 0; half < 2; half++) {
        STEP("clock");
        now += rule.probe_time / 2 + BREAKER_TICK;
    }
    STEP("clock");
    now += rule.open_for + BREAKER_TICK;
}

static const char *opened_once(void) {
    if (breaker_state_of(word) != BREAKER_OPEN) return "two failures in a row did not open it";
    return changes == 1 ? NULL : "opened, and not exactly one report says so";
}

static const char *all_counted(void) {
    BreakerView view = breaker_view(&word, now, &rule);
    if (view.calls != 4 || view.failures != 0) return "a count was lost";
    return NULL;
}

static const char *epochs_add_up(void) {
    /* by hand 1, half-open 1, and one for each report that changed the state */
    return breaker_epoch(word) == (uint64_t)(2 + changes) ? NULL : "a change of state was lost or seen twice";
}

/* Whatever happened: after its times are over it lets a probe through, and probes that succeed close it. */
static const char *comes_back(void) {
    now += rule.probe_time + rule.open_for + 2 * BREAKER_TICK;
    for (int i = 0; i < 3 && breaker_state_of(word) != BREAKER_CLOSED; i++) {
        int64_t permit = breaker_allow(&word, now, &rule);
        if (permit < 0) return "it sticks: nobody may probe";
        breaker_report(&word, now, &rule, permit, BREAKER_SUCCESS);
    }
    return breaker_state_of(word) == BREAKER_CLOSED ? NULL : "probes succeed and it does not close";
}

static const char *given_again(void) {
    return breaker_allow(&word, now, &rule) < 0 ? "all have withdrawn, and nobody may probe" : comes_back();
}

static const char *closes_or_comes_back(void) {
    const char *wrong = epochs_add_up();
    return wrong ? wrong : comes_back();
}

static long run(struct exploration what, int first, int second, int third) {
    outcome[0] = first, outcome[1] = second, outcome[2] = third;
    what.each = probes_bounded;
    long runs = explore(&what);
    printf("%-58s %ld runs\n", what.name, runs);
    return runs;
}

static void two_probes(void) {
    half_open();
    rule.probes = 2;
}

int main(void) {
    enum { GOOD = BREAKER_SUCCESS, BAD = BREAKER_FAILURE, GONE = BREAKER_WITHDRAWN };
    struct exploration closed = {.actors = 2, .reset = fresh, .act = calls}, probing = {.actors = 3, .act = calls};
    struct exploration timed = {.actors = 3, .reset = half_open, .act = calls_beside_a_clock};
    int right = 1;
    closed.name = "two failures open it", closed.final = opened_once;
    right &= run(closed, BAD, BAD, GOOD) > 0;
    closed.name = "four successes are counted", closed.act = two_calls, closed.final = all_counted;
    right &= run(closed, GOOD, GOOD, GOOD) > 0;
    probing.reset = half_open, probing.final = closes_or_comes_back;
    probing.name = "one probe among three callers", right &= run(probing, GOOD, BAD, GOOD) > 0;
    probing.name = "a withdrawn probe is given again", right &= run(probing, GONE, GOOD, GONE) > 0;
    probing.final = given_again;
    probing.name = "all withdraw", right &= run(probing, GONE, GONE, GONE) > 0;
    probing.final = comes_back, probing.deaths = 1, probing.switches = 4;
    probing.name = "one probe, and somebody dies", right &= run(probing, GOOD, BAD, GOOD) > 0;
    probing.reset = two_probes, probing.switches = 3;
    probing.name = "two probes, and somebody dies", right &= run(probing, GOOD, GOOD, GOOD) > 0;
    timed.final = comes_back;
    timed.name = "a late success against a later round", right &= run(timed, GOOD, GOOD, BAD) > 0;
    timed.deaths = 1, timed.switches = 4;
    timed.name = "a clock, two probes, and somebody dies", right &= run(timed, GOOD, GOOD, GOOD) > 0;
    timed.reset = two_probes, timed.deaths = 0;
    timed.name = "a clock, a late probe and one in time", right &= run(timed, GOOD, GOOD, GOOD) > 0;
    printf(right ? "right\n" : "WRONG\n");
    return !right;
}
