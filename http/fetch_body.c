/* The body of a response, from its framing to whoever reads it.
 *
 * Owns: the queue between both, and the holding up of the peer where the reader is slower. Must not
 * know: the framing, connections' ends. Tested by: tests/unit/http_fetch_body.c.
 *
 * A content coding would be undone here: between the queue, which then has coded bytes, and
 * `give`, so that what a small input becomes is made only as fast as it is read. */
#include "client.h"

/* Make room for `more` bytes of a collected body, and a NUL. */
static bool grow(fetch *f, size_t more)
{
    size_t need = f->whole_len + more + 1;
    if (need <= f->whole_cap)
        return true;
    size_t cap = HS_MAX(need, 2 * f->whole_cap);
    if (f->reply.head.body == H1_BODY_LENGTH && f->reply.head.content_length <= f->whole_max)
        cap = HS_MAX(need, (size_t)f->reply.head.content_length + 1);
    uint8_t *bytes = hs_arena_take(&f->arena, cap);
    if (!bytes)
        return false;
    if (f->whole_len > 0)
        memcpy(bytes, f->whole, f->whole_len);
    f->whole = bytes;
    f->whole_cap = cap;
    return true;
}

static hs_err collect(fetch *f, hs_span piece)
{
    HS_ASSERT(f->whole_len <= f->whole_max);
    HS_ENSURE(piece.len <= f->whole_max - f->whole_len, HS_E_LIMIT);
    HS_ENSURE(grow(f, piece.len), -ENOMEM);
    memcpy(f->whole + f->whole_len, piece.ptr, piece.len);
    f->whole_len += piece.len;
    return HS_OK;
}

/* Whether a piece can be given away now. */
static bool wanted(const fetch *f)
{
    return f->mode == BODY_WHOLE || (f->mode == BODY_READ && !f->paused && !f->freed);
}

static hs_err give(fetch *f, hs_span piece)
{
    HS_ASSERT(wanted(f) && piece.len > 0);
    if (f->mode == BODY_WHOLE)
        return collect(f, piece);
    f->reader.data(&f->res, piece, f->reader.ctx);
    return HS_OK;
}

hs_err fetch_body_feed(fetch *f, hs_span piece)
{
    HS_ASSERT(f->depth > 0);
    HS_ASSERT(piece.len > 0);
    if (f->mode == BODY_DROPPED) {
        f->discarded += piece.len;
        return HS_OK;
    }
    if (f->queue.len == 0 && wanted(f))
        return give(f, piece);
    HS_TRY(hs_chain_append(&f->queue, client_chunks(f->client), piece));
    fetch_body_flow(f);
    if (f->mode == BODY_PIECES)
        fetch_body_soon(f);
    return HS_OK;
}

void fetch_body_flow(fetch *f)
{
    client_conn *c = f->conn;
    bool hold = f->queue.len >= (f->held ? BODY_WINDOW_BYTES / 2 : BODY_WINDOW_BYTES);
    if (!c || hold == f->held)
        return;
    f->held = hold;
    f->last_ns = client_now(f->client);
    if (hold) {
        hs_stream_pause(c->stream);
        return;
    }
    hs_stream_resume(c->stream);
    hs_err err = hs_timer_active(&f->timer) ? fetch_time_look(f) : HS_OK;
    HS_ASSERT(hs_ok(err));
}

/* ---- by hs_fetch_next ---- */

static void give_next(fetch *f)
{
    const hs_chunk *chunk = f->queue.head;
    hs_promise *promise = f->wanted;
    if (!promise || !chunk)
        return;
    HS_ASSERT(f->piece.len == 0);
    f->piece = hs_span_of(chunk->data, chunk->len);
    f->wanted = NULL;
    hs_promise_settle(promise, hs_value(&f->piece));
}

/* ---- the end ---- */

static void tell_promise(fetch *f)
{
    hs_promise *promise = f->wanted;
    f->wanted = NULL;
    if (!promise)
        return;
    if (!hs_ok(f->err)) {
        hs_promise_settle(promise, fetch_error_outcome(f));
    } else if (f->mode == BODY_WHOLE) {
        f->piece = hs_span_of(f->whole, f->whole_len);
        hs_promise_settle(promise, hs_value(&f->piece));
    } else {
        hs_promise_settle(promise, hs_value(NULL));
    }
}

/* Nothing is queued any more, or nothing of it is worth anything. */
static hs_err tell_end(fetch *f)
{
    if (f->mode == BODY_READ) {
        if (f->paused || f->freed)
            return HS_OK;
        f->mode = BODY_TOLD;
        f->reader.end(&f->res, f->err, f->reader.ctx);
    } else if (f->mode == BODY_WHOLE) {
        if (hs_ok(f->err)) {
            HS_ENSURE(grow(f, 0), -ENOMEM); /* of an empty body, too */
            f->whole[f->whole_len] = '\0';
        }
        tell_promise(f);
        f->mode = BODY_TOLD;
    } else if (f->mode == BODY_PIECES) {
        tell_promise(f); /* each later one is told so as well */
    }
    return HS_OK;
}

hs_err fetch_body_pump(fetch *f)
{
    hs_pool *chunks = client_chunks(f->client);
    HS_ASSERT(f->depth > 0);
    while (f->queue.head && wanted(f)) {
        hs_span piece = hs_span_of(f->queue.head->data, f->queue.head->len);
        HS_TRY(give(f, piece));
        hs_chain_consume(&f->queue, chunks, piece.len);
    }
    if (f->mode == BODY_PIECES)
        give_next(f);
    fetch_body_flow(f);
    if (f->phase == HS_FETCH_DONE && f->queue.len == 0)
        return tell_end(f);
    return HS_OK;
}

static void on_pump(hs_microtask *task)
{
    fetch *f = HS_CONTAINER_OF(task, fetch, pump);
    f->client->events->pump(f);
}

void fetch_body_soon(fetch *f)
{
    if (!f->pump.fn && !f->freed)
        hs_microtask_post(f->client->shard, &f->pump, on_pump);
}

void fetch_body_over(fetch *f)
{
    HS_ASSERT(f->phase == HS_FETCH_DONE);
    HS_ASSERT(!f->conn);
    fetch_body_soon(f);
}

void fetch_body_clear(fetch *f)
{
    hs_promise *promise = f->wanted;
    f->wanted = NULL;
    hs_chain_clear(&f->queue, client_chunks(f->client));
    hs_microtask_cancel(&f->pump);
    if (promise)
        hs_promise_settle(promise, hs_error(hs_err_of(-ECANCELED)));
}
