/* Channels from many senders to one receiver: the senders.
 *
 * Owns: the ring's written end, the line of sends that wait for room, and when a batch leaves: once
 * the callback that sent is over, or when the one before it is answered. Must not know: how
 * messages are received. Tested by: tests/unit/shard_channel.c. */
#include "mpsc.h"

/* A send that waits for room. */
typedef struct send_wait {
    hs_list link; /* in sender->waiting */
    hs_sender *sender;
    void *message;
    hs_promise *promise;
    hs_cancel *cancel;
    hs_cancel_hook hook;
} send_wait;

static void advance(hs_sender *x);

/* ---- memory ---- */

static size_t sender_bytes(uint32_t mask)
{
    return sizeof(hs_sender) + ((size_t)mask + 1) * sizeof(void *);
}

static void batch_answered(hs_call_op *op);
static void want_answered(hs_call_op *op);
static void watch_answered(hs_call_op *op);

static hs_sender *sender_new(const hs_mem *mem, uint32_t capacity, hs_drop_fn *drop)
{
    uint32_t slots = 1;
    while (slots < capacity)
        slots *= 2;
    hs_sender *x = hs_mem_take(mem, sender_bytes(slots - 1), HS_CACHE_PAIR);
    if (!x)
        return NULL;
    *x = (hs_sender){.mem = mem, .drop = drop, .capacity = capacity, .mask = slots - 1};
    hs_list_init(&x->waiting);
    x->batch.op = (hs_call_op){.fn = mpsc_batch_arrives, .done = batch_answered};
    x->want.op = (hs_call_op){.fn = mpsc_want_arrives, .done = want_answered};
    x->watch.op = (hs_call_op){.fn = mpsc_watch_arrives, .done = watch_answered};
    mpsc_prepare(x);
    return x;
}

/* Free it, once its handle was dropped and nothing of it is out. */
static void sender_free(hs_sender *x)
{
    if (!x->gone || !x->dropped || x->wanting || x->watching)
        return;
    HS_ASSERT(hs_list_empty(&x->waiting));
    HS_ASSERT(x->tail == x->handed);
    chan_side_remove(&x->side);
    hs_mem_give(x->mem, x, sender_bytes(x->mask), HS_CACHE_PAIR);
}

/* ---- batches ---- */

static bool room(const hs_sender *x)
{
    return x->tail - x->freed < x->capacity;
}

static void write_one(hs_sender *x, void *message)
{
    HS_ASSERT(x->tail - x->freed < x->capacity);
    x->ring[x->tail++ & x->mask] = message;
}

/* Hand over what there is. */
static void hand_over(hs_sender *x)
{
    bool last = (x->dropped || x->ended) && hs_list_empty(&x->waiting);
    if (x->sending || x->finished || (x->tail == x->handed && !x->children && !last))
        return;
    x->batch.at = x->tail;
    x->batch.children = x->children;
    x->batch.last = last;
    if (!hs_ok(mail_post(x->target, &x->batch.op))) {
        /* All loops have ended: what was to be said, nobody needs to hear. */
        HS_ASSERT(x->tail == x->handed);
        x->finished = x->gone = last;
        return;
    }
    x->children = NULL;
    x->handed = x->tail;
    x->sending = true;
    x->finished = last;
}

static void flush_run(hs_microtask *task)
{
    hand_over(HS_CONTAINER_OF(task, hs_sender, flush));
}

static void flush_soon(hs_sender *x)
{
    if (!x->flush.fn && !x->sending)
        hs_microtask_post(x->home, &x->flush, flush_run);
}

/* ---- sends that wait ---- */

static void wait_settle(send_wait *w, hs_outcome outcome)
{
    hs_promise *promise = w->promise;
    hs_list_remove(&w->link);
    hs_cancel_remove(&w->hook);
    hs_cancel_unref(w->cancel);
    hs_pool_give(&w->sender->home->channels.waits, w);
    hs_promise_settle(promise, outcome);
}

static void wait_cancelled(hs_cancel_hook *hook, hs_err why)
{
    send_wait *w = HS_CONTAINER_OF(hook, send_wait, hook);
    hs_sender *x = w->sender;
    hs_drop_fn *drop = x->drop;
    void *message = w->message;
    wait_settle(w, hs_error(why));
    advance(x); /* a dropped sender may have nothing left to wait for */
    chan_drop(drop, message);
}

static void waits_go_on(hs_sender *x)
{
    while (!hs_list_empty(&x->waiting) && room(x)) {
        send_wait *w = HS_CONTAINER_OF(x->waiting.next, send_wait, link);
        write_one(x, w->message);
        wait_settle(w, hs_value(NULL));
    }
}

/* Nobody will receive what has not been handed over. */
static void drop_unsent(hs_sender *x)
{
    uint32_t end = x->tail;
    x->tail = x->handed;
    for (uint32_t at = x->handed; at != end; at++)
        chan_drop(x->drop, x->ring[at & x->mask]);
    while (!hs_list_empty(&x->waiting)) {
        send_wait *w = HS_CONTAINER_OF(x->waiting.next, send_wait, link);
        void *message = w->message;
        wait_settle(w, hs_error(hs_err_of(HS_E_CLOSED)));
        chan_drop(x->drop, message);
    }
}

/* ---- answers ---- */

static void closed_settle(hs_sender *x, hs_err err)
{
    hs_promise *later = x->closed_later;
    x->closed_later = NULL;
    if (!later)
        return;
    hs_promise_settle(later, hs_error(err));
    hs_promise_ignore(later);
}

/* What can go on now does. The sender may be gone on return. */
static void advance(hs_sender *x)
{
    if (x->advancing) /* called from a drop function */
        return;
    x->advancing = true;
    if (HS_UNLIKELY(x->closed || x->ended)) {
        closed_settle(x, x->closed ? HS_OK : hs_err_of(HS_E_CLOSED));
        drop_unsent(x);
    }
    waits_go_on(x);
    hand_over(x);
    if (!hs_list_empty(&x->waiting) && !x->sending && !x->wanting) {
        x->want.at = x->freed;
        x->wanting = hs_ok(mail_post(x->target, &x->want.op));
        HS_ASSERT(x->wanting);
    }
    x->advancing = false;
    sender_free(x);
}

static void hear(hs_sender *x, uint64_t answer)
{
    /* Answers pass each other: the farthest counts. */
    if ((int32_t)((uint32_t)answer - x->freed) > 0)
        x->freed = (uint32_t)answer;
    x->closed |= (answer & MPSC_CLOSED) != 0;
    HS_ASSERT(x->handed - x->freed <= x->capacity);
}

static void batch_answered(hs_call_op *op)
{
    hs_sender *x = HS_CONTAINER_OF(op, hs_sender, batch.op);
    hear(x, op->result);
    x->sending = false;
    x->gone = x->finished;
    advance(x);
}

static void want_answered(hs_call_op *op)
{
    hs_sender *x = HS_CONTAINER_OF(op, hs_sender, want.op);
    hear(x, op->result);
    x->wanting = false;
    advance(x);
}

static void watch_answered(hs_call_op *op)
{
    hs_sender *x = HS_CONTAINER_OF(op, hs_sender, watch.op);
    hear(x, op->result);
    x->watching = false;
    advance(x);
}

/* ---- the end of a stop ---- */

static void sender_end(chan_side *side)
{
    hs_sender *x = HS_CONTAINER_OF(side, hs_sender, side);
    x->ended = true;
    advance(x);
}

static void sender_forget(chan_side *side)
{
    hs_sender_drop(HS_CONTAINER_OF(side, hs_sender, side));
}

/* ---- the interface ---- */

hs_err hs_channel_create(hs_shard *s, uint32_t capacity, hs_drop_fn *drop, hs_sender **sender,
                         hs_receiver **receiver)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(capacity > 0);
    HS_ASSERT(capacity <= HS_CHANNEL_CAPACITY_MAX);
    HS_ENSURE(!shard_ending_now(s), HS_E_CLOSED);
    hs_receiver *r = mpsc_receiver_new(s, drop);
    HS_ENSURE(r, -ENOMEM);
    hs_sender *x = sender_new(s->mem, capacity, drop);
    if (!x) {
        mpsc_receiver_undo(r);
        return hs_err_errno(ENOMEM);
    }
    x->receiver = r;
    x->target = s;
    x->announced = true;
    *sender = x;
    *receiver = r;
    return HS_OK;
}

/* The shard that does something with a sender is its home. */
static hs_shard *come_home(hs_sender *x)
{
    hs_shard *s = hs_shard_self();
    HS_ASSERT(s != NULL);
    HS_ASSERT(!x->dropped);
    if (HS_LIKELY(x->home)) {
        HS_ASSERT(x->home == s);
        return s;
    }
    x->home = s;
    x->side = (chan_side){.end = sender_end, .forget = sender_forget};
    chan_side_add(s, &x->side);
    x->ended = shard_ending_now(s);
    return s;
}

hs_err hs_sender_clone(hs_sender *x, hs_sender **out)
{
    hs_shard *s = come_home(x);
    HS_ENSURE(!shard_ending_now(s), HS_E_CLOSED);
    hs_sender *child = sender_new(x->mem, x->capacity, x->drop);
    HS_ENSURE(child, -ENOMEM);
    child->receiver = x->receiver;
    child->target = x->target;
    child->sibling = x->children;
    x->children = child;
    flush_soon(x);
    *out = child;
    return HS_OK;
}

hs_err hs_sender_try_send(hs_sender *x, void *message)
{
    (void)come_home(x);
    HS_ENSURE(!x->closed && !x->ended, HS_E_CLOSED);
    HS_ENSURE(room(x) && hs_list_empty(&x->waiting), HS_E_BLOCKED);
    write_one(x, message);
    flush_soon(x);
    return HS_OK;
}

static hs_err wait_add(hs_sender *x, hs_promise *promise, void *message, hs_cancel *cancel)
{
    channel_state *cs = &x->home->channels;
    HS_TRY(chan_waits_ready(x->home, sizeof(send_wait)));
    HS_ENSURE(cs->waits.slots_used < HS_CHANNEL_WAIT_MAX, HS_E_LIMIT);
    send_wait *w = hs_pool_take(&cs->waits);
    HS_ENSURE(w, -ENOMEM);
    *w = (send_wait){.sender = x, .message = message, .promise = promise, .cancel = cancel};
    hs_list_init(&w->link);
    hs_list_push_back(&x->waiting, &w->link);
    (void)hs_cancel_ref(cancel);
    hs_err err = hs_cancel_add(cancel, &w->hook, wait_cancelled);
    HS_ASSERT(hs_ok(err));
    return HS_OK;
}

static hs_err send_or_wait(hs_sender *x, hs_promise *promise, void *message, hs_cancel *cancel)
{
    HS_TRY(hs_cancel_why(cancel));
    hs_err err = hs_sender_try_send(x, message);
    if (hs_ok(err)) {
        hs_promise_settle(promise, hs_value(NULL));
        return HS_OK;
    }
    if (err.code != HS_E_BLOCKED)
        return err;
    HS_TRY(wait_add(x, promise, message, cancel));
    advance(x);
    return HS_OK;
}

hs_promise *hs_sender_send_at(hs_sender *x, void *message, hs_cancel *cancel, const char *where)
{
    hs_shard *s = come_home(x);
    hs_promise *promise = hs_promise_create_at(s, where);
    hs_err err = promise ? send_or_wait(x, promise, message, cancel) : hs_err_errno(ENOMEM);
    if (hs_ok(err))
        return promise;
    chan_drop(x->drop, message);
    if (!promise)
        return chan_refuse(s, err, where);
    hs_promise_settle(promise, hs_error(err));
    return promise;
}

hs_promise *hs_sender_closed(hs_sender *x)
{
    hs_shard *s = come_home(x);
    if (x->closed || x->ended)
        return chan_refuse(s, x->closed ? HS_OK : hs_err_of(HS_E_CLOSED), HS_HERE);
    if (!x->closed_later)
        x->closed_later = hs_promise_create(s);
    if (!x->closed_later)
        return chan_refuse(s, hs_err_errno(ENOMEM), HS_HERE);
    if (!x->watching) {
        x->watching = hs_ok(mail_post(x->target, &x->watch.op));
        HS_ASSERT(x->watching);
    }
    return hs_promise_ref(x->closed_later);
}

void hs_sender_drop(void *sender)
{
    hs_sender *x = sender;
    (void)come_home(x);
    x->dropped = true;
    closed_settle(x, hs_err_errno(ECANCELED));
    hs_microtask_cancel(&x->flush);
    advance(x);
}
