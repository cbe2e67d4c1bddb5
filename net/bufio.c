/* Buffered streams: their making, what the stream tells them, and their end. See hs_bufio.h.
 *
 * Whoever has one ends it; whether its stream is there any more is our business. So it is freed
 * when both are over: hs_bufio_close or _abort was called, and the stream is gone. */
#include "bufio.h"

static hs_bufio *bufio_of(const hs_stream *s)
{
    return HS_CONTAINER_OF(s->events, hs_bufio, events);
}

/* ---- what waits ---- */

void bufio_hook_update(hs_bufio *b)
{
    if (!b->reading && !b->flushing)
        hs_cancel_remove(&b->hook);
}

void bufio_settle(hs_bufio *b, hs_promise **at, hs_outcome outcome)
{
    hs_promise *promise = *at;
    HS_ASSERT(promise != NULL);
    *at = NULL;
    bufio_hook_update(b);
    hs_promise_settle(promise, outcome);
}

static void reject_all(hs_bufio *b, hs_err err)
{
    HS_ASSERT(!hs_ok(err));
    if (b->reading)
        bufio_settle(b, &b->reading, hs_error(err));
    if (b->flushing)
        bufio_settle(b, &b->flushing, hs_error(err));
}

static void on_cancel(hs_cancel_hook *hook, hs_err why)
{
    reject_all(HS_CONTAINER_OF(hook, hs_bufio, hook), why);
}

hs_err bufio_hook_add(hs_bufio *b)
{
    return b->hook.link.next ? HS_OK : hs_cancel_add(b->cancel, &b->hook, on_cancel);
}

void hs_bufio_cancel_by(hs_bufio *b, hs_cancel *cancel)
{
    HS_ASSERT(!b->closing);
    hs_cancel *before = b->cancel;
    hs_cancel_remove(&b->hook);
    b->cancel = hs_cancel_ref(cancel);
    hs_cancel_unref(before);
    hs_err err = b->reading || b->flushing ? bufio_hook_add(b) : HS_OK;
    if (!hs_ok(err))
        reject_all(b, err);
}

void bufio_regulate(hs_bufio *b)
{
    size_t unread = hs_bufio_unread(b);
    if (!b->s || b->ended || !hs_ok(b->why))
        return;
    if (!b->paused && unread >= b->bytes_max) {
        b->paused = true;
        hs_stream_pause(b->s);
    } else if (b->paused && (b->reading || unread <= b->bytes_max / 2)) {
        b->paused = false;
        hs_stream_resume(b->s);
    }
}

hs_err bufio_gone(const hs_bufio *b)
{
    HS_ASSERT(b->s || !hs_ok(b->why));
    return b->why;
}

/* ---- what the stream tells ---- */

static void on_data(hs_stream *s, hs_span bytes)
{
    hs_bufio *b = bufio_of(s);
    if (b->closing || !hs_ok(b->why))
        return;
    if (!bufio_buf_add(b, bytes)) {
        /* What came is lost, so nothing that comes later makes sense. */
        b->why = hs_err_of(-ENOMEM);
        hs_stream_abort(s);
        reject_all(b, b->why);
        return;
    }
    bufio_read_look(b);
    bufio_regulate(b);
}

static void on_end(hs_stream *s)
{
    hs_bufio *b = bufio_of(s);
    b->ended = true;
    bufio_read_look(b);
}

static void on_drained(hs_stream *s)
{
    hs_bufio *b = bufio_of(s);
    if (b->flushing && hs_stream_low(s))
        bufio_settle(b, &b->flushing, hs_value(NULL));
}

static void bufio_free(hs_bufio *b)
{
    HS_ASSERT(b->closing && !b->s);
    HS_ASSERT(!b->reading && !b->flushing);
    bufio_buf_fini(b);
    hs_cancel_unref(b->cancel);
    hs_mem_give(hs_shard_mem(b->shard), b, sizeof *b, HS_CACHE_LINE);
}

static void on_closed(hs_stream *s, hs_err why)
{
    hs_bufio *b = bufio_of(s);
    b->s = NULL;
    if (b->closing) {
        bufio_free(b);
        return;
    }
    if (hs_ok(b->why))
        b->why = hs_ok(why) ? hs_err_of(HS_E_CLOSED) : why;
    bufio_read_look(b);
    if (b->flushing)
        bufio_settle(b, &b->flushing, hs_error(b->why));
}

/* ---- life ---- */

hs_err hs_bufio_create(hs_stream *s, const hs_bufio_options *options, hs_bufio **out)
{
    HS_ASSERT(out != NULL);
    HS_ASSERT(s->shard == hs_shard_self());
    hs_bufio *b = hs_mem_take_zero(hs_shard_mem(s->shard), sizeof *b, HS_CACHE_LINE);
    HS_ENSURE(b, -ENOMEM);
    b->events = (hs_stream_events){on_data, on_end, on_drained, on_closed};
    b->s = s;
    b->shard = s->shard;
    b->bytes_max = options && options->bytes_max ? options->bytes_max : HS_BUFIO_BYTES;
    b->bytes_max = HS_MAX(b->bytes_max, (size_t)HS_BUFIO_BYTES_MIN);
    b->cancel = hs_cancel_ref(options ? options->cancel : NULL);
    s->events = &b->events;
    hs_stream_resume(s);
    *out = b;
    return HS_OK;
}

static void end(hs_bufio *b, void (*how)(hs_stream *s))
{
    HS_ASSERT(!b->closing);
    b->closing = true;
    reject_all(b, hs_err_of(HS_E_CLOSED));
    if (b->s)
        how(b->s);
    else
        bufio_free(b);
}

void hs_bufio_close(hs_bufio *b)
{
    end(b, hs_stream_close);
}

void hs_bufio_abort(hs_bufio *b)
{
    end(b, hs_stream_abort);
}
