/* The head parser's line loop with AVX2 and BMI; the build compiles this file alone for them.
 *
 * Owns: scanners over windows of 64 and 32 bytes. Nothing is read outside [base, end): a window
 * that would reach past `end` is read from 32 bytes before it, and the mask is shifted. Tested by:
 * tests/unit/http_h1_head.c, tests/fuzz/fuzz_h1_head.c, both against the portable loop. */
#define H1_LINES h1_lines_avx2

#include <immintrin.h>
#include <string.h>

#include "class.h"

#define WIDE 32

/* For each low nibble, the set of high nibbles (0 to 7) with which it is in the class. */
#define TOKEN_BY_LOW                                                                               \
    (char)0xe8, (char)0xfc, (char)0xf8, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc,            \
        (char)0xfc, (char)0xf8, (char)0xf8, (char)0xf4, (char)0x54, (char)0xd0, (char)0x54,        \
        (char)0xf4, (char)0x70
#define TARGET_BY_LOW                                                                              \
    (char)0xb8, (char)0xfc, (char)0xf8, (char)0xf8, (char)0xfc, (char)0xf8, (char)0xfc,            \
        (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc, (char)0x7c, (char)0x54, (char)0x7c,        \
        (char)0xd4, (char)0x74
#define HIGH_BITS 1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0

static inline uint32_t mask_outside(__m256i v, __m256i by_low)
{
    const __m256i high_bits = _mm256_setr_epi8(HIGH_BITS, HIGH_BITS);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
    __m256i in =
        _mm256_and_si256(_mm256_shuffle_epi8(by_low, v), _mm256_shuffle_epi8(high_bits, high));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

static inline uint32_t mask_not_token(__m256i v)
{
    return mask_outside(v, _mm256_setr_epi8(TOKEN_BY_LOW, TOKEN_BY_LOW));
}

static inline uint32_t mask_not_target(__m256i v)
{
    return mask_outside(v, _mm256_setr_epi8(TARGET_BY_LOW, TARGET_BY_LOW));
}

static inline uint32_t mask_ctl(__m256i v)
{
    __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
    __m256i tab = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\t'));
    __m256i del = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(0x7f));
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_andnot_si256(tab, low), del));
}

static inline __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* The last `left` < 32 bytes before `end`, moved to the front; what follows them is anything. */
static inline __m256i load_last(const uint8_t *end, size_t left)
{
    uint8_t copy[WIDE] = {0};
    memcpy(copy, end - left, left);
    return load(copy);
}

#define DEFINE_SCAN(name, mask)                                                                    \
    static inline const uint8_t *name(const uint8_t *p, const uint8_t *end, const uint8_t *base)   \
    {                                                                                              \
        for (; end - p >= WIDE; p += WIDE) {                                                       \
            uint32_t found = mask(load(p));                                                        \
            if (found != 0)                                                                        \
                return p + __builtin_ctz(found);                                                   \
        }                                                                                          \
        size_t left = (size_t)(end - p);                                                           \
        uint64_t found = HS_LIKELY(end - base >= WIDE)                                             \
                             ? (uint64_t)mask(load(end - WIDE)) >> (WIDE - left)                   \
                             : mask(load_last(end, left));                                         \
        return p + __builtin_ctzll(found | UINT64_C(1) << left);                                   \
    }

DEFINE_SCAN(scan_target, mask_not_target)
DEFINE_SCAN(scan_value, mask_ctl)
DEFINE_SCAN(scan_token, mask_not_token)

/* Most lines are shorter than 64 bytes and most names than 32: both ends come from one look, and
 * the next line's place depends on one short chain of instructions. */
static inline void scan_line(const uint8_t *p, const uint8_t *end, const uint8_t *base,
                             const uint8_t **name_end, const uint8_t **value_end)
{
    size_t left = (size_t)(end - p);
    uint64_t stops;
    uint64_t ctls;
    if (left >= 2 * WIDE) {
        __m256i v = load(p);
        stops = mask_not_token(v);
        ctls = mask_ctl(v) | (uint64_t)mask_ctl(load(p + WIDE)) << WIDE;
    } else if (left >= WIDE) {
        __m256i v = load(p);
        stops = mask_not_token(v);
        ctls = mask_ctl(v) | (uint64_t)mask_ctl(load(end - WIDE)) << (left - WIDE);
        ctls |= UINT64_C(1) << left;
    } else {
        bool roomy = end - base >= WIDE;
        __m256i v = HS_LIKELY(roomy) ? load(end - WIDE) : load_last(end, left);
        unsigned shift = HS_LIKELY(roomy) ? (unsigned)(WIDE - left) : 0;
        stops = (uint64_t)mask_not_token(v) >> shift | UINT64_C(1) << left;
        ctls = (uint64_t)mask_ctl(v) >> shift | UINT64_C(1) << left;
    }
    *name_end =
        HS_LIKELY(stops != 0) ? p + __builtin_ctzll(stops) : scan_token(p + WIDE, end, base);
    *value_end =
        HS_LIKELY(ctls != 0) ? p + __builtin_ctzll(ctls) : scan_value(p + 2 * WIDE, end, base);
}

#include "h1_lines.h"
