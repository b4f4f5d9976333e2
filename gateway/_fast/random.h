/* Random numbers of one process: xoshiro256** (Blackman and Vigna, 2018), and what the picks draw from it. No Python.

   Writer and reader: the one thread of its process; nothing is shared, so there is no memory order. After a fork both
   have the same state, so each process is seeded anew before it draws (select.pyx sees to it). All draws are a function
   of the state alone, so a given seed gives the same picks again. Not for secrets. */
#ifndef GATEWAY_RANDOM_H
#define GATEWAY_RANDOM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t words[4];
} Random;

/* The finaliser of splitmix64 (Steele, Lea and Flood, 2014): every bit of the input changes half of the output's. */
static inline uint64_t random_mixed(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* FNV-1a, then mixed: the same on every machine and in every run. */
static inline uint64_t random_hash(const char *bytes, int64_t length) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int64_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return random_mixed(hash);
}

/* Each word hashes the seed under its own number, so a short seed fills the state too; never all zero in practice. */
static inline void random_seed(Random *random, const char *seed, int64_t length) {
    uint64_t state = random_hash(seed, length);
    for (int i = 0; i < 4; i++) {
        uint64_t word = state += UINT64_C(0x9e3779b97f4a7c15);
        int64_t from = i * 8;
        for (int64_t byte = from; byte < from + 8 && byte < length; byte++)
            word ^= (uint64_t)(unsigned char)seed[byte] << (byte - from) * 8;
        random->words[i] = random_mixed(word);
    }
}

static inline uint64_t random_rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline uint64_t random_next(Random *random) {
    uint64_t *s = random->words, result = random_rotated(s[1] * 5, 7) * 9, kept = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= kept;
    s[3] = random_rotated(s[3], 45);
    return result;
}

/* From 0 to 1, without 1: 53 bits. */
static inline double random_uniform(Random *random) { return (double)(random_next(random) >> 11) * 0x1p-53; }

/* 0 .. limit - 1, each as likely (Lemire 2019: the high half of a product, drawn again where it would favour some). */
static inline uint64_t random_below(Random *random, uint64_t limit) {
    for (;;) {
        unsigned __int128 product = (unsigned __int128)random_next(random) * limit;
        if ((uint64_t)product >= -limit % limit) return (uint64_t)(product >> 64);
    }
}

/* Standard normal, by the polar method (Marsaglia and Bray 1964). */
static inline double random_normal(Random *random) {
    double x, square;
    do {
        double y;
        x = 2 * random_uniform(random) - 1;
        y = 2 * random_uniform(random) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    return x * sqrt(-2 * log(square) / square);
}

/* Gamma of scale 1 and a shape of at least 1 (Marsaglia and Tsang 2000). */
static inline double random_gamma(Random *random, double shape) {
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = random_normal(random), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        double u = random_uniform(random), square = x * x;
        if (u < 1 - 0.0331 * square * square) return d * v;
        if (log(u) < 0.5 * square + d * (1 - v + log(v))) return d * v;
    }
}

/* Both at least 1. */
static inline double random_beta(Random *random, double a, double b) {
    double x = random_gamma(random, a);
    return x / (x + random_gamma(random, b));
}

#endif
