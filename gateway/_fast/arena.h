/* The arena's memory, in this order in one mapping: head, slots, buckets, journal, columns, areas. No Python here.

   head      what is fixed before the fork, the mutex, and what is free
   slots     the directory: 64 bytes or so for each name
   buckets   chains of slots by the hash of their names
   journal   a ring of slot indices: which changed, for those who follow the directory
   columns   256 times the same cells: one column per process, relaxed, summed by readers
   areas     bytes of any shape, and the names

   Space is reserved, and pages are used as they are touched. The steps that change the directory are in arena_steps.h. */

#ifndef GATEWAY_ARENA_H
#define GATEWAY_ARENA_H

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "atomics.h"

enum { ARENA_COLUMNS = 256, ARENA_LINE = 64, ARENA_CLASSES = 160, ARENA_PAGE = 4096, ARENA_LONGEST_NAME = 4096 };
enum { ARENA_LEAST = 1 << 20 };
enum { ARENA_FREE, ARENA_USED, ARENA_RESTING };
enum { ARENA_AREA, ARENA_COUNTERS, ARENA_GAUGES };
enum { ARENA_FULL = -1, ARENA_OTHER_SHAPE = -2, ARENA_UNKNOWN = -3 };

typedef struct {           /* all fields: any process, under the mutex */
    int32_t state, kind;
    int32_t next;          /* index + 1: of its bucket's chain when USED, of its free list when FREE */
    int32_t name_length, name_room;
    uint32_t hash;
    int64_t name;          /* offset into the mapping */
    int64_t offset;        /* of an area: into the mapping; of cells: into every column */
    int64_t size, room;    /* asked, and given: lines of an area, or cells */
    int64_t stamp;         /* the latest generation that claimed or stamped it; 0: for ever */
} ArenaSlot;

typedef struct {
    int64_t reserve, slots, buckets, journal, columns, areas; /* where each begins; fixed before the fork */
    int64_t column_size, slots_limit, buckets_count;
    uint64_t seed[2];
    pthread_mutex_t mutex;
    int64_t slots_used, cells_taken, areas_taken, used, resting; /* under the mutex */
    int32_t freed[2][ARENA_CLASSES];                   /* free lists, index + 1; under the mutex */
    int64_t journal_end, repairs;                      /* written under the mutex, read by anybody: sequential */
    int64_t columns_used;                              /* likewise: one more than the highest column that was joined */
    int32_t alive[ARENA_COLUMNS];                      /* written by who joins and by who buries, sequential */
} ArenaHead;

static inline ArenaSlot *arena_slot(ArenaHead *head, int64_t index) {
    return (ArenaSlot *)((char *)head + head->slots) + index;
}

static inline int32_t *arena_bucket(ArenaHead *head, uint32_t hash) {
    return (int32_t *)((char *)head + head->buckets) + (hash & (head->buckets_count - 1));
}

static inline int32_t *arena_journal(ArenaHead *head, int64_t position) {
    return (int32_t *)((char *)head + head->journal) + position % head->slots_limit;
}

static inline char *arena_column(ArenaHead *head, int64_t column) {
    return (char *)head + head->columns + column * head->column_size;
}

static inline double *arena_cell(ArenaHead *head, int64_t column, int64_t offset) {
    return (double *)(arena_column(head, column) + offset);
}

/* Whether somebody has joined this column and is not known to be dead. */
static inline int arena_alive(ArenaHead *head, int64_t column) { return word_load(&head->alive[column]); }
static inline void arena_set_alive(ArenaHead *head, int64_t column, int alive) { word_store(&head->alive[column], alive); }

/* The sum of a cell over all columns; relaxed: each column is read as it is now. */
static inline double arena_sum(ArenaHead *head, int64_t offset) {
    double sum = 0;
    for (int64_t column = 0, used = word_load(&head->columns_used); column < used; column++)
        sum += number_load_relaxed(arena_cell(head, column, offset));
    return sum;
}

/* The sum of a gauge: what a dead process left in its column is gone. */
static inline double arena_sum_alive(ArenaHead *head, int64_t offset) {
    double sum = 0;
    for (int64_t column = 0, used = word_load(&head->columns_used); column < used; column++)
        if (arena_alive(head, column)) sum += number_load_relaxed(arena_cell(head, column, offset));
    return sum;
}

/* `memory` is zero and `reserve` bytes long, a multiple of ARENA_LEAST. */
static inline int arena_begin(void *memory, int64_t reserve, const char *seed) {
    ArenaHead *head = memory;
    pthread_mutexattr_t kind;
    head->reserve = reserve;
    head->slots_limit = reserve / 8192;
    for (head->buckets_count = 64; head->buckets_count < head->slots_limit / 2;) head->buckets_count *= 2;
    head->slots = (sizeof(ArenaHead) + ARENA_PAGE - 1) / ARENA_PAGE * ARENA_PAGE;
    head->buckets = head->slots + head->slots_limit * (int64_t)sizeof(ArenaSlot);
    head->journal = head->buckets + head->buckets_count * 4;
    head->columns = (head->journal + head->slots_limit * 4 + ARENA_PAGE - 1) / ARENA_PAGE * ARENA_PAGE;
    head->column_size = reserve / 2 / ARENA_COLUMNS;
    head->areas = head->columns + ARENA_COLUMNS * head->column_size;
    head->columns_used = 1;
    head->alive[0] = 1;
    memcpy(head->seed, seed, sizeof head->seed);
    int failed = pthread_mutexattr_init(&kind);
    if (!failed) failed = pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    if (!failed) failed = pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    if (!failed) failed = pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
    if (!failed) failed = pthread_mutex_init(&head->mutex, &kind);
    return failed;
}

#endif
