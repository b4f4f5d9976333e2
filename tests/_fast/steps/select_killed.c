/* A process killed at every step of a round robin pick, with the real lock: the next one picks, and the order is whole.

   STEP counts down and kills its own process. What a pick changed by halves is given up, and the order begins at its
   beginning; otherwise it goes on, whether the dead pick counted or not. So too where the dead had other weights. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int until_death;

static void step(void) {
    if (until_death > 0 && --until_death == 0) raise(SIGKILL);
}

#define STEP(name) step()
#include "../../../gateway/_fast/select_steps.h"

static const int32_t weights[3] = {5, 1, 1};
static const char order[] = "aabacaa";

static int pick_by(RoundRobin *group, uint64_t mark) {
    return 'a' + (int)round_robin_pick(group, "\1\1\1", weights, 3, mark);
}

static int pick(RoundRobin *group) { return pick_by(group, 9); }

static int follows(RoundRobin *group, int from) {
    for (int i = 0; i < 7; i++)
        if (pick(group) != order[(from + i) % 7]) return 0;
    return 1;
}

/* How many steps a pick by `mark` was killed at; -1 if one left what is not right. */
static int deaths_by(RoundRobin *group, uint64_t mark) {
    for (int at = 1;; at++) {
        int status = 0, right;
        memset(group, 0, sizeof *group);
        right = !round_robin_begin(group) && pick(group) == 'a' && pick(group) == 'a';
        pid_t child = fork();
        if (child == 0) {
            until_death = at;
            pick_by(group, mark);
            _exit(0);
        }
        if (waitpid(child, &status, 0) != child) return -1;
        if (WIFEXITED(status)) return at - 1;
        if (!right || !follows(group, group->mark == 9 ? 2 : 0)) return -1;
    }
}

int main(void) {
    RoundRobin *group = mmap(NULL, sizeof *group, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int same = 0, other = 0, right = group != MAP_FAILED;
    right = right && (same = deaths_by(group, 9)) == 6 && follows(group, 3);
    right = right && (other = deaths_by(group, 7)) == 9 && follows(group, 0);
    printf("%d and %d deaths, %s\n", same, other, right ? "right" : "WRONG");
    return !right;
}
