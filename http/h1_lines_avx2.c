/* The head parser's line loop with AVX2 and BMI; the build compiles this file alone for them.
 *
 * Owns: scanners over blocks of 64 and 32 bytes. Nothing is read outside [base, end): a window
 * that would reach past `end` is read from 32 bytes before it, and the mask is shifted. Tested by:
 * tests/unit/http_h1_head.c, tests/fuzz/fuzz_h1_head.c, both against the portable loop. */
#define H1_LINES h1_lines_avx2

#include <immintrin.h>
#include <string.h>

#include "class.h"

#define WIDE 32
#define BLOCK 64
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* For each low nibble, the set of high nibbles (0 to 7) with which it is in the class. */
#define TOKEN_BY_LOW                                                                               \
    (char)0xe8, (char)0xfc, (char)0xf8, (char)0xfc, (char)0xfc, (char)0xfc, (char)0xfc,            \
        (char)0xfc, (char)0xf8, (char)0xf8, (char)0xf4, (char)0x54, (char)0xd0, (char)0x54,        \
        (char)0xf4, (char)0x70
#define HOST_BY_LOW                                                                                \
    (char)0xa8, (char)0xfc, (char)0xf8, (char)0xf8, (char)0xfc, (char)0xf8, (char)0xfc,            \
        (char)0xfc, (char)0xfc, (char)0xfc, (char)0xf4, (char)0x5c, (char)0x54, (char)0x5c,        \
        (char)0xd4, (char)0x70
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

/* Controls and the space; '?' and DEL, which differ in one bit; '#'. */
static inline uint32_t mask_not_target(__m256i v)
{
    __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x20)), v);
    __m256i query =
        _mm256_cmpeq_epi8(_mm256_or_si256(v, _mm256_set1_epi8(0x40)), _mm256_set1_epi8(0x7f));
    __m256i hash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('#'));
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(low, query), hash));
}

static inline uint32_t mask_not_host(__m256i v)
{
    return mask_outside(v, _mm256_setr_epi8(HOST_BY_LOW, HOST_BY_LOW));
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

/* The last `left` < 32 bytes before `end`, moved to the front, where there are not 32 bytes in all.
 * Rare: kept out of line, so that the callers need no stack. */
static HS_COLD __m256i load_last(const uint8_t *end, size_t left)
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
DEFINE_SCAN(scan_host, mask_not_host)

/* Where names and lines may end, for the 64 bytes from `block` on. Blocks follow each other without
 * a look at what is in them, so the processor classifies the next ones while it still works on a
 * line: what one line waits for of the line before is a few bit operations. */
typedef struct scan {
    const uint8_t *block;
    uint64_t stops; /* not CLASS_TOKEN; and `end` */
    uint64_t ctls;  /* CLASS_CTL; and `end` */
} scan;

static ALWAYS_INLINE void scan_begin(scan *s, const uint8_t *at, const uint8_t *end,
                                     const uint8_t *base)
{
    size_t left = (size_t)(end - at);
    s->block = at;
    if (HS_LIKELY(left >= WIDE)) {
        bool whole = left >= 2 * WIDE;
        __m256i v = load(at);
        __m256i w = load(whole ? at + WIDE : end - WIDE);
        unsigned shift = whole ? WIDE : (unsigned)left - WIDE;
        s->stops = mask_not_token(v) | (uint64_t)mask_not_token(w) << shift;
        s->ctls = mask_ctl(v) | (uint64_t)mask_ctl(w) << shift;
        if (whole)
            return;
    } else {
        bool roomy = end - base >= WIDE;
        __m256i v = HS_LIKELY(roomy) ? load(end - WIDE) : load_last(end, left);
        unsigned shift = HS_LIKELY(roomy) ? (unsigned)(WIDE - left) : 0;
        s->stops = (uint64_t)mask_not_token(v) >> shift;
        s->ctls = (uint64_t)mask_ctl(v) >> shift;
    }
    s->stops |= UINT64_C(1) << left;
    s->ctls |= UINT64_C(1) << left;
}

static ALWAYS_INLINE void scan_line(scan *s, const uint8_t *p, const uint8_t *end,
                                    const uint8_t *base, const uint8_t **name_end,
                                    const uint8_t **value_end)
{
    uint64_t bits;
    /* The line may begin just behind the block, as its CRLF before was the block's end. */
    while ((bits = p - s->block < BLOCK ? s->stops >> (p - s->block) : 0) == 0) {
        scan_begin(s, s->block + BLOCK, end, base);
        p = HS_MAX(p, s->block);
    }
    p += __builtin_ctzll(bits);
    *name_end = p;
    while ((bits = s->ctls >> (p - s->block)) == 0) {
        scan_begin(s, s->block + BLOCK, end, base);
        p = s->block;
    }
    *value_end = p + __builtin_ctzll(bits);
}

#include "h1_lines.h"
