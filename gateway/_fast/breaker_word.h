/* A circuit breaker in one 64-bit word: the whole state changes by one compare-and-swap, or not at all. No Python here.

   Writers and readers: any process; sequentially consistent. Whoever dies between load and swap has done nothing.

   all states   0..1 state    2..11 epoch, one more with every change of state
   closed       12..31 tick the window began (its last 20 bits)   32..44 calls   45..57 failures   58..63 consecutive
   open         12..47 tick from which probes are let through; all ones: until closed by hand
   half-open    12..47 tick by which the probes must have reported   48..55 probes given   56..63 of them succeeded

   A tick is 100 ms of the monotonic clock, whose zero is that of the machine, so 36 bits last 217 years. A word of
   zeros is closed and fresh. Decisions:
   - Nothing waits for a timer. What time alone does is computed by whoever looks (breaker_aged): a round of probes
     whose deadline passed failed *at* the deadline, and its open time counts from there, whenever that is noticed.
   - A round gives `probes` permits and closes when as many succeeded; one failure opens. A permit carries its epoch and
     its own deadline: reported late it counts as failed; reported in another epoch it counts as nothing, which is also
     how a call that began before the breaker opened cannot close it. The word knows only the latest deadline: a
     probe that is never reported is noticed `probe_time` after the round's last permit, and a round gives no more than
     `probes` of them. A withdrawn probe (the client went away) is given again. Where a reload wants fewer probes than
     have succeeded already and none is out, one more is given, and its success closes.
   - Epochs repeat after 1024 changes. A permit kept as long as that would be taken for a new one, once.
   - The window is a tumbling one and begins with the first call after the end of the last. Its 20 bits repeat after
     29.1 hours: calls of a window that began a multiple of that ago (to the window's length) count once more. A `now`
     up to a minute before the window's beginning, of a worker that is behind, belongs to the window.
   - Counts are 13 bits; a full one halves both, so that the rate stays. `consecutive` stops at 63.
   - Times are rounded up: never open for shorter than asked, and for less than a tick longer.
   - `rate` is looked at after successes too: the call that makes the minimum may be one. */
#ifndef GATEWAY_BREAKER_WORD_H
#define GATEWAY_BREAKER_WORD_H

#include <stdint.h>

#include "atomics.h"

enum { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
enum { BREAKER_SUCCESS, BREAKER_FAILURE, BREAKER_WITHDRAWN };
enum { BREAKER_CALLS_LIMIT = 8191, BREAKER_CONSECUTIVE_LIMIT = 63, BREAKER_SKEW = 600, BREAKER_EPOCHS = 1024 };
enum { BREAKER_REFUSED = -1 };
#define BREAKER_TICK INT64_C(100000000)
#define BREAKER_EVER ((UINT64_C(1) << 36) - 1)
#define BREAKER_STARTS ((UINT64_C(1) << 20) - 1)

typedef struct {
    double rate;                                         /* share of failures that opens; 0: none does */
    int64_t window, minimum, consecutive;                /* ns; calls; failures in a row, 0: none do */
    int64_t open_for, probes, probe_time;                /* ns; permits of a round; ns */
} BreakerRule;

typedef struct {
    int state;
    int64_t calls, failures, consecutive;                /* of a closed one */
    int64_t given, succeeded;                            /* of a half-open one */
    uint64_t until;                                      /* tick, of an open one */
} BreakerView;

#define BREAKER_FIELD(word, at, width) ((word) >> (at) & ((UINT64_C(1) << (width)) - 1))

static inline int breaker_state_of(uint64_t word) { return (int)(word & 3); }
static inline uint64_t breaker_epoch(uint64_t word) { return BREAKER_FIELD(word, 2, 10); }
static inline uint64_t breaker_tick(uint64_t word) { return BREAKER_FIELD(word, 12, 36); }
static inline uint64_t breaker_given(uint64_t word) { return BREAKER_FIELD(word, 48, 8); }
static inline uint64_t breaker_succeeded(uint64_t word) { return BREAKER_FIELD(word, 56, 8); }

static inline uint64_t breaker_after(int64_t now, int64_t time) {
    uint64_t tick = ((uint64_t)now + (uint64_t)time + BREAKER_TICK - 1) / BREAKER_TICK;
    return tick < BREAKER_EVER ? tick : BREAKER_EVER - 1;
}

static inline uint64_t breaker_turned(uint64_t word, int state) {
    return (uint64_t)state | (breaker_epoch(word) + 1) % BREAKER_EPOCHS << 2;
}

static inline uint64_t breaker_opened(uint64_t word, uint64_t until) {
    return breaker_turned(word, BREAKER_OPEN) | until << 12;
}

static inline uint64_t breaker_closed(uint64_t word, uint64_t start, uint64_t calls, uint64_t failures, uint64_t row) {
    return (word & 0xfff) | (start & BREAKER_STARTS) << 12 | calls << 32 | failures << 45 | row << 58;
}

static inline uint64_t breaker_half_open(uint64_t word, uint64_t deadline, uint64_t given, uint64_t succeeded) {
    return (word & 0xfff) | deadline << 12 | given << 48 | succeeded << 56;
}

/* The word as time has made it: a round that was not reported in time has failed. */
static inline uint64_t breaker_aged(uint64_t word, int64_t now, const BreakerRule *rule) {
    uint64_t deadline = breaker_tick(word);
    if (breaker_state_of(word) != BREAKER_HALF_OPEN || breaker_given(word) == breaker_succeeded(word) ||
        (uint64_t)(now / BREAKER_TICK) < deadline)
        return word;
    return breaker_opened(word, breaker_after((int64_t)deadline * BREAKER_TICK, rule->open_for));
}

static inline int64_t breaker_permit(uint64_t word, uint64_t deadline) {
    return (int64_t)(breaker_epoch(word) | deadline << 10);
}

/* A permit to be reported once, or BREAKER_REFUSED. */
static inline int64_t breaker_allow(uint64_t *at, int64_t now, const BreakerRule *rule) {
    STEP("allow: load");
    uint64_t word = word_load(at);
    for (;;) {
        uint64_t aged = breaker_aged(word, now, rule), next;
        uint64_t deadline = breaker_after(now, rule->probe_time);
        if (breaker_state_of(aged) == BREAKER_CLOSED) return breaker_permit(aged, 0);
        if (breaker_state_of(aged) == BREAKER_OPEN) {
            if ((uint64_t)(now / BREAKER_TICK) < breaker_tick(aged) || breaker_tick(aged) == BREAKER_EVER)
                return BREAKER_REFUSED;
            next = breaker_half_open(breaker_turned(aged, BREAKER_HALF_OPEN), deadline, 1, 0);
        } else {
            if (breaker_given(aged) >= (uint64_t)rule->probes && breaker_given(aged) != breaker_succeeded(aged))
                return BREAKER_REFUSED;
            uint64_t latest = deadline > breaker_tick(aged) ? deadline : breaker_tick(aged);
            next = breaker_half_open(aged, latest, breaker_given(aged) + 1, breaker_succeeded(aged));
        }
        STEP("allow: swap");
        if (word_swap(at, &word, next)) return breaker_permit(next, deadline);
    }
}

static inline int breaker_fails(const BreakerRule *rule, uint64_t calls, uint64_t failures, uint64_t row) {
    return (rule->consecutive > 0 && row >= (uint64_t)rule->consecutive) ||
           (rule->rate > 0 && calls >= (uint64_t)rule->minimum && (double)failures >= rule->rate * (double)calls);
}

static inline uint64_t breaker_counted(uint64_t word, int64_t now, const BreakerRule *rule, int failed) {
    uint64_t tick = (uint64_t)(now / BREAKER_TICK), start = BREAKER_FIELD(word, 12, 20);
    uint64_t calls = BREAKER_FIELD(word, 32, 13), failures = BREAKER_FIELD(word, 45, 13);
    uint64_t row = BREAKER_FIELD(word, 58, 6), age = (tick - start) & BREAKER_STARTS;
    if (age >= breaker_after(0, rule->window) && age <= BREAKER_STARTS - BREAKER_SKEW) {
        start = tick;
        calls = failures = 0;
    }
    if (calls == BREAKER_CALLS_LIMIT) calls /= 2, failures /= 2;
    calls += 1;
    failures += failed != 0;
    row = !failed ? 0 : row < BREAKER_CONSECUTIVE_LIMIT ? row + 1 : row;
    if (breaker_fails(rule, calls, failures, row)) return breaker_opened(word, breaker_after(now, rule->open_for));
    return breaker_closed(word, start, calls, failures, row);
}

static inline uint64_t breaker_probed(uint64_t word, int64_t now, const BreakerRule *rule, int outcome) {
    uint64_t given = breaker_given(word), succeeded = breaker_succeeded(word);
    if (outcome == BREAKER_FAILURE) return breaker_opened(word, breaker_after(now, rule->open_for));
    if (given == succeeded) return word; /* reported twice: nobody is out there */
    if (outcome == BREAKER_WITHDRAWN) return breaker_half_open(word, breaker_tick(word), given - 1, succeeded);
    if (succeeded + 1 < (uint64_t)rule->probes)
        return breaker_half_open(word, breaker_tick(word), given, succeeded + 1);
    return breaker_closed(breaker_turned(word, BREAKER_CLOSED), (uint64_t)(now / BREAKER_TICK), 0, 0, 0);
}

/* How a call that had `permit` ended. 1 if this report changed the state: exactly one report does, each time. */
static inline int breaker_report(uint64_t *at, int64_t now, const BreakerRule *rule, int64_t permit, int outcome) {
    uint64_t epoch = (uint64_t)permit % BREAKER_EPOCHS, deadline = (uint64_t)permit >> 10, next;
    STEP("report: load");
    uint64_t word = word_load(at);
    do {
        uint64_t aged = breaker_aged(word, now, rule);
        if (breaker_epoch(aged) != epoch || breaker_state_of(aged) == BREAKER_OPEN) return 0;
        if (breaker_state_of(aged) == BREAKER_CLOSED) {
            if (outcome == BREAKER_WITHDRAWN) return 0;
            next = breaker_counted(aged, now, rule, outcome == BREAKER_FAILURE);
        } else {
            int late = (uint64_t)(now / BREAKER_TICK) >= deadline;
            next = breaker_probed(aged, now, rule, late ? BREAKER_FAILURE : outcome);
        }
        STEP("report: swap");
    } while (!word_swap(at, &word, next));
    return breaker_state_of(next) != breaker_state_of(word);
}

/* By hand: open until a tick (BREAKER_EVER: until closed by hand), or closed and fresh. */
static inline void breaker_force(uint64_t *at, int64_t now, int state, uint64_t until) {
    uint64_t next, word = word_load(at);
    do {
        next = state == BREAKER_OPEN ? breaker_opened(word, until)
             : breaker_closed(breaker_turned(word, BREAKER_CLOSED), (uint64_t)(now / BREAKER_TICK), 0, 0, 0);
        STEP("force: swap");
    } while (!word_swap(at, &word, next));
}

/* What the next caller meets; an open one whose time is over lets probes through, so it is called half-open. */
static inline BreakerView breaker_view(const uint64_t *at, int64_t now, const BreakerRule *rule) {
    uint64_t word = breaker_aged(word_load(at), now, rule);
    BreakerView view = {.state = breaker_state_of(word)};
    if (view.state == BREAKER_CLOSED) {
        view.calls = (int64_t)BREAKER_FIELD(word, 32, 13);
        view.failures = (int64_t)BREAKER_FIELD(word, 45, 13);
        view.consecutive = (int64_t)BREAKER_FIELD(word, 58, 6);
    } else if (view.state == BREAKER_HALF_OPEN) {
        view.given = (int64_t)breaker_given(word);
        view.succeeded = (int64_t)breaker_succeeded(word);
    } else {
        view.until = breaker_tick(word);
        if ((uint64_t)(now / BREAKER_TICK) >= view.until && view.until != BREAKER_EVER) view.state = BREAKER_HALF_OPEN;
    }
    return view;
}

#endif
