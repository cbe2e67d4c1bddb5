/* Bodies: how responses' are read, and how requests' are made. */
#include "fetch_rig.h"

#define BODY_BYTES 300000

static char big[BODY_BYTES + 200];
static size_t big_len;

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

static void big_init(void)
{
    int len = snprintf(big, sizeof big, OK11 "Content-Length: %d\r\n\r\n", BODY_BYTES);
    for (size_t i = 0; i < BODY_BYTES; i++)
        big[(size_t)len + i] = (char)byte_at(i);
    big_len = (size_t)len + BODY_BYTES;
}

static void answer_big(conn *c)
{
    say_bytes(c, big, big_len);
}

static void begin_by_hand(got *g, const char *url)
{
    memset(g, 0, sizeof *g);
    g->by_hand = true;
    begin_kept(g, url, NULL);
    bench_run(&r.b, 20);
    cr_assert_eq(g->values, 1);
}

/* ---- by callbacks ---- */

typedef struct heard {
    size_t len;
    uint32_t pieces, ends, free_at, pause_every;
    hs_err why;
} heard;

static void on_piece(hs_fetch_res *res, hs_span piece, void *ctx)
{
    heard *h = ctx;
    cr_assert(piece.len > 0 && h->ends == 0);
    for (size_t i = 0; i < piece.len; i++)
        cr_assert_eq(piece.ptr[i], byte_at(h->len + i));
    h->len += piece.len;
    h->pieces++;
    if (h->pieces == h->free_at)
        hs_fetch_res_free(res);
    else if (h->pause_every && h->pieces % h->pause_every == 0)
        hs_fetch_pause(res);
}

static void on_body_end(hs_fetch_res *res, hs_err why, void *ctx)
{
    heard *h = ctx;
    h->ends++;
    h->why = why;
    hs_fetch_res_free(res);
}

static void hear(got *g, heard *h)
{
    hs_fetch_reader reader = {on_piece, on_body_end, h};
    cr_assert(hs_ok(hs_fetch_read(g->res, &reader)));
    cr_assert_eq(hs_fetch_read(g->res, &reader).code, HS_E_USAGE);
    cr_assert_eq(h->pieces, 0);
}

Test(http_fetch_body, heard_in_pieces)
{
    got g;
    heard h = {0};
    rig_init();
    big_init();
    r.on_request = answer_big;
    begin_by_hand(&g, URL);
    cr_assert_lt(hs_shard_chunks(r.b.shard)->slots_used, 60); /* it was held up */
    hear(&g, &h);
    bench_run(&r.b, 100);
    cr_assert_eq(h.len, BODY_BYTES);
    cr_assert_eq(h.ends, 1);
    cr_assert(hs_ok(h.why));
    cr_assert_eq(hs_client_conns(r.client), 1);
    rig_fini();
}

Test(http_fetch_body, with_pauses)
{
    got g;
    heard h = {.pause_every = 2};
    rig_init();
    big_init();
    r.on_request = answer_big;
    begin_by_hand(&g, URL);
    hear(&g, &h);
    for (int i = 0; i < 1000 && !h.ends; i++) {
        uint32_t before = h.pieces;
        bench_run(&r.b, 10);
        cr_assert_leq(h.pieces - before, 2);
        cr_assert_lt(hs_shard_chunks(r.b.shard)->slots_used, 60);
        if (!h.ends)
            hs_fetch_resume(g.res);
    }
    cr_assert_eq(h.len, BODY_BYTES);
    rig_fini();
}

Test(http_fetch_body, freed_by_its_reader)
{
    for (uint32_t n = 1; n < 12; n++) {
        got g;
        heard h = {.free_at = n};
        rig_init();
        big_init();
        r.on_request = answer_big;
        begin_by_hand(&g, URL);
        hear(&g, &h);
        bench_run(&r.b, 100);
        cr_assert_eq(h.pieces, n);
        cr_assert_eq(h.ends, 0);
        cr_assert_eq(hs_client_conns(r.client), 0);
        rig_fini();
    }
}

/* ---- by promises ---- */

static hs_outcome on_next(void *ctx, void *value)
{
    heard *h = ctx;
    const hs_span *piece = value;
    h->pieces++;
    h->ends += piece == NULL;
    for (size_t i = 0; piece && i < piece->len; i++)
        cr_assert_eq(piece->ptr[i], byte_at(h->len + i));
    h->len += piece ? piece->len : 0;
    return hs_value(NULL);
}

static hs_outcome on_no_next(void *ctx, hs_err err, void *detail)
{
    heard *h = ctx;
    h->why = err;
    hs_fetch_error_free(detail);
    return hs_value(NULL);
}

static void ask_next(got *g, heard *h)
{
    hs_promise_drop(hs_then_catch(hs_fetch_next(g->res), on_next, on_no_next, h));
}

Test(http_fetch_body, asked_for_piece_by_piece)
{
    got g;
    heard h = {0};
    rig_init();
    big_init();
    r.on_request = answer_big;
    begin_by_hand(&g, URL);
    for (int i = 0; i < 10000 && !h.ends; i++) {
        uint32_t before = h.pieces;
        ask_next(&g, &h);
        bench_run(&r.b, 1);
        cr_assert_leq(h.pieces, before + 1);
        cr_assert_lt(hs_shard_chunks(r.b.shard)->slots_used, 60);
    }
    cr_assert_eq(h.len, BODY_BYTES);
    ask_next(&g, &h); /* the end stays the end */
    bench_run(&r.b, 1);
    cr_assert_eq(h.ends, 2);
    let_go(&g);
    /* One that is asked for and never comes. */
    r.on_request = NULL;
    r.answer = OK11 "Content-Length: 50\r\n\r\n";
    begin_by_hand(&g, URL);
    ask_next(&g, &h);
    hs_promise_ignore(hs_fetch_next(g.res)); /* HS_E_USAGE: one at a time */
    bench_run(&r.b, 5);
    let_go(&g);
    bench_run(&r.b, 5);
    cr_assert_eq(h.why.code, -ECANCELED);
    rig_fini();
}

Test(http_fetch_body, collected_whenever_it_is_asked_for)
{
    got g;
    rig_init();
    big_init();
    r.on_request = answer_big;
    begin_by_hand(&g, URL);
    bench_run(&r.b, 100);
    collect(&g);
    bench_run(&r.b, 100);
    cr_assert_eq(g.bodies, 1);
    cr_assert_eq(g.body_len, BODY_BYTES);
    for (size_t i = 0; i < sizeof g.body - 1; i++)
        cr_assert_eq((uint8_t)g.body[i], byte_at(i));
    let_go(&g);
    /* A small one has given its connection back long before. */
    r.on_request = NULL;
    r.answer = OK11 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nDigest: x\r\n\r\n";
    begin_by_hand(&g, URL);
    cr_assert_eq(r.client->resting.next, r.client->resting.prev);
    cr_assert_not(hs_list_empty(&r.client->resting));
    collect(&g);
    bench_run(&r.b, 5);
    hs_fetch_field trailer;
    cr_assert(hs_fetch_trailer(g.res, 0, &trailer));
    cr_assert(hs_span_eq(trailer.name, HS_SPAN("Digest")));
    cr_assert_not(hs_fetch_trailer(g.res, 1, &trailer));
    expect_hello(&g);
    rig_fini();
}

/* ---- requests' bodies ---- */

typedef struct maker {
    hs_fetch_sink *sink;
    size_t made, len, piece;
    uint32_t asked, overs;
    bool one_by_one; /* it says full by itself, and goes on later */
    hs_err why, fail;
} maker;

static void make_more(maker *m)
{
    while (m->made < m->len && !hs_fetch_full(m->sink)) {
        uint8_t bytes[5000];
        size_t n = HS_MIN(m->piece, m->len - m->made);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)('a' + (m->made + i) % 26);
        cr_assert(hs_ok(hs_fetch_write(m->sink, hs_span_of(bytes, n))));
        m->made += n;
    }
    if (m->made == m->len)
        hs_fetch_end(m->sink, m->fail);
}

static void on_more(hs_fetch_sink *sink, void *ctx)
{
    maker *m = ctx;
    m->sink = sink;
    m->asked++;
    if (!m->one_by_one)
        make_more(m);
}

static void on_over(hs_err why, void *ctx)
{
    maker *m = ctx;
    m->overs++;
    m->why = why;
}

static void begin_made(got *g, maker *m, uint64_t length)
{
    hs_fetch_source source = {length, on_more, on_over, m};
    begin(g, URL, &(hs_fetch_options){.method = HS_SPAN("PUT"), .source = &source});
}

Test(http_fetch_body, made_while_it_is_sent)
{
    static const uint64_t lengths[] = {HS_FETCH_CHUNKED, BODY_BYTES};
    for (size_t i = 0; i < 2; i++) {
        got g;
        maker m = {.len = BODY_BYTES, .piece = 5000};
        rig_init();
        begin_made(&g, &m, lengths[i]);
        bench_run(&r.b, 200);
        expect_hello(&g);
        cr_assert_eq(r.requests, 1);
        cr_assert_eq(m.overs, 1);
        cr_assert(hs_ok(m.why));
        cr_assert_gt(m.asked, 1); /* it was held up */
        rig_fini();
    }
}

Test(http_fetch_body, made_later)
{
    got g;
    maker m = {.len = 20, .piece = 7, .one_by_one = true};
    rig_init();
    begin_made(&g, &m, HS_FETCH_CHUNKED);
    bench_run(&r.b, 100000); /* a source may take its time */
    cr_assert_eq(m.asked, 1);
    cr_assert_eq(g.errors, 0);
    make_more(&m);
    bench_run(&r.b, 20);
    expect_hello(&g);
    cr_assert(strstr(conn_at(0)->last, "Transfer-Encoding: chunked\r\n"));
    cr_assert(strstr(conn_at(0)->last, "\r\n\r\n7\r\nabcdefg\r\n7\r\nhijklmn\r\n6\r\nopqrst\r\n0"));
    rig_fini();
}

Test(http_fetch_body, that_cannot_be_made)
{
    got g;
    maker m = {.len = 100, .piece = 10, .fail = {-EIO}};
    rig_init();
    begin_made(&g, &m, HS_FETCH_CHUNKED);
    bench_run(&r.b, 20);
    expect_error(&g, -EIO, HS_FETCH_SEND, "could not be made");
    cr_assert_eq(m.overs, 1);
    cr_assert_eq(r.requests, 0);
    cr_assert_eq(hs_client_conns(r.client), 0);
    /* Less than was said. */
    maker less = {.len = 100, .piece = 10};
    begin_made(&g, &less, 101);
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_USAGE, HS_FETCH_SEND, "");
    /* More than was said is refused. */
    maker more = {.len = 10, .piece = 10, .one_by_one = true};
    begin_made(&g, &more, 9);
    bench_run(&r.b, 20);
    cr_assert_eq(hs_fetch_write(more.sink, HS_SPAN("0123456789")).code, HS_E_USAGE);
    hs_fetch_end(more.sink, hs_err_of(-EIO));
    bench_run(&r.b, 20);
    cr_assert_eq(g.errors, 1);
    rig_fini();
}
