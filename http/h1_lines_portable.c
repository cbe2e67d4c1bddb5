/* The head parser's line loop without SIMD: a table, a byte at a time.
 *
 * Owns: the scanners that run anywhere, and that the others are tested against. Tested by:
 * tests/unit/http_h1_head.c, tests/fuzz/fuzz_h1_head.c. */
#define H1_LINES h1_lines_portable

#include "class.h"

static inline const uint8_t *scan_target(const uint8_t *p, const uint8_t *end, const uint8_t *base)
{
    (void)base;
    while (p < end && class_is(*p, CLASS_TARGET))
        p++;
    return p;
}

static inline const uint8_t *scan_value(const uint8_t *p, const uint8_t *end, const uint8_t *base)
{
    (void)base;
    while (p < end && !class_is(*p, CLASS_CTL))
        p++;
    return p;
}

static inline const uint8_t *scan_host(const uint8_t *p, const uint8_t *end, const uint8_t *base)
{
    (void)base;
    while (p < end && class_is(*p, CLASS_HOST))
        p++;
    return p;
}

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
    while (p < end && class_is(*p, CLASS_TOKEN))
        p++;
    *name_end = p;
    *value_end = scan_value(p, end, base);
}

#include "h1_lines.h"
