/* What becomes of those who wait when their request goes on or ends. See hs_http_async.h.
 *
 * Owns: the end of a h1_async. The connection calls it, so it calls nothing of the connection.
 * Tested by: tests/unit/http_async.c. */
#include "async_state.h"

/* Whoever waits is told, or will not be. */
static void end_waits(h1_async *a)
{
    for (async_when *when = a->whens; when; when = when->next)
        hs_react_cancel(&when->reaction);
    async_settle(&a->next, hs_error(hs_err_errno(ECANCELED)));
    async_settle(&a->drained, hs_error(hs_err_errno(ECANCELED)));
}

void async_abandon(h1_session *x)
{
    h1_async *a = x->req.async;
    HS_ASSERT(x->res.state == RES_DONE);
    end_waits(a);
    if (a->cancel)
        hs_cancel_fire(a->cancel, hs_err_errno(ECANCELED));
    /* Its fiber has come to its end, unless that is what runs. */
    HS_ASSERT(!a->run || hs_on_fiber());
}

bool async_is_told(const h1_session *x)
{
    const h1_async *a = x->req.async;
    return a->run || a->cancel;
}

void async_clear(h1_session *x)
{
    h1_async *a = x->req.async;
    end_waits(a);
    if (a->run)
        a->run->over = true;
    hs_cancel_unref(a->cancel);
    drop_chain(&a->held, conn_chunks(x->conn));
    x->req.async = NULL;
}

void async_drained(h1_session *x)
{
    async_settle(&x->req.async->drained, hs_value(NULL));
}
