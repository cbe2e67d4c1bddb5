/* The head parser's line loop with SSE2, which every x86-64 has.
 *
 * Owns: scanners over windows of 16 bytes. SSE2 has no table look-up, so names are passed over
 * while they are letters, digits and '-', and the table decides at the first byte that is not.
 * Nothing is read outside [base, end). Tested by: tests/unit/http_h1_head.c,
 * tests/fuzz/fuzz_h1_head.c, both against the portable loop. */
#define H1_LINES h1_lines_sse2

#include <emmintrin.h>
#include <string.h>

#include "class.h"

#define WIDE 16

static inline __m128i in_range(__m128i v, char low, char high)
{
    __m128i moved = _mm_sub_epi8(v, _mm_set1_epi8(low));
    return _mm_cmpeq_epi8(_mm_min_epu8(moved, _mm_set1_epi8((char)(high - low))), moved);
}

static inline __m128i is_alnum(__m128i v)
{
    __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    return _mm_or_si128(in_range(lower, 'a', 'z'), in_range(v, '0', '9'));
}

static inline uint32_t mask_not(__m128i in)
{
    return ~(uint32_t)_mm_movemask_epi8(in) & 0xffffu;
}

static inline uint32_t mask_uncommon_name(__m128i v)
{
    return mask_not(_mm_or_si128(is_alnum(v), _mm_cmpeq_epi8(v, _mm_set1_epi8('-'))));
}

/* Controls and the space; '?' and DEL, which differ in one bit; '#'. */
static inline uint32_t mask_not_target(__m128i v)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x20)), v);
    __m128i query = _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(0x40)), _mm_set1_epi8(0x7f));
    __m128i hash = _mm_cmpeq_epi8(v, _mm_set1_epi8('#'));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, query), hash));
}

/* Names of hosts as they are: '-' and '.' beside the alphanumerics. */
static inline uint32_t mask_uncommon_host(__m128i v)
{
    __m128i rest =
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('-')), _mm_cmpeq_epi8(v, _mm_set1_epi8('.')));
    return mask_not(_mm_or_si128(is_alnum(v), rest));
}

static inline uint32_t mask_ctl(__m128i v)
{
    __m128i low = in_range(v, 0, 0x1f);
    __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

static inline __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline __m128i load_last(const uint8_t *end, size_t left)
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
        uint32_t found = HS_LIKELY(end - base >= WIDE) ? mask(load(end - WIDE)) >> (WIDE - left)   \
                                                       : mask(load_last(end, left));               \
        return p + __builtin_ctz(found | 1u << left);                                              \
    }

DEFINE_SCAN(scan_value, mask_ctl)
DEFINE_SCAN(scan_target, mask_not_target)
DEFINE_SCAN(scan_host, mask_uncommon_host)
DEFINE_SCAN(scan_common_name, mask_uncommon_name)

/* Nothing is kept between lines. */
typedef struct scan {
    char none;
} scan;

static inline void scan_begin(scan *s, const uint8_t *at, const uint8_t *end, const uint8_t *base)
{
    (void)s, (void)at, (void)end, (void)base;
}

static inline void scan_line(scan *s, const uint8_t *p, const uint8_t *end, const uint8_t *base,
                             const uint8_t **name_end, const uint8_t **value_end)
{
    (void)s;
    for (;;) {
        p = scan_common_name(p, end, base);
        if (p == end || !class_is(*p, CLASS_TOKEN))
            break;
        p++;
    }
    *name_end = p;
    *value_end = scan_value(p, end, base);
}

#include "h1_lines.h"
