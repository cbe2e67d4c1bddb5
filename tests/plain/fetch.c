/* The HTTP client against the HTTP server, each on a shard of its own, for real.
 *
 * A plain program, so that it runs under ThreadSanitizer too, and on both backends. Shard 0 serves,
 * a fiber of shard 1 fetches: one after the other, many side by side, bodies of some megabytes both
 * ways, and what fails: refused, too slow, cancelled, cut off. Then some that a stop finds under
 * way. */
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "hs_fetch.h"
#include "hs_fiber.h"
#include "hs_group.h"
#include "hs_http_server.h"
#include "hs_res.h"

#define BIG_BYTES ((size_t)5 * 1000 * 1000)
#define CROWD 300
#define PATIENCE_MS (300 * 1000)

static struct {
    hs_addr addr;
    /* of shard 0 */
    hs_tcp *tcp;
    hs_http_server *server;
    hs_listener *listener;
    size_t sent;
    /* of shard 1 */
    hs_shard *shard;
    hs_client *client;
    hs_cancel *stop;
    int done[2];
} t;

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

/* ---- the server ---- */

static void on_echo(hs_req *req, hs_span body, void *ctx)
{
    (void)req;
    hs_res_send(ctx, 200, body);
}

static void send_big(hs_res *res, void *ctx)
{
    static uint8_t piece[10000];
    (void)ctx;
    while (t.sent < BIG_BYTES && !hs_res_full(res)) {
        size_t n = HS_MIN(sizeof piece, BIG_BYTES - t.sent);
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(t.sent + i);
        CHECK(hs_ok(hs_res_write(res, hs_span_of(piece, n))));
        t.sent += n;
    }
    if (t.sent == BIG_BYTES)
        hs_res_end(res);
}

static void handle(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_span path = hs_req_path(req);
    if (hs_span_eq(path, HS_SPAN("/echo"))) {
        CHECK(hs_ok(hs_req_collect(req, 2 * BIG_BYTES, on_echo, res)));
    } else if (hs_span_eq(path, HS_SPAN("/big"))) {
        t.sent = 0;
        hs_res_on_drain(res, send_big, NULL);
        CHECK(hs_ok(hs_res_begin(res, 200, HS_LENGTH_UNKNOWN)));
        send_big(res, NULL);
    } else if (hs_span_eq(path, HS_SPAN("/never"))) {
        CHECK(hs_ok(hs_req_defer(req)));
    } else if (hs_span_eq(path, HS_SPAN("/short"))) {
        CHECK(hs_ok(hs_res_begin(res, 200, 100)));
        CHECK(hs_ok(hs_res_write(res, HS_SPAN("hello"))));
        hs_res_end(res);
    } else if (hs_span_eq(path, HS_SPAN("/away"))) {
        CHECK(hs_ok(hs_res_header(res, HS_SPAN("Location"), HS_SPAN("/hello"))));
        hs_res_text(res, 302, HS_SPAN("away"));
    } else {
        hs_res_text(res, 200, HS_SPAN("hello"));
    }
}

static void on_accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    (void)listener, (void)ctx;
    hs_http_serve(t.server, s);
}

static hs_err start_server(hs_shard *shard)
{
    hs_http_options ho;
    hs_http_options_init(&ho);
    ho.head_ms_max = ho.body_ms_window = PATIENCE_MS; /* a client may be held up */
    hs_tcp_options to = {.owner_bytes = (uint32_t)hs_http_conn_bytes(), .accepted = on_accepted};
    HS_TRY(hs_http_server_create(shard, &ho, handle, NULL, &t.server));
    HS_TRY(hs_tcp_create(shard, &to, &t.tcp));
    return hs_listener_open(t.tcp, &t.addr, true, &t.listener);
}

/* ---- the client ---- */

static hs_promise *get(const char *path, const hs_fetch_options *o)
{
    char url[100];
    int len = snprintf(url, sizeof url, "http://127.0.0.1:%u%s", hs_addr_port(&t.addr), path);
    return hs_fetch(t.client, hs_span_of(url, (size_t)len), o);
}

static void expect_body(hs_promise *fetched, const char *text)
{
    hs_fetch_res *res;
    const hs_span *body;
    CHECK(hs_ok(hs_await(fetched, &res)));
    CHECK(res->status == 200);
    CHECK(hs_ok(hs_await(hs_fetch_text(res, 0), &body)));
    CHECK(strcmp((const char *)body->ptr, text) == 0);
    hs_fetch_res_free(res);
}

static void test_one_by_one(void)
{
    /* The server's shard may not listen yet. */
    expect_body(get("/hello", &(hs_fetch_options){.retries = 10000, .retry_ms = 1}), "hello");
    for (int i = 0; i < 20; i++)
        expect_body(get(i % 2 ? "/hello" : "/away", NULL), "hello");
    CHECK(hs_client_conns(t.client) == 1);
    expect_body(get("/echo", &(hs_fetch_options){.body = HS_SPAN("body")}), "body");
}

static void test_crowd(void)
{
    hs_promise *list[CROWD];
    for (size_t i = 0; i < CROWD; i++)
        list[i] = get("/hello", NULL);
    for (size_t i = 0; i < CROWD; i++)
        expect_body(list[i], "hello");
    CHECK(hs_client_conns(t.client) <= 64);
}

static void test_big(void)
{
    hs_fetch_res *res;
    const hs_span *piece;
    size_t len = 0;
    CHECK(hs_ok(hs_await(get("/big", NULL), &res)));
    do {
        CHECK(hs_ok(hs_await(hs_fetch_next(res), &piece)));
        for (size_t i = 0; piece && i < piece->len; i++)
            CHECK(piece->ptr[i] == byte_at(len + i));
        len += piece ? piece->len : 0;
    } while (piece);
    CHECK(len == BIG_BYTES);
    hs_fetch_res_free(res);
}

static void on_more(hs_fetch_sink *sink, void *ctx)
{
    static uint8_t bytes[10000];
    size_t *made = ctx;
    while (*made < BIG_BYTES && !hs_fetch_full(sink)) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = byte_at(*made + i);
        CHECK(hs_ok(hs_fetch_write(sink, hs_span_of(bytes, sizeof bytes))));
        *made += sizeof bytes;
    }
    if (*made == BIG_BYTES)
        hs_fetch_end(sink, HS_OK);
}

static void test_big_request(void)
{
    size_t made = 0;
    hs_fetch_res *res;
    const hs_span *body;
    hs_fetch_source source = {HS_FETCH_CHUNKED, on_more, NULL, &made};
    CHECK(hs_ok(hs_await(get("/echo", &(hs_fetch_options){.source = &source}), &res)));
    CHECK(hs_ok(hs_await(hs_fetch_bytes(res, BIG_BYTES), &body)));
    CHECK(body->len == BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++)
        CHECK(body->ptr[i] == byte_at(i));
    hs_fetch_res_free(res);
}

static void test_failures(void)
{
    hs_fetch_res *res;
    hs_fetch_options slow = {.times = {.first_byte_ms = 50}};
    CHECK(hs_await(get("/never", &slow), NULL).code == -ETIMEDOUT);
    slow = (hs_fetch_options){.times = {.total_ms = 50}};
    CHECK(hs_await(get("/never", &slow), NULL).code == -ETIMEDOUT);
    hs_cancel *cancel = hs_cancel_after(t.shard, 20);
    CHECK(hs_await(get("/never", &(hs_fetch_options){.cancel = cancel}), NULL).code == -ETIMEDOUT);
    hs_cancel_unref(cancel);
    /* Cut off in its body; the reset may overtake the head. */
    if (hs_ok(hs_await(get("/short", NULL), &res))) {
        CHECK(!hs_ok(hs_await(hs_fetch_bytes(res, 0), NULL)));
        CHECK(hs_fetch_why(res) != NULL);
        hs_fetch_res_free(res);
    }
    CHECK(hs_await(hs_get(t.client, HS_SPAN("http://[::1]:1/")), NULL).code < 0);
    /* Given up in the middle of a body. */
    CHECK(hs_ok(hs_await(get("/big", NULL), &res)));
    CHECK(hs_ok(hs_await(hs_fetch_next(res), NULL)));
    hs_fetch_res_free(res);
}

static hs_err scenarios(void *arg)
{
    (void)arg;
    test_one_by_one();
    test_crowd();
    test_big();
    test_big_request();
    test_failures();
    for (int i = 0; i < 20; i++)
        hs_promise_ignore(get(i % 2 ? "/never" : "/big", &(hs_fetch_options){.cancel = t.stop}));
    CHECK(write(t.done[1], "x", 1) == 1);
    return HS_OK;
}

/* ---- the shards ---- */

static hs_err on_start(hs_shard *shard, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(shard) == 0)
        return start_server(shard);
    t.shard = shard;
    t.stop = hs_cancel_create(shard);
    CHECK(t.stop);
    HS_TRY(hs_client_create(shard, NULL, &t.client));
    hs_promise_drop(hs_fiber_start(shard, "scenarios", scenarios, NULL, NULL));
    return HS_OK;
}

static void on_stop(hs_shard *shard, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(shard) == 0) {
        hs_listener_close(t.listener);
        hs_http_server_abort(t.server);
        return;
    }
    hs_cancel_fire(t.stop, hs_err_of(HS_E_CLOSED));
    hs_cancel_unref(t.stop);
    hs_client_destroy(t.client);
}

static void on_end(hs_shard *shard, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(shard) != 0)
        return;
    CHECK(hs_tcp_conns(t.tcp) == 0);
    hs_tcp_destroy(t.tcp);
    hs_http_server_destroy(t.server);
}

int main(void)
{
    hs_group_options o;
    hs_group *group;
    char byte;
    CHECK(pipe(t.done) == 0);
    CHECK(hs_ok(hs_addr_parse(&t.addr, HS_SPAN("127.0.0.1:0"))));
    CHECK(hs_ok(hs_listen_check(&t.addr)));
    hs_group_options_init(&o);
    o.shards = 2;
    o.pin_off = true;
    o.log_level = HS_LOG_WARN;
    o.start = on_start;
    o.stop = on_stop;
    o.end = on_end;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    CHECK(read(t.done[0], &byte, 1) == 1);
    hs_group_stop(group);
    hs_group_join(group);
    printf("fetch: one by one, %d at a time, big bodies, failures, a stop are fine\n", CROWD);
    return 0;
}
