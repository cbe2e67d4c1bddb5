/* A session's memory: acquired for a connection's first byte, given back after the answer.
 *
 * Owns: what goes with a request. Must not know: connections' states.
 * Tested by: tests/unit/http_server*.c, tests/unit/http_handle.c. */
#include "session.h"

h1_session *session_make(hs_http_server *server)
{
    h1_session *x = hs_pool_take(&server->sessions);
    if (!x)
        return NULL;
    hs_list_init(&x->resume_link);
    x->handle = handle_acquire(x);
    if (x->handle)
        return x;
    hs_pool_give(&server->sessions, x);
    return NULL;
}

void session_give_in(h1_session *x)
{
    hs_http_server *server = x->conn->server;
    if (x->in)
        hs_pool_give(x->in_cap == IN_SMALL_BYTES ? &server->in_small : &server->in_large, x->in);
    x->in = NULL;
    x->in_len = x->in_cap = 0;
}

/* What waits behind the request is kept. */
void session_clear(h1_session *x)
{
    HS_ASSERT(!x->req.running);
    hs_pool *chunks = conn_chunks(x->conn);
    if (x->req.base && HS_LIKELY(x->handle))
        x->handle = handle_renew(x->handle, x->req.label);
    drop_chain(&x->res.fields, chunks);
    drop_chain(&x->res.trailers, chunks);
    if (x->arena.bytes_used > 0) {
        if (x->req.async)
            async_clear(x);
        hs_arena_reset(&x->arena);
    }
    if (x->in)
        session_give_in(x);
}

void session_give(h1_session *x)
{
    hs_http_server *server = x->conn->server;
    drop_chain(&x->stash, hs_shard_chunks(server->shard));
    if (!server->spare && HS_LIKELY(x->handle)) {
        server->spare = x;
        return;
    }
    if (x->handle)
        handle_release(x->handle);
    hs_pool_give(&server->sessions, x);
}
