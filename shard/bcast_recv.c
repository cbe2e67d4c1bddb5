/* Channels from one sender to many subscribers: a subscriber.
 *
 * Owns: when it asks for more, which is when all that came has been read, and what came until then.
 * Must not know: how messages are sent. Tested by: tests/unit/shard_broadcast.c. */
#include "bcast.h"

/* ---- memory ---- */

static size_t subscriber_bytes(uint32_t capacity)
{
    return sizeof(hs_subscriber) + (size_t)2 * capacity * sizeof(void *);
}

static void want_answered(hs_call_op *op);
static void leave_answered(hs_call_op *op);

hs_subscriber *bcast_subscriber_new(hs_broadcast *b)
{
    const hs_mem *mem = b->shard->mem;
    hs_subscriber *x = hs_mem_take(mem, subscriber_bytes(b->capacity), HS_CACHE_PAIR);
    if (!x)
        return NULL;
    *x = (hs_subscriber){
        .from = b, .source = b->shard, .mem = mem, .drop = b->drop, .capacity = b->capacity};
    x->want = (hs_call_op){.done = want_answered};
    x->leave = (hs_call_op){.done = leave_answered};
    x->parcel.slots = x->slots;
    x->queue.slots = x->slots + b->capacity;
    hs_list_init(&x->link);
    return x;
}

/* Free it, once its handle was dropped and the source knows it no more. */
static void subscriber_free(hs_subscriber *x)
{
    if (!x->dropped || x->busy > 0 || x->wanting || !x->left)
        return;
    HS_ASSERT(!x->leaving);
    HS_ASSERT(x->parcel.len == 0);
    chan_side_remove(&x->side);
    hs_mem_give(x->mem, x, subscriber_bytes(x->capacity), HS_CACHE_PAIR);
}

/* ---- what came ---- */

/* Ask for more, unless something is here or nothing more will come. */
static void ask(hs_subscriber *x)
{
    if (x->wanting || x->closed || x->ended || x->dropped || bcast_any(&x->parcel))
        return;
    x->wanting = hs_ok(mail_post(x->source, &x->want));
    HS_ASSERT(x->wanting);
}

static hs_err take(hs_subscriber *x, void **message)
{
    if (x->wanting) /* the parcel is not here */
        return hs_err_of(x->ended ? HS_E_CLOSED : HS_E_BLOCKED);
    if (HS_UNLIKELY(x->parcel.missed > 0)) {
        *message = (void *)x->parcel.missed;
        x->parcel.missed = 0;
        ask(x);
        return hs_err_of(HS_E_LAGGED);
    }
    if (x->parcel.len > 0) {
        *message = bcast_pop(&x->parcel, x->capacity);
        ask(x);
        return HS_OK;
    }
    ask(x);
    return hs_err_of(x->wanting ? HS_E_BLOCKED : HS_E_CLOSED);
}

/* Give who waits what he waits for, if it is there. */
static void deliver(hs_subscriber *x)
{
    void *message = NULL;
    if (!x->waits.promise)
        return;
    hs_err err = take(x, &message);
    if (err.code == HS_E_BLOCKED)
        return;
    hs_outcome o = {.err = err, .value = message, .drop = hs_ok(err) ? x->drop : NULL};
    chan_await_settle(&x->waits, o);
}

static void drop_parcel(hs_subscriber *x)
{
    HS_ASSERT(!x->wanting);
    x->busy++;
    while (x->parcel.len > 0)
        chan_drop(x->drop, bcast_pop(&x->parcel, x->capacity));
    x->parcel.missed = 0;
    x->busy--;
}

/* ---- answers ---- */

static void want_answered(hs_call_op *op)
{
    hs_subscriber *x = HS_CONTAINER_OF(op, hs_subscriber, want);
    x->wanting = false;
    x->closed = x->source_closed;
    if (x->dropped || x->ended)
        drop_parcel(x);
    deliver(x);
    subscriber_free(x);
}

static void leave_answered(hs_call_op *op)
{
    hs_subscriber *x = HS_CONTAINER_OF(op, hs_subscriber, leave);
    x->leaving = false;
    x->left = true;
    subscriber_free(x);
}

/* ---- the end of a stop ---- */

static void subscriber_end(chan_side *side)
{
    hs_subscriber *x = HS_CONTAINER_OF(side, hs_subscriber, side);
    x->ended = true;
    if (!x->wanting)
        drop_parcel(x);
    deliver(x);
}

static void subscriber_forget(chan_side *side)
{
    hs_subscriber_drop(HS_CONTAINER_OF(side, hs_subscriber, side));
}

/* ---- the interface ---- */

/* The shard that does something with a subscriber is its home. */
static hs_shard *come_home(hs_subscriber *x)
{
    hs_shard *s = hs_shard_self();
    HS_ASSERT(s != NULL);
    HS_ASSERT(!x->dropped);
    if (HS_LIKELY(x->home)) {
        HS_ASSERT(x->home == s);
        return s;
    }
    x->home = s;
    x->side = (chan_side){.end = subscriber_end, .forget = subscriber_forget};
    chan_side_add(s, &x->side);
    x->ended = shard_ending_now(s);
    return s;
}

hs_err hs_subscriber_try_recv(hs_subscriber *x, void **message)
{
    (void)come_home(x);
    hs_err err = take(x, message);
    HS_ASSERT(!x->waits.promise || err.code == HS_E_BLOCKED); /* it would have been given that */
    return err;
}

hs_promise *hs_subscriber_recv_at(hs_subscriber *x, hs_cancel *cancel, const char *where)
{
    hs_shard *s = come_home(x);
    /* First the promise, then the message: none is lost where there is no memory. */
    hs_promise *promise = hs_promise_create_at(s, where);
    if (HS_UNLIKELY(!promise))
        return chan_refuse(s, hs_err_errno(ENOMEM), where);
    hs_err err = chan_await_begin(&x->waits, promise, cancel);
    if (hs_ok(err))
        deliver(x);
    else
        hs_promise_settle(promise, hs_error(err));
    return promise;
}

void hs_subscriber_drop(void *subscriber)
{
    hs_subscriber *x = subscriber;
    (void)come_home(x);
    x->dropped = true;
    if (!x->wanting)
        drop_parcel(x);
    if (x->waits.promise)
        chan_await_settle(&x->waits, hs_error(hs_err_of(HS_E_CLOSED)));
    x->leaving = hs_ok(mail_post(x->source, &x->leave));
    x->left = !x->leaving; /* all loops have ended: the source hears nothing any more */
    subscriber_free(x);
}
