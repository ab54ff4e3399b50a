/* The kernel's paths: calls, processes, faults, signals. */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

/* Waits for a child and returns 1 if it ended with the given status. */
static uint64_t ended_with(pid_t child, int status)
{
    int got;
    must(waitpid(child, &got, 0) == child, "waitpid");
    return WIFEXITED(got) && WEXITSTATUS(got) == status;
}

static uint64_t run_syscall(void)
{
    long parent = getppid();
    uint64_t sum = 0;
    for (int i = 0; i < 500000; i++)
        sum += (uint64_t)(syscall(SYS_getppid) == parent);
    return sum;
}

static uint64_t run_pipe(void)
{
    enum { ROUNDS = 5000 };
    int there[2], back[2];
    must(!pipe(there) && !pipe(back), "pipe");
    pid_t child = fork();
    must(child >= 0, "fork");
    uint32_t word = 1;
    if (!child) {
        close(there[1]);
        while (read(there[0], &word, sizeof word) == sizeof word) {
            word = word * 3 + 1;
            must(write(back[1], &word, sizeof word) == sizeof word, "write");
        }
        _exit(3);
    }
    for (int i = 0; i < ROUNDS; i++) {
        must(write(there[1], &word, sizeof word) == sizeof word, "write");
        must(read(back[0], &word, sizeof word) == sizeof word, "read");
    }
    close(there[0]);
    close(there[1]);
    close(back[0]);
    close(back[1]);
    return mix(word, ended_with(child, 3));
}

static uint64_t run_fork(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < 400; i++) {
        pid_t child = fork();
        must(child >= 0, "fork");
        if (!child)
            _exit(i & 63);
        sum = mix(sum, ended_with(child, i & 63));
    }
    return sum;
}

static uint64_t run_exec(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < 120; i++) {
        pid_t child = fork();
        must(child >= 0, "fork");
        if (!child) {
            execl("/bin/busybox", "busybox", i & 1 ? "true" : "false", (char *)NULL);
            _exit(99);
        }
        sum = mix(sum, ended_with(child, !(i & 1)));
    }
    return sum;
}

static uint64_t run_faults(void)
{
    enum { PAGE = 4096, PAGES = 4096 };
    uint64_t sum = 0;
    for (int round = 0; round < 20; round++) {
        uint8_t *p = mmap(NULL, PAGE * PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(p != MAP_FAILED, "mmap");
        madvise(p, PAGE * PAGES, MADV_NOHUGEPAGE);
        for (int i = 0; i < PAGES; i++) {
            p[i * PAGE + i % 4000] = (uint8_t)i;
            sum += p[i * PAGE] + 1u;
        }
        must(!munmap(p, PAGE * PAGES), "munmap");
    }
    return sum;
}

/* A word goes round a ring of eight processes. */
static uint64_t run_switch(void)
{
    enum { RING = 8, ROUNDS = 1200 };
    int ends[RING][2];
    pid_t children[RING];
    for (int i = 0; i < RING; i++)
        must(!pipe(ends[i]), "pipe");
    uint32_t word = 1;
    for (int i = 1; i < RING; i++) {
        children[i] = fork();
        must(children[i] >= 0, "fork");
        if (!children[i]) {
            for (int n = 0; n < ROUNDS; n++) {
                must(read(ends[i][0], &word, sizeof word) == sizeof word, "read");
                word = word * 5 + (uint32_t)i;
                must(write(ends[(i + 1) % RING][1], &word, sizeof word) == sizeof word, "write");
            }
            _exit(0);
        }
    }
    for (int n = 0; n < ROUNDS; n++) {
        must(write(ends[1][1], &word, sizeof word) == sizeof word, "write");
        must(read(ends[0][0], &word, sizeof word) == sizeof word, "read");
    }
    uint64_t sum = word;
    for (int i = 0; i < RING; i++) {
        close(ends[i][0]);
        close(ends[i][1]);
        if (i)
            sum = mix(sum, ended_with(children[i], 0));
    }
    return sum;
}

static volatile sig_atomic_t caught;

static void catch(int number)
{
    caught += number == SIGUSR1;
}

static uint64_t run_signal(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = catch;
    must(!sigaction(SIGUSR1, &action, NULL), "sigaction");
    caught = 0;
    for (int i = 0; i < 50000; i++)
        must(!kill(getpid(), SIGUSR1), "kill");
    return (uint64_t)caught;
}

const struct bench system_set[] = {
    { "syscall", run_syscall }, { "pipe", run_pipe },     { "fork", run_fork },     { "exec", run_exec },
    { "faults", run_faults },   { "switch", run_switch }, { "signal", run_signal }, { NULL, NULL },
};
