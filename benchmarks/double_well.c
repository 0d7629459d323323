/* Euler-Maruyama of the double well by hand, to compare sde_sgd with.
 *
 *     x <- x - rate (x^3 - x) + scale xi,    xi ~ N(0, 1)
 *
 * double_well_libm is what one writes first: each thread its own generator, each chain from its
 * first to its last step, logarithm and cosine from the C library. double_well_same_bits draws the
 * very numbers of sde_sgd (Threefry keyed by step and chain), in blocks that the compiler turns
 * into vector instructions. Both spread the chains over all cores, however many threads another library
 * in the process has asked OpenMP for.
 */

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const float TWO_PI = 6.2831853071795864f;
static const float TO_UNIT = 2.3283064365386963e-10f; /* 2^-32 */

/* ---- xoshiro128++ (Blackman and Vigna 2019), seeded by splitmix64 ---- */

typedef struct {
    uint32_t s[4];
} generator;

static inline uint32_t rotate(uint32_t x, int by) { return (x << by) | (x >> (32 - by)); }

static inline uint32_t next(generator *g) {
    uint32_t *s = g->s;
    const uint32_t result = rotate(s[0] + s[3], 7) + s[0];
    const uint32_t t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 11);
    return result;
}

static generator seeded(uint64_t seed) {
    generator g;
    for (int word = 0; word < 4; ++word) {
        uint64_t z = (seed += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        g.s[word] = (uint32_t)(z ^ (z >> 31));
    }
    return g;
}

static inline float uniform(uint32_t bits) { return ((float)bits + 0.5f) * TO_UNIT; }

static inline float moved(float x, float rate, float kick) {
    return x - rate * (x * x * x - x) + kick;
}

void double_well_libm(float *x, int64_t chains, int64_t steps, float rate, float scale,
                      uint64_t seed) {
#pragma omp parallel num_threads(omp_get_num_procs())
    {
        generator g = seeded(seed + (uint64_t)omp_get_thread_num() * 0xD1B54A32D192ED03u);
#pragma omp for schedule(static)
        for (int64_t chain = 0; chain < chains; ++chain) {
            float y = x[chain];
            /* Box and Muller's transform makes two numbers at once: two steps */
            for (int64_t step = 0; step < steps; step += 2) {
                const float radius = scale * sqrtf(-2.0f * logf(uniform(next(&g))));
                const float angle = TWO_PI * uniform(next(&g));
                y = moved(y, rate, radius * cosf(angle));
                if (step + 1 < steps) y = moved(y, rate, radius * sinf(angle));
            }
            x[chain] = y;
        }
    }
}

/* ---- the numbers of sde_sgd.random ---- */

/* Threefry-2x32-20 (Salmon et al. 2011) */
#define ROUND(x, y, by) \
    x += y;             \
    y = rotate(y, by);  \
    y ^= x;
#define EVEN(x, y) ROUND(x, y, 13) ROUND(x, y, 15) ROUND(x, y, 26) ROUND(x, y, 6)
#define ODD(x, y) ROUND(x, y, 17) ROUND(x, y, 29) ROUND(x, y, 16) ROUND(x, y, 24)
#define INJECT(x, y, a, b, n) \
    x += a;                   \
    y += b + n;
#define THREEFRY(x, y, k0, k1, k2)                     \
    INJECT(x, y, k0, k1, 0u)                           \
    EVEN(x, y) INJECT(x, y, k1, k2, 1u)                \
    ODD(x, y) INJECT(x, y, k2, k0, 2u)                 \
    EVEN(x, y) INJECT(x, y, k0, k1, 3u)                \
    ODD(x, y) INJECT(x, y, k1, k2, 4u)                 \
    EVEN(x, y) INJECT(x, y, k2, k0, 5u)

static inline uint32_t parity(uint32_t k0, uint32_t k1) { return k0 ^ k1 ^ 0x1BD11BDAu; }

static void folded(const uint32_t key[2], uint32_t counter, uint32_t out[2]) {
    uint32_t x = counter, y = 0;
    THREEFRY(x, y, key[0], key[1], parity(key[0], key[1]))
    out[0] = x;
    out[1] = y;
}

/* the sum of c[i] x^(n-1-i) by Horner's rule */
static inline float polynomial(const float *c, int n, float x) {
    float p = c[0];
    for (int i = 1; i < n; ++i) p = p * x + c[i];
    return p;
}

/* log u for normal u > 0: u = 2^e (1 + r) with r in [sqrt(1/2) - 1, sqrt(2) - 1] */
static inline float log_polynomial(float u) {
    int32_t raw;
    memcpy(&raw, &u, sizeof raw);
    const int32_t exponent = (raw - 1060439283) >> 23; /* the bits of sqrt(1/2) */
    raw -= exponent << 23;
    float r;
    memcpy(&r, &raw, sizeof r);
    r -= 1.0f;
    static const float c[] = {0.06971611679911022f, -0.11479733963474249f, 0.1168541989570348f,
                              -0.12425687310808695f, 0.14249057646511032f, -0.1666780232062148f,
                              0.20000715748898706f, -0.24999996957933387f, 0.33333331180029935f};
    const float square = r * r;
    const float p = polynomial(c, 9, r);
    return r + (r * square * p - 0.5f * square) + (float)exponent * 0.6931471805599453f;
}

/* cos 2 pi f for |f| <= 1/2, in s = f^2 */
static inline float cosine_polynomial(float s) {
    static const float c[] = {6.527705962902734f, -25.966884612550658f, 60.16742979194585f,
                              -85.45011342750767f, 64.93911592834692f, -19.739204466576158f,
                              0.9999999889445765f};
    return polynomial(c, 7, s);
}

static inline float normal(uint32_t first, uint32_t second) {
    const float square = fmaxf(-2.0f * log_polynomial(uniform(first)), 0.0f);
    const float fraction = (float)(int32_t)second * TO_UNIT;
    return sqrtf(square) * cosine_polynomial(fraction * fraction);
}

/* chains whose positions stay in registers or in the first cache from step to step */
enum { BLOCK = 64 };

int double_well_same_bits(float *x, int64_t chains, int64_t steps, float rate, float scale,
                          uint32_t key0, uint32_t key1) {
    const uint32_t stream[2] = {key0, key1};
    uint32_t(*words)[2] = malloc((size_t)steps * sizeof *words);
    if (!words) return 1;
#pragma omp parallel num_threads(omp_get_num_procs())
    {
#pragma omp for schedule(static)
        for (int64_t step = 0; step < steps; ++step) {
            uint32_t here[2];
            folded(stream, (uint32_t)step, here);
            folded(here, 0, words[step]);
        }
#pragma omp for schedule(static)
        for (int64_t start = 0; start < chains; start += BLOCK) {
            const int64_t left = chains - start;
            const int64_t size = left < BLOCK ? left : BLOCK;
            float y[BLOCK] = {0};
            memcpy(y, x + start, (size_t)size * sizeof *y);
            for (int64_t step = 0; step < steps; ++step) {
                const uint32_t k0 = words[step][0], k1 = words[step][1], k2 = parity(k0, k1);
#pragma omp simd
                for (int lane = 0; lane < BLOCK; ++lane) {
                    uint32_t first = (uint32_t)start + (uint32_t)lane, second = 0;
                    THREEFRY(first, second, k0, k1, k2)
                    y[lane] = moved(y[lane], rate, scale * normal(first, second));
                }
            }
            memcpy(x + start, y, (size_t)size * sizeof *y);
        }
    }
    free(words);
    return 0;
}
