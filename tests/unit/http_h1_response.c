/* The heads of responses: each is scanned in one piece, in two pieces cut at each byte, and byte by
 * byte, then read; all must agree. What odd ones come to is in http_response_table.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "h1_response.h"

#define OK11 "HTTP/1.1 200 OK\r\n"

static const h1_limits usual = {
    .head_bytes_max = 16384, .target_bytes_max = 8192, .fields_max = 100};

static hs_pool chunks;
static hs_arena arena;
static uint8_t *kept; /* the bytes of the head that was parsed last */

static void begin(void)
{
    cr_assert(hs_ok(hs_pool_init(&chunks, hs_mem_system(), HS_CHUNK_BYTES, 64)));
    hs_arena_init(&arena, &chunks, 8u << 20);
}

static void end(void)
{
    free(kept);
    hs_arena_reset(&arena);
    hs_pool_fini(&chunks);
}

TestSuite(h1_response, .init = begin, .fini = end);

/* Scan the first `len` bytes in memory that ends right behind them. */
static h1_result scan(h1_response *h, const char *text, size_t len, const h1_limits *limits)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    cr_assert_not_null(copy);
    memcpy(copy, text, len);
    h1_result result = h1_response_scan(h, copy, len, limits);
    free(copy);
    return result;
}

static h1_result scan_cut(h1_response *h, hs_method method, const char *text, size_t len,
                          size_t cut, const h1_limits *limits)
{
    h1_response_init(h, method);
    h1_result result = cut < len ? scan(h, text, cut, limits) : H1_MORE;
    return result == H1_MORE ? scan(h, text, len, limits) : result;
}

static h1_result parse_as(h1_response *h, hs_method method, const char *text, size_t len,
                          const h1_limits *limits)
{
    static h1_response other;
    h1_result result = scan_cut(h, method, text, len, len, limits);
    size_t step = 1 + len / 3000 * 100; /* long ones: not at each byte */
    for (size_t cut = 0; cut < len; cut += step) {
        h1_result r = scan_cut(&other, method, text, len, cut, limits);
        cr_assert_eq(r, result, "cut at %zu: %s", cut, text);
        cr_assert_eq(other.bytes, h->bytes);
        cr_assert(r != H1_BAD || strcmp(other.fault, h->fault) == 0, "%s", other.fault);
    }
    h1_response_init(&other, method);
    h1_result stepped = H1_MORE;
    for (size_t have = step; stepped == H1_MORE && have < len + step; have += step)
        stepped = scan(&other, text, HS_MIN(have, len), limits);
    cr_assert_eq(stepped, result, "%s", text);
    if (result != H1_DONE)
        return result;
    cr_assert_eq(other.bytes, h->bytes);
    free(kept);
    kept = malloc(h->bytes);
    cr_assert_not_null(kept);
    memcpy(kept, text, h->bytes);
    return h1_response_read(h, kept, &arena, limits);
}

static void parse(h1_response *h, hs_method method, const char *text)
{
    h1_result r = parse_as(h, method, text, strlen(text), &usual);
    cr_assert_eq(r, H1_DONE, "%s: %s", r == H1_BAD ? h->fault : "more", text);
}

static void expect_bad(const char *text, int32_t err)
{
    h1_response h;
    cr_assert_eq(parse_as(&h, HS_METHOD_GET, text, strlen(text), &usual), H1_BAD, "%s", text);
    cr_assert_eq(h.err.code, err, "%s", text);
}

static void expect_span(hs_span s, const char *want)
{
    cr_assert(hs_span_eq(s, hs_span_str(want)), "\"%.*s\" instead of \"%s\"", (int)s.len,
              (const char *)s.ptr, want);
}

Test(h1_response, status_lines)
{
    h1_response h;
    parse(&h, HS_METHOD_GET, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n");
    cr_assert_eq(h.status, 404);
    cr_assert_eq(h.minor, 1);
    cr_assert_eq(h.fields_len, 1);
    expect_span(h.reason, "Not Found");
    parse(&h, HS_METHOD_GET, "HTTP/1.0 599 \r\n\r\n");
    cr_assert_eq(h.minor, 0);
    expect_span(h.reason, "");
    parse(&h, HS_METHOD_GET, "HTTP/1.1 200\r\n\r\n");
    expect_span(h.reason, "");
    parse(&h, HS_METHOD_GET, "HTTP/1.1 200 \xe2\x98\x83\ta\r\n\r\n");
    expect_span(h.reason, "\xe2\x98\x83\ta");
    parse(&h, HS_METHOD_GET, "\r\n\nhttp/1.3  \t 999\tNo \n\n");
    cr_assert_eq(h.status, 999);
    cr_assert_eq(h.minor, 1);
    expect_span(h.reason, "No");
}

Test(h1_response, bad_status_lines)
{
    static const char *const lines[] = {
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1200 OK\r\n\r\n",
        "HTTP/1.1 200O\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/1.11 200 OK\r\n",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/2 200\r\n",
        "HTTP1.1 200 OK\r\n",
        "HTTP/1,1 200 OK\r\n",
        "HT\x14P/1.1 200 OK\r\n",
        "HTTP\0171.1 200\r\n",
        "ICY 200 OK\r\n\r\n",
        "<html>",
        " HTTP/1.1 200 OK\r\n",
        "\r\rHTTP/1.1 200 OK\r\n",
        "\r\n\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 O\rK\n\n",
        "HTTP/1.1 200 OK\r\r\n\n",
        "HTTP/1.1                  200 OK",
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(lines); i++)
        expect_bad(lines[i], HS_E_PROTOCOL);
}

/* A status line that is none is refused at its first wrong byte. */
Test(h1_response, refused_at_once)
{
    static const char *const lines[] = {"x", "HX", "HTTP/1.1 2x", "HTTP/1.1 2000", "\rx"};
    for (size_t i = 0; i < HS_ARRAY_LEN(lines); i++) {
        h1_response h;
        size_t len = strlen(lines[i]);
        h1_response_init(&h, HS_METHOD_GET);
        cr_assert_eq(scan(&h, lines[i], len - 1, &usual), H1_MORE, "%s", lines[i]);
        cr_assert_eq(scan(&h, lines[i], len, &usual), H1_BAD, "%s", lines[i]);
    }
}

Test(h1_response, fields)
{
    static const struct {
        const char *lines, *name, *value; /* NULL: none */
    } cases[] = {
        {"A: b\r\n", "A", "b"},
        {"A:b\n", "A", "b"},
        {"A:\r\n", "A", ""},
        {"A: \t b \t \r\n", "A", "b"},
        {"A \t: b\r\n", "A", "b"},
        {"A: b\r\n c\r\n", "A", "b   c"},
        {"A: b\n\tc\n", "A", "b \tc"},
        {"A:\r\n b\r\n\r\n", "A", "b"},
        {"A: b\r\n \t\r\n  c\r\n", "A", "b   \t    c"},
        {"A: b\r\n \r\n", "A", "b"},
        {"A: \x01\x7f\xff\r\n", "A", "\x01\x7f\xff"},
        {"A: b: c\r\n", "A", "b: c"},
        {"\tA: b\r\n", NULL, NULL},
        {" A: b\r\n c\r\n d\r\n", NULL, NULL},
        {"A\r\n b: c\r\n", NULL, NULL},
        {"A B: c\r\n", NULL, NULL},
        {": c\r\n", NULL, NULL},
        {"A\xff: c\r\n", NULL, NULL},
        {"A\x01: c\r\n", NULL, NULL},
        {"A;: c\r\n", NULL, NULL},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        char text[200];
        h1_response h;
        snprintf(text, sizeof text, OK11 "%s\r\n", cases[i].lines);
        parse(&h, HS_METHOD_GET, text);
        expect_span(h.reason, "OK");
        cr_assert_eq(h.fields_len, cases[i].name ? 1 : 0, "%s", text);
        if (cases[i].name) {
            expect_span(h.fields[0].name, cases[i].name);
            expect_span(h.fields[0].value, cases[i].value);
        }
    }
    expect_bad(OK11 "A: b\rc\r\n\r\n", HS_E_PROTOCOL);
    expect_bad(OK11 "A\rB: c\r\n\r\n", HS_E_PROTOCOL);
    expect_bad(OK11 "A: b\r\n c\rd\r\n\r\n", HS_E_PROTOCOL);
    h1_response h;
    static const char nul[] = OK11 "A: b\0c\r\n\r\n";
    cr_assert_eq(parse_as(&h, HS_METHOD_GET, nul, sizeof nul - 1, &usual), H1_BAD);
}

static void expect_body(hs_method method, const char *text, h1_body body, bool keep_alive)
{
    h1_response h;
    parse(&h, method, text);
    cr_assert_eq(h.body, body, "%d: %s", h.body, text);
    cr_assert_eq(h.keep_alive, keep_alive, "%s", text);
}

/* RFC 9112 section 6.3, in its order. */
Test(h1_response, framing)
{
    static const char length[] = OK11 "Content-Length: 5\r\n\r\n";
    static const char chunked[] = OK11 "Transfer-Encoding: chunked\r\n\r\n";
    expect_body(HS_METHOD_HEAD, length, H1_BODY_NONE, true);
    expect_body(HS_METHOD_HEAD, chunked, H1_BODY_NONE, true);
    expect_body(HS_METHOD_HEAD, OK11 "\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.1 100 x\r\n\r\n", H1_BODY_NONE, true);
    expect_body(HS_METHOD_GET, "HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n", H1_BODY_NONE, false);
    expect_body(HS_METHOD_CONNECT, length, H1_BODY_TUNNEL, false);
    expect_body(HS_METHOD_CONNECT, "HTTP/1.1 502 x\r\nContent-Length: 5\r\n\r\n", H1_BODY_LENGTH,
                true);
    expect_body(HS_METHOD_GET, length, H1_BODY_LENGTH, true);
    expect_body(HS_METHOD_GET, chunked, H1_BODY_CHUNKED, true);
    expect_body(HS_METHOD_GET, OK11 "\r\n", H1_BODY_CLOSE, false);
    expect_body(HS_METHOD_GET, OK11 "Connection: x, close\r\nContent-Length: 0\r\n\r\n",
                H1_BODY_LENGTH, false);
    expect_body(HS_METHOD_GET, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", H1_BODY_LENGTH,
                false);
    expect_body(HS_METHOD_GET,
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
                H1_BODY_LENGTH, true);
}

/* The fields say what the framing is: of the lengths that were one, one is left, and none that was
 * overridden (RFC 9112 section 6.1: nobody may pass it on). */
Test(h1_response, lengths_are_left_as_they_were_read)
{
    h1_response h;
    parse(&h, HS_METHOD_GET, OK11 "Content-Length: 5, 05\r\nA: b\r\nContent-Length: 5\r\n\r\n");
    cr_assert_eq(h.fields_len, 2);
    expect_span(h.fields[0].name, "Content-Length");
    expect_span(h.fields[0].value, "5");
    expect_span(h.fields[1].name, "A");
    cr_assert_eq(h.content_length, 5);
    parse(&h, HS_METHOD_GET,
          OK11 "content-length: 5\r\nTransfer-Encoding: chunked\r\nContent-length: 5\r\n\r\n");
    cr_assert_eq(h.fields_len, 1);
    expect_span(h.fields[0].name, "Transfer-Encoding");
}

Test(h1_response, trailers)
{
    static const char text[] = "A: b\r\n c\r\nContent-Length: x\r\nHost: y\r\nz\r\nD: e\n\r\nrest";
    h1_response h;
    h1_response_init_trailers(&h);
    cr_assert_eq(scan(&h, text, 5, &usual), H1_MORE);
    cr_assert_eq(scan(&h, text, sizeof text - 1, &usual), H1_DONE);
    cr_assert_eq(h.bytes, sizeof text - 5);
    kept = malloc(h.bytes);
    memcpy(kept, text, h.bytes);
    cr_assert_eq(h1_response_read(&h, kept, &arena, &usual), H1_DONE);
    cr_assert_eq(h.fields_len, 2);
    expect_span(h.fields[0].value, "b   c");
    expect_span(h.fields[1].name, "D");
    h1_response_init_trailers(&h);
    cr_assert_eq(scan(&h, "\r\n", 2, &usual), H1_DONE);
    cr_assert_eq(h1_response_read(&h, kept, &arena, &usual), H1_DONE);
    cr_assert_eq(h.fields_len, 0);
}

Test(h1_response, limits)
{
    h1_response h;
    static char text[4096] = "HTTP/1.1 200 ";
    h1_limits limits = {.head_bytes_max = 1024, .target_bytes_max = 64, .fields_max = 2};
    memset(text + 13, 'x', sizeof text - 14);
    cr_assert_eq(parse_as(&h, HS_METHOD_GET, text, sizeof text - 1, &limits), H1_BAD);
    cr_assert_eq(h.err.code, HS_E_LIMIT);
    static const char many[] = OK11 "a: 1\r\nb: 2\r\nc: 3\r\n\r\n";
    cr_assert_eq(parse_as(&h, HS_METHOD_GET, many, sizeof many - 1, &limits), H1_BAD);
    cr_assert_eq(h.err.code, HS_E_LIMIT);
    limits.fields_max = 3;
    limits.head_bytes_max = sizeof many - 1;
    cr_assert_eq(parse_as(&h, HS_METHOD_GET, many, sizeof many - 1, &limits), H1_DONE);
    limits.head_bytes_max--;
    cr_assert_eq(parse_as(&h, HS_METHOD_GET, many, sizeof many - 1, &limits), H1_BAD);
    cr_assert_eq(h.err.code, HS_E_LIMIT);
}

/* As much as the options let in: 1,000 fields, in just 1 MiB. */
Test(h1_response, the_largest)
{
    h1_response h;
    h1_limits limits = {.head_bytes_max = H1_RESPONSE_BYTES_MAX,
                        .target_bytes_max = 1,
                        .fields_max = H1_RESPONSE_FIELDS_MAX};
    size_t room = H1_RESPONSE_BYTES_MAX, at = sizeof OK11 - 1;
    char *text = malloc(room + 1);
    cr_assert_not_null(text);
    memcpy(text, OK11, at);
    for (uint32_t i = 0; i < H1_RESPONSE_FIELDS_MAX; i++) {
        size_t bytes = i + 1 < H1_RESPONSE_FIELDS_MAX ? 1000 : room - 2 - at;
        memset(text + at, 'v', bytes);
        int name = snprintf(text + at, bytes, "X-%u: ", i);
        text[at + (size_t)name] = 'w';
        memcpy(text + at + bytes - 2, "\r\n", 2);
        at += bytes;
    }
    memcpy(text + at, "\r\n", 3);
    cr_assert_eq(at + 2, room);
    cr_assert_eq(parse_as(&h, HS_METHOD_GET, text, room, &limits), H1_DONE);
    cr_assert_eq(h.fields_len, H1_RESPONSE_FIELDS_MAX);
    expect_span(h.fields[999].name, "X-999");
    cr_assert_gt(h.fields[999].value.len, 40000);
    limits.fields_max--;
    cr_assert_eq(parse_as(&h, HS_METHOD_GET, text, room, &limits), H1_BAD);
    free(text);
}

Test(h1_response, without_memory)
{
    hs_arena none;
    h1_response h;
    uint8_t text[] = OK11 "a: 1\r\n\r\n";
    hs_arena_init(&none, &chunks, 8);
    h1_response_init(&h, HS_METHOD_GET);
    cr_assert_eq(h1_response_scan(&h, text, sizeof text - 1, &usual), H1_DONE);
    cr_assert_eq(h1_response_read(&h, text, &none, &usual), H1_BAD);
    cr_assert_eq(h.err.code, -ENOMEM);
    hs_arena_reset(&none);
}
