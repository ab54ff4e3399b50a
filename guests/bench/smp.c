/* A make-like load: two jobs at a time, each a new process that does a compiler's kind of work. */
#include "bench.h"

#include <sys/wait.h>
#include <unistd.h>

int smp_unit(unsigned seed)
{
    enum { SIZE = 1 << 19 };
    uint8_t *text = need(SIZE), *packed = need(2 * SIZE);
    uint64_t sum = seed;
    for (int i = 0; i < 20; i++) {
        fill_text(text, SIZE, seed * 10 + (uint64_t)i + 1);
        sum = mix(sum, lz_compress(text, SIZE, packed));
    }
    return (int)(sum & 63);
}

static uint64_t run_make(void)
{
    enum { UNITS = 16, JOBS = 2 };
    pid_t pids[UNITS];
    uint64_t results[UNITS], sum = 0;
    int started = 0, ended = 0;
    while (ended < UNITS) {
        if (started < UNITS && started - ended < JOBS) {
            pids[started] = fork();
            if (pids[started] < 0)
                exit(1);
            if (!pids[started]) {
                char number[16];
                snprintf(number, sizeof number, "%d", started);
                execl(bench_self, "bench", "--unit", number, (char *)NULL);
                _exit(99);
            }
            started++;
            continue;
        }
        int status;
        pid_t pid = wait(&status);
        for (int i = 0; i < started; i++)
            if (pids[i] == pid)
                results[i] = (uint64_t)status;
        ended++;
    }
    for (int i = 0; i < UNITS; i++)
        sum = mix(sum, results[i]);
    return sum;
}

const struct bench smp_set[] = { { "make", run_make }, { NULL, NULL } };
