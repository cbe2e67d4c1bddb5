/* The head parser: every case with each line loop, in one piece, in every pair of pieces and byte
 * by byte; all must agree. */
#include <criterion/criterion.h>

#include "http_ways.h"

static const h1_limits usual = {
    .head_bytes_max = 16384, .target_bytes_max = 8192, .fields_max = 100};

static inline h1_result one(h1_head *head, const char *bytes, size_t len, uint32_t kind,
                            const h1_limits *limits)
{
    ways_init(head, kind);
    return ways_step(head, (const uint8_t *)bytes, len, limits);
}

/* Parse in all ways; the verdict of the portable loop in one piece is left in `head`. */
static inline h1_result all_ways(h1_head *head, const char *text, size_t len, uint32_t kind,
                                 const h1_limits *limits)
{
    static h1_head other;
    const uint8_t *bytes = (const uint8_t *)text;
    ways_loop loops[WAYS_LOOPS_MAX];
    size_t loops_len = ways_loops(loops);
    h1_head_use_lines(h1_lines_portable);
    h1_result first = one(head, text, len, kind, limits);
    size_t step = len > 1000 ? 97 : 1; /* long ones: not at each byte, that would be quadratic */
    for (size_t i = 0; i < loops_len; i++) {
        h1_head_use_lines(loops[i].fn);
        for (size_t cut = 0; cut < len; cut += step) {
            h1_result r = ways_split(&other, bytes, len, kind, limits, &cut, 1);
            cr_assert(ways_same(first, head, r, &other),
                      "%s, cut at %zu: %d %u %s, in one piece %d %u %s: %.*s", loops[i].name, cut,
                      r, other.status, r == H1_BAD ? other.fault : "", first, head->status,
                      first == H1_BAD ? head->fault : "", (int)len, text);
        }
        ways_init(&other, kind);
        h1_result r = H1_MORE;
        size_t have = 0;
        while (r == H1_MORE && have < len) {
            have += HS_MIN(step, len - have);
            r = ways_step(&other, bytes, have, limits);
        }
        cr_assert(ways_same(first, head, r, &other), "%s, in steps: %.*s", loops[i].name, (int)len,
                  text);
    }
    h1_head_use_lines(NULL);
    return first;
}

#define PARSE(head, text) all_ways(head, text, sizeof(text) - 1, WAYS_REQUEST, &usual)

static inline void expect_span(const char *base, uint16_t at, uint16_t len, const char *want)
{
    cr_assert_eq(len, strlen(want), "\"%.*s\" instead of \"%s\"", len, base + at, want);
    cr_assert(memcmp(base + at, want, len) == 0, "\"%.*s\" instead of \"%s\"", len, base + at,
              want);
}

typedef struct bad_case {
    uint16_t status; /* 0: accepted; 1: more is wanted */
    const char *text;
    size_t len;
} bad_case;

#define CASE(status, text)                                                                         \
    {                                                                                              \
        status, text, sizeof(text) - 1                                                             \
    }

static inline void check_cases(const bad_case *cases, size_t len)
{
    static h1_head head;
    for (size_t i = 0; i < len; i++) {
        h1_result r = all_ways(&head, cases[i].text, cases[i].len, WAYS_REQUEST, &usual);
        uint16_t status = r == H1_BAD ? head.status : r == H1_MORE ? 1 : 0;
        cr_assert_eq(status, cases[i].status, "%u instead of %u (%s): %s", status, cases[i].status,
                     r == H1_BAD ? head.fault : "no fault", cases[i].text);
    }
}
