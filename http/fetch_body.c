/* The body of a response, from its framing to whoever reads it.
 *
 * Owns: the queue between both, and the holding up of the peer where the reader is slower. Must not
 * know: the framing, connections' ends. Tested by: tests/unit/http_fetch_body.c.
 *
 * A content coding is undone between the queue, which then has coded bytes, and whoever reads: what
 * a small input becomes is made only as fast as it is read. */
#include "client.h"

/* Make room for `more` bytes of a collected body, and a NUL. */
static bool grow(fetch *f, size_t more)
{
    size_t need = f->whole_len + more + 1;
    if (need <= f->whole_cap)
        return true;
    size_t cap = HS_MAX(need, 2 * f->whole_cap);
    if (!f->coding && f->reply.head.body == H1_BODY_LENGTH &&
        f->reply.head.content_length <= f->whole_max)
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
    if (!f->coding && f->queue.len == 0 && wanted(f))
        return give(f, piece);
    HS_TRY(hs_chain_append(&f->queue, client_chunks(f->client), piece));
    fetch_body_flow(f);
    if (f->mode == BODY_PIECES || f->coding)
        fetch_body_soon(f);
    return HS_OK;
}

/* ---- codings ---- */

/* The fields of that name, as one list. */
static hs_err codings_of(fetch *f, hs_span *out)
{
    const hs_fetch_res *res = &f->res;
    hs_span name = HS_SPAN("Content-Encoding");
    size_t len = 0;
    for (uint32_t i = 0; i < res->fields_len; i++)
        if (hs_span_eq_nocase(res->fields[i].name, name))
            len += res->fields[i].value.len + 1;
    *out = hs_span_of(NULL, 0);
    if (len == 0)
        return HS_OK;
    uint8_t *list = hs_arena_take(&f->arena, len), *at = list;
    HS_ENSURE(list, -ENOMEM);
    for (uint32_t i = 0; i < res->fields_len; i++) {
        hs_span value = res->fields[i].value;
        if (!hs_span_eq_nocase(res->fields[i].name, name))
            continue;
        if (value.len > 0)
            memcpy(at, value.ptr, value.len);
        at += value.len;
        *at++ = ',';
    }
    *out = hs_span_of(list, len - 1);
    return HS_OK;
}

hs_err fetch_body_begin(fetch *f, const char **text)
{
    hs_span names;
    coding_list list;
    HS_ASSERT(!f->coding);
    if (!f->decodes || f->reply.head.body == H1_BODY_NONE)
        return HS_OK;
    HS_TRY(codings_of(f, &names));
    if (names.len == 0)
        return HS_OK;
    hs_err err = coding_list_parse(&list, names);
    if (err.code == HS_E_CODING)
        return HS_OK; /* not ours: the bytes as they came are the receiver's, as in browsers */
    *text = "too many content codings on top of each other";
    HS_TRY(err);
    *text = NULL;
    if (list.len == 0)
        return HS_OK;
    f->plain = hs_arena_take(&f->arena, PLAIN_BYTES);
    HS_ENSURE(f->plain, -ENOMEM);
    HS_TRY(coding_open(&f->coding, hs_shard_mem(f->client->shard), &list, &f->decoded));
    f->res.decoded = true;
    return HS_OK;
}

/* Decode the next piece; *piece is empty where more input is needed. */
static hs_err decode(fetch *f, hs_span *piece)
{
    size_t written = 0;
    while (written == 0 && (f->queue.head || f->plain_more)) {
        hs_span in = hs_span_of(NULL, 0);
        if (f->queue.head)
            in = hs_span_of(f->queue.head->data, f->queue.head->len);
        size_t before = in.len;
        hs_err err = coding_read(f->coding, &in, f->plain, PLAIN_BYTES, &written);
        f->over_ratio = err.code == HS_E_LIMIT;
        HS_TRY(err);
        if (before > in.len)
            hs_chain_consume(&f->queue, client_chunks(f->client), before - in.len);
        f->plain_more = written == PLAIN_BYTES;
    }
    *piece = hs_span_of(f->plain, written);
    return HS_OK;
}

/* The next piece of what is queued; *piece is empty where there is none. What of it lies in the
 * queue stays there until it is taken. */
static hs_err look(fetch *f, hs_span *piece)
{
    *piece = hs_span_of(NULL, 0);
    if (f->coding)
        return decode(f, piece);
    if (f->queue.head)
        *piece = hs_span_of(f->queue.head->data, f->queue.head->len);
    return HS_OK;
}

void fetch_body_taken(fetch *f, size_t len)
{
    if (!f->coding && len > 0)
        hs_chain_consume(&f->queue, client_chunks(f->client), len);
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

static hs_err give_next(fetch *f)
{
    hs_promise *promise = f->wanted;
    if (!promise)
        return HS_OK;
    HS_ASSERT(f->piece.len == 0);
    HS_TRY(look(f, &f->piece));
    if (f->piece.len == 0)
        return HS_OK;
    f->wanted = NULL;
    hs_promise_settle(promise, hs_value(&f->piece));
    return HS_OK;
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
    } else if (f->mode == BODY_WHOLE && f->maker.make) {
        hs_promise_settle(promise, hs_value_owned(f->made, f->maker.drop));
    } else if (f->mode == BODY_WHOLE) {
        hs_promise_settle(promise, hs_value(&f->piece));
    } else {
        hs_promise_settle(promise, hs_value(NULL));
    }
}

/* All of it is there: what becomes of it. */
static hs_err whole(fetch *f)
{
    HS_ENSURE(grow(f, 0), -ENOMEM); /* of an empty body, too */
    f->whole[f->whole_len] = '\0';
    f->piece = hs_span_of(f->whole, f->whole_len);
    if (!f->maker.make)
        return HS_OK;
    char text[HS_FETCH_WHY_BYTES] = "";
    f->err = f->maker.make(f->piece, text, &f->made, f->maker.ctx);
    if (hs_ok(f->err))
        return HS_OK;
    f->phase = HS_FETCH_BODY;
    fetch_error_set(f, f->err, text[0] ? text : NULL);
    f->phase = HS_FETCH_DONE;
    return HS_OK;
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
        if (hs_ok(f->err))
            HS_TRY(whole(f));
        tell_promise(f);
        f->mode = BODY_TOLD;
    } else if (f->mode == BODY_PIECES) {
        tell_promise(f); /* each later one is told so as well */
    }
    return HS_OK;
}

hs_err fetch_body_pump(fetch *f)
{
    HS_ASSERT(f->depth > 0);
    while (wanted(f)) {
        hs_span piece;
        HS_TRY(look(f, &piece));
        if (piece.len == 0)
            break;
        HS_TRY(give(f, piece));
        fetch_body_taken(f, piece.len);
    }
    if (f->mode == BODY_PIECES)
        HS_TRY(give_next(f));
    fetch_body_flow(f);
    if (f->phase != HS_FETCH_DONE || f->queue.len > 0 || f->plain_more)
        return HS_OK;
    if (f->coding && hs_ok(f->err) && f->mode != BODY_KEPT)
        HS_TRY(coding_end(f->coding));
    return tell_end(f);
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

void fetch_body_forget(fetch *f)
{
    hs_chain_clear(&f->queue, client_chunks(f->client));
    f->plain_more = false;
}

void fetch_body_clear(fetch *f)
{
    hs_promise *promise = f->wanted;
    f->wanted = NULL;
    fetch_body_forget(f);
    hs_microtask_cancel(&f->pump);
    if (promise)
        hs_promise_settle(promise, hs_error(hs_err_of(-ECANCELED)));
}
