/* Which edges the compiled code takes: what gcc's -fsanitize-coverage=trace-pc calls at the beginning of every basic block.

An edge is two blocks, one after the other; how often it was taken counts in steps of powers of two (as AFL does), so that a
loop that goes on twice as long is something new. `begin` starts a run, `end` gives how many (edge, step) pairs of it no
run before had, and remembers them; `edges` gives the edges themselves, for choosing the smallest corpus.

One thread. The blocks' addresses are taken less the address of this library, which does not matter within one process. */

#include <stdint.h>
#include <string.h>

#define SIZE (1u << 18)

static uint8_t taken[SIZE];         /* in this run: how often */
static uint8_t known[SIZE];         /* in all runs: a bit for each step */
static uint32_t touched[SIZE];      /* in this run: which, so that nothing has to be searched */
static uint32_t count;
static uintptr_t before;
static int on;

void __sanitizer_cov_trace_pc(void) {
    if (!on)
        return;
    uintptr_t here = (uintptr_t) __builtin_return_address(0);
    here = (here ^ here >> 15) * 0x9E3779B97F4A7C15ull >> 20;
    uint32_t edge = (uint32_t) (here ^ before) & (SIZE - 1);
    before = here >> 1;
    if (!taken[edge])
        touched[count++] = edge;
    if (taken[edge] != 255)
        taken[edge]++;
}

static uint8_t step(uint8_t times) {
    return times < 4 ? (uint8_t) (1u << (times - 1)) : times < 8 ? 8 : times < 16 ? 16 : times < 32 ? 32 : times < 128 ? 64 : 128;
}

void begin(void) {
    for (uint32_t i = 0; i < count; i++)
        taken[touched[i]] = 0;
    count = 0;
    before = 0;
    on = 1;
}

/* How many pairs are new; they are known from now on if `keep`. */
uint32_t end(int keep) {
    uint32_t fresh = 0;
    on = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t bit = step(taken[touched[i]]);
        if (!(known[touched[i]] & bit)) {
            fresh++;
            if (keep)
                known[touched[i]] |= bit;
        }
    }
    return fresh;
}

/* Of the last run; gives how many there are. */
uint32_t edges(uint32_t* into, uint32_t room) {
    uint32_t number = count < room ? count : room;
    memcpy(into, touched, number * sizeof *into);
    return number;
}

void forget(void) {
    memset(known, 0, sizeof known);
}
