/* What a handler asks of a request. See hs_req.h. */
#include "session.h"

static hs_span part(const hs_req *req, uint16_t at, uint16_t len)
{
    HS_ASSERT(req->base != NULL);
    HS_ASSERT((uint32_t)at + len <= session_of_req(req)->head.bytes);
    return h1_span(req->base, at, len);
}

static const h1_head *head_of(const hs_req *req)
{
    return &session_of_req(req)->head;
}

hs_method hs_req_method(const hs_req *req)
{
    return (hs_method)head_of(req)->method;
}

hs_span hs_req_method_name(const hs_req *req)
{
    return part(req, head_of(req)->method_at, head_of(req)->method_len);
}

hs_span hs_req_target(const hs_req *req)
{
    return part(req, head_of(req)->target_at, head_of(req)->target_len);
}

hs_span hs_req_path(const hs_req *req)
{
    return part(req, head_of(req)->path_at, head_of(req)->path_len);
}

hs_span hs_req_tail(const hs_req *req)
{
    return hs_span_from(hs_req_path(req), req->tail);
}

void hs_req_set_tail(hs_req *req, size_t from)
{
    HS_ASSERT(from <= head_of(req)->path_len);
    req->tail = (uint16_t)from;
}

void hs_req_set_label(hs_req *req, const char *label)
{
    req->label = label;
    (void)hs_shard_label_set(session_of_req(req)->conn->server->shard, label);
}

hs_span hs_req_query(const hs_req *req)
{
    return part(req, head_of(req)->query_at, head_of(req)->query_len);
}

hs_span hs_req_authority(const hs_req *req)
{
    return part(req, head_of(req)->authority_at, head_of(req)->authority_len);
}

uint32_t hs_req_minor(const hs_req *req)
{
    return head_of(req)->minor;
}

uint32_t hs_req_headers(const hs_req *req)
{
    return head_of(req)->fields_len;
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
    const h1_head *head = head_of(req);
    HS_ASSERT(at < head->fields_len);
    *name = field_name(head, req->base, at);
    *value = field_value(head, req->base, at);
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
    return find_field(head_of(req), req->base, name, value);
}

bool hs_req_trailer(const hs_req *req, hs_span name, hs_span *value)
{
    if (req->body != BODY_OVER || !req->trailer_head)
        return false;
    return find_field(req->trailer_head, req->trailers, name, value);
}

bool hs_req_content_length(const hs_req *req, uint64_t *bytes)
{
    *bytes = head_of(req)->content_length;
    return !req->chunked;
}

hs_arena *hs_req_arena(hs_req *req)
{
    return &session_of_req(req)->arena;
}

hs_shard *hs_req_shard(const hs_req *req)
{
    return session_of_req(req)->conn->server->shard;
}

void *hs_req_server_ctx(const hs_req *req)
{
    return session_of_req(req)->conn->server->ctx;
}

hs_err hs_req_defer(hs_req *req)
{
    HS_TRY(conn_keep_head(session_of_req(req)));
    req->deferred = true;
    return HS_OK;
}

void hs_req_on_abort(hs_req *req, void (*fn)(hs_req *req, void *ctx), void *ctx)
{
    req->abort_fn = fn;
    req->abort_ctx = ctx;
}

/* Somebody reads the body from now on. */
static hs_err hear(hs_req *req)
{
    h1_session *x = session_of_req(req);
    HS_TRY(hs_req_defer(req));
    if (req->body == BODY_OVER)
        req->end_due = true;
    else
        req->body = BODY_HEARD;
    /* In the handler the input loop goes on by itself. */
    if (!req->running)
        HS_TRY(conn_soon(x->conn));
    body_wanted(x);
    return HS_OK;
}

hs_err hs_req_body(hs_req *req, hs_req_body_fn *fn, void *ctx)
{
    HS_ASSERT(fn != NULL);
    HS_ENSURE(!req->body_fn && !req->collected, HS_E_USAGE);
    HS_ENSURE(session_of_req(req)->res.state != RES_DONE, HS_E_USAGE);
    req->body_fn = fn;
    req->body_ctx = ctx;
    return hear(req);
}

hs_err hs_req_collect(hs_req *req, uint64_t bytes_max,
                      void (*fn)(hs_req *req, hs_span body, void *ctx), void *ctx)
{
    HS_ASSERT(fn != NULL);
    h1_session *x = session_of_req(req);
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
    return hear(req);
}

void hs_req_body_pause(hs_req *req)
{
    req->body_paused = true;
}

void hs_req_body_resume(hs_req *req)
{
    if (!req->body_paused)
        return;
    req->body_paused = false;
    if (!hs_ok(conn_soon(session_of_req(req)->conn)))
        conn_abort(session_of_req(req)->conn);
}
