/* Strings as the C library does them, vector cryptography and a vector dot product.
 *
 * On Power, AES and SHA-2 use the processor's instructions for them; elsewhere the same algorithm is plain C. */
#include "bench.h"
#include "crypto_tables.h"

#ifdef __powerpc64__
#include <altivec.h>
#undef vector
#undef bool
#undef pixel
#define VEC __vector
#endif

static uint64_t run_memcpy(void)
{
    enum { SIZE = 1 << 16 };
    uint8_t *from = need(2 * SIZE), *to = need(2 * SIZE);
    uint64_t seed = 5, sum = 0;
    for (int i = 0; i < 2 * SIZE; i++)
        from[i] = (uint8_t)(next_random(&seed) >> 30);
    for (int i = 0; i < 800000; i++) {
        uint64_t r = next_random(&seed);
        size_t length = (r >> 60) ? (r >> 20 & 511) : (r >> 20 & 0x7fff);
        size_t a = r & 0xffff, b = r >> 40 & 0xffff;
        memcpy(to + b, from + a, length);
        sum += to[b + (length >> 1)];
    }
    for (int i = 0; i < 2 * SIZE; i++)
        sum = mix(sum, to[i]);
    free(from);
    free(to);
    return sum;
}

static uint64_t run_strlen(void)
{
    enum { SIZE = 1 << 16 };
    char *text = need(SIZE + 1);
    size_t (*volatile length_of)(const char *) = strlen;
    memset(text, 'x', SIZE);
    uint64_t seed = 9, sum = 0;
    for (int i = 0; i < 4000000; i++) {
        uint64_t r = next_random(&seed);
        size_t at = r & 0x7fff, end = at + (r >> 40 & 511);
        text[end] = 0;
        sum += length_of(text + at);
        text[end] = 'x';
    }
    for (int i = 0; i < 12000; i++)
        sum += length_of(text + (i & 63));
    free(text);
    return sum;
}

static uint64_t run_memcmp(void)
{
    enum { SIZE = 1 << 16 };
    uint8_t *a = need(SIZE), *b = need(SIZE);
    int (*volatile compare)(const void *, const void *, size_t) = memcmp;
    uint64_t seed = 13, sum = 0;
    for (int i = 0; i < SIZE; i++)
        a[i] = b[i] = (uint8_t)(i * 7);
    for (int i = 0; i < 4000000; i++) {
        uint64_t r = next_random(&seed);
        size_t at = r & 0x7fff, length = r >> 40 & 511, differs = at + (length * (r >> 30 & 255) >> 7);
        uint8_t keep = b[differs];
        b[differs] = (uint8_t)(keep + 1 + (r >> 50 & 1));
        int order = compare(a + at, b + at, length);
        sum += order < 0 ? 1 : order > 0 ? 3 : 0;
        b[differs] = keep;
    }
    for (int i = 0; i < 2000; i++)
        sum += compare(a, b, SIZE) == 0;
    free(a);
    free(b);
    return sum;
}

/* Where the first difference is, as compilers write it out in place: words against a few others. */
static uint64_t run_strcmp(void)
{
    enum { WORDS = 4096, SIZE = 32 };
    char(*words)[SIZE] = need(WORDS * SIZE);
    uint64_t seed = 17, sum = 0;
    for (int i = 0; i < WORDS; i++) {
        uint64_t r = next_random(&seed);
        int length = 3 + (int)(r >> 60), same = (int)(r >> 50 & 7);
        for (int k = 0; k < length; k++)
            words[i][k] = k < same ? "request"[k] : (char)('a' + (next_random(&seed) >> 40) % 26);
    }
    for (int i = 0; i < 10000000; i++) {
        uint64_t r = next_random(&seed);
        int order = strcmp(words[r & (WORDS - 1)], words[r >> 20 & (WORDS - 1)]);
        sum += order < 0 ? 1 : order > 0 ? 3 : 0;
    }
    free(words);
    return sum;
}

/* A character searched from the left and from the right. */
static uint64_t run_strchr(void)
{
    enum { SIZE = 1 << 15 };
    char *text = need(SIZE + 1);
    char *(*volatile first)(const char *, int) = strchr, *(*volatile last)(const char *, int) = strrchr;
    fill_text((uint8_t *)text, SIZE, 21);
    uint64_t seed = 19, sum = 0;
    for (int i = 0; i < SIZE; i += 64)
        text[i] = 0;
    for (int i = 0; i < 6000000; i++) {
        uint64_t r = next_random(&seed);
        const char *at = text + (r & (SIZE - 1));
        const char *found = (r >> 40 & 1 ? first : last)(at, 'a' + (int)(r >> 50 & 15));
        sum += found ? (uint64_t)(found - at) : 99;
    }
    free(text);
    return sum;
}

/* Two pictures laid over each other, byte by byte. */
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("O3")))
#endif
static uint64_t run_blend(void)
{
    enum { SIZE = 1 << 14 };
    uint8_t *a = need(SIZE), *b = need(SIZE), *to = need(SIZE);
    uint64_t seed = 23, sum = 0;
    for (int i = 0; i < SIZE; i++) {
        uint64_t r = next_random(&seed);
        a[i] = (uint8_t)(r >> 40);
        b[i] = (uint8_t)(r >> 48);
    }
    for (int round = 0; round < 12000; round++) {
        uint8_t part = (uint8_t)(round * 5), rest = (uint8_t)(255 - part);
        for (int i = 0; i < SIZE; i++)
            to[i] = (uint8_t)((uint16_t)(a[i] * part + b[i] * rest + 128) >> 8);
        sum = mix(sum, to[round & (SIZE - 1)]);
    }
    for (int i = 0; i < SIZE; i++)
        sum = mix(sum, to[i]);
    free(a);
    free(b);
    free(to);
    return sum;
}

/* AES-128 in counter mode over a buffer, eight blocks at a time as libraries do. */

static void aes_expand(const uint8_t key[16], uint8_t round[11][16])
{
    memcpy(round[0], key, 16);
    uint8_t constant = 1;
    for (int r = 1; r <= 10; r++) {
        const uint8_t *old = round[r - 1];
        uint8_t t[4] = { (uint8_t)(aes_sbox[old[13]] ^ constant), aes_sbox[old[14]], aes_sbox[old[15]],
                         aes_sbox[old[12]] };
        for (int i = 0; i < 16; i++)
            round[r][i] = old[i] ^ (i < 4 ? t[i] : round[r][i - 4]);
        constant = (uint8_t)(constant << 1 ^ (constant >> 7) * 0x1b);
    }
}

#ifdef __powerpc64__
typedef VEC unsigned long long block;

static void aes_eight(const uint8_t round[11][16], uint8_t blocks[8][16])
{
    block s[8];
    block k = (block)vec_xl_be(0, (unsigned char *)round[0]);
    for (int i = 0; i < 8; i++)
        s[i] = (block)vec_xl_be(0, blocks[i]) ^ k;
    for (int r = 1; r < 10; r++) {
        k = (block)vec_xl_be(0, (unsigned char *)round[r]);
        for (int i = 0; i < 8; i++)
            s[i] = __builtin_crypto_vcipher(s[i], k);
    }
    k = (block)vec_xl_be(0, (unsigned char *)round[10]);
    for (int i = 0; i < 8; i++)
        vec_xst_be((VEC unsigned char)__builtin_crypto_vcipherlast(s[i], k), 0, blocks[i]);
}
#else
static uint8_t twice(uint8_t x)
{
    return (uint8_t)(x << 1 ^ (x >> 7) * 0x1b);
}

static void aes_eight(const uint8_t round[11][16], uint8_t blocks[8][16])
{
    for (int n = 0; n < 8; n++) {
        uint8_t *s = blocks[n], t[16];
        for (int i = 0; i < 16; i++)
            s[i] ^= round[0][i];
        for (int r = 1; r <= 10; r++) {
            for (int i = 0; i < 16; i++)
                t[i] = aes_sbox[s[(i + 4 * (i & 3)) & 15]];
            for (int c = 0; c < 16; c += 4) {
                uint8_t all = t[c] ^ t[c + 1] ^ t[c + 2] ^ t[c + 3];
                for (int i = 0; i < 4; i++)
                    s[c + i] = round[r][c + i] ^ t[c + i] ^
                               (r == 10 ? 0 : all ^ twice(t[c + i] ^ t[c + ((i + 1) & 3)]));
            }
        }
    }
}
#endif

static uint64_t run_aes(void)
{
    enum { SIZE = 1 << 16 };
    uint8_t round[11][16], *data = need(SIZE), stream[8][16];
    aes_expand((const uint8_t *)"an example key..", round);
    uint64_t counter = 0, sum = 0;
    for (int n = 0; n < 800; n++)
        for (int at = 0; at < SIZE; at += 128) {
            for (int i = 0; i < 8; i++) {
                memset(stream[i], 0x5a, 8);
                counter++;
                for (int k = 0; k < 8; k++)
                    stream[i][8 + k] = (uint8_t)(counter >> (56 - 8 * k));
            }
            aes_eight(round, stream);
            for (int i = 0; i < 128; i++)
                data[at + i] ^= stream[i >> 4][i & 15];
        }
    for (int i = 0; i < SIZE; i++)
        sum = mix(sum, data[i]);
    free(data);
    return sum;
}

/* SHA-256 of four messages side by side, SHA-512 of two: one lane a message. */

#ifdef __powerpc64__
typedef VEC unsigned int word256;
typedef VEC unsigned long long word512;
#define BIG0_256(x) __builtin_crypto_vshasigmaw(x, 1, 0)
#define BIG1_256(x) __builtin_crypto_vshasigmaw(x, 1, 15)
#define SMALL0_256(x) __builtin_crypto_vshasigmaw(x, 0, 0)
#define SMALL1_256(x) __builtin_crypto_vshasigmaw(x, 0, 15)
#define BIG0_512(x) __builtin_crypto_vshasigmad(x, 1, 0)
#define BIG1_512(x) __builtin_crypto_vshasigmad(x, 1, 15)
#define SMALL0_512(x) __builtin_crypto_vshasigmad(x, 0, 0)
#define SMALL1_512(x) __builtin_crypto_vshasigmad(x, 0, 15)
#define CHOOSE(x, y, z) vec_sel(z, y, x)
#define MAJORITY(x, y, z) vec_sel(x, z, (x) ^ (y))
#else
typedef uint32_t word256;
typedef uint64_t word512;
#define ROT32(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define ROT64(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define BIG0_256(x) (ROT32(x, 2) ^ ROT32(x, 13) ^ ROT32(x, 22))
#define BIG1_256(x) (ROT32(x, 6) ^ ROT32(x, 11) ^ ROT32(x, 25))
#define SMALL0_256(x) (ROT32(x, 7) ^ ROT32(x, 18) ^ (x) >> 3)
#define SMALL1_256(x) (ROT32(x, 17) ^ ROT32(x, 19) ^ (x) >> 10)
#define BIG0_512(x) (ROT64(x, 28) ^ ROT64(x, 34) ^ ROT64(x, 39))
#define BIG1_512(x) (ROT64(x, 14) ^ ROT64(x, 18) ^ ROT64(x, 41))
#define SMALL0_512(x) (ROT64(x, 1) ^ ROT64(x, 8) ^ (x) >> 7)
#define SMALL1_512(x) (ROT64(x, 19) ^ ROT64(x, 61) ^ (x) >> 6)
#define CHOOSE(x, y, z) (((x) & (y)) ^ (~(x) & (z)))
#define MAJORITY(x, y, z) (((x) & (y)) ^ ((x) & (z)) ^ ((y) & (z)))
#endif

/* One block of each lane. */
#define SHA2(NAME, WORD, ROUNDS, K, B0, B1, S0, S1)                                                                    \
    static __attribute__((noinline)) void NAME(WORD h[8], const WORD message[16])                                      \
    {                                                                                                                  \
        WORD w[16], s[8];                                                                                              \
        for (int i = 0; i < 8; i++)                                                                                    \
            s[i] = h[i];                                                                                               \
        for (int t = 0; t < 16; t++)                                                                                   \
            w[t] = message[t];                                                                                         \
        WORD a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], v = s[7];                           \
        for (int t = 0; t < ROUNDS; t++) {                                                                             \
            WORD x = w[t & 15];                                                                                        \
            if (t >= 16) {                                                                                             \
                x += S1(w[(t - 2) & 15]) + w[(t - 7) & 15] + S0(w[(t - 15) & 15]);                                     \
                w[t & 15] = x;                                                                                         \
            }                                                                                                          \
            WORD t1 = v + B1(e) + CHOOSE(e, f, g) + K[t] + x;                                                          \
            WORD t2 = B0(a) + MAJORITY(a, b, c);                                                                       \
            v = g; g = f; f = e; e = d + t1; d = c; c = b; b = a; a = t1 + t2;                                         \
        }                                                                                                              \
        h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += v;                        \
    }

static word256 k256[64];
static word512 k512[80];
SHA2(sha256_blocks, word256, 64, k256, BIG0_256, BIG1_256, SMALL0_256, SMALL1_256)
SHA2(sha512_blocks, word512, 80, k512, BIG0_512, BIG1_512, SMALL0_512, SMALL1_512)

/* Hashes LANES_OF messages of BLOCKS blocks each; TYPE is the scalar word. */
#define SHA2_RUN(NAME, WORD, TYPE, LANES_OF, BLOCKS, ROUNDS, K, TABLE, SHIFT, START, STEP)                             \
    static uint64_t NAME(void)                                                                                         \
    {                                                                                                                  \
        enum { VECTOR = sizeof(WORD) / sizeof(TYPE), GROUPS = LANES_OF / VECTOR };                                     \
        TYPE lanes[VECTOR], h[LANES_OF][8];                                                                            \
        for (int t = 0; t < ROUNDS; t++) {                                                                             \
            for (int l = 0; l < VECTOR; l++)                                                                           \
                lanes[l] = (TYPE)(TABLE[t] >> SHIFT);                                                                  \
            memcpy(&K[t], lanes, sizeof(WORD));                                                                        \
        }                                                                                                              \
        for (int group = 0; group < GROUPS; group++) {                                                                 \
            WORD state[8], message[4][16];                                                                             \
            for (int i = 0; i < 8; i++) {                                                                              \
                for (int l = 0; l < VECTOR; l++)                                                                       \
                    lanes[l] = (TYPE)START[i];                                                                         \
                memcpy(&state[i], lanes, sizeof(WORD));                                                                \
            }                                                                                                          \
            for (int m = 0; m < 4; m++)                                                                                \
                for (int t = 0; t < 16; t++) {                                                                         \
                    for (int l = 0; l < VECTOR; l++)                                                                   \
                        lanes[l] = (TYPE)(0x9e3779b97f4a7c15ULL * (uint64_t)(m * 16 + t + 1) *                         \
                                          (uint64_t)(group * VECTOR + l + 1) >> 3);                                    \
                    memcpy(&message[m][t], lanes, sizeof(WORD));                                                       \
                }                                                                                                      \
            for (int n = 0; n < BLOCKS; n++)                                                                           \
                STEP(state, message[n & 3]);                                                                           \
            for (int i = 0; i < 8; i++) {                                                                              \
                memcpy(lanes, &state[i], sizeof(WORD));                                                                \
                for (int l = 0; l < VECTOR; l++)                                                                       \
                    h[group * VECTOR + l][i] = lanes[l];                                                               \
            }                                                                                                          \
        }                                                                                                              \
        uint64_t sum = 0;                                                                                              \
        for (int l = 0; l < LANES_OF; l++)                                                                             \
            for (int i = 0; i < 8; i++)                                                                                \
                sum = mix(sum, h[l][i]);                                                                               \
        return sum;                                                                                                    \
    }

SHA2_RUN(run_sha256, word256, uint32_t, 4, 240000, 64, k256, sha512_constants, 32, sha256_start, sha256_blocks)
SHA2_RUN(run_sha512, word512, uint64_t, 2, 240000, 80, k512, sha512_constants, 0, sha512_start, sha512_blocks)

static uint64_t run_dot(void)
{
    enum { COUNT = 4096 };
    double *a = need(COUNT * sizeof *a), *b = need(COUNT * sizeof *b), lanes[8];
    uint64_t sum = 0;
    for (int i = 0; i < COUNT; i++) {
        a[i] = (double)(i % 113) / 7;
        b[i] = (double)(i % 127) / 9 - 6;
    }
    for (int round = 0; round < 10000; round++) {
#ifdef __powerpc64__
        VEC double total[4] = { { 0, 0 }, { 0, 0 }, { 0, 0 }, { 0, 0 } };
        for (int i = 0; i < COUNT; i += 8)
            for (int k = 0; k < 4; k++)
                total[k] = vec_madd(vec_xl(0, a + i + 2 * k), vec_xl(0, b + i + 2 * k), total[k]);
        memcpy(lanes, total, sizeof lanes);
#else
        for (int k = 0; k < 8; k++)
            lanes[k] = 0;
        for (int i = 0; i < COUNT; i += 8)
            for (int k = 0; k < 8; k++)
                lanes[k] = __builtin_fma(a[i + k], b[i + k], lanes[k]);
#endif
        for (int k = 0; k < 8; k++) {
            uint64_t word;
            memcpy(&word, &lanes[k], 8);
            sum = mix(sum, word);
        }
        a[round % COUNT] += 0.125;
    }
    free(a);
    free(b);
    return sum;
}

const struct bench vector_set[] = {
    { "memcpy", run_memcpy }, { "strlen", run_strlen }, { "memcmp", run_memcmp }, { "strcmp", run_strcmp },
    { "strchr", run_strchr }, { "blend", run_blend },   { "aes", run_aes },
    { "sha256", run_sha256 }, { "sha512", run_sha512 }, { "dot", run_dot },       { NULL, NULL },
};
