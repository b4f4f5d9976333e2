/* The race of arena_steps.c alone, as a program for ThreadSanitizer. */

#define main arena_steps
#include "arena_steps.c"
#undef main

int main(void) {
    char *words[] = {"arena_steps", "race", NULL};
    return arena_steps(2, words);
}
