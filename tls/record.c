/* Records: bytes in and out of wolfSSL, by memory alone.
 *
 * Owns: the two callbacks between wolfSSL and the plain stream, how much goes into a record, and
 * what wolfSSL's errors mean. Must not know: who calls, and when. Tested by:
 * tests/unit/tls_stream.c.
 *
 * Sizes. A receiver can use nothing of a record before its last byte is there, so after a pause
 * records fit a segment each, until about what a new connection may have in flight is out (RFC
 * 6928); from then on they are as large as can be, which costs the least.
 *
 * Replies. A peer can make wolfSSL send: a KeyUpdate for each of its own (RFC 8446 section 4.6.3),
 * a no_renegotiation alert for each ClientHello or HelloRequest of TLS 1.2. One that never reads
 * would have them queued without limit. They are counted, and past TLS_REPLIES_MAX nothing more is
 * read until the queue has drained. What the user has queued does not count: it is the user's to
 * bound, and a client that sends much must still see an early response. */
#include "tls.h"

#define RECORD_SMALL 1300
#define FLIGHT_BYTES 16384
#define PAUSE_NS HS_SEC_NS

int tls_io_recv(WOLFSSL *ssl, char *out, int room, void *ctx)
{
    tls_conn *c = ctx;
    size_t n = (size_t)room;
    (void)ssl;
    HS_ASSERT(room > 0);
    if (HS_UNLIKELY(c->replies > 0) && c->state == TLS_OPEN && tls_replies_wait(c))
        return WOLFSSL_CBIO_ERR_WANT_READ;
    if (c->held.len > 0) {
        n = HS_MIN(n, c->held.head->len);
        memcpy(out, c->held.head->data, n);
        hs_chain_consume(&c->held, hs_shard_chunks(c->s.shard), n);
        return (int)n;
    }
    n = HS_MIN(n, c->in.len);
    if (n == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(out, c->in.ptr, n);
    c->in = hs_span_from(c->in, n);
    return (int)n;
}

int tls_io_send(WOLFSSL *ssl, char *bytes, int len, void *ctx)
{
    tls_conn *c = ctx;
    (void)ssl;
    HS_ASSERT(len > 0);
    hs_chain *out = c->plain ? hs_stream_out(c->plain) : NULL;
    hs_err err = hs_err_of(-ENOMEM);
    if (out)
        err = hs_chain_append(out, hs_shard_chunks(c->s.shard), hs_span_of(bytes, (size_t)len));
    else if (!c->plain || !hs_stream_writable(c->plain))
        err = hs_err_of(HS_E_CLOSED);
    if (hs_ok(err) && !c->sealing)
        c->replies += (uint32_t)len;
    if (hs_ok(err))
        return len;
    c->io_why = (int16_t)err.code;
    return WOLFSSL_CBIO_ERR_GENERAL;
}

hs_err tls_err_of(const tls_conn *c, int wolf_err)
{
    HS_ASSERT(wolf_err != 0);
    if (c->io_why != 0)
        return hs_err_of(c->io_why);
    if (wolf_err == MEMORY_E || wolf_err == MEMORY_ERROR)
        return hs_err_of(-ENOMEM);
    hs_err err = tls_cert_err(wolf_err);
    return hs_ok(err) ? hs_err_of(HS_E_TLS) : err;
}

static size_t record_room(tls_conn *c)
{
    uint64_t now = hs_shard_now_ns(c->s.shard);
    if (now - c->wrote_ns > PAUSE_NS)
        c->flight = 0;
    c->wrote_ns = now;
    return c->flight < FLIGHT_BYTES ? RECORD_SMALL : TLS_RECORD_BYTES;
}

/* The next record's plaintext in one piece: the first chunk's own bytes where they are enough. */
static hs_span gather(tls_conn *c, size_t room)
{
    const hs_chunk *chunk = c->out.head;
    size_t n = 0;
    if (chunk->len >= room || !chunk->next)
        return hs_span_of(chunk->data, HS_MIN(chunk->len, room));
    for (; chunk && n < room; chunk = chunk->next) {
        size_t part = HS_MIN(chunk->len, room - n);
        memcpy(c->tls->out + n, chunk->data, part);
        n += part;
    }
    HS_ASSERT(n <= TLS_RECORD_BYTES);
    return hs_span_of(c->tls->out, n);
}

hs_err tls_seal(tls_conn *c)
{
    HS_ASSERT(c->ssl != NULL);
    HS_ASSERT(c->plain != NULL);
    while (c->out.len > 0 && !hs_stream_full(c->plain)) {
        hs_span record = gather(c, record_room(c));
        HS_ASSERT(record.len > 0);
        c->sealing = true;
        int rc = wolfSSL_write(c->ssl, record.ptr, (int)record.len);
        c->sealing = false;
        if (rc <= 0)
            return tls_err_of(c, wolfSSL_get_error(c->ssl, rc));
        HS_ASSERT((size_t)rc == record.len);
        if (c->flight < FLIGHT_BYTES)
            c->flight += (uint32_t)record.len;
        hs_chain_consume(&c->out, hs_shard_chunks(c->s.shard), record.len);
    }
    return HS_OK;
}

bool tls_replies_wait(tls_conn *c)
{
    if (!c->plain || hs_stream_unsent(c->plain) == 0)
        c->replies = 0;
    return c->replies >= TLS_REPLIES_MAX;
}

tls_read tls_unseal(tls_conn *c, size_t *len, hs_err *err)
{
    uint8_t *out = c->tls->in;
    HS_ASSERT(c->ssl != NULL);
    *len = 0;
    /* Several small records are told as one piece: a request may come in many. */
    while (*len < TLS_RECORD_BYTES) {
        int rc = wolfSSL_read(c->ssl, out + *len, (int)(TLS_RECORD_BYTES - *len));
        if (rc > 0) {
            *len += (size_t)rc;
            continue;
        }
        int why = wolfSSL_get_error(c->ssl, rc);
        if (why == WOLFSSL_ERROR_WANT_READ)
            return TLS_READ_DRY;
        if (why == WOLFSSL_ERROR_ZERO_RETURN)
            return TLS_READ_END;
        *err = tls_err_of(c, why);
        return TLS_READ_FAILED;
    }
    return TLS_READ_MORE;
}
