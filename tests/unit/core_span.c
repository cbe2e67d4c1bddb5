/* Spans, against the plainest code that does the same. */
#include "core_help.h"

#include <ctype.h>
#include <string.h>

#include "hs_span.h"

static bool same_but_case(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int x = a[i] < 128 ? tolower(a[i]) : a[i];
        int y = b[i] < 128 ? tolower(b[i]) : b[i];
        if (x != y)
            return false;
    }
    return true;
}

Test(core_span, nocase_of_every_pair_of_bytes_at_every_place)
{
    for (size_t len = 1; len <= 19; len++) {
        for (size_t at = 0; at < len; at++) {
            uint8_t a[19], b[19];
            memset(a, 'q', sizeof(a));
            memset(b, 'Q', sizeof(b));
            int wrong = -1; /* one assertion for them all: it takes longer than what it looks at */
            for (int pair = 0; pair < 65536; pair++) {
                a[at] = (uint8_t)(pair >> 8);
                b[at] = (uint8_t)pair;
                bool same = hs_span_eq_nocase(hs_span_of(a, len), hs_span_of(b, len));
                wrong = same == same_but_case(a, b, len) ? wrong : pair;
            }
            cr_assert_eq(wrong, -1, "%zu of %zu: %04x", at, len, (unsigned)wrong);
        }
    }
}

Test(core_span, nocase_of_random_bytes)
{
    rng r = rng_seeded("nocase");
    for (int i = 0; i < 200000; i++) {
        uint8_t a[24], b[24];
        size_t len = rng_below(&r, sizeof(a) + 1);
        for (size_t k = 0; k < len; k++) {
            a[k] = (uint8_t)rng_next(&r);
            b[k] = rng_one_in(&r, 2) ? a[k] ^ 0x20 : a[k];
        }
        bool same = hs_span_eq_nocase(hs_span_of(a, len), hs_span_of(b, len));
        cr_assert_eq(same, same_but_case(a, b, len));
    }
}

Test(core_span, nocase_needs_the_same_length)
{
    cr_assert(hs_span_eq_nocase(HS_SPAN("Content-Length"), HS_SPAN("content-lENGTH")));
    cr_assert_not(hs_span_eq_nocase(HS_SPAN("Content-Length"), HS_SPAN("Content-Lengt")));
    cr_assert(hs_span_eq_nocase(hs_span_of(NULL, 0), HS_SPAN("")));
}

Test(core_span, small_ones)
{
    hs_span s = hs_span_str("GET /x");
    cr_assert_eq(s.len, 6);
    cr_assert(hs_span_eq(s, HS_SPAN("GET /x")));
    cr_assert_not(hs_span_eq(s, HS_SPAN("GET /y")));
    cr_assert_not(hs_span_eq(s, HS_SPAN("GET /")));
    cr_assert(hs_span_eq(hs_span_of(NULL, 0), HS_SPAN("")));
    cr_assert(hs_span_starts(s, HS_SPAN("GET ")));
    cr_assert(hs_span_starts(s, hs_span_of(NULL, 0)));
    cr_assert_not(hs_span_starts(s, HS_SPAN("PUT ")));
    cr_assert_not(hs_span_starts(s, HS_SPAN("GET /xy")));
    cr_assert(hs_span_eq(hs_span_from(s, 4), HS_SPAN("/x")));
    cr_assert_eq(hs_span_from(s, 6).len, 0);
}

Test(core_span, trim)
{
    static const char *const rows[][2] = {
        {"", ""},       {" ", ""},    {" \t \t", ""},       {"a", "a"},
        {" a", "a"},    {"a\t", "a"}, {"\t a b \t", "a b"}, {"\ra\n", "\ra\n"},
        {"\va", "\va"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++)
        cr_expect(hs_span_eq(hs_span_trim(hs_span_str(rows[i][0])), hs_span_str(rows[i][1])),
                  "row %zu", i);
    cr_assert_eq(hs_span_trim(hs_span_of(NULL, 0)).len, 0);
}

Test(core_span, u64)
{
    uint64_t value = 77;
    static const char *const bad[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x1",
        "1a",
        "1.0",
        "18446744073709551616",
        "18446744073709551625",
        "99999999999999999999",
        "184467440737095516150",
        "/",
        ":",
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        cr_expect_not(hs_span_u64(hs_span_str(bad[i]), UINT64_MAX, &value), "\"%s\"", bad[i]);
        cr_expect_eq(value, 77);
    }
    cr_assert(hs_span_u64(HS_SPAN("18446744073709551615"), UINT64_MAX, &value));
    cr_assert_eq(value, UINT64_MAX);
    cr_assert(hs_span_u64(HS_SPAN("000000000000000000000000007"), 7, &value));
    cr_assert_eq(value, 7);
    cr_assert_not(hs_span_u64(HS_SPAN("8"), 7, &value));
    cr_assert(hs_span_u64(HS_SPAN("0"), 0, &value));
    cr_assert_eq(value, 0);
}

Test(core_span, fmt_u64_and_back)
{
    rng r = rng_seeded("fmt_u64");
    for (int i = 0; i < 100000; i++) {
        uint64_t value = rng_next(&r) >> rng_below(&r, 64), back = 0;
        if (i < 3)
            value = (uint64_t[]){0, 9, UINT64_MAX}[i];
        char digits[21] = "....................", expected[24];
        size_t len = hs_fmt_u64(digits, value);
        snprintf(expected, sizeof(expected), "%" PRIu64, value);
        cr_assert_eq(len, strlen(expected));
        cr_assert_eq(memcmp(digits, expected, len), 0);
        cr_assert(hs_span_u64(hs_span_of(digits, len), UINT64_MAX, &back));
        cr_assert_eq(back, value);
    }
}
