/* Picks over the targets 0 .. count - 1: `mask[i]` says that target i may be picked, a weight of 0 that it never is.
   Each gives an index, or -1 when there is none. No Python here.

   Shared memory:
   - RoundRobin, one for a group. Writers and readers: any process, under its robust mutex.
   - loads (calls in flight): one cell per target and column. Writer: the column's process, relaxed. Readers sum; a
     sum may miss what changes meanwhile, as the answer of any such count is old when it arrives.
   - Evidence, two words for a target. Writers: any process by compare-and-swap; readers load; sequentially consistent.

   Decisions:
   - Smooth weighted round robin is nginx's: each candidate's current grows by its weight, the largest (the first
     of equals) is taken and pays the sum. What is masked keeps its current. The mark says for which weights the
     currents hold; it is 0 while they change, and whoever finds another mark than that of its own weights begins at
     zero, as nginx does after a reload. So a process killed half way needs no other repair.
   - Whoever cannot have the lock within a millisecond (its holder was stopped) does not get a turn: -2.
   - Least connections compares load / weight, as nginx does; among equals it draws by weight.
   - Bounded load: the target with the highest score of hash(key, target) that has less than its share, `bound` times
     the average by weight, rounded up; with bound >= 1 there always is one. Scores do not depend on the other targets,
     so one that goes moves its own keys and no others. The hash is the same on all machines. */
#ifndef GATEWAY_SELECT_STEPS_H
#define GATEWAY_SELECT_STEPS_H

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "atomics.h"
#include "random.h"

enum { SELECT_LIMIT = 1024, SELECT_NONE = -1, SELECT_BUSY = -2 };
#define SELECT_TICK INT64_C(100000000)

typedef struct {
    pthread_mutex_t mutex;
    int64_t begun;
    uint64_t mark;                   /* of the weights, never 0 there */
    int64_t current[SELECT_LIMIT];
} RoundRobin;

typedef struct {
    uint64_t successes, failures;    /* amount (f32 bits), as of a tick of 100 ms (32 bits) */
} Evidence;

/* Nobody else may be at it: the caller holds another lock. A zeroed group killed in here is begun again. */
static inline int round_robin_begin(RoundRobin *group) {
    pthread_mutexattr_t kind;
    if (group->begun) return 0;
    int failed = pthread_mutexattr_init(&kind);
    if (!failed) failed = pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    if (!failed) failed = pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    if (!failed) failed = pthread_mutex_init(&group->mutex, &kind);
    if (!failed) group->begun = 1;
    return failed;
}

static inline int round_robin_lock(RoundRobin *group) {
    int failed = pthread_mutex_trylock(&group->mutex);
#ifdef __SANITIZE_THREAD__ /* it knows no pthread_mutex_clocklock */
    if (failed == EBUSY) failed = pthread_mutex_lock(&group->mutex);
#endif
    if (failed == EBUSY) {
        struct timespec end;
        clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_nsec += 1000000;
        if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
        failed = pthread_mutex_clocklock(&group->mutex, CLOCK_MONOTONIC, &end);
    }
    return failed == EOWNERDEAD ? pthread_mutex_consistent(&group->mutex) : failed;
}

/* The step itself, with the lock held. */
static inline int64_t round_robin_step(RoundRobin *group, const char *mask, const int32_t *weights, int64_t count,
                                       uint64_t mark) {
    int64_t best = SELECT_NONE, total = 0;
    uint64_t before = group->mark;
    STEP("round robin: begin");
    group->mark = 0;
    for (int64_t i = 0; before != mark && i < count; i++) {
        STEP("round robin: clear");
        group->current[i] = 0;
    }
    for (int64_t i = 0; i < count; i++) {
        if (!mask[i] || weights[i] == 0) continue;
        STEP("round robin: grow");
        group->current[i] += weights[i];
        total += weights[i];
        if (best < 0 || group->current[i] > group->current[best]) best = i;
    }
    STEP("round robin: pay");
    if (best >= 0) group->current[best] -= total;
    STEP("round robin: done");
    group->mark = mark;
    return best;
}

static inline int64_t round_robin_pick(RoundRobin *group, const char *mask, const int32_t *weights, int64_t count,
                                       uint64_t mark) {
    if (round_robin_lock(group)) return SELECT_BUSY;
    int64_t picked = round_robin_step(group, mask, weights, count, mark);
    pthread_mutex_unlock(&group->mutex);
    return picked;
}

static inline int64_t pick_random(Random *random, const char *mask, const int32_t *weights, int64_t count) {
    int64_t total = 0, place;
    for (int64_t i = 0; i < count; i++) total += mask[i] ? weights[i] : 0;
    if (total == 0) return SELECT_NONE;
    place = (int64_t)random_below(random, (uint64_t)total);
    for (int64_t i = 0;; i++)
        if (mask[i] && (place -= weights[i]) < 0) return i;
}

static inline int64_t pick_least(Random *random, const char *mask, const int32_t *weights, int64_t count,
                                 const double *loads) {
    int64_t best = SELECT_NONE, equals = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!mask[i] || weights[i] == 0) continue;
        double here = best < 0 ? -1 : loads[i] * weights[best], there = best < 0 ? 0 : loads[best] * weights[i];
        if (here < there) {
            best = i;
            equals = weights[i];
        } else if (here == there) {
            equals += weights[i];
            if ((int64_t)random_below(random, (uint64_t)equals) < weights[i]) best = i;
        }
    }
    return best;
}

/* The candidate of this rank, counted from 0. */
static inline int64_t pick_ranked(const char *mask, const int32_t *weights, int64_t rank) {
    for (int64_t i = 0;; i++)
        if (mask[i] && weights[i] && rank-- == 0) return i;
}

/* Two different candidates, in the order drawn; how many there are (0, 1 or 2). */
static inline int pick_two(Random *random, const char *mask, const int32_t *weights, int64_t count, int64_t *two) {
    int64_t candidates = 0;
    for (int64_t i = 0; i < count; i++) candidates += mask[i] && weights[i];
    if (candidates == 0) return 0;
    int64_t first = (int64_t)random_below(random, (uint64_t)candidates);
    two[0] = pick_ranked(mask, weights, first);
    if (candidates == 1) return 1;
    int64_t second = (int64_t)random_below(random, (uint64_t)candidates - 1);
    two[1] = pick_ranked(mask, weights, second + (second >= first));
    return 2;
}

/* Smaller is better: an exponential draw of rate `weight` that is always the same for this key and target. */
static inline double pick_score(uint64_t hash, int32_t weight) {
    return -log(((double)(hash >> 11) + 0.5) * 0x1p-53) / weight;
}

/* `bound` 0: whatever the load. Of equal weights the larger hash has the better score, which needs no logarithm. */
static inline int64_t pick_by_key(const char *mask, const int32_t *weights, int64_t count, const double *loads,
                                  const uint64_t *targets, uint64_t key, double bound) {
    double load = 1, weight = 0;
    uint64_t most = 0;
    int64_t best = SELECT_NONE;
    for (int64_t i = 0; bound && i < count; i++)
        if (mask[i] && weights[i]) load += loads[i], weight += weights[i];
    double share = bound * load / weight, least = -1; /* least: the best one's score, once it was needed */
    for (int64_t i = 0; i < count; i++) {
        if (!mask[i] || weights[i] == 0) continue;
        if (bound && loads[i] >= share * weights[i]) continue; /* loads are whole: the same as rounding up */
        uint64_t hash = random_mixed(key ^ targets[i]);
        if (best < 0 || (weights[i] == weights[best] && hash > most)) {
            best = i, most = hash, least = -1;
        } else if (weights[i] != weights[best]) {
            if (least < 0) least = pick_score(most, weights[best]);
            double score = pick_score(hash, weights[i]);
            if (score < least) best = i, most = hash, least = score;
        }
    }
    return best;
}

static inline double evidence_amount(uint64_t word) {
    uint32_t bits = (uint32_t)(word >> 32);
    float amount;
    memcpy(&amount, &bits, sizeof amount);
    return amount;
}

/* How much is left of an amount as of a tick; what a process that is behind reads has not decayed. */
static inline double evidence_now(uint64_t word, uint32_t tick, double half_life) {
    int32_t age = (int32_t)(tick - (uint32_t)word);
    double amount = evidence_amount(word);
    return age <= 0 || amount == 0 ? amount : amount * exp2(-age / half_life);
}

/* From 2**23 on a float leaves out fractions, from 2**24 on the one that is added. So it is drawn: up as often as the
   part that is left out says, and what many add is right on average. */
static inline float evidence_rounded(Random *random, double amount) {
    float near = (float)amount;
    if (amount < 0x1p23 || near == amount) return near;
    float other = nextafterf(near, amount > near ? INFINITY : 0);
    return random_uniform(random) * fabs((double)other - near) < fabs(amount - near) ? other : near;
}

static inline void evidence_add(Random *random, uint64_t *at, uint32_t tick, double half_life) {
    uint64_t next, word = word_load(at);
    do {
        int32_t age = (int32_t)(tick - (uint32_t)word);
        float amount =
            evidence_rounded(random, evidence_now(word, tick, half_life) + (age < 0 ? exp2(age / half_life) : 1));
        uint32_t bits;
        memcpy(&bits, &amount, sizeof bits);
        next = (uint64_t)bits << 32 | (age < 0 ? (uint32_t)word : tick);
        STEP("evidence: swap");
    } while (!word_swap(at, &word, next));
}

/* Thompson sampling: the largest of one draw per candidate from Beta(1 + successes, 1 + failures). */
static inline int64_t pick_by_evidence(Random *random, const char *mask, int64_t count, Evidence *const *evidence,
                                       uint32_t tick, double half_life) {
    int64_t best = SELECT_NONE;
    double most = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!mask[i]) continue;
        double a = 1 + evidence_now(word_load(&evidence[i]->successes), tick, half_life);
        double draw = random_beta(random, a, 1 + evidence_now(word_load(&evidence[i]->failures), tick, half_life));
        if (best < 0 || draw > most) best = i, most = draw;
    }
    return best;
}

#endif
