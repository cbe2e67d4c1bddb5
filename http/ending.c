/* How a server's connection ends: after an answer, with an error answer, or at once.
 *
 * Owns: the phase CONN_OVER, and telling a handler whose request will not be answered any more. The
 * stream tells when the connection is gone (conn.c). Tested by: tests/wire, tests/sim. */
#include "session.h"

/* A request that will not be answered any more: tell its handler, once. */
static void request_abandon(h1_session *x)
{
    if (x->res.state == RES_DONE)
        return;
    hs_http_server *server = x->conn->server;
    x->orphaned = orphan_is(x);
    x->res.state = RES_DONE;
    HS_ASSERT(server->active > 0);
    server->active--;
    hs_count(hs_shard_counters(server->shard), server->count_aborted, 1);
    const char *label = label_enter(x);
    if (x->req.abort_fn)
        x->req.abort_fn(req_of(x), x->req.abort_ctx);
    if (HS_UNLIKELY(x->req.async != NULL))
        async_abandon(x);
    label_leave(server, label);
}

void conn_over(h1_conn *c)
{
    bool busy = c->phase == CONN_BUSY;
    timeout_phase(c, CONN_OVER);
    if (busy)
        request_abandon(c->session);
}

void conn_abort(h1_conn *c)
{
    conn_over(c);
    hs_stream_abort(c->stream);
}

void conn_close(h1_conn *c)
{
    conn_over(c);
    timeout_within(c, c->server->options.send_ms_max);
    hs_stream_close(c->stream);
}

void conn_fail(h1_conn *c, uint32_t status, const char *why)
{
    hs_http_server *server = c->server;
    HS_ASSERT(status >= 400 && status <= 599);
    HS_ASSERT(why != NULL);
    if (c->phase == CONN_OVER)
        return;
    hs_count(hs_shard_counters(server->shard), server->count_bad, 1);
    hs_log_write(hs_shard_log(server->shard), HS_LOG_DEBUG, "http: %u: %s", status, why);
    res_state state = c->phase == CONN_BUSY ? (res_state)c->session->res.state : RES_OPEN;
    if (state == RES_BEGUN || (state == RES_OPEN && !hs_ok(write_error(c, status))))
        conn_abort(c);
    else
        conn_close(c);
}

void conn_flush(h1_conn *c)
{
    if (!c->in_input)
        hs_stream_flush(c->stream);
}
