/* The server under simulation: see app.h. A target is "/KIND/ID/LENGTH/MS". */
#include "app.h"

#include <string.h>

#include "script.h"

#define PIECE 1500

/* A request that is answered later. Not in the request's arena: a call to another shard may outlive
 * the request. */
typedef struct job {
    app *a;
    hs_req *req; /* NULL: the connection has ended */
    hs_res *res;
    hs_timer timer;
    hs_call_op call;
    uint32_t id;
    uint64_t len, at;
    bool on_call;  /* the call has the job */
    bool starting; /* the handler has the job */
    bool begun;    /* what goes wrong from here on ends the connection */
} job;

typedef struct target {
    script_kind kind;
    uint32_t id;
    uint64_t len, ms;
} target;

/* ---- reading the target ---- */

static bool next_part(hs_span *path, hs_span *part)
{
    if (path->len == 0 || path->ptr[0] != '/')
        return false;
    *path = hs_span_from(*path, 1);
    const uint8_t *slash = memchr(path->ptr, '/', path->len);
    size_t len = slash ? (size_t)(slash - path->ptr) : path->len;
    *part = hs_span_of(path->ptr, len);
    *path = hs_span_from(*path, len);
    return true;
}

static bool target_parse(hs_span path, target *t)
{
    hs_span part;
    uint64_t id;
    if (!next_part(&path, &part))
        return false;
    t->kind = SCRIPT_NOW;
    while (t->kind < SCRIPT_KINDS && !hs_span_eq(part, hs_span_str(script_name(t->kind))))
        t->kind++;
    if (t->kind == SCRIPT_KINDS || !next_part(&path, &part) || !hs_span_u64(part, UINT32_MAX, &id))
        return false;
    t->id = (uint32_t)id;
    if (!next_part(&path, &part) || !hs_span_u64(part, UINT32_MAX, &t->len))
        return false;
    return next_part(&path, &part) && hs_span_u64(part, UINT32_MAX, &t->ms);
}

/* ---- jobs ---- */

static void job_free(job *j)
{
    hs_mem_give(hs_shard_mem(hs_shard_self()), j, sizeof(*j), _Alignof(job));
}

static void job_aborted(hs_req *req, void *ctx)
{
    job *j = ctx;
    HS_ASSERT(j->req == req);
    j->a->aborted++;
    hs_timer_cancel(hs_shard_self(), &j->timer);
    j->req = NULL;
    if (!j->on_call && !j->starting)
        job_free(j);
}

/* The answer is complete: the request is gone, and will not be told aborted any more. */
static void job_done(job *j)
{
    j->a->answered++;
    hs_timer_cancel(hs_shard_self(), &j->timer);
    job_free(j);
}

static hs_err add_id(hs_res *res, uint32_t id)
{
    char text[20];
    return hs_res_header(res, HS_SPAN("X-Id"), hs_span_of(text, hs_fmt_u64(text, id)));
}

static void fill(uint8_t *out, uint32_t id, uint64_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = script_byte(id, from + i);
}

static void answer_whole(app *a, hs_req *req, hs_res *res, const target *t)
{
    /* A short one from the request's own memory, which has a limit. */
    const hs_mem *mem = hs_shard_mem(hs_shard_self());
    bool own = t->len > 2000;
    uint8_t *body = NULL;
    if (t->len)
        body = own ? hs_mem_take(mem, t->len, 16) : hs_arena_take(hs_req_arena(req), t->len);
    if (t->len && !body) {
        hs_res_send(res, 503, HS_SPAN("no memory"));
        return;
    }
    fill(body, t->id, 0, t->len);
    a->answered++;
    hs_res_send(res, 200, hs_span_of(body, t->len));
    if (own)
        hs_mem_give(mem, body, t->len, 16);
}

static void job_answer(job *j)
{
    target t = {.id = j->id, .len = j->len};
    hs_req *req = j->req;
    hs_res *res = j->res;
    app *a = j->a;
    hs_req_on_abort(req, NULL, NULL);
    hs_timer_cancel(hs_shard_self(), &j->timer);
    job_free(j);
    answer_whole(a, req, res, &t);
}

static void later_due(hs_timer *timer)
{
    job_answer(HS_CONTAINER_OF(timer, job, timer));
}

/* ---- streamed answers ---- */

static void stream_more(job *j);

static void stream_drained(hs_res *res, void *ctx)
{
    job *j = ctx;
    HS_ASSERT(j->res == res);
    if (!hs_timer_active(&j->timer))
        stream_more(j);
}

static void stream_tick(hs_timer *timer)
{
    stream_more(HS_CONTAINER_OF(timer, job, timer));
}

/* A write that fails has ended the connection, or will: the abort function comes. */
static void stream_more(job *j)
{
    hs_shard *s = hs_shard_self();
    while (j->at < j->len && !hs_res_full(j->res)) {
        uint8_t piece[PIECE];
        size_t len = 1 + hs_shard_random(s) % sizeof(piece);
        len = HS_MIN(len, j->len - j->at);
        fill(piece, j->id, j->at, len);
        if (!hs_ok(hs_res_write(j->res, hs_span_of(piece, len))))
            return;
        j->at += len;
        if (hs_shard_random(s) % 8 == 0 &&
            hs_ok(hs_timer_after(s, &j->timer, hs_shard_random(s) % 20, stream_tick)))
            return;
    }
    if (j->at < j->len)
        return; /* it drains */
    hs_res *res = j->res;
    /* Without memory for it the trailer is not sent. */
    hs_err err = hs_res_trailer(res, HS_SPAN("X-End"), HS_SPAN("yes"));
    (void)err;
    hs_req_on_abort(j->req, NULL, NULL);
    hs_res_on_drain(res, NULL, NULL);
    job_done(j);
    hs_res_end(res);
}

/* ---- echoes ---- */

static void echo_drained(hs_res *res, void *ctx)
{
    (void)res;
    hs_req_body_resume(((job *)ctx)->req);
}

static void echo_piece(hs_req *req, hs_span piece, bool last, void *ctx)
{
    job *j = ctx;
    HS_ASSERT(j->req == req);
    if (piece.len > 0 && !hs_ok(hs_res_write(j->res, piece)))
        return;
    if (last) {
        hs_res *res = j->res;
        hs_req_on_abort(req, NULL, NULL);
        hs_res_on_drain(res, NULL, NULL);
        job_done(j);
        hs_res_end(res);
    } else if (hs_res_full(j->res)) {
        hs_req_body_pause(req);
    }
}

static void collected(hs_req *req, hs_span body, void *ctx)
{
    job *j = ctx;
    hs_res *res = j->res;
    hs_req_on_abort(req, NULL, NULL);
    job_done(j);
    hs_res_send(res, 200, body);
}

/* ---- calls ---- */

static void call_there(hs_call_op *call)
{
    call->result = UINT64_C(0x1234);
}

static void call_done(hs_call_op *call)
{
    job *j = HS_CONTAINER_OF(call, job, call);
    HS_ASSERT(call->result == UINT64_C(0x1234));
    j->on_call = false;
    if (j->req)
        job_answer(j);
    else
        job_free(j);
}

/* ---- the handler ---- */

static hs_err begin(job *j, const target *t)
{
    hs_shard *s = hs_shard_self();
    switch (t->kind) {
    case SCRIPT_LATER:
        HS_TRY(hs_timer_after(s, &j->timer, t->ms, later_due));
        return hs_req_defer(j->req);
    case SCRIPT_CALL: {
        HS_TRY(hs_req_defer(j->req));
        uint32_t to = (hs_shard_id(s) + 1) % hs_shard_count(s);
        j->call = (hs_call_op){.fn = call_there, .done = call_done};
        HS_TRY(hs_call_op_start(hs_shard_peer(s, to), &j->call));
        j->on_call = true;
        return HS_OK;
    }
    case SCRIPT_ECHO: {
        uint64_t length;
        if (!hs_req_content_length(j->req, &length))
            length = HS_LENGTH_UNKNOWN;
        hs_res_on_drain(j->res, echo_drained, j);
        HS_TRY(hs_req_body(j->req, echo_piece, j));
        j->begun = true;
        return hs_res_begin(j->res, 200, length);
    }
    case SCRIPT_COLLECT:
        return hs_req_collect(j->req, 0, collected, j);
    default: {
        uint64_t length = t->kind == SCRIPT_LENGTH ? t->len : HS_LENGTH_UNKNOWN;
        hs_res_on_drain(j->res, stream_drained, j);
        HS_TRY(hs_timer_after(s, &j->timer, t->ms % 10, stream_tick));
        j->begun = true;
        return hs_res_begin(j->res, 200, length);
    }
    }
}

static void handle_later(app *a, hs_req *req, hs_res *res, const target *t)
{
    hs_shard *s = hs_shard_self();
    job *j = hs_mem_take_zero(hs_shard_mem(s), sizeof(*j), _Alignof(job));
    if (!j) {
        hs_res_send(res, 503, HS_SPAN("no memory"));
        return;
    }
    j->a = a;
    j->req = req;
    j->res = res;
    j->id = t->id;
    j->len = t->len;
    hs_req_on_abort(req, job_aborted, j);
    j->starting = true;
    hs_err err = begin(j, t);
    j->starting = false;
    if (hs_ok(err) || (j->req && j->begun))
        return; /* where it had begun the connection ends: the abort function comes */
    if (!j->req) {
        job_free(j);
        return;
    }
    hs_req_on_abort(req, NULL, NULL);
    hs_timer_cancel(s, &j->timer);
    job_free(j);
    if (err.code != HS_E_LIMIT) /* then it was answered with 413 */
        hs_res_send(res, 503, HS_SPAN("not now"));
}

static void handle(hs_req *req, hs_res *res, void *ctx)
{
    app *a = ctx;
    target t;
    if (!target_parse(hs_req_path(req), &t)) {
        hs_res_text(res, 404, HS_SPAN("what?"));
        return;
    }
    if (!hs_ok(add_id(res, t.id)))
        return; /* answered for with 500 */
    if (t.kind == SCRIPT_NOW || t.kind == SCRIPT_IGNORE)
        answer_whole(a, req, res, &t);
    else
        handle_later(a, req, res, &t);
}

/* ---- start and stop ---- */

static void accepted(hs_stream *stream, hs_listener *listener, void *ctx)
{
    (void)listener;
    app *a = ctx;
    hs_http_serve(a->shards[hs_shard_id(hs_shard_self())].http, stream);
}

hs_err app_start(hs_shard *shard, void *ctx)
{
    app *a = ctx;
    app_shard *as = &a->shards[hs_shard_id(shard)];
    as->shard = shard;
    hs_http_options http;
    hs_http_options_init(&http);
    http.half_close = true; /* clients that end their side wait for every answer */
    http.body_bytes_max = SCRIPT_BODY_MAX;
    HS_TRY(hs_http_server_create(shard, &http, handle, a, &as->http));
    hs_tcp_options tcp = {
        .owner_bytes = (uint32_t)hs_http_conn_bytes(), .accepted = accepted, .ctx = a};
    HS_TRY(hs_tcp_create(shard, &tcp, &as->tcp));
    hs_addr addr;
    HS_TRY(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:80")));
    return hs_listener_open(as->tcp, &addr, true, &as->listener);
}

static void drain_over(hs_timer *timer)
{
    hs_http_server_abort(HS_CONTAINER_OF(timer, app_shard, drain)->http);
}

void app_stop(hs_shard *shard, void *ctx)
{
    app *a = ctx;
    app_shard *as = &a->shards[hs_shard_id(shard)];
    if (as->listener)
        hs_listener_close(as->listener);
    if (!as->http)
        return;
    hs_http_server_drain(as->http);
    if (!hs_ok(hs_timer_after(shard, &as->drain, a->drain_ms, drain_over)))
        hs_http_server_abort(as->http);
}

void app_end(hs_shard *shard, void *ctx)
{
    app_shard *as = &((app *)ctx)->shards[hs_shard_id(shard)];
    hs_timer_cancel(shard, &as->drain);
    if (as->tcp)
        hs_tcp_destroy(as->tcp);
    if (as->http)
        hs_http_server_destroy(as->http);
}
