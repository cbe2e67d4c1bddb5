/* A whole HTTP server on one simulated shard, for the tests of http/: what its handler did is
 * written down, and what clients got is compared without its dates. */
#pragma once

#include "bench.h"

#include "hs_tcp.h"
#include "session.h"

typedef struct rig {
    bench b;
    hs_tcp *tcp;
    hs_http_server *server;
    hs_listener *listener;
    hs_http_options options;
    hs_http_handler *handle;
    uint32_t handled, aborts, called; /* `called`: of a body's end, or of a collected body */
    hs_req *req;                      /* the last ones that a handler kept */
    hs_res *res;
    hs_timer timer;
    hs_err err;
    char body[65536]; /* what was heard of bodies */
    size_t body_len;
} rig;

static rig r;

static inline void rig_handle(hs_req *req, hs_res *res, void *ctx)
{
    cr_assert_eq(ctx, &r);
    r.handled++;
    r.req = req;
    r.res = res;
    r.handle(req, res, ctx);
}

static inline void rig_accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    (void)listener;
    (void)ctx;
    hs_http_serve(r.server, s);
}

static inline hs_err rig_make(void)
{
    hs_tcp_options o = {
        .owner_bytes = (uint32_t)hs_http_conn_bytes(), .accepted = rig_accepted, .ctx = &r};
    hs_addr addr;
    HS_TRY(hs_http_server_create(r.b.shard, &r.options, rig_handle, &r, &r.server));
    HS_TRY(hs_tcp_create(r.b.shard, &o, &r.tcp));
    HS_TRY(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:80")));
    return hs_listener_open(r.tcp, &addr, false, &r.listener);
}

static inline void rig_init(hs_http_handler *handle)
{
    memset(&r, 0, sizeof r);
    bench_init(&r.b, NULL);
    hs_http_options_init(&r.options);
    r.handle = handle;
}

static inline void rig_start(hs_http_handler *handle)
{
    rig_init(handle);
    cr_assert(hs_ok(rig_make()));
}

/* Everything ends, and nothing is held. */
static inline void rig_fini(void)
{
    if (r.listener)
        hs_listener_close(r.listener);
    bench_run(&r.b, 100);
    if (r.server)
        hs_http_server_abort(r.server);
    bench_run(&r.b, HS_LINGER_MS + 1000);
    hs_timer_cancel(r.b.shard, &r.timer);
    if (r.tcp) {
        cr_assert_eq(hs_tcp_conns(r.tcp), 0);
        hs_tcp_destroy(r.tcp);
    }
    if (r.server) {
        cr_assert_eq(hs_http_server_active(r.server), 0);
        /* One may be kept at hand for the next request. */
        cr_assert_eq(r.server->sessions.slots_used, r.server->spare != NULL);
        cr_assert_eq(r.server->in_small.slots_used, 0);
        cr_assert_eq(r.server->in_large.slots_used, 0);
        hs_http_server_destroy(r.server);
    }
    cr_assert_eq(hs_shard_chunks(r.b.shard)->slots_used, 0);
    bench_fini(&r.b);
}

static inline void connect_client(client *c)
{
    client_open(c, &r.b, 80);
    bench_run(&r.b, 5);
}

/* What a client got since the last look, without its Date fields (which every final answer has). */
static inline const char *got(client *c)
{
    static char text[CLIENT_BYTES + 1];
    size_t len = 0;
    for (size_t at = 0; at < c->in_len;) {
        if (strncmp(c->in + at, "Date: ", 6) == 0) {
            cr_assert_eq(strncmp(c->in + at + 6 + HS_HTTP_DATE_LEN, "\r\n", 2), 0);
            at += 6 + HS_HTTP_DATE_LEN + 2;
        }
        if (at < c->in_len)
            text[len++] = c->in[at++];
    }
    text[len] = '\0';
    c->in_len = 0;
    c->in[0] = '\0';
    return text;
}

/* Send a request, give it 50 ms, and see the answer. */
static inline const char *ask(client *c, const char *request)
{
    client_say(c, request);
    bench_run(&r.b, 50);
    return got(c);
}

static inline bool ended(const client *c)
{
    return c->told & (SIM_PEER_EOF | SIM_PEER_RESET);
}

/* ---- what handlers do ---- */

static inline void note_abort(hs_req *req, void *ctx)
{
    cr_assert_eq(ctx, &r);
    cr_assert_not_null(req);
    r.aborts++;
    hs_timer_cancel(r.b.shard, &r.timer);
    r.req = NULL;
}

static inline void handle_hello(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    hs_res_text(res, 200, HS_SPAN("hello"));
}

/* Defer; the test answers. */
static inline void handle_defer(hs_req *req, hs_res *res, void *ctx)
{
    (void)res;
    cr_assert(hs_ok(hs_req_defer(req)));
    hs_req_on_abort(req, note_abort, ctx);
}

/* A piece of a body, written down. */
static inline void hear_piece(hs_req *req, hs_span piece, bool last, void *ctx)
{
    cr_assert_eq(ctx, &r);
    cr_assert_eq(req, r.req);
    cr_assert_eq(r.called, 0); /* nothing comes after the last */
    cr_assert_leq(r.body_len + piece.len, sizeof r.body);
    if (piece.len > 0)
        memcpy(r.body + r.body_len, piece.ptr, piece.len);
    r.body_len += piece.len;
    r.called += last;
}

#define OK_5 "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
#define HELLO OK_5 "\r\nhello"
#define HELLO_CLOSE OK_5 "Connection: close\r\n\r\nhello"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(n) "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " #n "\r\n\r\n"
#define POST_CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
