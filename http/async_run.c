/* A handler on its fiber. See hs_http_async.h.
 *
 * Owns: what is answered for a handler that returns. Must not know: the wire.
 *
 * A fiber that runs may end its own connection by what it calls (a write without memory, a body
 * above its limit). Its request is then told over from inside that call, but nothing under it goes:
 * the session is given back by the stream's last event, which comes from the loop, and by then the
 * fiber has come to its end, because its token fired and it cannot wait any more. For the same
 * reason nothing of the input loop runs on a fiber (conn_go_on).
 * Tested by: tests/unit/http_async.c. */
#include "async_state.h"

static void answer_error(h1_session *x, uint32_t status)
{
    char text[64];
    hs_span reason = hs_status_reason(status);
    HS_ASSERT(reason.len + 6 <= sizeof text);
    size_t len = hs_fmt_u64(text, status);
    text[len++] = ' ';
    memcpy(text + len, reason.ptr, reason.len);
    len += reason.len;
    text[len++] = '\n';
    /* What the handler had in mind for its own answer. */
    drop_chain(&x->res.fields, conn_chunks(x->conn));
    x->res.typed = false;
    hs_res_text(res_of(x), status, hs_span_of(text, len));
}

static uint32_t status_of(hs_err err)
{
    if (err.code == -ETIMEDOUT)
        return 504;
    hs_err_kind kind = hs_err_class(err);
    return kind == HS_ERR_LIMIT || kind == HS_ERR_BLOCKED ? 503 : 500;
}

/* The handler has returned, and the request is there. */
static void returned(h1_session *x, const char *name, hs_err err)
{
    switch ((res_state)x->res.state) {
    case RES_OPEN:
        if (!hs_ok(err)) {
            answer_error(x, status_of(err));
            return;
        }
        hs_log_write(hs_shard_log(async_shard(x)), HS_LOG_ERROR,
                     "the handler of %s returned without an answer", name);
        conn_fail(x->conn, 500, "no answer");
        break;
    case RES_BEGUN:
        if (hs_ok(err))
            hs_res_end(res_of(x));
        else
            conn_abort(x->conn);
        break;
    case RES_DONE:
        break;
    }
}

static hs_err run_fiber(void *arg)
{
    async_run *start = arg;
    start->started = true;
    async_run run = *start;
    h1_async *a = run.x->req.async;
    a->run = &run;
    hs_err err = run.handler(req_of(run.x), res_of(run.x), run.ctx);
    if (!hs_ok(err) && err.code != -ECANCELED)
        hs_log_write(hs_shard_log(hs_shard_self()), HS_LOG_WARN,
                     "the handler of %s returned %s: %s", run.name, hs_err_name(err),
                     hs_err_text(err));
    if (run.over)
        return HS_OK;
    a->run = NULL;
    returned(run.x, run.name, err);
    return HS_OK;
}

void hs_http_run_async(hs_req *req, hs_res *res, const char *name, hs_http_async_fn *handler,
                       void *ctx)
{
    HS_ASSERT(name != NULL && handler != NULL);
    h1_session *x = session_of_req(req);
    (void)res;
    if (!x)
        return;
    HS_ASSERT(x->res.state == RES_OPEN);
    async_run run = {.x = x, .handler = handler, .ctx = ctx, .name = name};
    hs_cancel *cancel = hs_req_cancel(req);
    if (cancel && hs_ok(req_defer(x)))
        hs_promise_ignore(hs_fiber_start(async_shard(x), name, run_fiber, &run, cancel));
    if (!run.started)
        answer_error(x, 503);
}
