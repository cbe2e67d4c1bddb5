/* A server's handshakes.
 *
 * Owns: waiting for a whole ClientHello before anything is made for it, the choice of its context,
 * and how many handshakes may be under way. Those past the limit push out the oldest, which has had
 * the most time: so that many who say nothing do not keep out those who do. Must not know: what the
 * streams are for. Tested by: tests/unit/tls_accept.c. */
#include "tls.h"

/* An alert before there are keys (RFC 8446 section 6): fatal, of TLS 1.2's version. */
enum {
    ALERT_UNEXPECTED_MESSAGE = 10,
    ALERT_HANDSHAKE_FAILURE = 40,
    ALERT_ILLEGAL_PARAMETER = 47,
    ALERT_DECODE_ERROR = 50,
    ALERT_INTERNAL_ERROR = 80
};

static void give_up_oldest(hs_tls *tls, hs_list *list, hs_err why)
{
    HS_ASSERT(!hs_list_empty(list));
    tls_hs *hs = HS_CONTAINER_OF(list->next, tls_hs, link);
    hs_count(hs_shard_counters(tls->shard), tls->count_given_up, 1);
    tls_conn_die(hs->conn, why);
}

static void unlink_hs(tls_hs *hs)
{
    hs_tls *tls = hs->conn->tls;
    if (hs->waiting)
        tls->waiting_len--;
    else
        tls->busy_len--;
    hs_list_remove(&hs->link);
}

static void on_timer(hs_timer *timer)
{
    tls_conn_die(HS_CONTAINER_OF(timer, tls_hs, timer)->conn, hs_err_of(-ETIMEDOUT));
}

static void refuse(hs_tls *tls, hs_stream *plain)
{
    hs_count(hs_shard_counters(tls->shard), tls->count_failed, 1);
    plain->events = &tls_nobody;
    hs_stream_abort(plain);
}

void hs_tls_accept(hs_tls *tls, hs_stream *plain)
{
    HS_ASSERT(tls->box != NULL);
    HS_ASSERT(plain->shard == tls->shard);
    if (tls->waiting_len >= 4 * tls->options.handshakes_max)
        give_up_oldest(tls, &tls->waiting, hs_err_of(HS_E_LIMIT));
    tls_conn *c = hs_pool_take(&tls->conns);
    if (!c) {
        refuse(tls, plain);
        return;
    }
    memset(c, 0, sizeof *c + tls->options.owner_bytes);
    c->tls = tls;
    tls_hs *hs = tls_hs_take(c, NULL);
    if (!hs ||
        !hs_ok(hs_timer_after(tls->shard, &hs->timer, tls->options.handshake_ms, on_timer))) {
        tls_hs_give(c);
        hs_pool_give(&tls->conns, c);
        refuse(tls, plain);
        return;
    }
    tls_conn_init(c, tls, plain);
    hs->waiting = true;
    hs_list_push_back(&tls->waiting, &hs->link);
    tls->waiting_len++;
    hs_count(hs_shard_counters(tls->shard), tls->count_handshakes, 1);
}

/* ---- the hello ---- */

/* The context that new connections use. */
static hs_tls_ctx *current_ctx(hs_tls *tls)
{
    if (tls_box_changed(tls->box, tls->generation, hs_shard_wall_s(tls->shard))) {
        hs_tls_ctx_unref(tls->ctx);
        tls->ctx = tls_box_get(tls->box, &tls->generation, &tls->keys);
    }
    return tls->ctx;
}

static void refuse_with(tls_conn *c, hs_span answer)
{
    /* Without memory for it the end alone must do. */
    hs_err err = hs_stream_write(c->plain, answer);
    tls_conn_fail(c, hs_ok(err) ? hs_err_of(HS_E_TLS) : err);
}

static void refuse_with_alert(tls_conn *c, uint8_t code)
{
    uint8_t alert[7] = {21, 3, 3, 0, 2, 2, code};
    refuse_with(c, hs_span_of(alert, sizeof alert));
}

/* The limit is ours, and the client has done nothing wrong: it is worth a line. */
static void refuse_large(tls_conn *c)
{
    hs_tls *tls = c->tls;
    uint64_t now = hs_shard_now_ns(tls->shard);
    if (now >= tls->warn_next_ns) {
        tls->warn_next_ns = now + HS_SEC_NS;
        hs_log_write(hs_shard_log(tls->shard), HS_LOG_WARN,
                     "tls: refused a ClientHello of more than %d bytes", TLS_HELLO_BYTES_MAX);
    }
    refuse_with_alert(c, ALERT_INTERNAL_ERROR);
}

static void refuse_hello(tls_conn *c, tls_hello_result result)
{
    if (result == TLS_HELLO_LARGE)
        refuse_large(c);
    else if (result == TLS_HELLO_PLAIN && c->tls->options.plain_answer.len > 0)
        refuse_with(c, c->tls->options.plain_answer);
    else
        refuse_with_alert(c, result == TLS_HELLO_PLAIN ? ALERT_UNEXPECTED_MESSAGE
                                                       : ALERT_DECODE_ERROR);
}

static hs_err make_ssl(tls_conn *c, const tls_hello *hello)
{
    hs_tls_ctx *ctx = hs_tls_ctx_ref(current_ctx(c->tls));
    c->ctx = ctx;
    c->ssl = wolfSSL_new(tls_pick(ctx, hello)->wolf);
    HS_ENSURE(c->ssl, -ENOMEM);
    wolfSSL_SetIOReadCtx(c->ssl, c);
    wolfSSL_SetIOWriteCtx(c->ssl, c);
    int at = tls_pick_alpn(ctx, hello);
    if (at == -1)
        return HS_OK;
    /* Where none fits, wolfSSL says so to the client once it is offered one that does not. */
    at = HS_MAX(at, 0);
    int rc = wolfSSL_UseALPN(c->ssl, ctx->alpn[at].text, ctx->alpn[at].len,
                             WOLFSSL_ALPN_FAILED_ON_MISMATCH);
    HS_ENSURE(rc == WOLFSSL_SUCCESS, -ENOMEM);
    return HS_OK;
}

static void begin(tls_conn *c, const tls_hello *hello)
{
    hs_tls *tls = c->tls;
    tls_hs *hs = c->hs;
    hs->sni_len = (uint8_t)hello->sni.len;
    if (hello->sni.len > 0)
        memcpy(hs->sni, hello->sni.ptr, hello->sni.len);
    hs_err err = make_ssl(c, hello);
    if (!hs_ok(err)) {
        tls_conn_die(c, err);
        return;
    }
    if (tls->busy_len >= tls->options.handshakes_max)
        give_up_oldest(tls, &tls->busy, hs_err_of(HS_E_LIMIT));
    unlink_hs(hs);
    hs->waiting = false;
    hs_list_push_back(&tls->busy, &hs->link);
    tls->busy_len++;
    c->state = TLS_HANDSHAKE;
    tls_shake(c);
}

/* All that came so far, in one piece, as far as a hello may go. */
static hs_span gathered(tls_conn *c)
{
    uint8_t *out = c->tls->hello;
    size_t n = 0;
    for (const hs_chunk *chunk = c->held.head; chunk && n < TLS_HELLO_BYTES_MAX;
         chunk = chunk->next) {
        size_t part = HS_MIN(chunk->len, TLS_HELLO_BYTES_MAX - n);
        memcpy(out + n, chunk->data, part);
        n += part;
    }
    return hs_span_of(out, n);
}

/* Put a hello that wolfSSL cannot read as it came into one record: what is hashed of it are its
 * bytes, wherever the records begin (RFC 8446 section 5.1). `fresh` is what is not in c->held.
 * False: it has ended. */
static bool make_whole(tls_conn *c, const tls_hello *hello, hs_span fresh)
{
    hs_pool *chunks = hs_shard_chunks(c->s.shard);
    uint32_t n = hello->payload_bytes;
    uint8_t head[5] = {22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n};
    hs_chain whole;
    if (n > TLS_RECORD_BYTES) {
        refuse_with_alert(c, ALERT_INTERNAL_ERROR);
        return false;
    }
    if (fresh.len > 0 && !tls_conn_hold(c, fresh))
        return false;
    hs_chain_consume(&c->held, chunks, hello->records_bytes);
    hs_chain_init(&whole);
    hs_err err = hs_chain_append(&whole, chunks, hs_span_of(head, sizeof head));
    if (hs_ok(err))
        err = hs_chain_append(&whole, chunks, hs_span_of(c->tls->hello + TLS_HELLO_BYTES_MAX, n));
    for (const hs_chunk *k = c->held.head; hs_ok(err) && k; k = k->next)
        err = hs_chain_append(&whole, chunks, hs_span_of(k->data, k->len));
    hs_chain_clear(&c->held, chunks);
    c->held = whole;
    if (!hs_ok(err))
        tls_conn_die(c, err);
    return hs_ok(err);
}

void tls_accept_hello(tls_conn *c, hs_span bytes)
{
    tls_hello hello;
    hs_span all = bytes;
    bool kept = c->held.len > 0;
    HS_ASSERT(c->hs && c->state == TLS_HELLO);
    if (kept) {
        if (!tls_conn_hold(c, bytes) || c->held.len < c->hs->hello_need)
            return;
        all = gathered(c);
    }
    tls_hello_result result = tls_hello_read(all.ptr, all.len, c->tls->hello + TLS_HELLO_BYTES_MAX,
                                             &hello, &c->hs->hello_need);
    if (result == TLS_HELLO_MORE) {
        if (!kept)
            (void)tls_conn_hold(c, bytes);
        return;
    }
    if (result != TLS_HELLO_DONE) {
        refuse_hello(c, result);
        return;
    }
    /* wolfSSL would use a curve that the client did not offer (RFC 8422 section 4, RFC 8446 section
     * 4.1.1). */
    if (hello.no_group || hello.share_twice) {
        refuse_with_alert(c, hello.no_group ? ALERT_HANDSHAKE_FAILURE : ALERT_ILLEGAL_PARAMETER);
        return;
    }
    if (hello.cut && !make_whole(c, &hello, kept ? hs_span_of(NULL, 0) : bytes))
        return;
    if (!kept && !hello.cut)
        c->in = bytes;
    begin(c, &hello);
}

/* ---- the end ---- */

void tls_accept_over(tls_conn *c)
{
    hs_tls *tls = c->tls;
    hs_tls_info info;
    uint8_t sni[sizeof c->hs->sni];
    tls_info_fill(c, &info);
    if (info.sni.len > 0)
        memcpy(sni, info.sni.ptr, info.sni.len);
    info.sni.ptr = sni;
    unlink_hs(c->hs);
    tls_hs_give(c);
    c->taken = true;
    tls->options.ready(&c->s, &info, tls->options.ctx);
    HS_ASSERT(c->s.events != NULL);
}

void tls_accept_ended(tls_conn *c)
{
    hs_count(hs_shard_counters(c->tls->shard), c->tls->count_failed, 1);
    unlink_hs(c->hs);
    tls_hs_give(c);
}

void hs_tls_abort_handshakes(hs_tls *tls)
{
    HS_ASSERT(tls->shard == hs_shard_self());
    hs_list *lists[] = {&tls->waiting, &tls->busy};
    for (size_t i = 0; i < HS_ARRAY_LEN(lists); i++)
        while (!hs_list_empty(lists[i]))
            tls_conn_die(HS_CONTAINER_OF(lists[i]->next, tls_hs, link)->conn,
                         hs_err_of(HS_E_CLOSED));
}
