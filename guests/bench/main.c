/* bench SET [NAME...]: runs the benchmarks of a set whose names contain one of the given words.
 *
 * Output, one line each:
 *   BENCH SET NAME NANOSECONDS CHECKSUM
 *   SPAN SET NANOSECONDS            all of them together, for the reader to compare with his own clock */
#include "bench.h"

#include <time.h>

const char *bench_self;

static const struct {
    const char *name;
    const struct bench *list;
} sets[] = {
    { "integer", integer_set }, { "float", float_set }, { "vector", vector_set },
    { "system", system_set },   { "smp", smp_set },
};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int wanted(const char *name, char **words)
{
    if (!*words)
        return 1;
    for (; *words; words++)
        if (strstr(name, *words))
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    bench_self = argv[0];
    if (argc == 3 && !strcmp(argv[1], "--unit"))
        return smp_unit((unsigned)atoi(argv[2]));
    if (argc < 2) {
        fprintf(stderr, "usage: bench SET [NAME...]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (strcmp(argv[1], sets[i].name))
            continue;
        printf("START %s\n", argv[1]);
        fflush(stdout);
        uint64_t begin = now();
        for (const struct bench *b = sets[i].list; b->name; b++) {
            if (!wanted(b->name, argv + 2))
                continue;
            uint64_t start = now();
            uint64_t sum = b->run();
            uint64_t end = now();
            printf("BENCH %s %s %llu %016llx\n", argv[1], b->name, (unsigned long long)(end - start),
                   (unsigned long long)sum);
            fflush(stdout);
        }
        printf("SPAN %s %llu\n", argv[1], (unsigned long long)(now() - begin));
        return 0;
    }
    fprintf(stderr, "no set %s\n", argv[1]);
    return 2;
}
