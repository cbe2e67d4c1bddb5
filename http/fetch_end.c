/* The ends of a fetch: failed, whole, and let go.
 *
 * Owns: what is taken back at each of them, in one place. Must not know: what led to it.
 * Tested by: tests/unit/http_fetch_cancel.c, tests/unit/http_fetch_bad.c. */
#include "client.h"

/* All that the fetch has outside of itself. */
static void release(fetch *f, hs_err why)
{
    hs_client *client = f->client;
    HS_ASSERT(f->depth > 0);
    HS_ASSERT(f->phase != HS_FETCH_DONE);
    hs_timer_cancel(client->shard, &f->timer);
    hs_cancel_remove(&f->hook);
    hs_cancel_unref(f->cancel);
    f->cancel = NULL;
    if (f->origin)
        client_pool_unwait(f);
    if (f->conn)
        client_conn_drop(f->conn);
    f->phase = HS_FETCH_DONE;
    f->held = false;
    hs_list_remove(&f->link);
    hs_list_push_back(&client->done, &f->link);
    if ((f->sink.asked || f->sink.ours) && f->sink.source.over)
        f->sink.source.over(why, f->sink.source.ctx);
}

static void fetch_free(fetch *f)
{
    hs_client *client = f->client;
    HS_ASSERT(f->phase == HS_FETCH_DONE);
    HS_ASSERT(!f->conn && !f->origin && !f->promise);
    fetch_body_clear(f);
    coding_close(f->coding);
    hs_arena_reset(&f->arena);
    hs_list_remove(&f->link);
    hs_pool_give(&client->fetch_slots, f);
    client_look(client);
}

void fetch_leave(fetch *f)
{
    HS_ASSERT(f->depth > 0);
    if (--f->depth == 0 && f->freed)
        fetch_free(f);
}

void fetch_let_go(fetch *f)
{
    HS_ASSERT(f->depth > 0 && !f->freed);
    f->freed = true;
}

void fetch_fail(fetch *f, hs_err err, const char *text)
{
    hs_promise *promise = f->promise;
    HS_ASSERT(!hs_ok(err));
    fetch_error_set(f, err, text);
    f->err = err;
    hs_count(hs_shard_counters(f->client->shard), f->client->count_failed, 1);
    release(f, err);
    if (!promise) {
        fetch_body_over(f);
        return;
    }
    f->promise = NULL;
    hs_outcome o = fetch_error_outcome(f);
    fetch_let_go(f);
    hs_promise_settle(promise, o);
}

void fetch_whole(fetch *f)
{
    HS_ASSERT(!f->promise && !f->conn);
    f->res.timing.total_ns = client_now(f->client) - f->start_ns;
    release(f, f->sent_all ? HS_OK : hs_err_of(HS_E_CLOSED));
    fetch_body_over(f);
}

void fetch_spoil(fetch *f, hs_err err, const char *text)
{
    HS_ASSERT(f->phase == HS_FETCH_DONE && hs_ok(f->err));
    f->phase = HS_FETCH_BODY;
    fetch_error_set(f, err, text);
    f->phase = HS_FETCH_DONE;
    f->err = err;
    fetch_body_over(f);
}

void hs_fetch_res_free(void *res)
{
    if (!res)
        return;
    fetch *f = fetch_of(res);
    HS_ASSERT(f->client->shard == hs_shard_self());
    fetch_enter(f);
    fetch_let_go(f);
    if (f->phase != HS_FETCH_DONE)
        release(f, hs_err_of(-ECANCELED));
    fetch_leave(f);
}
