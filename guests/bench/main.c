/* bench SET [NAME...]: runs the benchmarks of a set whose names contain one of the given words.
 * bench --time NAME COMMAND...: runs a program as the benchmark NAME of the set `programs`, its output summed up.
 * bench --now: the clock in nanoseconds.  bench --source LINES: a C program of about that many lines.
 *
 * Output, one line each:
 *   BENCH SET NAME NANOSECONDS CHECKSUM
 *   SPAN SET NANOSECONDS            all of them together, for the reader to compare with his own clock */
#include "bench.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

/* Times a command; its checksum is that of its standard output. */
static int time_command(const char *name, char **command)
{
    int ends[2];
    uint64_t start = now(), sum = 0;
    if (pipe(ends)) {
        perror("pipe");
        return 1;
    }
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        return 1;
    }
    if (!child) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    close(ends[1]);
    uint8_t block[65536];
    ssize_t size;
    while ((size = read(ends[0], block, sizeof block)) > 0)
        for (ssize_t i = 0; i < size; i++)
            sum = sum * 31 + block[i];
    int status = 0;
    waitpid(child, &status, 0);
    uint64_t end = now();
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        fprintf(stderr, "%s: status %#x\n", name, (unsigned)status);
        return 1;
    }
    printf("BENCH programs %s %llu %016llx\n", name, (unsigned long long)(end - start), (unsigned long long)sum);
    return 0;
}

/* Functions of the kinds programs are made of, no two alike. */
static void write_source(int lines)
{
    uint64_t seed = 99;
    printf("struct item { long key, value; struct item *next; };\nextern long sink(long), table[256];\n");
    for (int n = 0; n < lines / 20; n++) {
        unsigned a = (unsigned)(next_random(&seed) >> 56) + 1, b = (unsigned)(next_random(&seed) >> 58) + 2;
        printf("long work%d(struct item *list, const unsigned char *text, long count)\n{\n", n);
        printf("    long sum = %u, best = -1;\n", a);
        printf("    double mean = 0;\n");
        printf("    for (struct item *i = list; i; i = i->next) {\n");
        printf("        if (i->key %% %u == %u)\n            sum += i->value * %u;\n", b, a % b, a);
        printf("        else if (i->value > best)\n            best = i->value;\n    }\n");
        printf("    for (long n = 0; n < count; n++) {\n        switch (text[n] & 7) {\n");
        printf("        case %u: sum ^= table[text[n]]; break;\n", a & 7);
        printf("        case %u: sum = sum << %u | (unsigned long)sum >> %u; break;\n", (a + 1) & 7,
               (b & 31) | 1, 64 - ((b & 31) | 1));
        printf("        case %u: mean += (double)sum / (n + %u); break;\n", (a + 3) & 7, a);
        printf("        case %u: best = sink(best + sum); break;\n", (a + 5) & 7);
        printf("        default: table[n & 255] = sum %s best;\n        }\n    }\n", n & 1 ? "+" : "-");
        if (n)
            printf("    if (best > %u)\n        return work%d(list, text + 1, count - 1);\n", a * b, n - 1);
        printf("    return sum + (long)mean + best;\n}\n");
    }
}

int main(int argc, char **argv)
{
    bench_self = argv[0];
    if (argc == 3 && !strcmp(argv[1], "--unit"))
        return smp_unit((unsigned)atoi(argv[2]));
    if (argc > 3 && !strcmp(argv[1], "--time"))
        return time_command(argv[2], argv + 3);
    if (argc == 2 && !strcmp(argv[1], "--now")) {
        printf("%llu\n", (unsigned long long)now());
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "--source")) {
        write_source(atoi(argv[2]));
        return 0;
    }
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
