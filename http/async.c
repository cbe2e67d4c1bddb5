/* Tokens and promises of requests. See hs_http_async.h.
 *
 * Owns: what a request has when its handler waits (h1_async), from the first that is asked for.
 * Must not know: the wire, what a fiber runs, how a request ends (async_end.c).
 * Tested by: tests/unit/http_async.c. */
#include "async_state.h"

/* How much of a body is kept for a reader that does not ask. */
#define HELD_BYTES_MAX (4 * HS_CHUNK_BYTES)

static h1_async *async_of(h1_session *x)
{
    if (x->req.async)
        return x->req.async;
    h1_async *a = hs_arena_take(&x->arena, sizeof *a);
    if (a)
        *a = (h1_async){0};
    x->req.async = a;
    return a;
}

/* ---- the token ---- */

hs_cancel *hs_req_cancel(hs_req *req)
{
    h1_session *x = session_of_req(req);
    if (!x)
        return NULL;
    h1_async *a = async_of(x);
    if (a && !a->cancel) {
        a->cancel = hs_cancel_create(async_shard(x));
        /* Asked for too late, or by one who is on the way out. */
        if (a->cancel && x->conn->phase == CONN_OVER)
            hs_cancel_fire(a->cancel, hs_err_errno(ECANCELED));
    }
    return a ? a->cancel : NULL;
}

/* ---- the end of a chain ---- */

static void when_settled(hs_reaction *reaction, hs_outcome outcome)
{
    async_when *when = HS_CONTAINER_OF(reaction, async_when, reaction);
    h1_session *x = when->x;
    const hs_http_server *server = x->conn->server;
    const char *label = label_enter(x);
    when->fn(req_of(x), res_of(x), outcome, when->ctx);
    label_leave(server, label);
}

hs_err hs_req_when(hs_req *req, hs_promise *promise, hs_req_when_fn *fn, void *ctx)
{
    HS_ASSERT(promise != NULL && fn != NULL);
    h1_session *x = session_of_req(req);
    hs_err err = !x || x->res.state == RES_DONE ? hs_err_of(HS_E_USAGE) : req_defer(x);
    h1_async *a = hs_ok(err) ? async_of(x) : NULL;
    async_when *when = a ? hs_arena_take(&x->arena, sizeof *when) : NULL;
    if (!when) {
        hs_promise_ignore(promise);
        return hs_ok(err) ? hs_err_errno(ENOMEM) : err;
    }
    *when = (async_when){.next = a->whens, .x = x, .fn = fn, .ctx = ctx};
    a->whens = when;
    hs_react(promise, &when->reaction, when_settled);
    return HS_OK;
}

/* ---- the body ---- */

static hs_promise *failed(const h1_session *x, int32_t code)
{
    return hs_promise_settled(async_shard(x), hs_error(hs_err_of(code)));
}

/* For a request that is over. NULL on a thread that has no promises. */
static hs_promise *gone(void)
{
    hs_shard *shard = hs_shard_self();
    return shard ? hs_promise_settled(shard, hs_error(hs_err_of(HS_E_USAGE))) : NULL;
}

/* The reader gets what came first. */
static hs_outcome take_piece(h1_async *a)
{
    HS_ASSERT(a->held.len > 0 || a->over);
    const hs_chunk *chunk = a->held.head;
    if (!chunk)
        return hs_value(NULL);
    a->piece = hs_span_of(chunk->data, chunk->len);
    return hs_value(&a->piece);
}

static void heard(hs_req *req, hs_span piece, bool last, void *ctx)
{
    h1_session *x = session_of_req(req);
    h1_async *a = ctx;
    HS_ASSERT(x && a == x->req.async);
    if (piece.len > 0 && !hs_ok(hs_chain_append(&a->held, conn_chunks(x->conn), piece))) {
        conn_abort(x->conn);
        return;
    }
    a->over = last;
    if (!last && a->held.len >= HELD_BYTES_MAX)
        hs_req_body_pause(req);
    if (a->next && (a->held.len > 0 || last))
        async_settle(&a->next, take_piece(a));
}

/* Give up the piece that the reader had. */
static void drop_piece(h1_session *x, h1_async *a)
{
    if (a->piece.len > 0)
        hs_chain_consume(&a->held, conn_chunks(x->conn), a->piece.len);
    a->piece = hs_span_of(NULL, 0);
}

hs_promise *hs_req_next(hs_req *req)
{
    h1_session *x = session_of_req(req);
    if (!x)
        return gone();
    h1_async *a = async_of(x);
    if (!a)
        return failed(x, -ENOMEM);
    if (x->res.state == RES_DONE || a->collects)
        return failed(x, x->conn->phase == CONN_OVER ? -ECANCELED : HS_E_USAGE);
    if (a->next)
        return hs_promise_ref(a->next);
    drop_piece(x, a);
    if (a->held.len > 0 || a->over)
        return hs_promise_settled(async_shard(x), take_piece(a));
    hs_promise *p = hs_promise_create(async_shard(x));
    if (!p)
        return failed(x, -ENOMEM);
    a->next = p;
    if (a->hears) {
        hs_req_body_resume(req);
        return p;
    }
    hs_err err = hs_req_body(req, heard, a);
    a->hears = hs_ok(err);
    if (!hs_ok(err))
        async_settle(&a->next, hs_error(err));
    return p;
}

static void collected(hs_req *req, hs_span body, void *ctx)
{
    h1_async *a = ctx;
    (void)req;
    a->piece = body;
    async_settle(&a->next, hs_value(&a->piece));
}

hs_promise *hs_req_whole(hs_req *req, uint64_t bytes_max)
{
    h1_session *x = session_of_req(req);
    if (!x)
        return gone();
    h1_async *a = async_of(x);
    hs_promise *p = a ? hs_promise_create(async_shard(x)) : NULL;
    if (!p)
        return failed(x, -ENOMEM);
    hs_err err = hs_req_collect(req, bytes_max, collected, a);
    if (hs_ok(err)) {
        a->collects = true;
        a->next = p;
    } else {
        hs_promise_settle(p, hs_error(err));
    }
    return p;
}

/* ---- room to write ---- */

hs_promise *hs_res_drained(hs_res *res)
{
    h1_session *x = session_of_res(res);
    if (!x)
        return gone();
    if (x->res.state == RES_DONE)
        return failed(x, x->conn->phase == CONN_OVER ? -ECANCELED : HS_E_USAGE);
    if (!hs_res_full(res))
        return hs_promise_settled(async_shard(x), hs_value(NULL));
    h1_async *a = async_of(x);
    if (!a)
        return failed(x, -ENOMEM);
    if (a->drained)
        return hs_promise_ref(a->drained);
    a->drained = hs_promise_create(async_shard(x));
    return a->drained ? a->drained : failed(x, -ENOMEM);
}
