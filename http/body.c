/* A request's body: framed, read, heard, collected or read over.
 *
 * Owns: the body's part of the session. Must not know: who hears it.
 * Tested by: tests/wire, tests/sim. */
#include "session.h"

#define TRAILERS_BYTES_MAX 2048

void body_start(h1_session *x)
{
    h1_req *req = &x->req;
    req->body_max = x->conn->server->options.body_bytes_max;
    req->window_ns = req->since_ns = hs_shard_now_ns(x->conn->server->shard);
    req->chunked = x->head.body == H1_BODY_CHUNKED;
    req->body_left = x->head.body == H1_BODY_LENGTH ? x->head.content_length : 0;
    req->body = req->chunked || req->body_left > 0 ? BODY_UNREAD : BODY_OVER;
    req->continue_due = req->body == BODY_UNREAD && x->head.expect_continue;
    if (req->chunked)
        h1_chunk_init(&req->chunk);
}

void body_wanted(h1_session *x)
{
    if (!x->req.continue_due)
        return;
    x->req.continue_due = false;
    hs_chain *out = hs_stream_out(x->conn->stream);
    if (out &&
        hs_ok(hs_chain_append(out, conn_chunks(x->conn), HS_SPAN("HTTP/1.1 100 Continue\r\n\r\n"))))
        conn_flush(x->conn);
    else
        conn_abort(x->conn);
}

/* Make room for `more` bytes of a collected body. */
static bool grow_collect(h1_session *x, size_t more)
{
    h1_req *req = &x->req;
    size_t need = req->collect_len + more;
    if (need <= req->collect_cap)
        return true;
    size_t cap = HS_MAX(need, 2 * req->collect_cap);
    cap = (size_t)HS_MIN((uint64_t)cap, req->body_max);
    if (!req->chunked)
        cap = (size_t)x->head.content_length;
    HS_ASSERT(cap >= need);
    uint8_t *bytes = hs_arena_take(&x->arena, cap);
    if (!bytes)
        return false;
    if (req->collect_len > 0)
        memcpy(bytes, req->collect, req->collect_len);
    req->collect = bytes;
    req->collect_cap = cap;
    return true;
}

static void collect(h1_session *x, hs_span piece, bool last)
{
    HS_ASSERT(x->req.collected != NULL);
    h1_req *req = &x->req;
    if (req->body_seen > req->body_max) {
        conn_fail(x->conn, 413, "the body is longer than what is collected");
        return;
    }
    if (piece.len > 0) {
        if (!grow_collect(x, piece.len)) {
            conn_abort(x->conn);
            return;
        }
        memcpy(req->collect + req->collect_len, piece.ptr, piece.len);
        req->collect_len += piece.len;
    }
    if (last)
        req->collected(req_of(x), hs_span_of(req->collect, req->collect_len), req->collected_ctx);
}

static void hear(h1_session *x, hs_span piece, bool last)
{
    h1_req *req = &x->req;
    const hs_http_server *server = x->conn->server;
    const char *label = label_enter(x);
    if (req->collected)
        collect(x, piece, last);
    else
        req->body_fn(req_of(x), piece, last, req->body_ctx);
    label_leave(server, label);
}

static void deliver(h1_session *x, hs_span piece, bool last)
{
    h1_req *req = &x->req;
    HS_ASSERT(req->body == BODY_HEARD || req->body == BODY_DISCARD);
    bool heard = req->body == BODY_HEARD;
    req->body_seen += piece.len;
    if (last)
        req->body = BODY_OVER;
    if (!heard) {
        /* Read over; but not for ever. */
        if (!last && req->body_seen > req->body_max)
            conn_fail(x->conn, 413, "the rest of an unread body is too long");
        return;
    }
    hear(x, piece, last);
}

void body_tell_end(h1_session *x)
{
    h1_req *req = &x->req;
    if (!req->end_due)
        return;
    req->end_due = false;
    HS_ASSERT(req->body == BODY_OVER);
    HS_ASSERT(req->collected || req->body_fn);
    hear(x, hs_span_of(NULL, 0), true);
}

static size_t input_length(h1_session *x, hs_span in)
{
    h1_req *req = &x->req;
    size_t n = (size_t)HS_MIN((uint64_t)in.len, req->body_left);
    HS_ASSERT(n > 0);
    req->body_left -= n;
    deliver(x, hs_span_of(in.ptr, n), req->body_left == 0);
    return n;
}

/* The trailer section. Nearly always it is just the empty line. */
static size_t input_trailers(h1_session *x, hs_span in)
{
    h1_req *req = &x->req;
    if (req->trailers_len == 0 && hs_span_starts(in, HS_SPAN("\r\n"))) {
        deliver(x, hs_span_of(NULL, 0), true);
        return 2;
    }
    if (!req->trailers) {
        req->trailers = hs_arena_take(&x->arena, TRAILERS_BYTES_MAX + 1);
        req->trailer_head = hs_arena_take(&x->arena, sizeof *req->trailer_head);
        if (!req->trailers || !req->trailer_head) {
            conn_abort(x->conn);
            return in.len;
        }
        h1_head_init_trailers(req->trailer_head);
    }
    h1_limits limits = x->conn->server->limits;
    limits.head_bytes_max = TRAILERS_BYTES_MAX;
    uint32_t before = req->trailers_len;
    size_t n = HS_MIN(in.len, (size_t)(TRAILERS_BYTES_MAX + 1 - before));
    memcpy(req->trailers + before, in.ptr, n);
    req->trailers_len += (uint32_t)n;
    h1_result r = h1_head_parse(req->trailer_head, req->trailers, req->trailers_len, &limits);
    if (r == H1_MORE)
        return n;
    if (r == H1_BAD) {
        conn_fail(x->conn, req->trailer_head->status, req->trailer_head->fault);
        return in.len;
    }
    deliver(x, hs_span_of(NULL, 0), true);
    HS_ASSERT(req->trailer_head->bytes > before);
    return req->trailer_head->bytes - before;
}

static size_t input_chunked(h1_session *x, hs_span in)
{
    h1_req *req = &x->req;
    size_t used = 0;
    hs_span data;
    if (req->in_trailers)
        return input_trailers(x, in);
    switch (h1_chunk_feed(&req->chunk, in, &used, &data)) {
    case H1_CHUNK_DATA:
        deliver(x, data, false);
        break;
    case H1_CHUNK_TRAILERS:
        req->in_trailers = true;
        break;
    case H1_CHUNK_BAD:
        conn_fail(x->conn, 400, req->chunk.fault);
        return in.len;
    case H1_CHUNK_MORE:
        break;
    }
    return used;
}

size_t body_input(h1_session *x, hs_span in)
{
    HS_ASSERT(in.len > 0);
    const h1_req *req = &x->req;
    if (req->body == BODY_UNREAD || req->body == BODY_OVER || req->body_paused)
        return 0;
    return req->chunked ? input_chunked(x, in) : input_length(x, in);
}
