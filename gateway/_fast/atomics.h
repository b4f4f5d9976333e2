/* The atomic steps of shared memory, over the compiler's builtins: any integer type, plain memory, no _Atomic.

   Rules:
   - What more than one process changes is read and written through these and through nothing else.
   - word_*: sequentially consistent. Everything but counters uses them: on x86 a missing barrier hides, on other
     machines it does not, and a load costs the same here.
   - *_relaxed: for words with a single writer whose readers want no order, the columns of counters.
   - STEP(name) stands where a process may be stopped, killed or overtaken. Here it costs nothing and keeps the compiler
     from moving stores across it: what a killed process has stored is what stands before the STEP it was killed at. A
     test harness defines it before including this file, and then it switches threads or kills. */

#ifndef GATEWAY_ATOMICS_H
#define GATEWAY_ATOMICS_H

#include <stdint.h>

#ifndef STEP
#define STEP(name) __atomic_signal_fence(__ATOMIC_SEQ_CST)
#endif

#define word_load(at) __atomic_load_n((at), __ATOMIC_SEQ_CST)
#define word_store(at, value) __atomic_store_n((at), (value), __ATOMIC_SEQ_CST)
#define word_add(at, n) __atomic_add_fetch((at), (n), __ATOMIC_SEQ_CST) /* the new value */
#define word_exchange(at, value) __atomic_exchange_n((at), (value), __ATOMIC_SEQ_CST) /* the old value */
/* Whether it was *expected and is `value` now; if not, *expected is what was there. */
#define word_swap(at, expected, value) \
    __atomic_compare_exchange_n((at), (expected), (value), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

#define load_relaxed(at) __atomic_load_n((at), __ATOMIC_RELAXED)
#define store_relaxed(at, value) __atomic_store_n((at), (value), __ATOMIC_RELAXED)
#define add_relaxed(at, n) __atomic_add_fetch((at), (n), __ATOMIC_RELAXED)

static inline double number_load_relaxed(const double *at) {
    double value;
    __atomic_load(at, &value, __ATOMIC_RELAXED);
    return value;
}

static inline void number_store_relaxed(double *at, double value) {
    __atomic_store(at, &value, __ATOMIC_RELAXED);
}

static inline double number_load(const double *at) {
    double value;
    __atomic_load(at, &value, __ATOMIC_SEQ_CST);
    return value;
}

static inline void number_store(double *at, double value) {
    __atomic_store(at, &value, __ATOMIC_SEQ_CST);
}

/* Add to a number that others add to as well; the new value. Compared as bits, so that NaN does not spin for ever. */
static inline double number_add(double *at, double n) {
    double before = number_load(at), after;
    do {
        after = before + n;
        STEP("number_add");
    } while (!__atomic_compare_exchange(at, &before, &after, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return after;
}

#endif
