/* A stripe's lock: robust, shared by processes, and waited for with patience that ends.

A fresh mutex of this kind is zero but for constant words (its kind). So making one is storing those words over zeroed
memory: whoever comes first does it, several may at once, and one killed in between leaves nothing half-made. Where a
library builds its mutexes otherwise, limit_mutex_make says so and no table is made.

A holder that is stopped must not stop everybody for long: who has waited in vain marks the stripe `stuck`, and until it
was free once nobody waits for it again. LIMIT_MUTEX: a harness brings its own mutex, with the same four functions. */
#ifndef LIMIT_LOCK_H
#define LIMIT_LOCK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#ifndef LIMIT_MUTEX
#define LIMIT_MUTEX
#include <pthread.h>
#include <string.h>

typedef pthread_mutex_t limit_mutex;

enum { LIMIT_SPINS = 60 }; /* a take is shorter than sleeping and being woken */

static inline bool limit_mutex_make(limit_mutex* mutex) {
    pthread_mutexattr_t kind;
    union {
        pthread_mutex_t mutex;
        uint32_t words[sizeof(pthread_mutex_t) / 4];
    } pattern = {.words = {0}};
    bool made = !pthread_mutexattr_init(&kind) && !pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED) &&
                !pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST) && !pthread_mutex_init(&pattern.mutex, &kind);
    for (unsigned i = 0, found = 0; made && i < sizeof pattern / 4; i++) {
        if (pattern.words[i] && ++found > 1) return false;
        if (pattern.words[i]) __atomic_store_n((uint32_t*)mutex + i, pattern.words[i], __ATOMIC_RELAXED);
    }
    return made;
}

static inline int limit_mutex_try(limit_mutex* mutex) {
    return pthread_mutex_trylock(mutex);
}

static inline int limit_mutex_wait(limit_mutex* mutex, const struct timespec* until) {
    for (int i = 0; i < LIMIT_SPINS; i++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
        int got = pthread_mutex_trylock(mutex);
        if (got != EBUSY) return got;
    }
    int got = pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, until);
    return got == ETIMEDOUT ? pthread_mutex_trylock(mutex) : got; /* a wake-up may have gone to a stopped waiter */
}

static inline void limit_mutex_consistent(limit_mutex* mutex) {
    pthread_mutex_consistent(mutex);
}

static inline void limit_mutex_unlock(limit_mutex* mutex) {
    pthread_mutex_unlock(mutex);
}
#endif

struct limit_patience {
    int64_t ns;            /* how long to wait in all; 0: not at all */
    struct timespec until; /* known from the first wait on */
    bool begun;
};

static inline const struct timespec* limit_until(struct limit_patience* patience) {
    if (!patience->begun) {
        clock_gettime(CLOCK_MONOTONIC, &patience->until);
        patience->until.tv_sec += patience->ns / 1000000000;
        patience->until.tv_nsec += patience->ns % 1000000000;
        if (patience->until.tv_nsec >= 1000000000) patience->until.tv_sec++, patience->until.tv_nsec -= 1000000000;
        patience->begun = true;
    }
    return &patience->until;
}

#endif
