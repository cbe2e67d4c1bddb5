/* One TCP connection's life: receiving, sending, closing in order.
 *
 * Owns: the states of tcp.h. One send is under way at a time; what waits behind it is gathered into
 * the next. Closing is shutdown, then cancel, then the last completions, then close(2): a socket
 * that is closed under an armed receive sends no FIN. Must not know: what the bytes mean. Tested
 * by: tests/unit/net_tcp.c and the simulation. */
#include "tcp.h"

static void on_recv(hs_op *op, const hs_io_event *ev);
static void on_send(hs_op *op, const hs_io_event *ev);
static void die(tcp_conn *c, int32_t why);

static tcp_conn *conn_of(const hs_stream *s)
{
    return HS_CONTAINER_OF(s, tcp_conn, s);
}

static hs_io *io_of(const tcp_conn *c)
{
    return hs_shard_io(c->s.shard);
}

/* ---- send queue ---- */

static bool take_tx(tcp_conn *c)
{
    if (c->tx)
        return true;
    tcp_tx *tx = hs_pool_take(&c->tcp->txs);
    if (!tx)
        return false;
    tx->send.op = (hs_op){0};
    tx->linger = (hs_timer){0};
    HS_ASSERT(c->state != TCP_DYING);
    hs_chain_init(&tx->chain);
    tx->conn = c;
    c->tx = tx;
    return true;
}

static void give_tx(tcp_conn *c)
{
    HS_ASSERT(c->tx->conn == c);
    HS_ASSERT(!hs_op_active(&c->tx->send.op));
    HS_ASSERT(!hs_timer_active(&c->tx->linger));
    if (c->tx->chain.head)
        hs_chain_clear(&c->tx->chain, hs_shard_chunks(c->s.shard));
    hs_pool_give(&c->tcp->txs, c->tx);
    c->tx = NULL;
}

static void send_next(tcp_conn *c)
{
    tcp_tx *tx = c->tx;
    size_t bytes;
    size_t n = hs_chain_iov(&tx->chain, tx->iov, HS_SEND_IOV_MAX, &bytes);
    HS_ASSERT(n > 0);
    HS_ASSERT(bytes > 0 && bytes <= tx->chain.len);
    hs_io_send(io_of(c), &tx->send, c->fd, tx->iov, (uint32_t)n, on_send);
}

static hs_chain *tcp_out(hs_stream *s)
{
    tcp_conn *c = conn_of(s);
    if (c->state != TCP_OPEN || !take_tx(c))
        return NULL;
    return &c->tx->chain;
}

static bool tcp_writable(const hs_stream *s)
{
    return conn_of(s)->state == TCP_OPEN;
}

static size_t tcp_unsent(const hs_stream *s)
{
    const tcp_conn *c = conn_of(s);
    return c->tx ? c->tx->chain.len : 0;
}

static uint32_t tcp_sent(const hs_stream *s)
{
    return conn_of(s)->sent;
}

static void tcp_flush(hs_stream *s)
{
    tcp_conn *c = conn_of(s);
    if (!c->tx || c->state >= TCP_LINGER)
        return;
    /* It mostly fills up behind a send that is under way. */
    c->was_full |= hs_stream_full(s);
    if (hs_op_active(&c->tx->send.op))
        return;
    if (c->tx->chain.len > 0)
        send_next(c);
    else
        give_tx(c);
}

/* ---- the end ---- */

/* The last step: nothing is active any more. */
static void finish(tcp_conn *c)
{
    hs_tcp *tcp = c->tcp;
    hs_shard *shard = c->s.shard;
    HS_ASSERT(c->state == TCP_DYING);
    HS_ASSERT(!hs_op_active(&c->recv));
    HS_ASSERT(c->s.events != NULL);
    if (c->tx) {
        hs_timer_cancel(shard, &c->tx->linger);
        give_tx(c);
    }
    hs_io_close(io_of(c), c->fd);
    hs_count(hs_shard_counters(shard), tcp->count_closed, 1);
    c->s.events->closed(&c->s, hs_err_of(c->why));
    hs_pool_give(&tcp->conns, c);
    hs_shard_release_as(shard, "connection");
}

static bool ops_active(const tcp_conn *c)
{
    return hs_op_active(&c->recv) || (c->tx && hs_op_active(&c->tx->send.op));
}

static void on_gone(hs_task *task)
{
    finish(HS_CONTAINER_OF(task, tcp_conn, gone));
}

/* After a completion of a dying connection: was it the last? */
static void maybe_finish(tcp_conn *c)
{
    if (c->state == TCP_DYING && !c->posted && !ops_active(c))
        finish(c);
}

/* End the connection. Our side's FIN tells the peer that it has all that there is; where that is
 * not so (`reset`), the connection ends without one. */
static void die_how(tcp_conn *c, int32_t why, bool reset)
{
    if (c->state == TCP_DYING)
        return;
    HS_ASSERT(why >= INT16_MIN && why <= INT16_MAX);
    HS_ASSERT(c->fd >= 0);
    bool finished = c->state == TCP_LINGER;
    c->state = TCP_DYING;
    c->why = (int16_t)why;
    if (reset && !finished)
        hs_io_reset(io_of(c), c->fd);
    else
        hs_io_shutdown(io_of(c), c->fd, SHUT_RDWR);
    if (hs_op_active(&c->recv))
        hs_io_cancel(io_of(c), &c->recv);
    if (c->tx && hs_op_active(&c->tx->send.op))
        hs_io_cancel(io_of(c), &c->tx->send.op);
    if (ops_active(c))
        return;
    /* No completion will come to end it in, and the caller may be the stream's own user. */
    c->posted = true;
    c->gone = (hs_task){0};
    hs_task_post(c->s.shard, &c->gone, on_gone);
}

static void die(tcp_conn *c, int32_t why)
{
    die_how(c, why, false);
}

static void on_linger(hs_timer *timer)
{
    die(HS_CONTAINER_OF(timer, tcp_tx, linger)->conn, 0);
}

/* The queue is out: end our side, and wait for the peer to end its own. */
static void shut(tcp_conn *c)
{
    HS_ASSERT(!c->tx || c->tx->chain.len == 0);
    HS_ASSERT(c->state == TCP_CLOSING);
    c->state = TCP_LINGER;
    hs_io_shutdown(io_of(c), c->fd, SHUT_WR);
    if (c->ended || !take_tx(c) ||
        !hs_ok(hs_timer_after(c->s.shard, &c->tx->linger, HS_LINGER_MS, on_linger))) {
        die(c, 0);
        return;
    }
    if (!hs_op_active(&c->recv))
        hs_io_recv(io_of(c), &c->recv, c->fd, on_recv);
}

static void tcp_close(hs_stream *s)
{
    tcp_conn *c = conn_of(s);
    if (c->state != TCP_OPEN)
        return;
    tcp_flush(s);
    c->state = TCP_CLOSING;
    if (!c->tx || c->tx->chain.len == 0)
        shut(c);
}

static void tcp_abort(hs_stream *s)
{
    die_how(conn_of(s), HS_E_CLOSED, true);
}

/* What the peer or the network did to it is the user's to hear of; what this machine refuses is for
 * whoever runs it, once a second at most. */
static void report_refusal(tcp_conn *c, const char *what, int32_t res)
{
    static const int usual[] = {
        0,           ECONNRESET, EPIPE,     ETIMEDOUT, ECONNABORTED, ECONNREFUSED, EHOSTUNREACH,
        ENETUNREACH, ENETDOWN,   ECANCELED, EHOSTDOWN, ENETRESET,    ENOTCONN,     EPROTO};
    for (size_t i = 0; i < HS_ARRAY_LEN(usual); i++)
        if (res == -usual[i])
            return;
    uint64_t now = hs_shard_now_ns(c->s.shard);
    if (now < c->tcp->warn_next_ns)
        return;
    c->tcp->warn_next_ns = now + HS_SEC_NS;
    const char *remedy = res == -ENOSPC   ? " (raise fs.epoll.max_user_watches)"
                         : res == -ENOMEM ? " (more memory)"
                         : res == -EPERM || res == -EACCES || res == -ENOSYS
                             ? " (a filter, a firewall or a policy denies it)"
                             : "";
    hs_log_write(hs_shard_log(c->s.shard), HS_LOG_WARN, "a connection ended: %s: %s%s", what,
                 hs_err_name(hs_err_of(res)), remedy);
}

/* ---- completions ---- */

static void send_done(tcp_conn *c)
{
    HS_ASSERT(c->tx->chain.len == 0);
    HS_ASSERT(c->state == TCP_OPEN || c->state == TCP_CLOSING);
    if (c->state == TCP_CLOSING) {
        shut(c);
        return;
    }
    give_tx(c);
    c->was_full = false;
    c->s.events->drained(&c->s);
}

static void on_send(hs_op *op, const hs_io_event *ev)
{
    tcp_tx *tx = HS_CONTAINER_OF(HS_CONTAINER_OF(op, hs_op_send, op), tcp_tx, send);
    tcp_conn *c = tx->conn;
    HS_ASSERT(c->tx == tx);
    HS_ASSERT(!ev->more);
    if (ev->res > 0) {
        c->sent += (uint32_t)ev->res;
        hs_count(hs_shard_counters(c->s.shard), c->tcp->count_bytes_out, (uint64_t)ev->res);
        hs_chain_consume(&tx->chain, hs_shard_chunks(c->s.shard), (size_t)ev->res);
    }
    if (c->state == TCP_DYING) {
        maybe_finish(c);
        return;
    }
    if (ev->res <= 0) {
        report_refusal(c, "send", ev->res);
        die(c, ev->res);
        return;
    }
    if (tx->chain.len == 0) {
        send_done(c);
        return;
    }
    send_next(c);
    if (c->was_full && c->state == TCP_OPEN && hs_stream_low(&c->s)) {
        c->was_full = false;
        c->s.events->drained(&c->s);
    }
}

static void got_data(tcp_conn *c, hs_span bytes)
{
    HS_ASSERT(bytes.len > 0 && bytes.len <= HS_RBUF_BYTES);
    hs_count(hs_shard_counters(c->s.shard), c->tcp->count_bytes_in, bytes.len);
    if (HS_LIKELY(c->state == TCP_OPEN)) {
        c->s.events->data(&c->s, bytes);
        return;
    }
    /* A shard that was busy finds much at once, and the answer has not left yet: nothing counts
     * before it has (RFC 9112 section 9.6). Until then the stream's user has the time limit. */
    if (c->state == TCP_CLOSING)
        return;
    c->dropped += (uint32_t)bytes.len;
    if (c->dropped > HS_LINGER_BYTES_MAX)
        die(c, 0);
}

/* The receive is over: by the peer's end, by an error, or because we asked. */
static void recv_over(tcp_conn *c, int32_t res)
{
    HS_ASSERT(res <= 0);
    HS_ASSERT(c->state != TCP_DYING);
    if (res == -ECANCELED) {
        /* From a pause. It may have been taken back, or the stream was closed since. */
        if (!c->paused || c->state != TCP_OPEN)
            hs_io_recv(io_of(c), &c->recv, c->fd, on_recv);
        return;
    }
    if (res < 0) {
        report_refusal(c, "receive", res);
        /* A reset in the linger is as good an end as any: nothing of ours is unsent. */
        die(c, c->state == TCP_LINGER ? 0 : res);
        return;
    }
    c->ended = true;
    if (c->state == TCP_OPEN)
        c->s.events->end(&c->s);
    else if (c->state == TCP_LINGER)
        die(c, 0);
}

static void on_recv(hs_op *op, const hs_io_event *ev)
{
    tcp_conn *c = HS_CONTAINER_OF(op, tcp_conn, recv);
    HS_ASSERT(op->fd == c->fd);
    HS_ASSERT(!ev->data || ev->res > 0);
    if (ev->data && c->state != TCP_DYING)
        got_data(c, hs_span_of(ev->data, (size_t)ev->res));
    if (ev->more)
        return;
    if (c->state == TCP_DYING)
        maybe_finish(c);
    else
        recv_over(c, ev->res);
}

static void tcp_pause(hs_stream *s)
{
    tcp_conn *c = conn_of(s);
    c->paused = true;
    if (hs_op_active(&c->recv))
        hs_io_cancel(io_of(c), &c->recv);
}

static void tcp_resume(hs_stream *s)
{
    tcp_conn *c = conn_of(s);
    c->paused = false;
    if (c->state == TCP_OPEN && !c->ended && !hs_op_active(&c->recv))
        hs_io_recv(io_of(c), &c->recv, c->fd, on_recv);
}

static const hs_stream_ops tcp_stream_ops = {
    .out = tcp_out,
    .flush = tcp_flush,
    .pause = tcp_pause,
    .resume = tcp_resume,
    .close = tcp_close,
    .abort = tcp_abort,
    .unsent = tcp_unsent,
    .sent = tcp_sent,
    .writable = tcp_writable,
};

int tcp_conn_fd(const hs_stream *s)
{
    return s->ops == &tcp_stream_ops ? conn_of(s)->fd : -1;
}

hs_err tcp_conn_open(hs_tcp *tcp, int fd, tcp_conn **out)
{
    HS_ASSERT(fd >= 0);
    tcp_conn *c = hs_pool_take(&tcp->conns);
    HS_ENSURE(c, HS_E_LIMIT);
    memset(c, 0, sizeof *c + tcp->options.owner_bytes);
    c->s.ops = &tcp_stream_ops;
    c->s.owner = c->owner;
    c->s.shard = tcp->shard;
    c->tcp = tcp;
    c->fd = fd;
    hs_shard_hold_as(tcp->shard, "connection");
    *out = c;
    return HS_OK;
}

void tcp_conn_start(tcp_conn *c)
{
    /* The user may have paused it, and may have resumed it as well. */
    if (c->state == TCP_OPEN && !c->paused && !hs_op_active(&c->recv))
        hs_io_recv(io_of(c), &c->recv, c->fd, on_recv);
}
