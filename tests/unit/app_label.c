/* Labels: whatever runs for a request says which route it is for, and nothing else does. */
#include "http_rig.h"

#include "app.h"

static hs_app *app;
static uint32_t seen; /* callbacks that said the right thing */

static void see(const char *label)
{
    const char *says = hs_shard_label(r.b.shard);
    cr_assert_not_null(says, "wanted %s", label);
    cr_assert_str_eq(says, label);
    seen++;
}

static void route_it(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    cr_assert_null(hs_shard_label(r.b.shard));
    router_handle(req, res, app);
}

static void now(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    see(ctx);
    hs_res_text(res, 200, HS_SPAN("hello"));
}

static void collected(hs_req *req, hs_span body, void *ctx)
{
    (void)req;
    (void)body;
    see(ctx);
    hs_res_text(r.res, 200, HS_SPAN("hello"));
}

static void collect(hs_req *req, hs_res *res, void *ctx)
{
    (void)res;
    see(ctx);
    cr_assert(hs_ok(hs_req_collect(req, 0, collected, ctx)));
}

static void piece(hs_req *req, hs_span bytes, bool last, void *ctx)
{
    (void)req;
    (void)bytes;
    see(ctx);
    if (last)
        hs_res_text(r.res, 200, HS_SPAN("hello"));
}

static void stream(hs_req *req, hs_res *res, void *ctx)
{
    (void)res;
    see(ctx);
    cr_assert(hs_ok(hs_req_body(req, piece, ctx)));
}

static void aborted(hs_req *req, void *ctx)
{
    (void)req;
    see(ctx);
}

static void never(hs_req *req, hs_res *res, void *ctx)
{
    (void)res;
    see(ctx);
    cr_assert(hs_ok(hs_req_defer(req)));
    hs_req_on_abort(req, aborted, ctx);
}

/* More than a connection takes at once: the rest is written when it has drained. */
static void drained(hs_res *res, void *ctx)
{
    see(ctx);
    hs_res_end(res);
}

static void much(hs_req *req, hs_res *res, void *ctx)
{
    static uint8_t bytes[HS_SEND_HIGH_BYTES];
    (void)req;
    see(ctx);
    hs_res_on_drain(res, drained, ctx);
    cr_assert(hs_ok(hs_res_begin(res, 200, sizeof bytes)));
    cr_assert(hs_ok(hs_res_write_static(res, hs_span_of(bytes, sizeof bytes))));
    cr_assert(hs_res_full(res));
}

static void start(hs_http_handler *handler, const char *path)
{
    app = hs_app_create();
    cr_assert_not_null(app);
    hs_app_route(app, HS_METHODS_ANY, path, handler, (void *)(uintptr_t)path);
    seen = 0;
    rig_start(route_it);
}

static void finish(client *c, uint32_t callbacks)
{
    cr_assert_eq(seen, callbacks);
    cr_assert_null(hs_shard_label(r.b.shard));
    client_fini(c);
    rig_fini();
    hs_app_destroy(app);
}

Test(app_label, a_handler_says_its_route)
{
    client c;
    start(now, "/now/*");
    connect_client(&c);
    cr_assert_str_eq(ask(&c, "GET /now/7 HTTP/1.1\r\nHost: h\r\n\r\n"), HELLO);
    cr_assert_str_eq(ask(&c, "GET /now/8 HTTP/1.1\r\nHost: h\r\n\r\n"), HELLO);
    finish(&c, 2);
}

Test(app_label, so_does_what_hears_its_body)
{
    client c;
    start(stream, "/body");
    connect_client(&c);
    client_say(&c, "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
    bench_run(&r.b, 50);
    client_say(&c, "ab");
    bench_run(&r.b, 50);
    cr_assert_null(hs_shard_label(r.b.shard));
    cr_assert_str_eq(ask(&c, "cd"), HELLO);
    /* And one without any bytes. */
    cr_assert_str_eq(ask(&c, "POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), HELLO);
    finish(&c, 5);
}

Test(app_label, and_what_gets_it_whole)
{
    client c;
    start(collect, "/whole");
    connect_client(&c);
    cr_assert_str_eq(ask(&c, "POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"),
                     HELLO);
    cr_assert_str_eq(ask(&c, "POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
                     HELLO);
    finish(&c, 4);
}

Test(app_label, and_what_hears_of_its_end)
{
    client c;
    start(never, "/never");
    connect_client(&c);
    cr_assert_str_eq(ask(&c, "GET /never HTTP/1.1\r\nHost: h\r\n\r\n"), "");
    client_close(&c, true);
    bench_run(&r.b, 50);
    finish(&c, 2);
}

Test(app_label, and_what_writes_on)
{
    client c;
    start(much, "/much");
    connect_client(&c);
    client_say(&c, "GET /much HTTP/1.1\r\nHost: h\r\n\r\n");
    bench_run(&r.b, 500);
    finish(&c, 2);
}

/* As a fiber does that awaits: it takes its label along, and gives the loop's back. */
Test(app_label, a_label_can_be_put_back)
{
    bench b;
    bench_init(&b, NULL);
    cr_assert_null(hs_shard_label_set(b.shard, "outer"));
    cr_assert_str_eq(hs_shard_label_set(b.shard, "inner"), "outer");
    cr_assert_str_eq(hs_shard_label_set(b.shard, "outer"), "inner");
    cr_assert_str_eq(hs_shard_label_set(b.shard, NULL), "outer");
    cr_assert_null(hs_shard_label(b.shard));
    bench_fini(&b);
}
