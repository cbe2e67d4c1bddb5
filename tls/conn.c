/* One stream's life after its handshake: reading, sending, closing in order.
 *
 * Owns: the states of tls_conn. What wolfSSL has to say goes through the plain stream's queue, and
 * this one's memory is gone only after the plain one's. Must not know: how handshakes begin.
 * Tested by: tests/unit/tls_stream.c.
 *
 * The end. A user that closes sends what is queued, then close_notify, then the plain stream is
 * closed, which waits for the peer. A peer that ends without close_notify may have been cut off by
 * somebody else (RFC 8446 section 6.1): that is HS_E_TRUNCATED, and no end. */
#include "tls.h"

static tls_conn *conn_of(const hs_stream *s)
{
    return HS_CONTAINER_OF(s, tls_conn, s);
}

static hs_pool *chunks_of(const tls_conn *c)
{
    return hs_shard_chunks(c->s.shard);
}

/* ---- while nobody listens ---- */

static void nobody_data(hs_stream *s, hs_span bytes)
{
    (void)s, (void)bytes;
}

static void nobody_heard(hs_stream *s)
{
    (void)s;
}

static void nobody_closed(hs_stream *s, hs_err why)
{
    (void)s, (void)why;
}

const hs_stream_events tls_nobody = {nobody_data, nobody_heard, nobody_heard, nobody_closed};

/* ---- the end ---- */

static void free_ssl(tls_conn *c)
{
    if (c->ssl)
        wolfSSL_free(c->ssl);
    c->ssl = NULL;
}

void tls_conn_free(tls_conn *c)
{
    hs_tls *tls = c->tls;
    HS_ASSERT(c->plain == NULL);
    HS_ASSERT(c->hs == NULL);
    hs_microtask_cancel(&c->again);
    free_ssl(c);
    tls_session_free(tls, c->server);
    hs_chain_clear(&c->out, chunks_of(c));
    hs_chain_clear(&c->held, chunks_of(c));
    hs_tls_ctx_unref(c->ctx);
    if (c->slot_bytes == 0) {
        hs_pool_give(&tls->conns, c);
        return;
    }
    hs_mem_give(hs_shard_mem(tls->shard), c, c->slot_bytes, 16);
    tls_unref(tls);
}

/* Nothing more will be read or written. */
static void stop(tls_conn *c)
{
    HS_ASSERT(c->state != TLS_ENDED);
    c->state = TLS_ENDED;
    c->in = hs_span_of(NULL, 0);
    hs_chain_clear(&c->held, chunks_of(c));
    hs_chain_clear(&c->out, chunks_of(c));
}

static void set_why(tls_conn *c, hs_err why)
{
    HS_ASSERT(why.code >= INT16_MIN && why.code <= INT16_MAX);
    if (c->failed)
        return;
    c->failed = true;
    c->why = (int16_t)why.code;
}

void tls_conn_fail(tls_conn *c, hs_err why)
{
    HS_ASSERT(!hs_ok(why));
    if (c->state == TLS_ENDED)
        return;
    set_why(c, why);
    stop(c);
    if (c->hs)
        tls_shake_ended(c, why);
    if (c->plain) {
        hs_stream_flush(c->plain);
        hs_stream_close(c->plain);
    }
}

void tls_conn_die(tls_conn *c, hs_err why)
{
    HS_ASSERT(!hs_ok(why));
    set_why(c, why);
    if (c->state != TLS_ENDED)
        stop(c);
    if (c->hs)
        tls_shake_ended(c, why);
    if (c->plain)
        hs_stream_abort(c->plain);
}

static void tell_closed(tls_conn *c)
{
    HS_ASSERT(c->plain == NULL && c->state == TLS_ENDED);
    c->s.events->closed(&c->s, hs_err_of(c->why));
    tls_conn_free(c);
}

/* Later, as no call on a stream calls back from inside. */
static void on_again(hs_microtask *task)
{
    tls_conn *c = HS_CONTAINER_OF(task, tls_conn, again);
    if (!c->plain)
        tell_closed(c);
    else
        tls_conn_input(c);
}

static void again(tls_conn *c)
{
    if (!c->again.fn)
        hs_microtask_post(c->s.shard, &c->again, on_again);
}

/* ---- sending ---- */

static bool tls_writable(const hs_stream *s)
{
    const tls_conn *c = conn_of(s);
    return c->state == TLS_OPEN && c->plain && hs_stream_writable(c->plain);
}

static hs_chain *tls_out(hs_stream *s)
{
    return tls_writable(s) ? &conn_of(s)->out : NULL;
}

static size_t tls_unsent(const hs_stream *s)
{
    const tls_conn *c = conn_of(s);
    return c->out.len + (c->plain ? hs_stream_unsent(c->plain) : 0);
}

static uint32_t tls_sent(const hs_stream *s)
{
    const tls_conn *c = conn_of(s);
    return c->sent_fixed ? c->sent : hs_stream_sent(c->plain);
}

/* What was sent until here is all that ever will have been. */
static void fix_sent(tls_conn *c)
{
    if (c->sent_fixed)
        return;
    c->sent = hs_stream_sent(c->plain);
    c->sent_fixed = true;
}

/* The same, where nothing of the user's waits any more: the alert that follows is not the user's,
 * and who asks whether a request has left must not take it for a part of that. */
static void fix_sent_if_idle(tls_conn *c)
{
    if (c->plain && c->out.len == 0 && hs_stream_unsent(c->plain) == 0)
        fix_sent(c);
}

/* Encrypt and send. False: it has died. */
static bool push(tls_conn *c)
{
    hs_err err = tls_seal(c);
    if (!hs_ok(err)) {
        tls_conn_die(c, err);
        return false;
    }
    hs_stream_flush(c->plain);
    return true;
}

static void tls_secured(const hs_stream *s, hs_secure_info *out)
{
    const tls_conn *c = conn_of(s);
    if (c->ssl)
        tls_info_secure(c, out);
}

static void tls_flush(hs_stream *s)
{
    if (tls_writable(s))
        (void)push(conn_of(s));
}

/* Whatever was queued goes out before the close_notify; where the plain stream is full, `drained`
 * goes on. */
static void close_step(tls_conn *c)
{
    HS_ASSERT(c->state == TLS_CLOSING);
    if (!push(c) || c->out.len > 0)
        return;
    fix_sent_if_idle(c);
    /* It is the last record; whether it could be sent makes no difference to what follows. */
    (void)wolfSSL_shutdown(c->ssl);
    stop(c);
    free_ssl(c);
    hs_stream_flush(c->plain);
    hs_stream_close(c->plain);
}

static void tls_close(hs_stream *s)
{
    tls_conn *c = conn_of(s);
    c->taken = true;
    if (!c->plain)
        again(c);
    if (c->state != TLS_OPEN)
        return;
    c->state = TLS_CLOSING;
    close_step(c);
}

static void tls_abort(hs_stream *s)
{
    tls_conn *c = conn_of(s);
    c->taken = true;
    if (!c->plain)
        again(c);
    tls_conn_die(c, hs_err_of(HS_E_CLOSED));
}

/* ---- receiving ---- */

static void tls_pause(hs_stream *s)
{
    tls_conn *c = conn_of(s);
    c->paused = true;
    if (c->plain)
        hs_stream_pause(c->plain);
}

static void tls_resume(hs_stream *s)
{
    tls_conn *c = conn_of(s);
    c->paused = false;
    c->taken = true;
    if (c->plain && !c->blocked)
        hs_stream_resume(c->plain);
    bool rest = c->ssl && (c->held.len > 0 || wolfSSL_pending(c->ssl) > 0 || c->plain_end);
    if (!c->plain || rest)
        again(c);
}

static const hs_stream_ops stream_ops = {
    .out = tls_out,
    .flush = tls_flush,
    .pause = tls_pause,
    .resume = tls_resume,
    .close = tls_close,
    .abort = tls_abort,
    .unsent = tls_unsent,
    .sent = tls_sent,
    .writable = tls_writable,
    .secured = tls_secured,
};

/* The peer is gone without a word. */
static void truncated(tls_conn *c)
{
    fix_sent_if_idle(c);
    (void)wolfSSL_shutdown(c->ssl);
    tls_conn_fail(c, hs_err_of(HS_E_TRUNCATED));
}

/* One piece. False: there is nothing more for now. */
static bool input_step(tls_conn *c)
{
    size_t len;
    hs_err err = HS_OK;
    tls_read result = tls_unseal(c, &len, &err);
    if (c->ticket_new)
        tls_session_keep(c);
    if (len > 0)
        c->s.events->data(&c->s, hs_span_of(c->tls->in, len));
    if (c->state != TLS_OPEN || result == TLS_READ_DRY)
        return false;
    if (result == TLS_READ_FAILED)
        tls_conn_fail(c, err);
    if (result == TLS_READ_END) {
        c->end_heard = true;
        c->in = hs_span_of(NULL, 0);
        c->s.events->end(&c->s);
    }
    return c->state == TLS_OPEN && result == TLS_READ_MORE && !c->paused;
}

bool tls_conn_hold(tls_conn *c, hs_span bytes)
{
    if (bytes.len == 0)
        return true;
    hs_err err = hs_chain_append(&c->held, chunks_of(c), bytes);
    if (!hs_ok(err))
        tls_conn_die(c, err);
    return hs_ok(err);
}

static void hold_rest(tls_conn *c)
{
    hs_span rest = c->in;
    c->in = hs_span_of(NULL, 0);
    (void)tls_conn_hold(c, rest);
}

/* The peer makes us send and does not read: nothing more of it is read until it does. */
static void block(tls_conn *c)
{
    if (c->blocked || !tls_replies_wait(c))
        return;
    c->blocked = true;
    hs_stream_pause(c->plain);
}

static void unblock(tls_conn *c)
{
    if (!c->blocked)
        return;
    c->blocked = false;
    c->replies = 0;
    if (c->paused)
        return;
    hs_stream_resume(c->plain);
    again(c);
}

void tls_conn_input(tls_conn *c)
{
    if (c->state == TLS_OPEN && !c->paused && !c->blocked && !c->end_heard) {
        while (input_step(c))
            continue;
        if (c->state == TLS_OPEN)
            block(c);
        if (c->state == TLS_OPEN && c->plain_end && !c->paused && !c->blocked && !c->end_heard)
            truncated(c);
    }
    if (c->state != TLS_OPEN || c->end_heard) {
        c->in = hs_span_of(NULL, 0);
        return;
    }
    hold_rest(c);
    /* wolfSSL may have answered something on its own. */
    if (c->state == TLS_OPEN)
        hs_stream_flush(c->plain);
}

/* ---- what the plain stream tells ---- */

static void on_data(hs_stream *plain, hs_span bytes)
{
    tls_conn *c = plain->owner;
    HS_ASSERT(c->plain == plain);
    HS_ASSERT(c->in.len == 0);
    if (c->state < TLS_OPEN) {
        tls_shake_data(c, bytes);
    } else if (c->state == TLS_OPEN) {
        c->in = bytes;
        /* What another stream of ours has decrypted, such as that to a proxy with a tunnel through
         * it, lies in the very buffer that is decrypted into. */
        if (plain->ops == &stream_ops)
            hold_rest(c);
        tls_conn_input(c);
    }
    HS_ASSERT(c->in.len == 0);
}

static void on_end(hs_stream *plain)
{
    tls_conn *c = plain->owner;
    HS_ASSERT(!c->plain_end);
    c->plain_end = true;
    if (c->state < TLS_OPEN)
        tls_conn_fail(c, hs_err_of(HS_E_TRUNCATED));
    else if (c->state == TLS_OPEN)
        tls_conn_input(c);
}

static void on_drained(hs_stream *plain)
{
    tls_conn *c = plain->owner;
    if (c->state == TLS_CLOSING) {
        close_step(c);
        return;
    }
    if (c->state != TLS_OPEN)
        return;
    unblock(c);
    if (!push(c))
        return;
    if (c->out.len == 0 && hs_stream_low(plain))
        c->s.events->drained(&c->s);
}

static void on_closed(hs_stream *plain, hs_err why)
{
    tls_conn *c = plain->owner;
    HS_ASSERT(c->plain == plain);
    fix_sent(c);
    c->plain = NULL;
    if (!hs_ok(why))
        set_why(c, why);
    if (c->state != TLS_ENDED)
        stop(c);
    if (c->hs)
        tls_shake_ended(c, hs_err_of(c->failed ? c->why : HS_E_CLOSED));
    if (c->orphan)
        tls_conn_free(c);
    else if (c->taken)
        tell_closed(c);
}

const hs_stream_events tls_plain_events = {on_data, on_end, on_drained, on_closed};

/* ---- the start ---- */

void tls_conn_init(tls_conn *c, hs_tls *tls, hs_stream *plain)
{
    c->s.ops = &stream_ops;
    c->s.events = &tls_nobody;
    c->s.owner = c->owner;
    c->s.shard = tls->shard;
    c->tls = tls;
    c->plain = plain;
    plain->owner = c;
    plain->events = &tls_plain_events;
}

void tls_conn_open(tls_conn *c)
{
    HS_ASSERT(c->state == TLS_HANDSHAKE);
    HS_ASSERT(c->ssl != NULL);
    c->state = TLS_OPEN;
    c->replies = 0; /* the handshake's messages are no such */
}
