/* The program `httpshard`: a few routes to measure and to test a server with.
 *
 *   /plaintext   "Hello, World!"            /json       {"message":"Hello, World!"}
 *   /echo        the body back, any method  /bytes/N    N bytes
 *   /delay/MS    an answer after MS ms      /healthz    "ok"
 *   /burn/MS     an answer after MS ms in which the shard does nothing else: what no handler should
 *                do, to see what becomes of the others, and what the log says */
#include <string.h>

#include "doctor.h"
#include "fetch.h"
#include "hs_app.h"

#define BYTES_MAX (UINT64_C(1) << 40)
#define DELAY_MS_MAX (10 * 60 * 1000)
#define BURN_MS_MAX (60 * 1000)

static void plaintext(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    hs_res_text(res, 200, HS_SPAN("Hello, World!"));
}

static void json(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    hs_res_json(res, 200, HS_SPAN("{\"message\":\"Hello, World!\"}"));
}

static void healthz(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    hs_res_text(res, 200, HS_SPAN("ok\n"));
}

static void not_found(hs_res *res)
{
    hs_res_text(res, 404, HS_SPAN("404 Not Found\n"));
}

static void no_memory(hs_res *res)
{
    hs_res_text(res, 503, HS_SPAN("503 Service Unavailable\n"));
}

/* ---- /bytes/N ---- */

/* What is left to write of one answer, in the request's memory. */
typedef struct bytes {
    uint64_t left;
} bytes;

static uint8_t pattern[64 * 1024];

static void bytes_more(hs_res *res, void *ctx)
{
    bytes *b = ctx;
    while (b->left > 0 && !hs_res_full(res)) {
        size_t n = b->left < sizeof pattern ? (size_t)b->left : sizeof pattern;
        b->left -= n;
        if (!hs_ok(hs_res_write_static(res, hs_span_of(pattern, n))))
            b->left = 0; /* hs_res_end notices, and cuts the connection off */
    }
    if (b->left == 0)
        hs_res_end(res);
}

static void bytes_start(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t n;
    (void)ctx;
    if (!hs_span_u64(hs_req_tail(req), BYTES_MAX, &n)) {
        not_found(res);
        return;
    }
    bytes *b = hs_arena_take(hs_req_arena(req), sizeof *b);
    if (!b ||
        !hs_ok(hs_res_header(res, HS_SPAN("Content-Type"), HS_SPAN("application/octet-stream")))) {
        no_memory(res);
        return;
    }
    b->left = n;
    hs_res_on_drain(res, bytes_more, b);
    if (hs_ok(hs_res_begin(res, 200, n)))
        bytes_more(res, b);
}

/* ---- /echo ---- */

/* The answer begins with the body's first piece: a body that is broken before it gets a 400. */
typedef struct echo {
    hs_req *req;
    hs_res *res;
    uint64_t length;
    bool begun;
} echo;

static void echo_drained(hs_res *res, void *ctx)
{
    const echo *e = ctx;
    (void)res;
    hs_req_body_resume(e->req);
}

static void echo_piece(hs_req *req, hs_span piece, bool last, void *ctx)
{
    echo *e = ctx;
    /* An error ends the answer where it is; hs_res_end then cuts the connection off. */
    hs_err err = e->begun ? HS_OK : hs_res_begin(e->res, 200, e->length);
    e->begun = true;
    if (hs_ok(err))
        err = hs_res_write(e->res, piece);
    if (last || !hs_ok(err))
        hs_res_end(e->res);
    else if (hs_res_full(e->res))
        hs_req_body_pause(req);
}

static void echo_start(hs_req *req, hs_res *res, void *ctx)
{
    hs_span type;
    (void)ctx;
    echo *e = hs_arena_take(hs_req_arena(req), sizeof *e);
    if (!e) {
        no_memory(res);
        return;
    }
    *e = (echo){.req = req, .res = res};
    if (!hs_req_content_length(req, &e->length))
        e->length = HS_LENGTH_UNKNOWN;
    if (!hs_req_header(req, HS_SPAN("Content-Type"), &type) || type.len == 0)
        type = HS_SPAN("application/octet-stream");
    hs_res_on_drain(res, echo_drained, e);
    if (!hs_ok(hs_res_header(res, HS_SPAN("Content-Type"), type)) ||
        !hs_ok(hs_req_body(req, echo_piece, e)))
        no_memory(res);
}

/* ---- /delay/MS ---- */

typedef struct delay {
    hs_timer timer;
    hs_req *req;
    hs_res *res;
} delay;

static void delay_over(hs_timer *timer)
{
    delay *d = HS_CONTAINER_OF(timer, delay, timer);
    hs_res_text(d->res, 200, HS_SPAN("delayed\n"));
}

static void delay_aborted(hs_req *req, void *ctx)
{
    delay *d = ctx;
    hs_timer_cancel(hs_req_shard(req), &d->timer);
}

static void delay_start(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t ms;
    (void)ctx;
    if (!hs_span_u64(hs_req_tail(req), DELAY_MS_MAX, &ms)) {
        not_found(res);
        return;
    }
    delay *d = hs_arena_take(hs_req_arena(req), sizeof *d);
    if (!d || !hs_ok(hs_req_defer(req))) {
        no_memory(res);
        return;
    }
    *d = (delay){.req = req, .res = res};
    if (!hs_ok(hs_timer_after(hs_req_shard(req), &d->timer, ms, delay_over))) {
        no_memory(res);
        return;
    }
    hs_req_on_abort(req, delay_aborted, d);
}

/* ---- /burn/MS ---- */

static void burn(hs_req *req, hs_res *res, void *ctx)
{
    uint64_t ms;
    (void)ctx;
    if (!hs_span_u64(hs_req_tail(req), BURN_MS_MAX, &ms)) {
        not_found(res);
        return;
    }
    hs_io *io = hs_shard_io(hs_req_shard(req));
    for (uint64_t end = hs_io_now_ns(io) + ms * HS_MSEC_NS; hs_io_now_ns(io) < end;)
        continue;
    hs_res_text(res, 200, HS_SPAN("burnt\n"));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "doctor") == 0)
        return doctor_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "fetch") == 0)
        return fetch_main(argc - 1, argv + 1);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)("0123456789abcdef"[i % 16]);
    hs_app *app = hs_app_create();
    if (app) {
        hs_app_get(app, "/plaintext", plaintext, NULL);
        hs_app_get(app, "/json", json, NULL);
        hs_app_get(app, "/healthz", healthz, NULL);
        hs_app_get(app, "/bytes/*", bytes_start, NULL);
        hs_app_get(app, "/delay/*", delay_start, NULL);
        hs_app_get(app, "/burn/*", burn, NULL);
        hs_app_route(app, HS_METHODS_ANY, "/echo", echo_start, NULL);
    }
    int status = hs_app_main(app, argc, argv);
    if (app)
        hs_app_destroy(app);
    return status;
}
