/* Integer work as programs do it: registers, tables, sorting, calls, hashing, compression, interpretation. */
#include "bench.h"

static uint64_t run_xorshift(void)
{
    uint64_t x = 88172645463325252ULL;
    for (long i = 0; i < 280000000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

static uint64_t run_crc(void)
{
    enum { SIZE = 1 << 20 };
    static uint32_t table[256];
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        table[n] = c;
    }
    uint8_t *data = need(SIZE);
    uint64_t seed = 1;
    for (int i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(next_random(&seed) >> 40);
    uint32_t c = 0xffffffffu;
    for (int round = 0; round < 120; round++)
        for (int i = 0; i < SIZE; i++)
            c = table[(c ^ data[i]) & 0xff] ^ c >> 8;
    free(data);
    return c;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t run_qsort(void)
{
    enum { COUNT = 200000 };
    int64_t *v = need(COUNT * sizeof *v);
    uint64_t seed = 7, sum = 0;
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < COUNT; i++)
            v[i] = (int64_t)next_random(&seed);
        qsort(v, COUNT, sizeof *v, by_value);
        for (int i = 0; i < COUNT; i += 97)
            sum = mix(sum, (uint64_t)v[i]);
    }
    free(v);
    return sum;
}

static __attribute__((noinline, noclone)) uint64_t fibonacci(unsigned n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t run_fibonacci(void)
{
    volatile unsigned n = 37;
    return fibonacci(n);
}

#define OPERATION(name, expression) \
    static __attribute__((noinline)) uint64_t name(uint64_t x, uint64_t y) { return expression; }
OPERATION(op0, x + y)
OPERATION(op1, x ^ y)
OPERATION(op2, x - y)
OPERATION(op3, x * 5 + y)
OPERATION(op4, (x << 3 | x >> 61) ^ y)
OPERATION(op5, x + (y >> 2))
OPERATION(op6, ~x + y)
OPERATION(op7, x ^ (x >> 9) ^ y)

static uint64_t run_indirect(void)
{
    static uint64_t (*const volatile table[8])(uint64_t, uint64_t) = { op0, op1, op2, op3, op4, op5, op6, op7 };
    uint64_t (*local[8])(uint64_t, uint64_t);
    for (int i = 0; i < 8; i++)
        local[i] = table[i];
    uint64_t x = 1;
    uint32_t choice = 12345;
    for (long i = 0; i < 24000000; i++) {
        choice = choice * 1664525 + 1013904223;
        x = local[choice >> 29](x, (uint64_t)i);
    }
    return x;
}

static uint64_t run_hash(void)
{
    enum { SLOTS = 1 << 18, KEYS = 150000 };
    struct slot {
        uint64_t key, value;
    } *slots = need(SLOTS * sizeof *slots);
    uint64_t sum = 0;
    for (int round = 0; round < 40; round++) {
        memset(slots, 0, SLOTS * sizeof *slots);
        uint64_t seed = 11 + (uint64_t)round;
        for (int i = 0; i < KEYS; i++) {
            uint64_t key = next_random(&seed) | 1;
            size_t at = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 46);
            while (slots[at].key && slots[at].key != key)
                at = (at + 1) & (SLOTS - 1);
            slots[at].key = key;
            slots[at].value += (uint64_t)i;
        }
        /* Half of the look-ups find something. */
        seed = 11 + (uint64_t)round;
        for (int i = 0; i < KEYS; i++) {
            uint64_t key = (next_random(&seed) | 1) ^ (i & 1 ? 0x10 : 0);
            size_t at = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 46);
            while (slots[at].key && slots[at].key != key)
                at = (at + 1) & (SLOTS - 1);
            sum += slots[at].key ? slots[at].value : 1;
        }
    }
    free(slots);
    return sum;
}

void fill_text(uint8_t *out, size_t size, uint64_t seed)
{
    static const char *const words[16] = { "the",  "power", "of",    "many",  "small", "steps", "is",   "greater",
                                           "than", "one",   "large", "leap",  "and",   "all",   "that", "follows" };
    size_t at = 0;
    while (at < size) {
        uint64_t r = next_random(&seed);
        const char *word = words[r >> 60];
        for (; *word && at < size; word++)
            out[at++] = (uint8_t)*word;
        if (at < size)
            out[at++] = (r >> 50 & 15) ? ' ' : (uint8_t)('0' + (r >> 40) % 10);
    }
}

/* Tokens: a byte below 128 is that many literals to come (plus one); else a match of (byte - 128 + 4) bytes at the
 * distance of the next two bytes. */
size_t lz_compress(const uint8_t *in, size_t size, uint8_t *out)
{
    enum { BITS = 13 };
    static uint32_t head[1 << BITS];
    memset(head, 0xff, sizeof head);
    size_t at = 0, literals = 0, end = 0;
    while (at < size) {
        size_t length = 0, distance = 0;
        if (at + 4 <= size) {
            uint32_t four = (uint32_t)in[at] | (uint32_t)in[at + 1] << 8 | (uint32_t)in[at + 2] << 16 |
                            (uint32_t)in[at + 3] << 24;
            uint32_t slot = four * 2654435761u >> (32 - BITS);
            size_t from = head[slot];
            head[slot] = (uint32_t)at;
            if (from != 0xffffffffu && at - from < 65536) {
                while (length < 131 && at + length < size && in[from + length] == in[at + length])
                    length++;
                distance = at - from;
            }
        }
        if (length >= 4) {
            out[end++] = (uint8_t)(128 + length - 4);
            out[end++] = (uint8_t)distance;
            out[end++] = (uint8_t)(distance >> 8);
            at += length;
            literals = 0;
        } else {
            if (literals == 0 || literals == 128) {
                literals = 0;
                out[end++] = 0;
            } else {
                out[end - literals - 1]++;
            }
            out[end++] = in[at++];
            literals++;
        }
    }
    return end;
}

static size_t lz_expand(const uint8_t *in, size_t size, uint8_t *out)
{
    size_t end = 0;
    for (size_t at = 0; at < size;) {
        unsigned token = in[at++];
        if (token < 128) {
            for (unsigned n = token + 1; n; n--)
                out[end++] = in[at++];
        } else {
            size_t distance = (size_t)in[at] | (size_t)in[at + 1] << 8;
            at += 2;
            for (unsigned n = token - 128 + 4; n; n--, end++)
                out[end] = out[end - distance];
        }
    }
    return end;
}

static uint64_t run_lz(void)
{
    enum { SIZE = 1 << 20 };
    uint8_t *text = need(SIZE), *packed = need(2 * SIZE), *back = need(2 * SIZE);
    uint64_t sum = 0;
    for (int round = 0; round < 24; round++) {
        fill_text(text, SIZE, 3 + (uint64_t)round);
        size_t packed_size = lz_compress(text, SIZE, packed);
        size_t back_size = lz_expand(packed, packed_size, back);
        sum = mix(sum, packed_size);
        sum = mix(sum, back_size == SIZE && !memcmp(text, back, SIZE));
    }
    free(text);
    free(packed);
    free(back);
    return sum;
}

/* A stack machine: the sieve of Eratosthenes as its program. */
enum code { PUSH, LOAD, STORE, PEEK, POKE, ADD, MUL, LESS, JUMP, JUMP_IF_NOT, NOT, HALT };

static __attribute__((noinline)) int64_t interpret(const int32_t *program, int64_t *variables, uint8_t *memory)
{
    int64_t stack[16], *top = stack;
    for (const int32_t *at = program;;) {
        int32_t operand = at[1];
        switch ((enum code)*at) {
        case PUSH: *top++ = operand; break;
        case LOAD: *top++ = variables[operand]; break;
        case STORE: variables[operand] = *--top; break;
        case PEEK: top[-1] = memory[top[-1]]; break;
        case POKE: top -= 2; memory[top[0]] = (uint8_t)top[1]; break;
        case ADD: top--; top[-1] += *top; break;
        case MUL: top--; top[-1] *= *top; break;
        case LESS: top--; top[-1] = top[-1] < *top; break;
        case NOT: top[-1] = !top[-1]; break;
        case JUMP: at = program + 2 * operand; continue;
        case JUMP_IF_NOT:
            if (!*--top) {
                at = program + 2 * operand;
                continue;
            }
            break;
        case HALT: return variables[operand];
        }
        at += 2;
    }
}

static uint64_t run_interpreter(void)
{
    enum { LIMIT = 200000, I = 0, J = 1, COUNT = 2 };
    static const int32_t program[][2] = {
        /*  0 */ { PUSH, 2 },      { STORE, I },
        /*  2 */ { LOAD, I },      { PUSH, LIMIT }, { LESS, 0 },   { JUMP_IF_NOT, 29 },
        /*  6 */ { LOAD, I },      { PEEK, 0 },     { NOT, 0 },    { JUMP_IF_NOT, 24 },
        /* 10 */ { LOAD, COUNT },  { PUSH, 1 },     { ADD, 0 },    { STORE, COUNT },
        /* 14 */ { LOAD, I },      { LOAD, I },     { ADD, 0 },    { STORE, J },
        /* 18 */ { LOAD, J },      { PUSH, LIMIT }, { LESS, 0 },   { JUMP_IF_NOT, 24 },
        /* 22 */ { JUMP, 30 },     { HALT, 0 },
        /* 24 */ { LOAD, I },      { PUSH, 1 },     { ADD, 0 },    { STORE, I },      { JUMP, 2 },
        /* 29 */ { HALT, COUNT },
        /* 30 */ { LOAD, J },      { PUSH, 1 },     { POKE, 0 },   { LOAD, J },       { LOAD, I },
        /* 35 */ { ADD, 0 },       { STORE, J },    { JUMP, 18 },
    };
    uint8_t *memory = need(LIMIT);
    uint64_t sum = 0;
    for (int round = 0; round < 5; round++) {
        int64_t variables[3] = { 0 };
        memset(memory, 0, LIMIT);
        sum = mix(sum, (uint64_t)interpret(program[0], variables, memory));
    }
    free(memory);
    return sum;
}

const struct bench integer_set[] = {
    { "xorshift", run_xorshift }, { "crc", run_crc },   { "qsort", run_qsort }, { "fibonacci", run_fibonacci },
    { "indirect", run_indirect }, { "hash", run_hash }, { "lz", run_lz },       { "interpreter", run_interpreter },
    { NULL, NULL },
};
