/* Requests whose connection ended before their handler answered.
 *
 * A handler that deferred its answer, and set neither an abort function nor a token, learns of the
 * end by its next call alone. Until then it may use the request's memory: so the session stays,
 * detached from the connection, which ends as any other. It goes in the turn after that call.
 * Owns: the list of such sessions, and the reports of requests that nobody answers. Must not know:
 * connections. Tested by: tests/unit/http_handle.c. */
#include "session.h"

bool orphan_is(const h1_session *x)
{
    const h1_req *req = &x->req;
    if (req->abort_fn || req->async || x->res.state == RES_DONE)
        return false;
    /* Its next step was to come from the connection: from the body, or from room to write. */
    bool by_body = (req->body_fn || req->collected) && req->body != BODY_OVER;
    if (by_body || x->res.drain_fn)
        return false;
    return req->held || x->res.state == RES_BEGUN;
}

static const char *label_of(const h1_session *x)
{
    return x->req.label ? x->req.label : "a request";
}

void overdue_report(h1_session *x)
{
    const hs_http_server *server = x->conn->server;
    if (x->req.overdue)
        return;
    x->req.overdue = true;
    uint64_t s = (hs_shard_now_ns(server->shard) - x->req.since_ns) / HS_SEC_NS;
    hs_log_write(hs_shard_log(server->shard), HS_LOG_WARN,
                 "%s: deferred, and not answered for %llu s%s", label_of(x), (unsigned long long)s,
                 x->orphaned ? "; its client is gone (hs_req_drop ends it)" : "");
}

/* Every so often, while there are any. */
static void on_overdue(hs_timer *timer)
{
    hs_http_server *server = HS_CONTAINER_OF(timer, hs_http_server, overdue);
    uint64_t limit_ns = server->options.overdue_ms * HS_MSEC_NS;
    uint64_t now = hs_shard_now_ns(server->shard);
    hs_list_each (node, &server->orphans) {
        h1_session *x = HS_CONTAINER_OF(node, h1_session, orphan_link);
        if (now - x->req.since_ns >= limit_ns)
            overdue_report(x);
    }
    if (!hs_list_empty(&server->orphans))
        (void)hs_timer_after(server->shard, timer, server->options.overdue_ms, on_overdue).code;
}

void orphan_release(h1_session *x)
{
    hs_list_remove(&x->orphan_link);
    hs_list_remove(&x->resume_link);
    session_clear(x);
    session_give(x);
}

bool orphan_keep(h1_session *x)
{
    hs_http_server *server = x->conn->server;
    HS_ASSERT(x->orphaned);
    if (x->told)
        return false;
    x->conn = &server->nowhere;
    hs_list_init(&x->orphan_link);
    hs_list_push_back(&server->orphans, &x->orphan_link);
    if (!hs_timer_active(&server->overdue) && server->options.overdue_ms > 0)
        (void)hs_timer_after(server->shard, &server->overdue, server->options.overdue_ms,
                             on_overdue).code;
    return true;
}

void orphan_told(h1_session *x)
{
    hs_http_server *server = x->conn->server;
    bool kept = x->conn == &server->nowhere;
    if (!x->orphaned || x->told)
        return;
    x->told = true;
    /* Not at once: the handler may still look at the request on its way out. */
    if (kept)
        turn_resume_next(x);
}

void orphan_end_all(hs_http_server *server)
{
    hs_timer_cancel(server->shard, &server->overdue);
    while (!hs_list_empty(&server->orphans)) {
        h1_session *x = HS_CONTAINER_OF(server->orphans.next, h1_session, orphan_link);
        if (!x->told)
            hs_log_write(hs_shard_log(server->shard), HS_LOG_WARN,
                         "%s: deferred, and never answered; its client is gone", label_of(x));
        orphan_release(x);
    }
}
