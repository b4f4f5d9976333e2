/* Two threads add to one plain word: the data race that a working ThreadSanitizer reports.
 * `make sanitize` runs it before the programs that must have none: a detector that sees nothing proves nothing. */
#include <pthread.h>

static long shared;

static void *add(void *unused) {
    for (int i = 0; i < 100000; i++)
        shared++;
    return unused;
}

int main(void) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], 0, add, 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], 0);
    return 0;
}
