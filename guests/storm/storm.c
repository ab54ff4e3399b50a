/* A storm on the locks of the kernel: threads of one process that all want the same of it.
 *
 * usage: storm KIND THREADS SECONDS        prints: OPS KIND rounds-a-second
 *
 * fork     map memory, touch it, fork a child that touches it, too, and ends; unmap it
 * map      map memory, touch it, unmap it
 * discard  have the kernel forget pages that all threads use
 * files    duplicate a descriptor and close it
 * all      one round of fork, map and discard in turn
 *
 * What programs with threads do of these, per process they start, counted with strace: Python (8 threads that run a
 * program and have buffers of 200 kB) discards 5 times and unmaps twice, rustc discards 25 times and unmaps 24 times;
 * both discard by madvise(MADV_DONTNEED), when an allocator gives back the end of a heap that threads share. One of each
 * is thus no more unmapping and discarding than there is.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 8, MOST_THREADS = 64 };

static size_t page;
static char *common;
static volatile int over;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void touch(char *at)
{
    for (int n = 0; n < PAGES; n++)
        ((volatile char *)at)[n * page]++;
}

static char *map(void)
{
    char *at = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fail("mmap");
    touch(at);
    return at;
}

static void unmap(char *at)
{
    if (munmap(at, PAGES * page))
        fail("munmap");
}

static void do_map(void)
{
    unmap(map());
}

static void do_fork(void)
{
    char *at = map();
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        touch(at);
        _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("child");
    unmap(at);
}

static void do_discard(void)
{
    touch(common);
    if (madvise(common, PAGES * page, MADV_DONTNEED))
        fail("madvise");
}

static void do_files(void)
{
    int fd = dup(0);
    if (fd < 0)
        fail("dup");
    close(fd);
}

static void do_all(void)
{
    do_fork();
    do_map();
    do_discard();
}

static const struct kind {
    const char *name;
    void (*round)(void);
} kinds[] = {{"fork", do_fork}, {"map", do_map}, {"discard", do_discard}, {"files", do_files}, {"all", do_all}};

struct worker {
    pthread_t thread;
    void (*round)(void);
    unsigned long rounds;
};

static void *work(void *of)
{
    struct worker *w = of;
    while (!over) {
        w->round();
        w->rounds++;
    }
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static struct worker workers[MOST_THREADS];
    int threads = argc == 4 ? atoi(argv[2]) : 0, seconds = argc == 4 ? atoi(argv[3]) : 0;
    const struct kind *kind = NULL;
    for (size_t n = 0; argc == 4 && n < sizeof kinds / sizeof *kinds; n++)
        if (strcmp(kinds[n].name, argv[1]) == 0)
            kind = &kinds[n];
    if (!kind || threads < 1 || threads > MOST_THREADS || seconds < 1) {
        fprintf(stderr, "usage: storm fork|map|discard|files|all THREADS SECONDS\n");
        return 2;
    }
    page = sysconf(_SC_PAGESIZE);
    common = map();
    double start = now();
    for (int n = 0; n < threads; n++) {
        workers[n].round = kind->round;
        if (pthread_create(&workers[n].thread, NULL, work, &workers[n]))
            fail("pthread_create");
    }
    sleep(seconds);
    over = 1;
    unsigned long rounds = 0;
    for (int n = 0; n < threads; n++) {
        pthread_join(workers[n].thread, NULL);
        rounds += workers[n].rounds;
    }
    printf("OPS %s %.1f\n", kind->name, rounds / (now() - start));
    return 0;
}
