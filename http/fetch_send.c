/* The request as bytes: head, framing, body.
 *
 * Owns: what is written of a request, as fast as the connection takes it. Must not know: what comes
 * back. Tested by: tests/unit/http_fetch.c, tests/unit/http_fetch_body.c. */
#include "client.h"

#include <stdio.h>

#define SEND_PIECE_BYTES (32u * 1024)

/* Appends to the stream's chain, and remembers a failure. */
typedef struct out {
    hs_chain *chain;
    hs_pool *chunks;
    hs_err err;
} out;

static void put(out *o, hs_span s)
{
    if (hs_ok(o->err) && s.len > 0)
        o->err = hs_chain_append(o->chain, o->chunks, s);
}

static void put_number(out *o, uint64_t n)
{
    char text[20];
    put(o, hs_span_of(text, hs_fmt_u64(text, n)));
}

static void put_field(out *o, hs_span name, hs_span value)
{
    put(o, name);
    put(o, HS_SPAN(": "));
    put(o, value);
    put(o, HS_SPAN("\r\n"));
}

static bool has(const fetch *f, hs_span name)
{
    for (uint32_t i = 0; i < f->headers_len; i++)
        if (hs_span_eq_nocase(f->headers[i].name, name))
            return true;
    return false;
}

static void put_authority(out *o, const hs_url *url)
{
    put(o, url->host);
    if (url->port == HS_URL_PORT_NONE)
        return;
    put(o, HS_SPAN(":"));
    put_number(o, url->port);
}

static void put_request_line(out *o, const fetch *f)
{
    put(o, f->method_name);
    put(o, HS_SPAN(" "));
    bool absolute = client_tunnel_asks(f);
    if (absolute) {
        /* RFC 9112 section 3.2.2. */
        put(o, HS_SPAN("http://"));
        put_authority(o, &f->url);
    }
    put(o, f->url.path);
    if (f->url.has_query) {
        put(o, HS_SPAN("?"));
        put(o, f->url.query);
    }
    put(o, HS_SPAN(" HTTP/1.1\r\nHost: "));
    if (f->host.len > 0)
        put(o, f->host);
    else
        put_authority(o, &f->url);
    put(o, HS_SPAN("\r\n"));
    /* Through a tunnel it would be the host's to read. */
    if (absolute && f->via->authorization.len > 0)
        put_field(o, HS_SPAN("Proxy-Authorization"), f->via->authorization);
}

/* How the body is framed. Of methods that expect one, an empty one is said to be so. */
static void put_framing(out *o, const fetch *f)
{
    bool chunked = f->has_source && f->sink.source.length == HS_FETCH_CHUNKED;
    bool expected =
        f->method == HS_METHOD_POST || f->method == HS_METHOD_PUT || f->method == HS_METHOD_PATCH;
    if (chunked) {
        put(o, HS_SPAN("Transfer-Encoding: chunked\r\n"));
    } else if (f->has_source || f->body.ptr || expected) {
        put(o, HS_SPAN("Content-Length: "));
        put_number(o, f->has_source ? f->sink.source.length : f->body.len);
        put(o, HS_SPAN("\r\n"));
    }
}

hs_err fetch_send_start(fetch *f)
{
    hs_stream *s = f->conn->stream;
    out o = {.chain = hs_stream_out(s), .chunks = client_chunks(f->client)};
    HS_ENSURE(o.chain, hs_stream_writable(s) ? -ENOMEM : HS_E_CLOSED);
    HS_ASSERT(f->url.path.len > 0 && f->url.path.ptr[0] == '/');
    hs_span cookies;
    HS_TRY(fetch_cookie_get(f, &cookies));
    put_request_line(&o, f);
    for (uint32_t i = 0; i < f->headers_len; i++)
        put_field(&o, f->headers[i].name, f->headers[i].value);
    if (!has(f, HS_SPAN("User-Agent")))
        put(&o, HS_SPAN("User-Agent: httpshard\r\n"));
    if (!has(f, HS_SPAN("Accept")))
        put(&o, HS_SPAN("Accept: */*\r\n"));
    if (f->decodes)
        put(&o, HS_SPAN("Accept-Encoding: " CODING_ACCEPT "\r\n"));
    if (cookies.len > 0 && !has(f, HS_SPAN("Cookie")))
        put_field(&o, HS_SPAN("Cookie"), cookies);
    put_framing(&o, f);
    put(&o, HS_SPAN("\r\n"));
    HS_TRY(o.err);
    f->body_at = 0;
    f->sent_all = !f->has_source && f->body.len == 0;
    if (f->sent_all)
        hs_stream_flush(s);
    else
        HS_TRY(fetch_send_more(f));
    return HS_OK;
}

static hs_err send_bytes(fetch *f)
{
    hs_stream *s = f->conn->stream;
    while (f->body_at < f->body.len && !hs_stream_full(s)) {
        size_t n = HS_MIN(f->body.len - f->body_at, (size_t)SEND_PIECE_BYTES);
        hs_chain *chain = hs_stream_out(s);
        HS_ENSURE(chain, hs_stream_writable(s) ? -ENOMEM : HS_E_CLOSED);
        hs_span piece = hs_span_of(f->body.ptr + f->body_at, n);
        HS_TRY(hs_chain_append(chain, client_chunks(f->client), piece));
        f->body_at += n;
    }
    f->sent_all = f->body_at == f->body.len;
    hs_stream_flush(s);
    return HS_OK;
}

hs_err fetch_send_more(fetch *f)
{
    hs_fetch_sink *sink = &f->sink;
    HS_ASSERT(f->depth > 0);
    HS_ASSERT(!f->sent_all);
    if (!f->has_source)
        return send_bytes(f);
    hs_stream_flush(f->conn->stream);
    if (sink->calling || (sink->asked && !sink->full))
        return HS_OK;
    sink->asked = sink->calling = true;
    sink->full = false;
    sink->source.more(sink, sink->source.ctx);
    sink->calling = false;
    if (f->conn && !f->sent_all)
        hs_stream_flush(f->conn->stream);
    return HS_OK;
}

/* ---- a body that is made while it is sent ---- */

static fetch *fetch_of_sink(const hs_fetch_sink *sink)
{
    return HS_CONTAINER_OF(sink, fetch, sink);
}

static hs_err put_chunk(out *o, hs_span piece)
{
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", piece.len);
    HS_ASSERT(n > 0 && (size_t)n < sizeof size);
    put(o, hs_span_of(size, (size_t)n));
    put(o, piece);
    put(o, HS_SPAN("\r\n"));
    return o->err;
}

hs_err hs_fetch_write(hs_fetch_sink *sink, hs_span piece)
{
    fetch *f = fetch_of_sink(sink);
    HS_ASSERT(sink->asked);
    /* A redirection may have made a request without a body of it meanwhile. */
    HS_ENSURE(f->has_source && f->conn && !f->sent_all, HS_E_CLOSED);
    if (piece.len == 0)
        return HS_OK;
    hs_stream *s = f->conn->stream;
    out o = {.chain = hs_stream_out(s), .chunks = client_chunks(f->client)};
    HS_ENSURE(o.chain, hs_stream_writable(s) ? -ENOMEM : HS_E_CLOSED);
    if (sink->source.length == HS_FETCH_CHUNKED) {
        HS_TRY(put_chunk(&o, piece));
    } else {
        HS_ENSURE(piece.len <= sink->left, HS_E_USAGE);
        put(&o, piece);
        HS_TRY(o.err);
        sink->left -= piece.len;
    }
    if (!sink->calling)
        hs_stream_flush(s);
    return HS_OK;
}

bool hs_fetch_full(hs_fetch_sink *sink)
{
    const fetch *f = fetch_of_sink(sink);
    bool full = !f->conn || hs_stream_full(f->conn->stream);
    if (full)
        sink->full = true;
    return full;
}

static hs_err send_last(fetch *f)
{
    HS_ENSURE(f->conn, HS_E_CLOSED);
    hs_stream *s = f->conn->stream;
    if (f->sink.source.length != HS_FETCH_CHUNKED) {
        HS_ENSURE(f->sink.left == 0, HS_E_USAGE);
    } else {
        out o = {.chain = hs_stream_out(s), .chunks = client_chunks(f->client)};
        HS_ENSURE(o.chain, hs_stream_writable(s) ? -ENOMEM : HS_E_CLOSED);
        put(&o, HS_SPAN("0\r\n\r\n"));
        HS_TRY(o.err);
    }
    f->sent_all = true;
    hs_stream_flush(s);
    return HS_OK;
}

hs_err fetch_send_end(fetch *f, hs_err why)
{
    HS_ASSERT(f->sink.asked);
    if (!f->has_source || f->sent_all)
        return HS_OK;
    HS_TRY(why);
    return send_last(f);
}
