/* The head parser's line loop with NEON, which every aarch64 has.
 *
 * Owns: scanners over windows of 16 bytes. Nothing is read outside [base, end).
 * Tested by: tests/unit/http_h1_head.c, tests/fuzz/fuzz_h1_head.c, both against the portable loop.
 */
#define H1_LINES h1_lines_neon

#include <arm_neon.h>
#include <string.h>

#include "class.h"

#define WIDE 16

/* For each low nibble, the set of high nibbles (0 to 7) with which it is in the class. */
static const uint8_t token_by_low[16] = {0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc,
                                         0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70};
static const uint8_t host_by_low[16] = {0xa8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc,
                                        0xfc, 0xfc, 0xf4, 0x5c, 0x54, 0x5c, 0xd4, 0x70};
static const uint8_t high_bits[16] = {1, 2, 4, 8, 16, 32, 64, 128};

/* Four bits for each byte, in order: NEON has no instruction that gives one. */
static inline uint64_t mask_of(uint8x16_t is)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(is), 4)), 0);
}

static inline uint64_t mask_outside(uint8x16_t v, const uint8_t *by_low)
{
    uint8x16_t low = vqtbl1q_u8(vld1q_u8(by_low), vandq_u8(v, vdupq_n_u8(0x0f)));
    uint8x16_t high = vqtbl1q_u8(vld1q_u8(high_bits), vshrq_n_u8(v, 4));
    return mask_of(vceqzq_u8(vandq_u8(low, high)));
}

static inline uint64_t mask_not_token(uint8x16_t v)
{
    return mask_outside(v, token_by_low);
}

/* Controls and the space; '?' and DEL, which differ in one bit; '#'. */
static inline uint64_t mask_not_target(uint8x16_t v)
{
    uint8x16_t low = vcleq_u8(v, vdupq_n_u8(0x20));
    uint8x16_t query = vceqq_u8(vorrq_u8(v, vdupq_n_u8(0x40)), vdupq_n_u8(0x7f));
    uint8x16_t hash = vceqq_u8(v, vdupq_n_u8('#'));
    return mask_of(vorrq_u8(vorrq_u8(low, query), hash));
}

static inline uint64_t mask_not_host(uint8x16_t v)
{
    return mask_outside(v, host_by_low);
}

static inline uint64_t mask_ctl(uint8x16_t v)
{
    uint8x16_t low = vcltq_u8(v, vdupq_n_u8(0x20));
    uint8x16_t tab = vceqq_u8(v, vdupq_n_u8('\t'));
    uint8x16_t del = vceqq_u8(v, vdupq_n_u8(0x7f));
    return mask_of(vorrq_u8(vbicq_u8(low, tab), del));
}

static inline uint8x16_t load_last(const uint8_t *end, size_t left)
{
    uint8_t copy[WIDE] = {0};
    memcpy(copy, end - left, left);
    return vld1q_u8(copy);
}

#define DEFINE_SCAN(name, mask)                                                                    \
    static inline const uint8_t *name(const uint8_t *p, const uint8_t *end, const uint8_t *base)   \
    {                                                                                              \
        for (; end - p >= WIDE; p += WIDE) {                                                       \
            uint64_t found = mask(vld1q_u8(p));                                                    \
            if (found != 0)                                                                        \
                return p + (__builtin_ctzll(found) >> 2);                                          \
        }                                                                                          \
        size_t left = (size_t)(end - p);                                                           \
        if (left == 0)                                                                             \
            return end;                                                                            \
        uint64_t found = HS_LIKELY(end - base >= WIDE)                                             \
                             ? mask(vld1q_u8(end - WIDE)) >> (4 * (WIDE - left))                   \
                             : mask(load_last(end, left));                                         \
        return p + (__builtin_ctzll(found | UINT64_C(1) << (4 * left)) >> 2);                      \
    }

DEFINE_SCAN(scan_target, mask_not_target)
DEFINE_SCAN(scan_value, mask_ctl)
DEFINE_SCAN(scan_host, mask_not_host)
DEFINE_SCAN(scan_token, mask_not_token)

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
    *name_end = scan_token(p, end, base);
    *value_end = scan_value(*name_end, end, base);
}

#include "h1_lines.h"
