/* Guest benchmarks: fixed amounts of work, timed by the guest's own monotonic clock, each with a checksum of what it
 * computed. The checksum depends on no word size, byte order or clock: it is the same on every correct machine. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One benchmark: its name, and a function that does all its work and returns the checksum. */
struct bench {
    const char *name;
    uint64_t (*run)(void);
};

/* The sets; each ends with an entry without a name. */
extern const struct bench integer_set[], float_set[], vector_set[], system_set[], smp_set[];

/* This program's own file, for sets that start it anew. */
extern const char *bench_self;

/* Runs one unit of the make-like load (see smp.c) and returns the exit status. */
int smp_unit(unsigned seed);

/* A generator that every machine computes alike (xorshift64*). */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1dULL;
}

/* Adds a value to a checksum; the order of the values matters. */
static inline uint64_t mix(uint64_t sum, uint64_t value)
{
    sum ^= value;
    sum *= 0x9e3779b97f4a7c15ULL;
    return sum ^ sum >> 29;
}

/* Memory that is there or ends the program. */
static inline void *need(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory) {
        perror("calloc");
        exit(1);
    }
    return memory;
}

/* The LZ-style compressor of integer.c, used by smp.c too: returns the compressed size. */
size_t lz_compress(const uint8_t *in, size_t size, uint8_t *out);
/* Words of a small vocabulary, separated by blanks. */
void fill_text(uint8_t *out, size_t size, uint64_t seed);

#endif
