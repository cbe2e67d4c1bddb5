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

/* One that is longer than a chunk goes over several. All or nothing. */
static hs_err add_long_field(hs_chain *to, hs_pool *chunks, hs_span name, hs_span value)
{
    hs_chain field;
    hs_chain_init(&field);
    hs_err err = hs_chain_append(&field, chunks, name);
    if (hs_ok(err))
        err = hs_chain_append(&field, chunks, HS_SPAN(": "));
    if (hs_ok(err))
        err = hs_chain_append(&field, chunks, value);
    if (hs_ok(err))
        err = hs_chain_append(&field, chunks, HS_SPAN("\r\n"));
    if (hs_ok(err))
        hs_chain_join(to, &field);
    else
        hs_chain_clear(&field, chunks);
    return err;
}

static hs_err add_field(h1_session *x, hs_chain *to, hs_span name, hs_span value)
{
    hs_pool *chunks = conn_chunks(x->conn);
    HS_ENSURE(hs_http_is_token(name) && hs_http_is_field_value(value), HS_E_USAGE);
    HS_ENSURE(!is_reserved(name), HS_E_USAGE);
    HS_ASSERT(name.len > 0);
    HS_ENSURE(name.len <= HS_RES_FIELDS_BYTES_MAX && value.len <= HS_RES_FIELDS_BYTES_MAX,
              HS_E_LIMIT);
    size_t need = name.len + 2 + value.len + 2;
    HS_ENSURE(to->len + need <= HS_RES_FIELDS_BYTES_MAX, HS_E_LIMIT);
    if (need > HS_CHUNK_ROOM)
        return add_long_field(to, chunks, name, value);
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

/* A call that comes too late: after the end of the connection, of which the handler knows now, or
 * after the answer, which is its mistake. */
static hs_err too_late(h1_session *x, const char *what)
{
    if (x->conn->phase == CONN_OVER) {
        orphan_told(x);
        return hs_err_of(HS_E_CLOSED);
    }
    handle_report(x->req.label, what);
    return hs_err_of(HS_E_USAGE);
}

hs_err hs_res_header(hs_res *res, hs_span name, hs_span value)
{
    h1_session *x = session_of_res(res);
    HS_ENSURE(x, HS_E_USAGE);
    if (x->conn->phase == CONN_OVER)
        return hs_err_of(HS_E_CLOSED); /* the answer that follows has its end */
    HS_ENSURE(x->res.state == RES_OPEN, HS_E_USAGE);
    HS_TRY(add_field(x, &x->res.fields, name, value));
    x->res.typed |= hs_span_eq_nocase(name, HS_SPAN("Content-Type"));
    return HS_OK;
}

hs_err hs_res_trailer(hs_res *res, hs_span name, hs_span value)
{
    h1_session *x = session_of_res(res);
    HS_ENSURE(x, HS_E_USAGE);
    if (x->conn->phase == CONN_OVER)
        return hs_err_of(HS_E_CLOSED);
    HS_ENSURE(x->res.state != RES_DONE, HS_E_USAGE);
    return add_field(x, &x->res.trailers, name, value);
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

/* Statuses that end a request: 1xx do not, and there are none above 599 (RFC 9110 section 15). */
static bool status_fits(uint32_t status)
{
    return status >= 200 && status <= 599;
}

/* The handler's mistake, which may come from what an upstream said: it ends this request alone. */
static void refuse_status(h1_session *x, uint32_t status)
{
    hs_log_write(hs_shard_log(x->conn->server->shard), HS_LOG_ERROR,
                 "%s answered with status %u: 500 was sent instead",
                 x->req.label ? x->req.label : "a handler", status);
    conn_fail(x->conn, 500, "a status that is none");
}

/* Whether `body` finds room: a small one has a reserve of its own. */
static bool has_room(const h1_session *x, hs_span body)
{
    hs_shard *shard = x->conn->server->shard;
    if (body.len <= HS_RES_SMALL_BYTES || body.len <= hs_shard_chunk_room(shard))
        return true;
    hs_shard_chunks_ask(shard);
    return false;
}

static void send_whole(hs_res *res, uint32_t status, hs_span type, hs_span body)
{
    h1_session *x = session_of_res(res);
    if (!x)
        return;
    h1_conn *c = x->conn;
    HS_ASSERT(body.ptr || body.len == 0);
    if (HS_UNLIKELY(x->res.state != RES_OPEN || c->phase == CONN_OVER)) {
        (void)too_late(x, "a second answer to one request").code;
        return;
    }
    if (HS_UNLIKELY(!status_fits(status))) {
        refuse_status(x, status);
        return;
    }
    hs_span rest = bodiless(x, status) ? hs_span_of(NULL, 0) : body;
    if (HS_UNLIKELY(!has_room(x, rest))) {
        conn_fail(c, 503, "no memory for the answer");
        return;
    }
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

hs_err hs_res_begin(hs_res *handle, uint32_t status, uint64_t length)
{
    h1_session *x = session_of_res(handle);
    HS_ENSURE(x, HS_E_USAGE);
    h1_res *res = &x->res;
    if (x->conn->phase == CONN_OVER)
        return too_late(x, "");
    HS_ENSURE(res->state == RES_OPEN, HS_E_USAGE);
    if (!status_fits(status)) {
        refuse_status(x, status);
        return hs_err_of(HS_E_USAGE);
    }
    HS_TRY(req_defer(x));
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
    HS_ENSURE(out && (is_static || has_room(x, piece)), -ENOMEM);
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

static hs_err write_piece(hs_res *handle, hs_span piece, bool is_static)
{
    h1_session *x = session_of_res(handle);
    HS_ENSURE(x, HS_E_USAGE);
    h1_res *res = &x->res;
    if (x->conn->phase == CONN_OVER)
        return too_late(x, "");
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
    const h1_session *x = session_of_res(res);
    return x && x->conn->phase != CONN_OVER && hs_stream_full(x->conn->stream);
}

void hs_res_on_drain(hs_res *res, void (*fn)(hs_res *res, void *ctx), void *ctx)
{
    h1_session *x = session_of_res(res);
    if (!x)
        return;
    x->res.drain_fn = fn;
    x->res.drain_ctx = ctx;
}

static hs_err put_last_chunk(h1_session *x)
{
    h1_res *res = &x->res;
    hs_pool *chunks = conn_chunks(x->conn);
    hs_chain *out = hs_stream_out(x->conn->stream);
    HS_ENSURE(out, -ENOMEM);
    HS_TRY(hs_chain_append(out, chunks, HS_SPAN("0\r\n")));
    hs_chain_join(out, &res->trailers);
    return hs_chain_append(out, chunks, HS_SPAN("\r\n"));
}

void hs_res_end(hs_res *handle)
{
    h1_session *x = session_of_res(handle);
    if (!x)
        return;
    h1_res *res = &x->res;
    if (res->state != RES_BEGUN) {
        if (x->conn->phase == CONN_OVER)
            orphan_told(x);
        return;
    }
    bool short_body = !res->bodiless && res->left != HS_LENGTH_UNKNOWN && res->left > 0;
    if (res->failed || short_body || (res->chunked && !hs_ok(put_last_chunk(x)))) {
        conn_abort(x->conn);
        return;
    }
    complete(x);
}
