/* Handlers on fibers that read a body piece by piece and write more than their client takes: they
 * wait, slow their peer, and hear that it is gone. */
#include "async_rig.h"

/* ---- the body ---- */

static uint64_t between_ms; /* how long a reader takes over each piece */
static uint32_t pieces;

static hs_err read_pieces(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    for (;;) {
        hs_span *piece;
        hs_promise *next = hs_req_next(req);
        if (hs_promise_state_of(next) == HS_PROMISE_PENDING)
            hs_promise_drop(hs_req_next(req)); /* the same, and no second piece is lost */
        last = hs_await(next, &piece);
        HS_TRY(last);
        if (!piece)
            break;
        pieces++;
        cr_assert_gt(piece->len, 0);
        if (between_ms)
            HS_TRY(nap(between_ms));
        cr_assert_leq(r.body_len + piece->len, sizeof r.body);
        memcpy(r.body + r.body_len, piece->ptr, piece->len);
        r.body_len += piece->len;
    }
    hs_span *piece = NULL;
    HS_TRY(hs_await(hs_req_next(req), &piece));
    cr_assert_null(piece); /* there is still no more */
    hs_res_text(res, 200, HS_SPAN("hello"));
    last = hs_await(hs_req_next(req), NULL);
    return HS_OK;
}

static const struct {
    const char *request, *body;
} bodies[] = {
    {GET, ""},
    {POST(0), ""},
    {POST(5) "hello", "hello"},
    {POST_CHUNKED "0\r\n\r\n", ""},
    {POST_CHUNKED "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!"},
    {POST_CHUNKED "1\r\n!\r\n0\r\nX: y\r\n\r\n", "!"},
};

Test(http_async_body, a_body_is_read_piece_by_piece)
{
    between_ms = 0;
    for (size_t i = 0; i < HS_ARRAY_LEN(bodies); i++) {
        client c;
        async_start(read_pieces, &c);
        cr_assert_str_eq(ask(&c, bodies[i].request), HELLO, "row %zu", i);
        cr_assert_eq(r.body_len, strlen(bodies[i].body));
        cr_assert_eq(memcmp(r.body, bodies[i].body, r.body_len), 0);
        cr_assert_eq(last.code, HS_E_USAGE); /* after the answer */
        cr_assert_str_eq(ask(&c, GET_PLAIN), PLAIN);
        async_fini(&c);
    }
}

Test(http_async_body, a_reader_that_takes_its_time_slows_its_peer)
{
    static char body[60001];
    for (size_t i = 0; i < 60000; i++)
        body[i] = (char)('a' + i % 23);
    client c;
    between_ms = 1000;
    pieces = 0;
    async_start(read_pieces, &c);
    ask(&c, POST(60000));
    client_say(&c, body);
    bench_run(&r.b, 3500);
    cr_assert_leq(r.body_len, 4 * HS_CHUNK_BYTES);
    cr_assert_lt(hs_shard_chunks(r.b.shard)->slots_used, 20);
    bench_run(&r.b, 60000);
    cr_assert_str_eq(got(&c), HELLO);
    cr_assert_eq(r.body_len, 60000);
    cr_assert_eq(memcmp(r.body, body, 60000), 0);
    cr_assert_gt(pieces, 10);
    async_fini(&c);
}

Test(http_async_body, a_reader_hears_that_its_client_is_gone)
{
    client c;
    between_ms = 0;
    async_start(read_pieces, &c);
    ask(&c, POST(10) "hello");
    cr_assert_eq(r.body_len, 5);
    client_close(&c, true);
    bench_run(&r.b, 50);
    cr_assert_eq(last.code, -ECANCELED);
    async_fini(&c);
}

static hs_err read_whole(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_span *body;
    last = hs_await(hs_req_whole(req, 8), &body);
    HS_TRY(last);
    cr_assert_eq(hs_await(hs_req_whole(req, 8), NULL).code, HS_E_USAGE);
    cr_assert_eq(hs_await(hs_req_next(req), NULL).code, HS_E_USAGE);
    HS_TRY(nap(10));
    memcpy(r.body, body->len ? body->ptr : (const uint8_t *)"", body->len);
    r.body_len = body->len;
    hs_res_text(res, 200, HS_SPAN("hello"));
    return HS_OK;
}

Test(http_async_body, a_body_is_read_as_a_whole)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(bodies); i++) {
        client c;
        async_start(read_whole, &c);
        cr_assert_str_eq(ask(&c, bodies[i].request), HELLO, "row %zu", i);
        cr_assert_eq(r.body_len, strlen(bodies[i].body));
        cr_assert_eq(memcmp(r.body, bodies[i].body, r.body_len), 0);
        async_fini(&c);
    }
    client c;
    async_start(read_whole, &c);
    const char *text = ask(&c, POST_CHUNKED "9\r\nhello wor\r\n0\r\n\r\n");
    cr_assert_eq(strncmp(text, "HTTP/1.1 413 ", 13), 0, "%s", text);
    cr_assert_eq(last.code, -ECANCELED);
    async_fini(&c);
}

/* ---- room to write ---- */

#define MUCH 2000000u

static hs_err write_much(hs_req *req, hs_res *res, void *ctx)
{
    (void)req, (void)ctx;
    static char piece[10000];
    memset(piece, 'w', sizeof piece);
    HS_TRY(hs_res_begin(res, 200, MUCH));
    for (uint32_t left = MUCH; left > 0; left -= sizeof piece) {
        HS_TRY(hs_res_write(res, hs_span_of(piece, sizeof piece)));
        last = hs_await(hs_res_drained(res), NULL);
        HS_TRY(last);
        cr_assert_not(hs_res_full(res));
    }
    hs_res_end(res);
    last = hs_await(hs_res_drained(res), NULL);
    return HS_OK;
}

Test(http_async_body, a_writer_waits_for_its_reader)
{
    client c;
    async_start(write_much, &c);
    client_read(&c, false);
    ask(&c, GET);
    cr_assert_eq(returned, 0);
    cr_assert_leq(hs_shard_chunks(r.b.shard)->slots_used * HS_CHUNK_BYTES, 2 * HS_SEND_HIGH_BYTES);
    client_read(&c, true);
    bench_run(&r.b, 10000);
    cr_assert_eq(returned, 1);
    cr_assert_eq(last.code, HS_E_USAGE); /* after the answer */
    cr_assert_gt(c.in_len, MUCH);
    c.in_len = 0;
    cr_assert_str_eq(ask(&c, GET_PLAIN), PLAIN);
    async_fini(&c);
}

Test(http_async_body, a_writer_hears_that_its_client_is_gone)
{
    client c;
    async_start(write_much, &c);
    client_read(&c, false);
    ask(&c, GET);
    client_close(&c, true);
    bench_run(&r.b, 50);
    cr_assert_eq(returned, 1);
    cr_assert_eq(last.code, -ECANCELED);
    async_fini(&c);
}
