/* The steps in the arena's directory: claim, stamp, sweep, a column's turn. No Python here, so that a harness in C can kill
   and race the very functions that arena.pyx calls.

   Rules:
   - The directory is changed and read under one robust mutex, shared by all processes. Its holder may be killed at any
     STEP. A slot's `state` alone says what is true; chains, free lists and journal follow from it, and the next locker
     makes them anew (arena_repair). At most the space of one unfinished claim is lost.
   - A slot that is USED is complete: `state` is its last store. Until then it is FREE, or past `slots_used`.
   - What a sweep frees RESTS until the next sweep and only then can be claimed by another name: a reader that has not
     heard of the sweep still reads the last numbers, never another name's. It is zeroed when it is claimed again.
   - Stamp 0 is for ever: what was claimed before there was a generation is never freed.
   - Space is given out in classes (at most a quarter more than asked) and returns to its class. */

#ifndef GATEWAY_ARENA_STEPS_H
#define GATEWAY_ARENA_STEPS_H

#include <errno.h>
#include <time.h>

#include "arena.h"

/* 1 2 … 8 10 12 14 16 20 24 28 32 40 …: four classes between a power of two and the next. */
static inline int64_t arena_rounded(int64_t n) {
    if (n <= 8) return n;
    int64_t step = (int64_t)1 << (61 - __builtin_clzll((uint64_t)n - 1));
    return (n + step - 1) & -step;
}

static inline int arena_class(int64_t rounded) {
    if (rounded <= 8) return (int)rounded - 1;
    int shift = 61 - __builtin_clzll((uint64_t)rounded - 1);
    return 4 * shift + (int)(rounded >> shift) - 1;
}

static inline uint32_t arena_hash(const ArenaHead *head, const char *name, int32_t length) {
    uint64_t hash = head->seed[0] ^ 0xcbf29ce484222325u;
    for (int32_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3u;
    return (uint32_t)(hash ^ hash >> 32);
}

/* The directory, as it follows from the states; a killed holder may have left it half done. */

static inline void arena_link(ArenaHead *head, int64_t index) {
    ArenaSlot *slot = arena_slot(head, index);
    int32_t *first = arena_bucket(head, slot->hash);
    slot->next = *first;
    STEP("link");
    *first = (int32_t)index + 1;
}

static inline void arena_unlink(ArenaHead *head, int64_t index) {
    ArenaSlot *slot = arena_slot(head, index);
    int32_t *at = arena_bucket(head, slot->hash);
    while (*at != 0 && *at != index + 1) at = &arena_slot(head, *at - 1)->next;
    if (*at != 0) *at = slot->next;
}

static inline int32_t *arena_free_list(ArenaHead *head, const ArenaSlot *slot) {
    return &head->freed[slot->kind != ARENA_AREA][arena_class(slot->room)];
}

static inline void arena_push_free(ArenaHead *head, int64_t index) {
    ArenaSlot *slot = arena_slot(head, index);
    int32_t *first = arena_free_list(head, slot);
    slot->next = *first;
    STEP("push free");
    *first = (int32_t)index + 1;
}

static inline void arena_note(ArenaHead *head, int64_t index) {
    *arena_journal(head, head->journal_end) = (int32_t)index;
    STEP("note");
    word_store(&head->journal_end, head->journal_end + 1);
}

static inline void arena_repair(ArenaHead *head) {
    memset(head->freed, 0, sizeof head->freed);
    memset((char *)head + head->buckets, 0, (size_t)head->buckets_count * 4);
    head->used = head->resting = 0;
    for (int64_t index = 0; index < head->slots_used; index++) {
        int32_t state = arena_slot(head, index)->state;
        STEP("repair");
        if (state == ARENA_USED) arena_link(head, index);
        if (state == ARENA_FREE) arena_push_free(head, index);
        head->used += state == ARENA_USED;
        head->resting += state == ARENA_RESTING;
    }
    word_store(&head->repairs, head->repairs + 1); /* whoever follows the journal begins anew */
}

static inline int arena_wait(pthread_mutex_t *mutex, int64_t milliseconds) {
#ifdef __SANITIZE_THREAD__ /* it does not know pthread_mutex_clocklock */
    clockid_t clock = CLOCK_REALTIME;
#else
    clockid_t clock = CLOCK_MONOTONIC;
#endif
    struct timespec end;
    clock_gettime(clock, &end);
    end.tv_sec += milliseconds / 1000;
    end.tv_nsec += milliseconds % 1000 * 1000000;
    if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
    return clock == CLOCK_REALTIME ? pthread_mutex_timedlock(mutex, &end) : pthread_mutex_clocklock(mutex, clock, &end);
}

/* 0, or ETIMEDOUT after so many milliseconds. With 0 the directory is whole, whoever died in it. */
static inline int arena_lock(ArenaHead *head, int64_t milliseconds) {
    int failed = pthread_mutex_trylock(&head->mutex);
    if (failed == EBUSY) failed = arena_wait(&head->mutex, milliseconds);
    if (failed == EOWNERDEAD) {
        arena_repair(head);
        failed = pthread_mutex_consistent(&head->mutex);
    }
    return failed;
}

static inline void arena_unlock(ArenaHead *head) {
    STEP("unlock");
    pthread_mutex_unlock(&head->mutex);
}

/* From here on: with the mutex held. */

static inline int64_t arena_find(ArenaHead *head, const char *name, int32_t length) {
    uint32_t hash = arena_hash(head, name, length);
    for (int64_t index = *arena_bucket(head, hash) - 1; index >= 0;) {
        ArenaSlot *slot = arena_slot(head, index);
        if (slot->hash == hash && slot->name_length == length && !memcmp((char *)head + slot->name, name, (size_t)length))
            return index;
        index = slot->next - 1;
    }
    return -1;
}

static inline void arena_stamp(ArenaSlot *slot, int64_t generation) {
    if (generation == 0) slot->stamp = 0;
    else if (slot->stamp != 0 && slot->stamp < generation) slot->stamp = generation;
}

/* Pages go back to the machine and come again as zeros; the rest is overwritten. */
static inline void arena_clear(char *from, int64_t size) {
    char *end = from + size;
    char *page = (char *)(((uintptr_t)from + ARENA_PAGE - 1) / ARENA_PAGE * ARENA_PAGE);
    char *last = (char *)((uintptr_t)end / ARENA_PAGE * ARENA_PAGE);
    if (last - page < 16 * ARENA_PAGE || madvise(page, (size_t)(last - page), MADV_REMOVE)) {
        memset(from, 0, (size_t)size);
    } else {
        memset(from, 0, (size_t)(page - from));
        memset(last, 0, (size_t)(end - last));
    }
}

static inline void arena_clear_cells(ArenaHead *head, int64_t column, const ArenaSlot *slot) {
    double *cell = arena_cell(head, column, slot->offset);
    for (int64_t i = 0; i < slot->room; i++) number_store_relaxed(cell + i, 0);
}

/* `lines` of fresh memory; its offset, or ARENA_FULL. */
static inline int64_t arena_fresh_lines(ArenaHead *head, int64_t lines) {
    int64_t offset = head->areas + head->areas_taken;
    if (lines > (head->reserve - offset) / ARENA_LINE) return ARENA_FULL;
    head->areas_taken += lines * ARENA_LINE;
    STEP("fresh lines");
    return offset;
}

static inline int64_t arena_fresh_cells(ArenaHead *head, int64_t count) {
    int64_t offset = head->cells_taken;
    if (count > (head->column_size - offset) / (int64_t)sizeof(double)) return ARENA_FULL;
    head->cells_taken += count * (int64_t)sizeof(double);
    STEP("fresh cells");
    return offset;
}

/* A slot with room for `room` units of this kind, zeroed; from the free list if there is one. */
static inline int64_t arena_take_slot(ArenaHead *head, int32_t kind, int64_t room) {
    int32_t *list = &head->freed[kind != ARENA_AREA][arena_class(room)];
    if (*list != 0) {
        int64_t index = *list - 1;
        ArenaSlot *slot = arena_slot(head, index);
        *list = slot->next;
        STEP("pop free");
        if (kind == ARENA_AREA) arena_clear((char *)head + slot->offset, room * ARENA_LINE);
        else for (int64_t column = 0; column < head->columns_used; column++) arena_clear_cells(head, column, slot);
        STEP("cleared");
        return index;
    }
    if (head->slots_used >= head->slots_limit) return ARENA_FULL;
    int64_t offset = kind == ARENA_AREA ? arena_fresh_lines(head, room) : arena_fresh_cells(head, room);
    if (offset < 0) return ARENA_FULL;
    ArenaSlot *slot = arena_slot(head, head->slots_used);
    memset(slot, 0, sizeof *slot);
    slot->kind = kind;
    slot->offset = offset;
    slot->room = room;
    return head->slots_used;
}

/* Names stay with their slot; a longer one takes a new place, at most a few times for a slot. */
static inline int arena_write_name(ArenaHead *head, ArenaSlot *slot, const char *name, int32_t length) {
    if (slot->name_room < length) {
        int64_t lines = arena_rounded((length + ARENA_LINE - 1) / ARENA_LINE);
        int64_t offset = arena_fresh_lines(head, lines);
        if (offset < 0) return ARENA_FULL;
        slot->name_room = 0;
        slot->name = offset;
        STEP("new name");
        slot->name_room = (int32_t)(lines * ARENA_LINE);
    }
    memcpy((char *)head + slot->name, name, (size_t)length);
    STEP("name");
    slot->name_length = length;
    slot->hash = arena_hash(head, name, length);
    return 0;
}

/* The slot of this name. `size`: bytes of an area, or cells. */
static inline int64_t arena_known(ArenaHead *head, const char *name, int32_t length, int32_t kind, int64_t size) {
    int64_t index = arena_find(head, name, length);
    if (index < 0) return ARENA_UNKNOWN;
    ArenaSlot *slot = arena_slot(head, index);
    return slot->kind == kind && slot->size == size ? index : ARENA_OTHER_SHAPE;
}

/* The same; a new one if there is none. */
static inline int64_t arena_claim(
    ArenaHead *head, const char *name, int32_t length, int32_t kind, int64_t size, int64_t generation) {
    int64_t index = arena_known(head, name, length, kind, size);
    if (index >= 0) arena_stamp(arena_slot(head, index), generation);
    if (index != ARENA_UNKNOWN) return index;
    if (size > head->reserve) return ARENA_FULL;
    int64_t room = arena_rounded(kind == ARENA_AREA ? (size + ARENA_LINE - 1) / ARENA_LINE : size);
    index = arena_take_slot(head, kind, room);
    if (index < 0) return ARENA_FULL;
    ArenaSlot *slot = arena_slot(head, index);
    if (arena_write_name(head, slot, name, length)) {
        if (index < head->slots_used) arena_push_free(head, index);
        return ARENA_FULL;
    }
    slot->kind = kind;
    slot->size = size;
    slot->stamp = generation;
    STEP("written");
    slot->state = ARENA_USED;
    STEP("used");
    if (index == head->slots_used) head->slots_used++;
    STEP("counted");
    head->used++;
    arena_link(head, index);
    STEP("linked");
    arena_note(head, index);
    return index;
}

/* Free what no generation from `before` on has claimed or stamped; how many. */
static inline int64_t arena_sweep(ArenaHead *head, int64_t before) {
    int64_t swept = 0;
    for (int64_t index = 0; index < head->slots_used; index++) {
        ArenaSlot *slot = arena_slot(head, index);
        if (slot->state == ARENA_RESTING) {
            slot->state = ARENA_FREE;
            STEP("freed");
            head->resting--;
            arena_push_free(head, index);
        } else if (slot->state == ARENA_USED && slot->stamp != 0 && slot->stamp < before) {
            arena_unlink(head, index);
            STEP("unlinked");
            slot->state = ARENA_RESTING;
            STEP("resting");
            head->used--;
            head->resting++;
            arena_note(head, index);
            swept++;
        }
    }
    return swept;
}

/* A column begins or ends: counters go on, gauges are zero. */
static inline void arena_turn(ArenaHead *head, int32_t column) {
    for (int64_t index = 0; index < head->slots_used; index++) {
        ArenaSlot *slot = arena_slot(head, index);
        if (slot->state == ARENA_USED && slot->kind == ARENA_GAUGES) arena_clear_cells(head, column, slot);
    }
    STEP("gauges");
    if (head->columns_used <= column) word_store(&head->columns_used, (int64_t)column + 1);
}

#endif
