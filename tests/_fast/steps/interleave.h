/* Bounded exhaustive interleaving: runs a few actors in every order in which their steps can meet.

   Include it before the header under test: it defines STEP("name"), which those headers place before each access to
   shared memory. Each actor is a coroutine; at a STEP it gives the floor away, and the explorer picks who does. A run
   is the list of these picks; depth first, each run replays the picks of the last one up to the deepest that has an
   untried alternative. With `deaths` the alternatives include that an actor dies at its step and never goes on.
   - An actor that must wait (for a lock) calls interleave_wait(ready, what): it is no candidate until ready(what) is
     true. If someone waits and nobody can go on, that is a violation: deadlock.
   - `each` and `final` give NULL, or what is wrong. `final` runs outside all actors, where STEP does nothing, so it may
     call the steps themselves: what the next comer repairs is checked there.
   - Memory is sequentially consistent here; that weaker orders suffice is for ThreadSanitizer and the reader to judge.
   - A loop without bound ends as a violation after DEPTH steps: compare-and-swap loops are bounded, because each round
     lost is one that another actor won. */
#ifndef INTERLEAVE_H
#define INTERLEAVE_H

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#define STEP(name) interleave_step(name)

enum { INTERLEAVE_ACTORS = 6, INTERLEAVE_DEPTH = 4000, INTERLEAVE_STACK = 65536 };

struct exploration {
    const char *name;
    int actors;
    void (*reset)(void);         /* before every run */
    void (*act)(int actor);      /* all that one actor does */
    const char *(*each)(void);   /* after every step; may be absent, like the next two */
    const char *(*final)(void);  /* after every run */
    void (*died)(int actor);     /* what the kernel does for the dead, such as marking its locks */
    int deaths;                  /* how many actors may die in one run */
    int switches;                /* how often an actor may be interrupted in one run; 0: as often as there are steps */
};

struct interleave_pick {
    int taken, count, actor, dies;
    const char *at;
};

static struct {
    const struct exploration *what;
    ucontext_t back_context, fresh[INTERLEAVE_ACTORS];
    jmp_buf back, place[INTERLEAVE_ACTORS];
    int begun[INTERLEAVE_ACTORS], over[INTERLEAVE_ACTORS];
    const char *at[INTERLEAVE_ACTORS];
    int (*ready[INTERLEAVE_ACTORS])(void *);
    void *waits_for[INTERLEAVE_ACTORS];
    int current;
    struct interleave_pick picks[INTERLEAVE_DEPTH];
    char stacks[INTERLEAVE_ACTORS][INTERLEAVE_STACK];
} interleave = {.current = -1};

static void interleave_step(const char *name) {
    int actor = interleave.current;
    if (actor < 0) {
        return;
    }
    interleave.at[actor] = name;
    if (_setjmp(interleave.place[actor]) == 0) {
        _longjmp(interleave.back, 1);
    }
}

static inline void interleave_wait(int (*ready)(void *), void *what) {
    int actor = interleave.current;
    if (actor < 0) {
        return;
    }
    interleave.ready[actor] = ready;
    interleave.waits_for[actor] = what;
    interleave_step("wait");
    interleave.ready[actor] = NULL;
}

static void interleave_body(int actor) {
    interleave_step("begin");
    interleave.what->act(actor);
    interleave.over[actor] = 1;
    _longjmp(interleave.back, 1);
}

/* Run `actor` until its next step. The first time it starts on a stack of its own. */
static void interleave_run(int actor) {
    interleave.current = actor;
    if (_setjmp(interleave.back) == 0) {
        if (interleave.begun[actor]) {
            _longjmp(interleave.place[actor], 1);
        }
        interleave.begun[actor] = 1;
        ucontext_t *fresh = &interleave.fresh[actor];
        getcontext(fresh);
        fresh->uc_stack.ss_sp = interleave.stacks[actor];
        fresh->uc_stack.ss_size = INTERLEAVE_STACK;
        fresh->uc_link = NULL;
        makecontext(fresh, (void (*)(void))interleave_body, 1, actor);
        swapcontext(&interleave.back_context, fresh);
    }
    interleave.current = -1;
}

static int interleave_can_run(int actor) {
    return !interleave.over[actor] &&
           (interleave.ready[actor] == NULL || interleave.ready[actor](interleave.waits_for[actor]));
}

static long interleave_report(int depth, const char *wrong) {
    fprintf(stderr, "%s: %s\n", interleave.what->name, wrong);
    for (int i = 0; i < depth; i++) {
        struct interleave_pick *pick = &interleave.picks[i];
        const char *how = pick->dies ? "dies before" : "goes on from";
        fprintf(stderr, "  %3d  actor %d %s %s\n", i, pick->actor, how, pick->at);
    }
    return -1;
}

/* The candidates in a fixed order: who ran last, then the others, then the deaths. Gives their number. */
static int interleave_candidates(int last, int deaths, int switches, struct interleave_pick *found) {
    const struct exploration *what = interleave.what;
    int count = 0, goes_on = last >= 0 && interleave_can_run(last);
    for (int i = 0; i < what->actors; i++) {
        int actor = (i + (last < 0 ? 0 : last)) % what->actors;
        if (interleave_can_run(actor) && (actor == last || !goes_on || !what->switches || switches < what->switches)) {
            found[count++] = (struct interleave_pick){.actor = actor, .at = interleave.at[actor]};
        }
    }
    for (int i = 0; i < what->actors && deaths < what->deaths; i++) {
        if (!interleave.over[i]) {
            found[count++] = (struct interleave_pick){.actor = i, .dies = 1, .at = interleave.at[i]};
        }
    }
    return count;
}

/* One run: replay the first `fixed` picks, then take the first candidate each time. Gives the depth, -1 if wrong. */
static int interleave_once(int fixed) {
    const struct exploration *what = interleave.what;
    struct interleave_pick found[2 * INTERLEAVE_ACTORS];
    const char *wrong = NULL;
    int depth = 0, last = -1, deaths = 0, switches = 0, count;
    memset(interleave.begun, 0, sizeof interleave.begun);
    memset(interleave.over, 0, sizeof interleave.over);
    memset(interleave.ready, 0, sizeof interleave.ready);
    what->reset();
    for (int actor = 0; actor < what->actors; actor++) {
        interleave_run(actor);
    }
    while ((count = interleave_candidates(last, deaths, switches, found)) > 0) {
        if (depth == INTERLEAVE_DEPTH) {
            return (int)interleave_report(60, "no end in sight; the first steps are");
        }
        struct interleave_pick *pick = &interleave.picks[depth];
        int taken = depth < fixed ? pick->taken : 0;
        *pick = found[taken];
        pick->taken = taken;
        pick->count = count;
        depth++;
        if (pick->dies) {
            deaths++;
            interleave.over[pick->actor] = 1;
            if (what->died) {
                what->died(pick->actor);
            }
        } else {
            switches += last >= 0 && pick->actor != last && interleave_can_run(last);
            last = pick->actor;
            interleave_run(last);
        }
        if (what->each && (wrong = what->each()) != NULL) {
            return (int)interleave_report(depth, wrong);
        }
    }
    for (int actor = 0; actor < what->actors; actor++) {
        if (!interleave.over[actor]) {
            return (int)interleave_report(depth, "deadlock: everyone waits");
        }
    }
    if (what->final && (wrong = what->final()) != NULL) {
        return (int)interleave_report(depth, wrong);
    }
    return depth;
}

/* Every run there is. Gives their number, or -1 after the first that went wrong, whose picks it has printed. */
static long explore(const struct exploration *what) {
    long runs = 0;
    int fixed = 0;
    interleave.what = what;
    for (;;) {
        int depth = interleave_once(fixed);
        if (depth < 0) {
            return -1;
        }
        runs++;
        while (depth > 0 && interleave.picks[depth - 1].taken + 1 >= interleave.picks[depth - 1].count) {
            depth--;
        }
        if (depth == 0) {
            return runs;
        }
        interleave.picks[depth - 1].taken++;
        fixed = depth;
    }
}

#endif
