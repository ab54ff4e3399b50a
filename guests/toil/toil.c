/* Works for ever, and tells about every quarter of a second how far it came and what its processor was charged with.
 *
 * usage: toil        prints: AT uptime PURR hexadecimal-ticks DONE rounds
 *
 * What it does is a chain of multiplications, each of which waits for the one before: it needs no memory, so that a
 * round takes as long on every processor of a kind, wherever its code and its pages are. It does not wait for its
 * console: who tells is another thread.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Multiplications of a round: some ten microseconds. */
enum { ROUND = 8192, PAUSE_US = 250000 };

static unsigned long done;

static void *work(void *unused)
{
    unsigned long x = 1;

    (void)unused;
    for (;;) {
        for (int n = 0; n < ROUND; n += 4)
            __asm__ volatile("mulld %0,%0,%0\n\tmulld %0,%0,%0\n\tmulld %0,%0,%0\n\tmulld %0,%0,%0" : "+r"(x));
        __atomic_store_n(&done, done + 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* The first word of a file. */
static void word_of(const char *path, char *word, size_t size)
{
    FILE *f = fopen(path, "r");

    if (!f || !fgets(word, (int)size, f)) {
        perror(path);
        exit(1);
    }
    fclose(f);
    word[strcspn(word, " \n")] = 0;
}

int main(void)
{
    pthread_t worker;

    if (pthread_create(&worker, NULL, work, NULL)) {
        perror("pthread_create");
        return 1;
    }
    for (;;) {
        char uptime[64], purr[64];

        word_of("/proc/uptime", uptime, sizeof uptime);
        word_of("/sys/devices/system/cpu/cpu0/purr", purr, sizeof purr);
        printf("AT %s PURR %s DONE %lu\n", uptime, purr, __atomic_load_n(&done, __ATOMIC_RELAXED));
        fflush(stdout);
        usleep(PAUSE_US);
    }
}
