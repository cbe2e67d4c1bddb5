/* What a handler says in a response. See hs_res.h. */
#include "session.h"

static bool bodiless(const h1_session *x, uint32_t status)
{
    return x->head.method == HS_METHOD_HEAD || status == 204 || status == 304;
}

/* Framing is the server's: two lengths, or a length that is not the body's, is how answers are
 * split. */
static bool is_reserved(hs_span name)
{
    static const char *const names[] = {"Content-Length", "Transfer-Encoding", "Connection", "Date",
                                        "Keep-Alive",     "Upgrade",           "Trailer"};
    for (size_t i = 0; i < HS_ARRAY_LEN(names); i++)
        if (hs_span_eq_nocase(name, hs_span_str(names[i])))
            return true;
    return false;
}

static hs_err add_field(h1_session *x, hs_chain *to, hs_span name, hs_span value)
{
    hs_pool *chunks = conn_chunks(x->conn);
    HS_ENSURE(hs_http_is_token(name) && hs_http_is_field_value(value), HS_E_USAGE);
    HS_ENSURE(!is_reserved(name), HS_E_USAGE);
    HS_ASSERT(name.len > 0);
    size_t need = name.len + 2 + value.len + 2;
    HS_ENSURE(need <= HS_CHUNK_ROOM, HS_E_USAGE);
    uint8_t *at = hs_chain_reserve(to, chunks, need);
    HS_ENSURE(at, -ENOMEM);
    memcpy(at, name.ptr, name.len);
    memcpy(at + name.len, ": ", 2);
    if (value.len > 0)
        memcpy(at + name.len + 2, value.ptr, value.len);
    memcpy(at + need - 2, "\r\n", 2);
    hs_chain_commit(to, need);
    return HS_OK;
}

hs_err hs_res_header(hs_res *res, hs_span name, hs_span value)
{
    HS_ENSURE(res->state == RES_OPEN, HS_E_USAGE);
    return add_field(session_of_res(res), &res->fields, name, value);
}

hs_err hs_res_trailer(hs_res *res, hs_span name, hs_span value)
{
    HS_ENSURE(res->state != RES_DONE, HS_E_USAGE);
    return add_field(session_of_res(res), &res->trailers, name, value);
}

static void complete(h1_session *x)
{
    hs_http_server *server = x->conn->server;
    HS_ASSERT(x->res.state != RES_DONE);
    HS_ASSERT(server->active > 0);
    x->res.state = RES_DONE;
    server->active--;
    conn_go_on(x->conn);
}

static void send_whole(hs_res *res, uint32_t status, hs_span type, hs_span body)
{
    h1_session *x = session_of_res(res);
    h1_conn *c = x->conn;
    HS_ASSERT(status >= 200 && status <= 599);
    HS_ASSERT(body.ptr || body.len == 0);
    if (res->state != RES_OPEN || c->phase == CONN_OVER)
        return;
    hs_span rest = bodiless(x, status) ? hs_span_of(NULL, 0) : body;
    hs_err err = write_head(x, status, body.len, type, &rest);
    if (hs_ok(err) && rest.len > 0)
        err = hs_chain_append(hs_stream_out(c->stream), conn_chunks(c), rest);
    if (hs_ok(err))
        complete(x);
    else
        conn_abort(c);
}

void hs_res_send(hs_res *res, uint32_t status, hs_span body)
{
    send_whole(res, status, hs_span_of(NULL, 0), body);
}

void hs_res_text(hs_res *res, uint32_t status, hs_span body)
{
    send_whole(res, status, HS_SPAN("text/plain"), body);
}

void hs_res_json(hs_res *res, uint32_t status, hs_span body)
{
    send_whole(res, status, HS_SPAN("application/json"), body);
}

hs_err hs_res_begin(hs_res *res, uint32_t status, uint64_t length)
{
    h1_session *x = session_of_res(res);
    HS_ASSERT(status >= 200 && status <= 599);
    HS_ENSURE(res->state == RES_OPEN, HS_E_USAGE);
    HS_TRY(hs_req_defer(&x->req));
    hs_span none = hs_span_of(NULL, 0);
    hs_err err = write_head(x, status, length, none, &none);
    if (!hs_ok(err)) {
        conn_abort(x->conn);
        return err;
    }
    res->state = RES_BEGUN;
    res->left = length;
    res->bodiless = bodiless(x, status);
    if (res->bodiless)
        res->chunked = false;
    conn_flush(x->conn);
    return HS_OK;
}

/* The size line of a chunk (RFC 9112 section 7.1). */
static hs_err put_chunk_size(hs_chain *out, hs_pool *chunks, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t line[18];
    size_t at = sizeof line;
    line[--at] = '\n';
    line[--at] = '\r';
    do {
        line[--at] = (uint8_t)digits[size & 15];
        size >>= 4;
    } while (size > 0);
    return hs_chain_append(out, chunks, hs_span_of(line + at, sizeof line - at));
}

static hs_err put_piece(h1_session *x, hs_span piece, bool is_static)
{
    HS_ASSERT(piece.len > 0);
    HS_ASSERT(piece.ptr != NULL);
    h1_conn *c = x->conn;
    hs_pool *chunks = conn_chunks(c);
    hs_chain *out = hs_stream_out(c->stream);
    HS_ENSURE(out, -ENOMEM);
    if (x->res.chunked)
        HS_TRY(put_chunk_size(out, chunks, piece.len));
    /* A short piece is cheaper to copy than to send from where it is. */
    if (is_static && piece.len > 256)
        HS_TRY(hs_chain_borrow(out, chunks, piece, NULL, NULL));
    else
        HS_TRY(hs_chain_append(out, chunks, piece));
    if (x->res.chunked)
        HS_TRY(hs_chain_append(out, chunks, HS_SPAN("\r\n")));
    return HS_OK;
}

static hs_err write_piece(hs_res *res, hs_span piece, bool is_static)
{
    h1_session *x = session_of_res(res);
    HS_ENSURE(res->state == RES_BEGUN, HS_E_USAGE);
    HS_ENSURE(piece.len <= res->left, HS_E_USAGE);
    HS_ENSURE(!res->failed, -ENOMEM);
    if (piece.len == 0)
        return HS_OK;
    if (res->left != HS_LENGTH_UNKNOWN)
        res->left -= piece.len;
    if (res->bodiless)
        return HS_OK;
    hs_err err = put_piece(x, piece, is_static);
    if (!hs_ok(err)) {
        /* Part of it may be queued: the framing is lost. The handler hears of the end by its abort
         * function some turns later, whether it goes on to hs_res_end or stops here. */
        res->failed = true;
        hs_stream_abort(x->conn->stream);
        return err;
    }
    conn_flush(x->conn);
    return HS_OK;
}

hs_err hs_res_write(hs_res *res, hs_span piece)
{
    return write_piece(res, piece, false);
}

hs_err hs_res_write_static(hs_res *res, hs_span piece)
{
    return write_piece(res, piece, true);
}

bool hs_res_full(const hs_res *res)
{
    return hs_stream_full(session_of_res(res)->conn->stream);
}

void hs_res_on_drain(hs_res *res, void (*fn)(hs_res *res, void *ctx), void *ctx)
{
    res->drain_fn = fn;
    res->drain_ctx = ctx;
}

static hs_err put_last_chunk(h1_session *x)
{
    hs_res *res = &x->res;
    hs_pool *chunks = conn_chunks(x->conn);
    hs_chain *out = hs_stream_out(x->conn->stream);
    HS_ENSURE(out, -ENOMEM);
    HS_TRY(hs_chain_append(out, chunks, HS_SPAN("0\r\n")));
    hs_chain_join(out, &res->trailers);
    return hs_chain_append(out, chunks, HS_SPAN("\r\n"));
}

void hs_res_end(hs_res *res)
{
    h1_session *x = session_of_res(res);
    if (res->state != RES_BEGUN)
        return;
    bool short_body = !res->bodiless && res->left != HS_LENGTH_UNKNOWN && res->left > 0;
    if (res->failed || short_body || (res->chunked && !hs_ok(put_last_chunk(x)))) {
        conn_abort(x->conn);
        return;
    }
    complete(x);
}
