/* What a handler asks of a request. See hs_req.h. */
#include "session.h"

/* Of a request that is over: nothing. */
static const hs_span nothing;

static hs_span part(const h1_session *x, uint16_t at, uint16_t len)
{
    HS_ASSERT(x->req.base != NULL);
    HS_ASSERT((uint32_t)at + len <= x->head.bytes);
    return h1_span(x->req.base, at, len);
}

hs_method hs_req_method(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? (hs_method)x->head.method : HS_METHOD_OTHER;
}

hs_span hs_req_method_name(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? part(x, x->head.method_at, x->head.method_len) : nothing;
}

hs_span hs_req_target(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? part(x, x->head.target_at, x->head.target_len) : nothing;
}

hs_span hs_req_path(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? part(x, x->head.path_at, x->head.path_len) : nothing;
}

hs_span hs_req_tail(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? hs_span_from(part(x, x->head.path_at, x->head.path_len), x->req.tail) : nothing;
}

void hs_req_set_route(hs_req *req, const char *label, size_t tail_at)
{
    h1_session *x = session_of_req(req);
    if (!x)
        return;
    HS_ASSERT(tail_at <= x->head.path_len);
    x->req.tail = (uint16_t)tail_at;
    x->req.label = label;
    (void)hs_shard_label_set(x->conn->server->shard, label);
}

void hs_req_set_label(hs_req *req, const char *label)
{
    h1_session *x = session_of_req(req);
    if (!x)
        return;
    x->req.label = label;
    (void)hs_shard_label_set(x->conn->server->shard, label);
}

hs_span hs_req_query(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? part(x, x->head.query_at, x->head.query_len) : nothing;
}

hs_span hs_req_authority(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? part(x, x->head.authority_at, x->head.authority_len) : nothing;
}

uint32_t hs_req_minor(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? x->head.minor : 0;
}

uint32_t hs_req_headers(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? x->head.fields_len : 0;
}

static hs_span field_name(const h1_head *head, const uint8_t *base, uint32_t at)
{
    return h1_span(base, head->fields[at].name, head->fields[at].name_len);
}

static hs_span field_value(const h1_head *head, const uint8_t *base, uint32_t at)
{
    return h1_span(base, head->fields[at].value, head->fields[at].value_len);
}

void hs_req_header_at(const hs_req *req, uint32_t at, hs_span *name, hs_span *value)
{
    const h1_session *x = session_of_req(req);
    *name = *value = nothing;
    if (!x)
        return;
    HS_ASSERT(at < x->head.fields_len);
    *name = field_name(&x->head, x->req.base, at);
    *value = field_value(&x->head, x->req.base, at);
}

static bool find_field(const h1_head *head, const uint8_t *base, hs_span name, hs_span *value)
{
    hs_field_id id = hs_field_parse(name);
    if (id != HS_FIELD_OTHER) {
        if (!head->known[id])
            return false;
        *value = field_value(head, base, head->known[id] - 1u);
        return true;
    }
    for (uint32_t i = 0; i < head->fields_len; i++) {
        if (!hs_span_eq_nocase(field_name(head, base, i), name))
            continue;
        *value = field_value(head, base, i);
        return true;
    }
    return false;
}

bool hs_req_header(const hs_req *req, hs_span name, hs_span *value)
{
    const h1_session *x = session_of_req(req);
    return x && find_field(&x->head, x->req.base, name, value);
}

bool hs_req_trailer(const hs_req *req, hs_span name, hs_span *value)
{
    const h1_session *x = session_of_req(req);
    if (!x || x->req.body != BODY_OVER || !x->req.trailer_head)
        return false;
    return find_field(x->req.trailer_head, x->req.trailers, name, value);
}

bool hs_req_content_length(const hs_req *req, uint64_t *bytes)
{
    const h1_session *x = session_of_req(req);
    *bytes = x ? x->head.content_length : 0;
    return x && !x->req.chunked;
}

hs_arena *hs_req_arena(hs_req *req)
{
    h1_session *x = session_of_req(req);
    return x ? &x->arena : NULL;
}

hs_shard *hs_req_shard(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? x->conn->server->shard : hs_shard_self();
}

void *hs_req_server_ctx(const hs_req *req)
{
    const h1_session *x = session_of_req(req);
    return x ? x->conn->server->ctx : NULL;
}

hs_err req_defer(h1_session *x)
{
    HS_TRY(conn_keep_head(x));
    x->req.deferred = true;
    return HS_OK;
}

void hs_req_drop(hs_req *req)
{
    h1_session *x = session_of_req(req);
    if (!x || x->res.state == RES_DONE) {
        if (x)
            orphan_told(x);
        return;
    }
    if (x->res.state == RES_OPEN)
        conn_fail(x->conn, 500, "the handler dropped the request");
    else
        conn_abort(x->conn);
}

hs_err hs_req_defer(hs_req *req)
{
    h1_session *x = session_of_req(req);
    HS_ENSURE(x, HS_E_USAGE);
    HS_TRY(req_defer(x));
    x->req.held = true;
    return HS_OK;
}

void hs_req_on_abort(hs_req *req, void (*fn)(hs_req *req, void *ctx), void *ctx)
{
    h1_session *x = session_of_req(req);
    if (!x)
        return;
    x->req.abort_fn = fn;
    x->req.abort_ctx = ctx;
}

/* Somebody reads the body from now on. */
static hs_err hear(h1_session *x)
{
    h1_req *req = &x->req;
    HS_TRY(req_defer(x));
    if (req->body == BODY_OVER)
        req->end_due = true;
    else
        req->body = BODY_HEARD;
    /* In the handler the input loop goes on by itself. */
    if (!req->running)
        turn_resume_next(x);
    body_wanted(x);
    return HS_OK;
}

hs_err hs_req_body(hs_req *req, hs_req_body_fn *fn, void *ctx)
{
    HS_ASSERT(fn != NULL);
    h1_session *x = session_of_req(req);
    HS_ENSURE(x, HS_E_USAGE);
    HS_ENSURE(!x->req.body_fn && !x->req.collected, HS_E_USAGE);
    HS_ENSURE(x->res.state != RES_DONE, HS_E_USAGE);
    x->req.body_fn = fn;
    x->req.body_ctx = ctx;
    return hear(x);
}

hs_err hs_req_collect(hs_req *handle, uint64_t bytes_max,
                      void (*fn)(hs_req *req, hs_span body, void *ctx), void *ctx)
{
    HS_ASSERT(fn != NULL);
    h1_session *x = session_of_req(handle);
    HS_ENSURE(x, HS_E_USAGE);
    h1_req *req = &x->req;
    HS_ENSURE(!req->body_fn && !req->collected, HS_E_USAGE);
    HS_ENSURE(x->res.state != RES_DONE, HS_E_USAGE);
    if (bytes_max > 0)
        req->body_max = bytes_max;
    if (session_arena_bytes(bytes_max) > x->arena.bytes_max)
        x->arena.bytes_max = session_arena_bytes(bytes_max);
    if (!req->chunked && req->body_left > req->body_max) {
        conn_fail(x->conn, 413, "Content-Length is above what is collected");
        return hs_err_of(HS_E_LIMIT);
    }
    req->collected = fn;
    req->collected_ctx = ctx;
    return hear(x);
}

void hs_req_body_pause(hs_req *req)
{
    h1_session *x = session_of_req(req);
    if (x)
        x->req.body_paused = true;
}

void hs_req_body_resume(hs_req *req)
{
    h1_session *x = session_of_req(req);
    if (!x || !x->req.body_paused || x->conn->phase == CONN_OVER)
        return;
    x->req.body_paused = false;
    turn_resume_next(x);
}
