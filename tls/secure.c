/* A client's handshakes: what net/hs_secure.h asks for.
 *
 * Owns: their promises, cancellation and errors. Must not know: who dialled. Tested by:
 * tests/unit/tls_secure.c.
 *
 * A stream that is handed over is paused: what the server says right after the handshake waits
 * until the receiver resumes it, and so does its end. */
#include "tls.h"

#define HANDSHAKE_MS 10000

typedef struct tls_secure {
    hs_secure head;
    hs_tls tls;
} tls_secure;

HS_STATIC_ASSERT(sizeof(((tls_ask *)0)->text) == sizeof(((hs_secure_error *)0)->text),
                 "a text fits");

/* ---- the end of a handshake ---- */

static void drop_stream(void *value)
{
    tls_conn *c = HS_CONTAINER_OF((hs_stream *)value, tls_conn, s);
    if (c->plain)
        hs_stream_abort(value);
    else
        tls_conn_free(c);
}

/* Take the handshake's memory back. Returns the promise. */
static hs_promise *detach(tls_conn *c)
{
    tls_ask *ask = c->hs->ask;
    hs_promise *promise = ask->promise;
    hs_cancel_remove(&ask->hook);
    hs_cancel_unref(ask->cancel);
    tls_hs_give(c);
    hs_mem_give(hs_shard_mem(c->s.shard), ask, sizeof *ask, 16);
    return promise;
}

void tls_secure_over(tls_conn *c)
{
    hs_promise *promise = detach(c);
    c->paused = true;
    hs_stream_pause(c->plain);
    hs_promise_settle(promise, hs_value_owned(&c->s, drop_stream));
}

void tls_secure_ended(tls_conn *c, hs_err why)
{
    tls_ask *ask = c->hs->ask;
    hs_shard *shard = c->s.shard;
    /* What we found wrong ourselves says more than what wolfSSL made of it. */
    if (!hs_ok(ask->err) && (why.code == HS_E_TLS || !hs_ok(tls_cert_err(c->hs->wolf_err))))
        why = ask->err;
    hs_secure_error *e = hs_mem_take_zero(hs_shard_mem(shard), sizeof *e, 16);
    if (e) {
        e->shard = shard;
        e->err = why;
        tls_why_text(c, why, e->text, sizeof e->text);
    }
    hs_promise_settle(detach(c), (hs_outcome){why, NULL, e, hs_secure_error_free});
}

static void on_cancel(hs_cancel_hook *hook, hs_err why)
{
    tls_conn_die(HS_CONTAINER_OF(hook, tls_ask, hook)->conn, why);
}

static void on_timer(hs_timer *timer)
{
    tls_conn_die(HS_CONTAINER_OF(timer, tls_hs, timer)->conn, hs_err_of(-ETIMEDOUT));
}

/* ---- its start ---- */

static hs_err use_alpn(tls_conn *c, const hs_secure_options *o)
{
    char list[HS_TLS_ALPN_MAX * (HS_TLS_ALPN_BYTES_MAX + 1)];
    size_t len = 0;
    HS_ENSURE(o->alpn_len <= HS_TLS_ALPN_MAX, HS_E_LIMIT);
    for (uint32_t i = 0; i < o->alpn_len; i++) {
        hs_span name = o->alpn[i];
        HS_ENSURE(name.len > 0 && name.len <= HS_TLS_ALPN_BYTES_MAX, HS_E_LIMIT);
        if (len > 0)
            list[len++] = ',';
        memcpy(list + len, name.ptr, name.len);
        len += name.len;
    }
    if (len == 0)
        return HS_OK;
    int rc = wolfSSL_UseALPN(c->ssl, list, (word32)len, WOLFSSL_ALPN_FAILED_ON_MISMATCH);
    HS_ENSURE(rc == WOLFSSL_SUCCESS, -ENOMEM);
    return HS_OK;
}

/* The host as it is written in SNI: a name without the dot at its end. */
static hs_err use_sni(tls_conn *c, hs_span host)
{
    uint8_t address[16];
    size_t len;
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (!tls_name_ok(host) || tls_is_address(host, address, &len))
        return HS_OK;
    int rc = wolfSSL_UseSNI(c->ssl, WOLFSSL_SNI_HOST_NAME, host.ptr, (unsigned short)host.len);
    HS_ENSURE(rc == WOLFSSL_SUCCESS, -ENOMEM);
    return HS_OK;
}

static hs_err make_ssl(tls_conn *c, const hs_secure_options *o)
{
    c->ssl = wolfSSL_new(c->ctx->slots[0].wolf);
    HS_ENSURE(c->ssl, -ENOMEM);
    wolfSSL_SetIOReadCtx(c->ssl, c);
    wolfSSL_SetIOWriteCtx(c->ssl, c);
    wolfSSL_SetCertCbCtx(c->ssl, c);
    /* Not by our word alone: what is accepted in this way must not become a root for others. */
    c->hs->ask->unverified = o->unverified;
    if (o->unverified)
        wolfSSL_set_verify(c->ssl, WOLFSSL_VERIFY_NONE, tls_verify);
    else
        HS_ENSURE(wolfSSL_UseOCSPStapling(c->ssl, WOLFSSL_CSR_OCSP, 0) == WOLFSSL_SUCCESS, -ENOMEM);
    HS_TRY(use_sni(c, o->host));
    HS_TRY(use_alpn(c, o));
    return o->unverified ? HS_OK : tls_session_offer(c, o->host, o->port);
}

/* Everything that may fail. What it has made is the connection's, or the handshake's. */
static hs_err prepare(tls_conn *c, tls_ask *ask, const hs_secure_options *o)
{
    uint32_t ms = o->handshake_ms ? o->handshake_ms : HANDSHAKE_MS;
    HS_ENSURE(o->host.len <= sizeof ask->host, HS_E_LIMIT);
    ask->host_len = (uint8_t)o->host.len;
    if (o->host.len > 0)
        memcpy(ask->host, o->host.ptr, o->host.len);
    HS_TRY(make_ssl(c, o));
    HS_TRY(hs_timer_after(c->s.shard, &c->hs->timer, ms, on_timer));
    HS_TRY(hs_cancel_add(o->cancel, &ask->hook, on_cancel));
    ask->cancel = hs_cancel_ref(o->cancel);
    ask->conn = c;
    return HS_OK;
}

/* The memory of a connection; NULL: none. */
static tls_conn *take_conn(hs_tls *tls, uint32_t owner_bytes)
{
    const hs_mem *mem = hs_shard_mem(tls->shard);
    size_t bytes = sizeof(tls_conn) + owner_bytes;
    tls_conn *c = hs_mem_take_zero(mem, bytes, 16);
    tls_ask *ask = hs_mem_take_zero(mem, sizeof *ask, 16);
    if (c)
        c->tls = tls;
    if (!c || !ask || !tls_hs_take(c, ask)) {
        hs_mem_give(mem, ask, sizeof *ask, 16);
        hs_mem_give(mem, c, bytes, 16);
        return NULL;
    }
    c->slot_bytes = (uint32_t)bytes;
    c->ctx = hs_tls_ctx_ref(tls->ctx);
    tls->refs++;
    return c;
}

static hs_promise *start(hs_secure *self, hs_stream *plain, const hs_secure_options *options)
{
    hs_tls *tls = &HS_CONTAINER_OF(self, tls_secure, head)->tls;
    HS_ASSERT(plain->shard == tls->shard);
    HS_ASSERT(options->owner_bytes < UINT32_MAX / 2);
    hs_promise *promise = hs_promise_create(tls->shard);
    tls_conn *c = promise ? take_conn(tls, options->owner_bytes) : NULL;
    if (!c) {
        hs_outcome failed = hs_error(hs_err_of(-ENOMEM));
        plain->events = &tls_nobody;
        hs_stream_abort(plain);
        if (!promise)
            return hs_promise_settled(tls->shard, failed);
        hs_promise_settle(promise, failed);
        return promise;
    }
    tls_conn_init(c, tls, plain);
    c->hs->ask->promise = promise;
    c->state = TLS_HANDSHAKE;
    hs_err err = prepare(c, c->hs->ask, options);
    if (!hs_ok(err)) {
        tls_conn_die(c, err);
        return promise;
    }
    hs_stream_resume(plain);
    tls_shake(c);
    return promise;
}

/* ---- the whole ---- */

hs_err hs_tls_secure_create(hs_shard *shard, hs_tls_ctx *ctx, hs_secure **out)
{
    HS_ASSERT(ctx->client);
    tls_secure *secure = hs_mem_take_zero(hs_shard_mem(shard), sizeof *secure, 16);
    hs_tls_shard_options options = {0};
    HS_ENSURE(secure, -ENOMEM);
    hs_err err = tls_init(&secure->tls, shard, &options);
    if (!hs_ok(err)) {
        hs_mem_give(hs_shard_mem(shard), secure, sizeof *secure, 16);
        return err;
    }
    secure->head.start = start;
    secure->tls.ctx = hs_tls_ctx_ref(ctx);
    secure->tls.refs = 1;
    *out = &secure->head;
    return HS_OK;
}

void tls_unref(hs_tls *tls)
{
    HS_ASSERT(tls->refs > 0);
    if (--tls->refs > 0)
        return;
    tls_secure *secure = HS_CONTAINER_OF(tls, tls_secure, tls);
    hs_shard *shard = tls->shard;
    hs_tls_ctx_unref(tls->ctx);
    tls_fini(tls);
    hs_mem_give(hs_shard_mem(shard), secure, sizeof *secure, 16);
}

void hs_tls_secure_destroy(hs_secure *secure)
{
    if (secure)
        tls_unref(&HS_CONTAINER_OF(secure, tls_secure, head)->tls);
}
