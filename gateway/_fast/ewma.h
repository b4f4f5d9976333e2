/* A moving average whose weights halve by the clock, in two words of shared memory. No Python here.

   Writers: any process, by compare-and-swap. Readers: any process, one word. Sequentially consistent.
   - An update first claims the time since the last one: whoever wins the swap has it alone, so the total decay
     is that of the clock, however many update. Then it moves the average by it. A process that dies in between leaves
     that stretch undecayed, and nothing else.
   - A value of the same instant as another, or of a process that is behind, weighs as if 1/10,000 half-life had passed:
     the average is over the half-life or some 10,000 values, whichever is shorter.
   - No bits at all mean no value yet, so an average of +0.0 is stored as -0.0. */
#ifndef GATEWAY_EWMA_H
#define GATEWAY_EWMA_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "atomics.h"

#define EWMA_LEAST_STRETCH 1e-4 /* of a half-life */

typedef struct {
    uint64_t time, bits; /* ns of the latest value; the average as a double */
} Ewma;

static inline double ewma_weight(Ewma *at, uint64_t now, double half_life) {
    double stretch = EWMA_LEAST_STRETCH;
    STEP("ewma: time");
    uint64_t last = word_load(&at->time);
    while (now > last) {
        STEP("ewma: claim");
        if (word_swap(&at->time, &last, now)) {
            stretch = fmax((double)(now - last) / half_life, stretch);
            break;
        }
    }
    return 1 - exp2(-stretch);
}

static inline void ewma_add(Ewma *at, double value, uint64_t now, double half_life) {
    double weight = ewma_weight(at, now, half_life), average;
    STEP("ewma: load");
    uint64_t next, bits = word_load(&at->bits);
    do {
        memcpy(&average, &bits, sizeof average);
        average = bits == 0 ? value : average + weight * (value - average);
        if (average == 0) average = -0.0;
        memcpy(&next, &average, sizeof next);
        STEP("ewma: swap");
    } while (!word_swap(&at->bits, &bits, next));
}

/* The average; `otherwise` before the first value. */
static inline double ewma_value(const Ewma *at, double otherwise) {
    uint64_t bits = word_load(&at->bits);
    double average = otherwise;
    if (bits != 0) memcpy(&average, &bits, sizeof average);
    return average + 0.0;
}

#endif
