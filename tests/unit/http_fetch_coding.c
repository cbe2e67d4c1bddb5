/* Responses whose bodies are coded, however they are read; and bombs. */
#include <zlib.h>

#include "fetch_rig.h"

#define PLAIN_LEN 100000

static uint8_t plain[PLAIN_LEN];
static char answer[1 << 20];
static size_t answer_len, coded_len;

/* An answer whose body is `len` bytes of `bytes` by gzip, of which `drop` are left out. */
static void make(const char *name, const uint8_t *bytes, size_t len, size_t drop)
{
    static uint8_t coded[1 << 19];
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)len;
    z.next_out = coded;
    z.avail_out = sizeof coded;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    coded_len = z.total_out - drop;
    deflateEnd(&z);
    int head =
        snprintf(answer, sizeof answer, OK11 "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
                 name, coded_len);
    memcpy(answer + head, coded, coded_len);
    answer_len = (size_t)head + coded_len;
}

static void answer_coded(conn *c)
{
    say_bytes(c, answer, answer_len);
}

static void start(void)
{
    for (size_t i = 0; i < PLAIN_LEN; i++)
        plain[i] = (uint8_t)("abcdefgh"[(i * i >> 3) % 8]);
    rig_init();
    r.on_request = answer_coded;
}

Test(http_fetch_coding, undone_when_collected)
{
    got g;
    start();
    make("gzip", plain, PLAIN_LEN, 0);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    cr_assert_eq(g.bodies, 1, "%s", g.why);
    cr_assert(g.res->decoded);
    cr_assert_eq(g.body_len, PLAIN_LEN);
    cr_assert_eq(memcmp(g.body, plain, sizeof g.body - 1), 0);
    cr_assert_eq(hs_client_conns(r.client), 1);
    let_go(&g);
    /* Asked for as it is. */
    hs_fetch_field field = {HS_SPAN("accept-encoding"), HS_SPAN("gzip")};
    hs_fetch_options as_it_is[] = {{.coded = true}, {.headers = &field, .headers_len = 1}};
    for (int i = 0; i < 2; i++) {
        begin(&g, URL, &as_it_is[i]);
        bench_run(&r.b, 50);
        cr_assert_eq(g.body_len, coded_len);
        cr_assert_not(g.res->decoded);
        cr_assert_null(strstr(conn_at(0)->last, "deflate"));
        let_go(&g);
    }
    rig_fini();
}

static size_t pieces_len;
static uint32_t pieces, pieces_ended;

static hs_outcome on_next(void *ctx, void *value)
{
    const hs_span *piece = value;
    (void)ctx;
    if (!piece) {
        pieces_ended++;
        return hs_value(NULL);
    }
    cr_assert_eq(memcmp(piece->ptr, plain + pieces_len, piece->len), 0);
    pieces_len += piece->len;
    pieces++;
    return hs_value(NULL);
}

Test(http_fetch_coding, undone_piece_by_piece)
{
    got g;
    start();
    make("x-gzip", plain, PLAIN_LEN, 0);
    memset(&g, 0, sizeof g);
    g.by_hand = true;
    begin_kept(&g, URL, NULL);
    bench_run(&r.b, 50);
    for (int i = 0; i < 100 && !pieces_ended; i++) {
        hs_promise_drop(hs_then(hs_fetch_next(g.res), on_next, NULL));
        bench_run(&r.b, 1);
    }
    cr_assert_eq(pieces_len, PLAIN_LEN);
    cr_assert_gt(pieces, 3);
    let_go(&g);
    rig_fini();
}

Test(http_fetch_coding, broken_ones)
{
    got g;
    start();
    make("gzip", plain, PLAIN_LEN, 5);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_body_error(&g, HS_E_TRUNCATED, "ended inside of its coding");
    make("gzip", plain, PLAIN_LEN, 0);
    memset(answer + answer_len - coded_len, 'x', 20);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_body_error(&g, HS_E_CODING, "content coding");
    make("gzip, gzip, gzip, gzip", plain, PLAIN_LEN, 0);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_LIMIT, HS_FETCH_HEAD, "content codings");
    rig_fini();
}

/* Of a coding that is not ours the bytes are the receiver's, as they came, and so are those of ours
 * that lie inside of it. */
Test(http_fetch_coding, unknown_ones_stay)
{
    static const char *const fields[] = {"foo", "UTF-8", "compress", "gzip, foo", "foo, gzip", "*"};
    got g;
    start();
    for (size_t i = 0; i < HS_ARRAY_LEN(fields); i++) {
        char text[200];
        snprintf(text, sizeof text, OK11 "Content-Encoding: %s\r\nContent-Length: 5\r\n\r\nhello",
                 fields[i]);
        r.answer = text;
        r.on_request = NULL;
        begin(&g, URL, NULL);
        bench_run(&r.b, 50);
        cr_assert_eq(g.values, 1, "%s: %s", fields[i], g.text);
        cr_assert_not(g.res->decoded);
        hs_span value = hs_fetch_header(g.res, HS_SPAN("Content-Encoding"));
        cr_assert(hs_span_eq(value, hs_span_str(fields[i])));
        expect_hello(&g);
    }
    rig_fini();
}

/* An answer that is `len` zeros by gzip: at 1:1029. */
static void make_zeros(size_t len)
{
    uint8_t *zeros = calloc(1, len);
    cr_assert_not_null(zeros);
    make("gzip", zeros, len, 0);
    free(zeros);
    cr_assert_lt(coded_len * 1000, len);
}

/* What is collected has its own limit first: 40 MB in 40 KB. */
Test(http_fetch_coding, a_collected_bomb)
{
    got g;
    start();
    make_zeros((size_t)40 << 20);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_body_error(&g, HS_E_LIMIT, "longer than its limit of 16777216 bytes");
    cr_assert_lt(r.b.bytes_out, 24u << 20);
    rig_fini();
}

static size_t read_len;
static hs_err read_end;
static bool read_ended;

static void on_read(hs_fetch_res *res, hs_span piece, void *ctx)
{
    (void)res, (void)ctx;
    read_len += piece.len;
}

static void on_read_end(hs_fetch_res *res, hs_err why, void *ctx)
{
    (void)res, (void)ctx;
    read_end = why;
    read_ended = true;
}

/* Fetch and read a body that has no limit of its own. */
static void read_all(got *g, const hs_fetch_options *o)
{
    memset(g, 0, sizeof *g);
    read_len = 0;
    read_ended = false;
    g->by_hand = true;
    begin_kept(g, URL, o);
    bench_run(&r.b, 10);
    cr_assert_eq(g->values, 1, "%s", g->text);
    cr_assert(hs_ok(hs_fetch_read(g->res, &(hs_fetch_reader){on_read, on_read_end, NULL})));
    bench_run(&r.b, 50);
    cr_assert(read_ended);
}

/* 5 MB of like records, at 1:342: no bomb. */
Test(http_fetch_coding, text_of_like_records_is_no_bomb)
{
    got g;
    size_t len = 0, cap = 5 << 20;
    char *json = malloc(cap + 100);
    cr_assert_not_null(json);
    for (unsigned i = 0; len < cap; i++)
        len += (size_t)snprintf(json + len, 100, "{\"active\":true,\"group\":%u,\"name\":\"%s\"},",
                                i / 1000, "a name that is the same in each record");
    start();
    make("gzip", (const uint8_t *)json, len, 0);
    free(json);
    cr_assert_gt(len / coded_len, 256);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    cr_assert_eq(g.bodies, 1, "%s", g.why);
    cr_assert_eq(g.body_len, len);
    let_go(&g);
    /* Nor with as little room as one may ask for. */
    read_all(&g, &(hs_fetch_options){.decoded_bytes_free = 1});
    cr_assert(hs_ok(read_end), "%s", hs_err_name(read_end));
    let_go(&g);
    rig_fini();
}

Test(http_fetch_coding, a_bomb_that_is_read)
{
    const hs_fetch_options more[] = {{.decoded_ratio_max = 1100},
                                     {.decoded_ratio_max = UINT32_MAX},
                                     {.decoded_bytes_free = 80u << 20}};
    got g;
    start();
    make_zeros((size_t)80 << 20);
    read_all(&g, NULL);
    cr_assert_eq(read_end.code, HS_E_LIMIT);
    cr_assert_lt(read_len, (64u << 20) + PLAIN_BYTES);
    cr_assert(strstr(hs_fetch_why(g.res)->text,
                     "decodes to more than 67108864 bytes and than 1000 times its coded size "
                     "(decoded_bytes_free, decoded_ratio_max)"),
              "%s", hs_fetch_why(g.res)->text);
    let_go(&g);
    for (size_t i = 0; i < HS_ARRAY_LEN(more); i++) {
        read_all(&g, &more[i]);
        cr_assert(hs_ok(read_end), "%zu: %s", i, hs_err_name(read_end));
        cr_assert_eq(read_len, 80u << 20);
        let_go(&g);
    }
    rig_fini();
}

Test(http_fetch_coding, the_clients_own_limit)
{
    got g;
    start();
    hs_client_destroy(r.client);
    r.options.decoded_bytes_free = 1 << 20;
    r.options.decoded_ratio_max = 50;
    cr_assert(hs_ok(hs_client_create(r.b.shard, &r.options, &r.client)));
    make_zeros((size_t)2 << 20);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_body_error(&g, HS_E_LIMIT, "more than 1048576 bytes and than 50 times");
    begin(&g, URL, &(hs_fetch_options){.decoded_bytes_free = 2 << 20});
    bench_run(&r.b, 50);
    cr_assert_eq(g.bodies, 1, "%s", g.why);
    let_go(&g);
    rig_fini();
}

/* Each piece of memory fails once. */
Test(http_fetch_coding, without_memory)
{
    for (uint64_t at = 1, met = true; met; at++) {
        got g;
        start();
        make("gzip", plain, 1000, 0);
        r.b.fail_at = r.b.takes + at;
        begin(&g, URL, NULL);
        bench_run(&r.b, 50);
        met = r.b.fails > 0;
        cr_assert(met || g.bodies == 1);
        hs_err any = g.errors ? g.err : g.body_err;
        cr_assert(hs_ok(any) || hs_err_class(any) == HS_ERR_LIMIT, "%s", hs_err_name(any));
        r.b.fail_at = 0;
        if (g.res)
            let_go(&g);
        rig_fini();
    }
}
