/* What a client reads: every case in one piece, cut in two at each byte, and byte by byte; all must
 * agree. */
#include <criterion/criterion.h>
#include <errno.h>

#include "client_reply.h"
#include "core_help.h"
#include "http_response_table.h"

#undef CHUNKED
#undef LENGTH5
#define LENGTH5 OK11 "Content-Length: 5\r\n\r\n"
#define CHUNKED OK11 "Transfer-Encoding: chunked\r\n\r\n"

static const h1_limits usual = {.head_bytes_max = 1024, .target_bytes_max = 1, .fields_max = 10};

typedef struct verdict {
    char result; /* 'E' end, 'B' bad, 'M' more */
    hs_err err;
    const char *fault;
    uint16_t status, trailers;
    size_t used, body_len;
    bool head, keeps;
    char body[4096], reason[64];
} verdict;

static hs_mem mem_now;
static hs_pool chunks;
static hs_arena arena;

static void feed(reply *r, verdict *v, const char *bytes, size_t len)
{
    hs_span in = hs_span_of(bytes, len), data;
    size_t used;
    for (;;) {
        reply_event ev = reply_feed(r, in, &used, &data);
        cr_assert_leq(used, in.len);
        cr_assert((ev == REPLY_DATA) == (data.len > 0));
        v->used += used;
        in = hs_span_from(in, used);
        if (ev == REPLY_DATA) {
            memcpy(v->body + v->body_len, data.ptr, data.len);
            v->body_len += data.len;
        } else if (ev == REPLY_HEAD) {
            v->head = true;
            v->status = r->head.status;
            memcpy(v->reason, r->head.reason.ptr, r->head.reason.len);
        } else if (ev == REPLY_MORE) {
            cr_assert_eq(in.len, 0);
            return;
        } else {
            v->result = ev == REPLY_END ? 'E' : 'B';
            v->err = r->err;
            v->fault = r->fault;
            v->keeps = reply_keeps(r);
            v->trailers = r->trailers ? r->trailers->fields_len : 0;
            return;
        }
    }
}

/* Feed `text`, cut at `cut` (SIZE_MAX: at each byte), then the end of the connection if `close`. */
static void run(verdict *v, hs_method method, const char *text, size_t len, size_t cut, bool close)
{
    static reply r;
    memset(v, 0, sizeof *v);
    memset(&r, 0xa5, sizeof r);
    v->result = 'M';
    reply_init(&r, &arena, method, &usual);
    for (size_t at = 0; v->result == 'M' && at < len;) {
        size_t n = cut == SIZE_MAX ? 1 : at < cut ? HS_MIN(cut, len) - at : len - at;
        /* A copy of its exact size: a read past the end is seen. */
        char *copy = malloc(n);
        memcpy(copy, text + at, n);
        feed(&r, v, copy, n);
        free(copy);
        at += n;
    }
    if (close && v->result == 'M') {
        v->result = reply_close(&r) == REPLY_END ? 'E' : 'B';
        v->err = r.err;
        v->fault = r.fault;
    }
    hs_arena_reset(&arena);
}

static void begin(void)
{
    mem_now = *hs_mem_system();
    cr_assert(hs_ok(hs_pool_init(&chunks, &mem_now, HS_CHUNK_BYTES, 64)));
    hs_arena_init(&arena, &chunks, 1u << 20);
}

static void end(void)
{
    hs_pool_fini(&chunks);
}

TestSuite(client_reply, .init = begin, .fini = end);

static verdict ask(hs_method method, const char *text, size_t len, bool close)
{
    static verdict first, other;
    run(&first, method, text, len, len, close);
    for (size_t cut = 0; cut <= len; cut++) {
        run(&other, method, text, len, cut ? cut : SIZE_MAX, close);
        cr_assert_eq(other.result, first.result, "cut at %zu: %s", cut, text);
        cr_assert_eq(other.err.code, first.err.code);
        cr_assert(!first.fault || strcmp(first.fault, other.fault) == 0, "%s", other.fault);
        cr_assert_eq(other.head, first.head);
        cr_assert_eq(other.status, first.status);
        cr_assert_eq(other.keeps, first.keeps);
        cr_assert_eq(other.trailers, first.trailers);
        cr_assert_eq(other.body_len, first.body_len);
        cr_assert_eq(memcmp(other.body, first.body, first.body_len), 0);
        if (first.result == 'E')
            cr_assert_eq(other.used, first.used);
    }
    return first;
}

#define GET(text) ask(HS_METHOD_GET, text, sizeof(text) - 1, false)
#define GET_CLOSED(text) ask(HS_METHOD_GET, text, sizeof(text) - 1, true)

static void expect(verdict v, uint16_t status, const char *body, bool keeps)
{
    cr_assert_eq(v.result, 'E', "%s", v.fault);
    cr_assert_eq(v.status, status);
    cr_assert_eq(v.body_len, strlen(body));
    cr_assert_eq(memcmp(v.body, body, v.body_len), 0);
    cr_assert_eq(v.keeps, keeps);
}

static void expect_bad(verdict v, int32_t err, const char *fault)
{
    cr_assert_eq(v.result, 'B');
    cr_assert_eq(v.err.code, err, "%s: %s", hs_err_name(v.err), v.fault);
    cr_assert(strstr(v.fault, fault), "%s", v.fault);
}

Test(client_reply, bodies_of_each_framing)
{
    expect(GET(LENGTH5 "hello"), 200, "hello", true);
    expect(GET(OK11 "Content-Length: 0\r\n\r\n"), 200, "", true);
    expect(GET(CHUNKED "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"), 200, "hello", true);
    expect(GET(CHUNKED "0\r\n\r\n"), 200, "", true);
    expect(GET_CLOSED(OK11 "\r\nhello"), 200, "hello", false);
    expect(GET_CLOSED(OK11 "\r\n"), 200, "", false);
    expect(GET_CLOSED("HTTP/1.0 200 OK\r\n\r\nhello"), 200, "hello", false);
    expect(GET(OK11 "Connection: close\r\nContent-Length: 2\r\n\r\nhi"), 200, "hi", false);
    expect(GET("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"), 200,
           "hi", true);
    expect(GET("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"), 200, "hi", false);
}

Test(client_reply, no_body_whatever_the_fields_say)
{
    static const char head[] = LENGTH5;
    expect(ask(HS_METHOD_HEAD, head, sizeof head - 1, false), 200, "", true);
    static const char chunked[] = CHUNKED;
    expect(ask(HS_METHOD_HEAD, chunked, sizeof chunked - 1, false), 200, "", true);
    expect(GET("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"), 204, "", true);
    expect(GET("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), 304, "", true);
}

/* Each of the table's cases, with what the peers do where ours changed. */
Test(client_reply, as_the_table_has_it)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(response_table); i++) {
        const response_case *c = &response_table[i];
        verdict v = ask(HS_METHOD_GET, c->bytes, c->len, true);
        cr_assert_eq(v.result, c->body ? 'E' : 'B',
                     "%zu (%s): curl %s, llhttp %s, undici %s, Chromium %s: %s", i, c->reason,
                     c->curl, c->llhttp, c->undici, c->chromium, c->bytes);
        if (!c->body) {
            cr_assert(v.err.code == HS_E_PROTOCOL || v.err.code == HS_E_TRUNCATED, "%zu", i);
            continue;
        }
        cr_assert_eq(v.body_len, strlen(c->body), "%zu: %s", i, c->bytes);
        cr_assert_eq(memcmp(v.body, c->body, v.body_len), 0, "%zu: %s", i, c->bytes);
        cr_assert_eq(v.keeps, c->keeps, "%zu (%s): %s", i, c->reason, c->bytes);
    }
}

/* What follows a response is not part of it. */
Test(client_reply, the_end_is_exact)
{
    static const char *const texts[] = {LENGTH5 "hello", CHUNKED "2\r\nhi\r\n0\r\n\r\n",
                                        CHUNKED "0\r\nA: b\r\n\r\n", "HTTP/1.1 204 x\r\n\r\n"};
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++) {
        char text[200];
        int len = snprintf(text, sizeof text, "%sHTTP/1.1 200 OK\r\n", texts[i]);
        verdict v = ask(HS_METHOD_GET, text, (size_t)len, false);
        cr_assert_eq(v.result, 'E');
        cr_assert_eq(v.used, strlen(texts[i]));
    }
}

Test(client_reply, interim_heads_are_passed_by)
{
    static const char interim[] = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    verdict v = GET("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\n" LENGTH5 "hello");
    expect(v, 200, "hello", true);
    cr_assert_str_eq(v.reason, "OK");
    char text[4096] = "";
    size_t len = 0;
    for (int i = 0; i < 17; i++) {
        memcpy(text + len, interim, sizeof interim - 1);
        len += sizeof interim - 1;
    }
    expect_bad(ask(HS_METHOD_GET, text, len, false), HS_E_PROTOCOL, "too many interim");
    expect_bad(GET("HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n"), HS_E_PROTOCOL, "101");
    static const char tunnel[] = OK11 "\r\n";
    expect_bad(ask(HS_METHOD_CONNECT, tunnel, sizeof tunnel - 1, false), HS_E_PROTOCOL, "tunnel");
}

Test(client_reply, trailers)
{
    verdict v = GET(CHUNKED "2\r\nhi\r\n0\r\nDigest: x\r\nExpires: y\r\n\r\n");
    expect(v, 200, "hi", true);
    cr_assert_eq(v.trailers, 2);
    v = GET(CHUNKED "0\r\nContent-Length: 3\r\nA B\r\nC: d\n e\nTrailer: f\n\n");
    expect(v, 200, "", true);
    cr_assert_eq(v.trailers, 1);
    static char text[8192];
    int len = snprintf(text, sizeof text, CHUNKED "0\r\nA: %05000d\r\n\r\n", 1);
    run(&v, HS_METHOD_GET, text, (size_t)len, 4000, false);
    expect_bad(v, HS_E_LIMIT, "too long");
}

Test(client_reply, broken_framing)
{
    expect_bad(GET("ICY 200 OK\r\n\r\n"), HS_E_PROTOCOL, "status line");
    expect_bad(GET("HTTP/2 200\r\n\r\n"), HS_E_PROTOCOL, "");
    expect_bad(GET(OK11 "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), HS_E_PROTOCOL, "");
    expect_bad(GET(OK11 "Content-Length: -5\r\n\r\n"), HS_E_PROTOCOL, "");
    expect_bad(GET(OK11 "Transfer-Encoding: gzip\r\n\r\n"), HS_E_PROTOCOL, "");
    expect_bad(GET(OK11 "A: b\rc\r\n\r\n"), HS_E_PROTOCOL, "bare CR");
    expect_bad(GET(CHUNKED "g\r\n"), HS_E_PROTOCOL, "chunk size");
    expect_bad(GET(CHUNKED "ffffffffffffffff\r\n"), HS_E_PROTOCOL, "out of range");
    expect_bad(GET(CHUNKED "2\r\nhello"), HS_E_PROTOCOL, "chunk");
    expect_bad(GET(CHUNKED "5\r\nhello0\r\n"), HS_E_PROTOCOL, "chunk");
}

Test(client_reply, a_head_has_its_limit)
{
    static char text[4096];
    int len = snprintf(text, sizeof text, OK11 "A: %01100d\r\n\r\n", 1);
    expect_bad(ask(HS_METHOD_GET, text, (size_t)len, false), HS_E_LIMIT, "head too long");
    len = snprintf(text, sizeof text, OK11);
    for (int i = 0; i < 11; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "A%d: b\r\n%s", i,
                        i == 10 ? "\r\n" : "");
    expect_bad(ask(HS_METHOD_GET, text, (size_t)len, false), HS_E_LIMIT, "too many fields");
    len = snprintf(text, sizeof text, OK11 "A: %0994d\r\n\r\n", 1);
    verdict v = ask(HS_METHOD_GET, text, (size_t)len, true);
    expect(v, 200, "", false);
}

/* Cut short at each byte: more is wanted, and the end of the connection is told as such. */
Test(client_reply, truncation_at_each_byte)
{
    static const struct {
        const char *text;
        size_t close_from; /* from how many bytes on an end is a good one */
    } cases[] = {
        {LENGTH5 "hello", SIZE_MAX},
        {CHUNKED "3\r\nhel\r\n0\r\nA: b\r\n\r\n", SIZE_MAX},
        {"HTTP/1.1 100 x\r\n\r\n" OK11 "\r\nhello",
         sizeof("HTTP/1.1 100 x\r\n\r\n" OK11 "\r\n") - 1},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++)
        for (size_t len = 0; len < strlen(cases[i].text); len++) {
            verdict v;
            run(&v, HS_METHOD_GET, cases[i].text, len, len, false);
            cr_assert_eq(v.result, 'M', "%zu of %s", len, cases[i].text);
            run(&v, HS_METHOD_GET, cases[i].text, len, len, true);
            cr_assert_eq(v.result, len >= cases[i].close_from ? 'E' : 'B');
            if (v.result == 'B')
                expect_bad(v, HS_E_TRUNCATED,
                           len == 0 ? "without a response"
                           : v.head ? "inside the body"
                                    : "inside the head");
        }
}

/* Each piece of memory fails once. */
static hs_err scene(const hs_mem *mem)
{
    static const char text[] = "HTTP/1.1 103 x\r\n\r\n" CHUNKED "2\r\nhi\r\n0\r\nA: b\r\n\r\n";
    hs_pool pool;
    hs_arena a;
    reply r;
    verdict v = {.result = 'M'};
    HS_TRY(hs_pool_init(&pool, mem, HS_CHUNK_BYTES, 2));
    hs_arena_init(&a, &pool, 1u << 20);
    reply_init(&r, &a, HS_METHOD_GET, &usual);
    for (size_t at = 0; v.result == 'M' && at < sizeof text - 1; at++)
        feed(&r, &v, text + at, 1);
    hs_arena_reset(&a);
    hs_pool_fini(&pool);
    cr_assert(v.result != 'M');
    return v.err;
}

Test(client_reply, without_memory)
{
    cr_assert_gt(fault_each(scene, false), 1);
    hs_pool one;
    cr_assert(hs_ok(hs_pool_init(&one, &mem_now, HS_CHUNK_BYTES, 1)));
    static const char text[] = LENGTH5;
    for (size_t max = 16; max < 400; max += 16) {
        static reply r;
        verdict v = {.result = 'M'};
        hs_arena_init(&arena, &one, max);
        reply_init(&r, &arena, HS_METHOD_GET, &usual);
        for (size_t at = 0; v.result == 'M' && at < sizeof text - 1; at++)
            feed(&r, &v, text + at, 1);
        expect_bad(v, -ENOMEM, "no memory");
        hs_arena_reset(&arena);
    }
    hs_pool_fini(&one);
}
