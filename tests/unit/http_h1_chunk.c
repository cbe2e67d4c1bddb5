/* The chunked decoder: every case in one piece, in every pair of pieces and byte by byte. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "h1_chunk.h"

typedef struct outcome {
    h1_chunk_result result;
    size_t used; /* in all; of H1_CHUNK_TRAILERS and H1_CHUNK_BAD */
    size_t body_len;
    uint8_t body[8192];
} outcome;

/* Feed one piece from memory of its exact size. False: the decoder is done with. */
static bool feed(h1_chunk *c, outcome *o, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    hs_span in = hs_span_of(copy, len);
    cr_assert_not_null(copy);
    memcpy(copy, bytes, len);
    do {
        size_t used = SIZE_MAX;
        hs_span data;
        o->result = h1_chunk_feed(c, in, &used, &data);
        cr_assert_leq(used, in.len);
        if (o->result == H1_CHUNK_DATA) {
            cr_assert_gt(data.len, 0);
            cr_assert_geq(data.ptr, in.ptr);
            cr_assert_eq(data.ptr + data.len, in.ptr + used);
            cr_assert_leq(o->body_len + data.len, sizeof(o->body));
            memcpy(o->body + o->body_len, data.ptr, data.len);
            o->body_len += data.len;
        } else {
            cr_assert_eq(data.len, 0);
        }
        if (o->result == H1_CHUNK_MORE)
            cr_assert_eq(used, in.len);
        o->used += used;
        in = hs_span_from(in, used);
    } while (o->result == H1_CHUNK_DATA);
    free(copy);
    return o->result == H1_CHUNK_MORE;
}

static void run(outcome *o, const char *text, size_t len, size_t step, size_t first)
{
    h1_chunk c;
    h1_chunk_init(&c);
    *o = (outcome){.result = H1_CHUNK_MORE};
    const uint8_t *bytes = (const uint8_t *)text;
    size_t at = HS_MIN(first, len);
    if (first > 0 && !feed(&c, o, bytes, at))
        return;
    while (at < len) {
        size_t piece = HS_MIN(step, len - at);
        if (!feed(&c, o, bytes + at, piece))
            break;
        at += piece;
    }
    if (o->result == H1_CHUNK_BAD)
        cr_assert_not_null(c.fault);
}

static void all_splits(outcome *o, const char *text, size_t len)
{
    static outcome other;
    run(o, text, len, len, 0);
    size_t stride = len > 1000 ? 61 : 1;
    for (size_t first = 0; first <= len; first += stride) {
        run(&other, text, len, len, first);
        cr_assert(other.result == o->result && other.used == o->used &&
                      other.body_len == o->body_len &&
                      memcmp(other.body, o->body, o->body_len) == 0,
                  "cut at %zu: %s", first, text);
    }
    for (size_t step = 1; step < 5; step++) {
        run(&other, text, len, step, 0);
        cr_assert(other.result == o->result && other.used == o->used &&
                      other.body_len == o->body_len &&
                      memcmp(other.body, o->body, o->body_len) == 0,
                  "steps of %zu: %s", step, text);
    }
}

Test(h1_chunk, bodies)
{
    static const struct {
        const char *text, *body, *rest;
    } cases[] = {
        {"0\r\n", "", ""},
        {"0\r\n\r\n", "", "\r\n"},
        {"000\r\nX: y\r\n\r\n", "", "X: y\r\n\r\n"},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", "\r\n"},
        {"5\r\nhello\r\n1\r\n \r\n6\r\nworld!\r\n0\r\n", "hello world!", ""},
        {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n", "01234567890123456789", ""},
        {"0a\r\n0123456789\r\n0\r\n", "0123456789", ""},
        {"2\r\n\r\n\r\n0\r\n", "\r\n", ""},
        {"7\r\n0\r\n\r\n0\r\r\n0\r\n", "0\r\n\r\n0\r", ""},
        {"1;a\r\nx\r\n0\r\n", "x", ""},
        {"1;a=b;c=d\r\nx\r\n0;e\r\n", "x", ""},
        {"1; a = b ; c\r\nx\r\n0\r\n", "x", ""},
        {"1;a=\"b;c\\\"\xc3\"\r\nx\r\n0\r\n", "x", ""},
        {"1;a=\"\" ;b=\"1\t2\"\r\nx\r\n0\r\n", "x", ""},
        {"1;a=b\t;c\r\nx\r\n0\r\n", "x", ""},
        {"1 \r\nx\r\n0\t \r\n", "x", ""},
        {"1 \t;a\r\nx\r\n0 ; a\r\n", "x", ""},
        {"1;a \r\nx\r\n0;a=b \r\n", "x", ""},
        {"1;a=\"b\"\t\r\nx\r\n0\r\n", "x", ""},
        {"000000000000000000000000000000000000001\r\nx\r\n0\r\n", "x", ""},
    };
    static outcome o;
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].text);
        all_splits(&o, cases[i].text, len);
        cr_assert_eq(o.result, H1_CHUNK_TRAILERS, "%s", cases[i].text);
        cr_assert_eq(o.body_len, strlen(cases[i].body), "%s", cases[i].text);
        cr_assert(memcmp(o.body, cases[i].body, o.body_len) == 0, "%s", cases[i].text);
        cr_assert_eq(o.used, len - strlen(cases[i].rest), "%s", cases[i].text);
    }
}

Test(h1_chunk, unfinished)
{
    static const char *const cases[] = {
        "",
        "5",
        "5\r",
        "5\r\n",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhello\r",
        "5\r\nhello\r\n",
        "0",
        "0\r",
        "5;",
        "5;a",
        "5;a=",
        "5;a=\"",
        "5;a=\"\\",
        "5;a=\"b\"",
        "7fffffffffffffff\r\nx",
        "5;a ",
        "5 ",
        "5 ;",
        "5 \r",
    };
    static outcome o;
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        all_splits(&o, cases[i], strlen(cases[i]));
        cr_assert_eq(o.result, H1_CHUNK_MORE, "%s", cases[i]);
    }
}

#define BAD(text)                                                                                  \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct {
    const char *text;
    size_t len;
} broken[] = {
    BAD("\r\n"),
    BAD("\n"),
    BAD(" 5\r\n"),
    BAD("\t5"),
    BAD("+5"),
    BAD("-1"),
    BAD("0x5"),
    BAD("g"),
    BAD(";a\r\n"),
    BAD("5\n"),
    BAD("5\r\r\n"),
    BAD("5\rX"),
    BAD("5,\r\n"),
    BAD("5 5\r\n"),
    BAD("5 g\r\n"),
    BAD("5 \n"),
    BAD("5 ,\r\n"),
    BAD("5\0\r\n"),
    BAD("5h\r\n"),
    BAD("0\n"),
    BAD("0\r\r"),
    BAD("8000000000000000\r\n"),
    BAD("10000000000000000\r\n"),
    BAD("ffffffffffffffff"),
    BAD("10000000000000005\r\n"),
    BAD("100000000000000000000000000000005\r\n"),
    BAD("5\r\nhello!"),
    BAD("5\r\nhello\n"),
    BAD("5\r\nhello\r\r"),
    BAD("5\r\nhello\rX"),
    BAD("5\r\nhello5\r\n"),
    BAD("5\r\nhello\r\n\r\n"),
    BAD("4\r\nhello\r\n0\r\n"),
    BAD("6\r\nhello\r\n0\r\n"),
    BAD("5;\r\n"),
    BAD("5; \r\n"),
    BAD("5;=b\r\n"),
    BAD("5;a=\r\n"),
    BAD("5;a= \r\n"),
    BAD("5;a b\r\n"),
    BAD("5;a=b c\r\n"),
    BAD("5;a=b,c\r\n"),
    BAD("5;a=\"b\"c\r\n"),
    BAD("5;a=\"b\n"),
    BAD("5;a=\"\r\n"),
    BAD("5;a=\"\\\r\n"),
    BAD("5;a\n"),
    BAD("5;a\rb"),
    BAD("5;a=b\n"),
    BAD("5;a\0b"),
    BAD("5;a=\"\0"),
    BAD("5;a;\r\n"),
    BAD("5;;a\r\n"),
    BAD("5;a=b;\r\n"),
    BAD("5;\x80\r\n"),
    BAD("5;a=\x80\r\n"),
    BAD("5;a=\"b\"\n"),
};

Test(h1_chunk, broken)
{
    static outcome o;
    for (size_t i = 0; i < HS_ARRAY_LEN(broken); i++) {
        all_splits(&o, broken[i].text, broken[i].len);
        cr_assert_eq(o.result, H1_CHUNK_BAD, "%s", broken[i].text);
    }
}

Test(h1_chunk, the_largest_size)
{
    static const char text[] = "7fffffffffffffff\r\nabc";
    h1_chunk c;
    size_t used;
    hs_span data;
    hs_span in = hs_span_of(text, sizeof(text) - 1);
    h1_chunk_init(&c);
    cr_assert_eq(h1_chunk_feed(&c, in, &used, &data), H1_CHUNK_DATA);
    cr_assert_eq(data.len, 3);
    cr_assert_eq(c.left, (uint64_t)INT64_MAX - 3);
}

Test(h1_chunk, a_line_has_a_limit)
{
    static outcome o;
    static char text[H1_CHUNK_LINE_BYTES_MAX + 8];
    for (size_t len = H1_CHUNK_LINE_BYTES_MAX - 1; len <= H1_CHUNK_LINE_BYTES_MAX + 1; len++) {
        /* `len` bytes with CRLF: "0;aaaa" or zeros. */
        for (int zeros = 0; zeros < 2; zeros++) {
            memset(text, zeros ? '0' : 'a', len);
            memcpy(text, zeros ? "00" : "0;", 2);
            memcpy(text + len - 2, "\r\n", 2);
            all_splits(&o, text, len);
            cr_assert_eq(o.result,
                         len > H1_CHUNK_LINE_BYTES_MAX ? H1_CHUNK_BAD : H1_CHUNK_TRAILERS);
        }
    }
    /* The limit is each line's own. */
    size_t n = 0;
    static char many[4096];
    for (int i = 0; i < 200; i++)
        n += (size_t)snprintf(many + n, sizeof(many) - n, "1;abc=def\r\nx\r\n");
    all_splits(&o, many, n);
    cr_assert_eq(o.result, H1_CHUNK_MORE);
    cr_assert_eq(o.body_len, 200);
}
