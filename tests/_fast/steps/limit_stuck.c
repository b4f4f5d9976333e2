/* A holder that is stopped (SIGSTOP), not dead: it is waited for once and briefly, then not at all until it went on. */
#define _GNU_SOURCE

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int stops;

static void may_stop(const char* name) {
    if (stops && name[0] == 'a' && name[1] == 'c') kill(getpid(), SIGSTOP); /* "active": locked, and half done */
}

#define STEP(name) may_stop(name)
#include "limit_table_check.h"

enum { STRIPES = 2, ROWS = 32, COLUMNS = 4, PATIENCE = 100000000 };

static struct limit_table table;
static const struct limit_rule ADMITS = {10, 10, SECOND, LIMIT_TOKEN_BUCKET, 1};

static int64_t clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)SECOND + now.tv_nsec;
}

static enum limit_reason take(const struct limit_rule* rule, int stripe, bool asks, int64_t* waited) {
    struct limit_step step = step_of(rule, stripe, 0, 1);
    struct limit_set set = {.table = &table, .column = 2, .count = 1, .now = SECOND, .patience = PATIENCE, .steps = &step};
    int64_t begun = clock_now();
    set.asks = asks;
    enum limit_reason reason = limit_do(&set);
    *waited = clock_now() - begun;
    return reason;
}

static void expect(bool right, const char* what) {
    if (right) return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

int main(void) {
    int status;
    int64_t waited, size = limit_place(&table, NULL, ROWS, STRIPES, COLUMNS);
    limit_place(&table, mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), ROWS, STRIPES,
                COLUMNS);
    expect(limit_make_locks(&table), "no locks");
    pid_t child = fork();
    if (child == 0) {
        struct limit_step steps[] = {step_of(&BUCKET, 0, 0, 1)};
        stops = 1;
        _exit(do_set(&table, 1, SECOND, true, 1, steps) != LIMIT_TAKEN);
    }
    waitpid(child, &status, WUNTRACED);
    expect(take(&BUCKET, 1, true, &waited) == LIMIT_TAKEN, "the other stripe is not held");
    expect(take(&BUCKET, 0, true, &waited) == LIMIT_STUCK && waited >= PATIENCE, "the first one waits");
    for (int i = 0; i < 1000; i++) expect(take(&BUCKET, 0, true, &waited) == LIMIT_STUCK, "it is still held");
    expect(waited < PATIENCE / 2, "the next ones do not wait");
    expect(take(&ADMITS, 0, true, &waited) == LIMIT_TAKEN, "a rule that admits lets pass");
    expect(take(&BUCKET, 0, false, &waited) == LIMIT_STUCK, "what is settled is not lost silently");
    expect(!limit_recover(&table, 3, 0, 0), "recover says that it is not done");
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "who was stopped went on");
    expect(take(&BUCKET, 0, true, &waited) == LIMIT_TAKEN && !table.stripes[0].stuck, "it is free again");
    expect(limit_level(&table.rows[limit_find(&table, 0, key_of(0, 0))]) / SECOND == 2, "both are counted, and no more");
    printf("%lu met a stuck stripe\n", (unsigned long)table.head->events[LIMIT_BUSY]);
    return wrong_in_table(&table) != NULL;
}
