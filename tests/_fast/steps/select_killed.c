/* A process killed at every step of a round robin pick, with the real lock: the next one picks, and the order is whole.

   STEP counts down and kills its own process. What a pick changed by halves is given up, and the order begins at its
   beginning; otherwise it goes on, whether the dead pick counted or not. */
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

static int pick(RoundRobin *group) { return 'a' + (int)round_robin_pick(group, "\1\1\1", weights, 3, 9); }

static int follows(RoundRobin *group, int from) {
    for (int i = 0; i < 7; i++)
        if (pick(group) != order[(from + i) % 7]) return 0;
    return 1;
}

int main(void) {
    RoundRobin *group = mmap(NULL, sizeof *group, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int deaths = 0, status = 0, right = group != MAP_FAILED;
    for (int at = 1; right; at++) {
        memset(group, 0, sizeof *group);
        right &= !round_robin_begin(group) && pick(group) == 'a' && pick(group) == 'a';
        pid_t child = fork();
        if (child == 0) {
            until_death = at;
            pick(group);
            _exit(0);
        }
        right &= waitpid(child, &status, 0) == child;
        if (WIFEXITED(status)) break;
        deaths++;
        right &= follows(group, group->mark == 9 ? 2 : 0);
    }
    right &= deaths == 6 && follows(group, 3);
    printf("%d deaths, %s\n", deaths, right ? "right" : "WRONG");
    return !right;
}
