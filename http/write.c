/* Heads and error answers as bytes.
 *
 * Owns: the order of an answer's fields: Date, Content-Type, the framing, Connection, then the
 * handler's own. Must not know: handlers. Tested by: tests/wire. */
#include "session.h"

/* The longest head without the handler's fields: status line, Date, Content-Type, framing,
 * Connection. A Content-Type of ours is short. */
#define HEAD_ROOM 512
#define TYPE_BYTES_MAX 128

static uint8_t *put(uint8_t *at, hs_span s)
{
    if (s.len == 0)
        return at;
    memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    return at + hs_fmt_u64((char *)at, value);
}

#define STATUS_OK "HTTP/1.1 200 OK\r\n"
#define STATUS_OK_LEN (sizeof STATUS_OK - 1)

HS_STATIC_ASSERT(sizeof((hs_http_server *)0)->start == STATUS_OK_LEN + 6 + HS_HTTP_DATE_LEN + 2,
                 "a server's `start` is the status line of 200 and a Date field");

/* Once a second: the status line and the date that most answers begin with, in one piece. */
static void renew_start(hs_http_server *server, uint64_t now_ns)
{
    char *at = server->start;
    memcpy(at, STATUS_OK "Date: ", STATUS_OK_LEN + 6);
    hs_http_date(at + STATUS_OK_LEN + 6, hs_shard_wall_s(server->shard));
    memcpy(at + STATUS_OK_LEN + 6 + HS_HTTP_DATE_LEN, "\r\n", 2);
    uint64_t into_second = hs_io_wall_ns(hs_shard_io(server->shard)) % HS_SEC_NS;
    server->date_until_ns = now_ns + HS_SEC_NS - into_second;
}

/* The status line and Date. */
static uint8_t *put_start(uint8_t *at, hs_http_server *server, uint32_t status)
{
    HS_ASSERT(status >= 100 && status <= 599);
    uint64_t now_ns = hs_shard_now_ns(server->shard);
    if (HS_UNLIKELY(now_ns >= server->date_until_ns))
        renew_start(server, now_ns);
    if (HS_LIKELY(status == 200)) {
        memcpy(at, server->start, sizeof server->start);
        return at + sizeof server->start;
    }
    at = put(at, HS_SPAN("HTTP/1.1 "));
    at = put_u64(at, status);
    at = put(at, HS_SPAN(" "));
    at = put(at, hs_status_reason(status));
    at = put(at, HS_SPAN("\r\n"));
    return put(at, hs_span_of(server->start + STATUS_OK_LEN, sizeof server->start - STATUS_OK_LEN));
}

static uint8_t *put_type(uint8_t *at, hs_span type)
{
    HS_ASSERT(type.len <= TYPE_BYTES_MAX);
    if (type.len == 0)
        return at;
    at = put(at, HS_SPAN("Content-Type: "));
    at = put(at, type);
    return put(at, HS_SPAN("\r\n"));
}

static uint8_t *put_length(uint8_t *at, uint64_t length)
{
    at = put(at, HS_SPAN("Content-Length: "));
    at = put_u64(at, length);
    return put(at, HS_SPAN("\r\n"));
}

/* How the body is framed, and with it whether the connection can live on (RFC 9112 section 6). */
static uint8_t *put_framing(uint8_t *at, h1_session *x, uint32_t status, uint64_t length)
{
    h1_res *res = &x->res;
    if (status == 204 || status == 304)
        return at;
    if (length != HS_LENGTH_UNKNOWN)
        return put_length(at, length);
    if (x->head.minor == 0) {
        res->close = true;
        return at;
    }
    res->chunked = true;
    return put(at, HS_SPAN("Transfer-Encoding: chunked\r\n"));
}

static uint8_t *put_connection(uint8_t *at, const h1_session *x)
{
    if (x->res.close)
        return put(at, HS_SPAN("Connection: close\r\n"));
    if (x->head.minor == 0)
        return put(at, HS_SPAN("Connection: keep-alive\r\n"));
    return at;
}

hs_err write_head(h1_session *x, uint32_t status, uint64_t length, hs_span type, hs_span *body)
{
    h1_conn *c = x->conn;
    h1_res *res = &x->res;
    hs_pool *chunks = conn_chunks(c);
    hs_chain *out = hs_stream_out(c->stream);
    HS_ENSURE(out, -ENOMEM);
    size_t with_body = body->len <= HS_CHUNK_ROOM - HEAD_ROOM ? body->len : 0;
    uint8_t *start = hs_chain_reserve(out, chunks, HEAD_ROOM + with_body);
    HS_ENSURE(start, -ENOMEM);
    /* A server that began to drain, and a body that cannot be read over, end the connection. */
    if (c->server->draining || (x->req.body == BODY_UNREAD && !body_discardable(x)))
        res->close = true;
    uint8_t *at = put_start(start, c->server, status);
    if (HS_LIKELY(!res->typed))
        at = put_type(at, type);
    at = put_framing(at, x, status, length);
    at = put_connection(at, x);
    if (HS_LIKELY(res->fields.len == 0)) {
        at = put(at, HS_SPAN("\r\n"));
        HS_ASSERT(at <= start + HEAD_ROOM);
        at = put(at, hs_span_of(body->ptr, with_body));
        *body = hs_span_from(*body, with_body);
        hs_chain_commit(out, (size_t)(at - start));
        return HS_OK;
    }
    HS_TRY(hs_chain_append(&res->fields, chunks, HS_SPAN("\r\n")));
    hs_chain_commit(out, (size_t)(at - start));
    hs_chain_join(out, &res->fields);
    return HS_OK;
}

hs_err write_error(h1_conn *c, uint32_t status)
{
    HS_ASSERT(status >= 400);
    hs_chain *out = hs_stream_out(c->stream);
    HS_ENSURE(out, -ENOMEM);
    uint8_t *start = hs_chain_reserve(out, conn_chunks(c), HEAD_ROOM);
    HS_ENSURE(start, -ENOMEM);
    hs_span reason = hs_status_reason(status);
    uint8_t *at = put_start(start, c->server, status);
    at = put_type(at, HS_SPAN("text/plain"));
    at = put_length(at, 4 + reason.len + 1);
    at = put(at, HS_SPAN("Connection: close\r\n\r\n"));
    bool head_only = c->phase == CONN_BUSY && c->session->head.method == HS_METHOD_HEAD;
    if (!head_only) {
        at = put_u64(at, status);
        at = put(at, HS_SPAN(" "));
        at = put(at, reason);
        at = put(at, HS_SPAN("\n"));
    }
    HS_ASSERT(at <= start + HEAD_ROOM);
    hs_chain_commit(out, (size_t)(at - start));
    return HS_OK;
}
