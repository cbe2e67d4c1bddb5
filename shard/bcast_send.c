/* Channels from one sender to many subscribers: the sender.
 *
 * Owns: what each subscriber has not asked for yet, the oldest of which is missed where there is no
 * room, and when an answer leaves: once the callback that sent is over. Must not know: how messages
 * are received. Tested by: tests/unit/shard_broadcast.c. */
#include "bcast.h"

/* ---- memory ---- */

/* Free it, once its handle was dropped and no subscriber will ask any more. */
static void bcast_free(hs_broadcast *b)
{
    if (!b->dropped || b->busy > 0 || (b->len > 0 && !shard_over(b->shard)))
        return;
    hs_microtask_cancel(&b->flush);
    chan_side_remove(&b->side);
    hs_mem_give(b->shard->mem, b, sizeof *b, _Alignof(hs_broadcast));
}

static hs_subscriber *subscriber_of(hs_list *link)
{
    return HS_CONTAINER_OF(link, hs_subscriber, link);
}

/* ---- queues ---- */

static void drop_queue(hs_subscriber *x)
{
    while (x->queue.len > 0)
        chan_drop(x->drop, bcast_pop(&x->queue, x->capacity));
    x->queue.missed = 0;
}

static void push(hs_subscriber *x, void *message)
{
    bcast_queue *q = &x->queue;
    void *oldest = NULL;
    bool full = q->len == x->capacity;
    if (full) {
        oldest = bcast_pop(q, x->capacity);
        q->missed++;
    }
    uint32_t at = q->head + q->len++;
    q->slots[at < x->capacity ? at : at - x->capacity] = message;
    if (full)
        chan_drop(x->drop, oldest);
}

/* There is no memory for its copy. What it misses comes before what it gets: so it misses all that
 * waits, too. */
static void miss(hs_subscriber *x)
{
    bcast_queue *q = &x->queue;
    q->missed++;
    while (q->len > 0) {
        q->missed++;
        chan_drop(x->drop, bcast_pop(q, x->capacity));
    }
}

/* ---- answers ---- */

static bool closed(const hs_broadcast *b)
{
    return b->dropped || b->ended;
}

/* Exchange the queues: the subscriber's is empty, or it would not ask. */
static void fill(hs_subscriber *x)
{
    bcast_queue empty = x->parcel;
    HS_ASSERT(!bcast_any(&empty));
    x->parcel = x->queue;
    x->queue = empty;
    x->source_closed = closed(x->from);
}

static void answer(hs_subscriber *x)
{
    HS_ASSERT(x->want_here);
    x->want_here = false;
    fill(x);
    hs_call_op_answer(&x->want);
}

/* Answer those who asked and can be told something. */
static void answer_all(hs_broadcast *b)
{
    for (hs_list *l = b->subscribers.next; l != &b->subscribers; l = l->next) {
        hs_subscriber *x = subscriber_of(l);
        if (x->want_here && (bcast_any(&x->queue) || closed(b)))
            answer(x);
    }
}

static void flush_run(hs_microtask *task)
{
    answer_all(HS_CONTAINER_OF(task, hs_broadcast, flush));
}

/* ---- what arrives ---- */

static void want_arrives(hs_call_op *op)
{
    hs_subscriber *x = HS_CONTAINER_OF(op, hs_subscriber, want);
    if (bcast_any(&x->queue) || closed(x->from)) {
        fill(x);
        return;
    }
    hs_call_op_defer(op);
    x->want_here = true;
}

static void leave_arrives(hs_call_op *op)
{
    hs_subscriber *x = HS_CONTAINER_OF(op, hs_subscriber, leave);
    hs_broadcast *b = x->from;
    HS_ASSERT(b->len > 0);
    hs_list_remove(&x->link);
    b->len--;
    if (x->want_here)
        answer(x);
    b->busy++;
    drop_queue(x);
    b->busy--;
    bcast_free(b);
}

/* ---- the end of a stop ---- */

static void bcast_end(chan_side *side)
{
    hs_broadcast *b = HS_CONTAINER_OF(side, hs_broadcast, side);
    b->ended = true;
    b->busy++;
    for (hs_list *l = b->subscribers.next; l != &b->subscribers; l = l->next)
        drop_queue(subscriber_of(l));
    answer_all(b);
    b->busy--;
    bcast_free(b);
}

static void bcast_forget(chan_side *side)
{
    hs_broadcast *b = HS_CONTAINER_OF(side, hs_broadcast, side);
    b->dropped = true;
    bcast_free(b);
}

/* ---- the interface ---- */

hs_err hs_broadcast_create(hs_shard *s, uint32_t capacity, hs_copy_fn *copy, hs_drop_fn *drop,
                           hs_broadcast **out)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(capacity > 0);
    HS_ASSERT(capacity <= HS_CHANNEL_CAPACITY_MAX);
    HS_ASSERT(copy || !drop); /* who owns what all of them get? */
    HS_ENSURE(!shard_ending_now(s), HS_E_CLOSED);
    hs_broadcast *b = hs_mem_take(s->mem, sizeof *b, _Alignof(hs_broadcast));
    HS_ENSURE(b, -ENOMEM);
    *b = (hs_broadcast){.shard = s, .copy = copy, .drop = drop, .capacity = capacity};
    hs_list_init(&b->subscribers);
    b->side = (chan_side){.end = bcast_end, .forget = bcast_forget};
    chan_side_add(s, &b->side);
    *out = b;
    return HS_OK;
}

hs_err hs_broadcast_subscribe(hs_broadcast *b, hs_subscriber **out)
{
    HS_ASSERT(b->shard == hs_shard_self());
    HS_ASSERT(!b->dropped);
    HS_ENSURE(!shard_ending_now(b->shard), HS_E_CLOSED);
    hs_subscriber *x = bcast_subscriber_new(b);
    HS_ENSURE(x, -ENOMEM);
    x->want.fn = want_arrives;
    x->leave.fn = leave_arrives;
    hs_list_push_back(&b->subscribers, &x->link);
    b->len++;
    *out = x;
    return HS_OK;
}

uint32_t hs_broadcast_send(hs_broadcast *b, void *message)
{
    HS_ASSERT(b->shard == hs_shard_self());
    HS_ASSERT(!b->dropped);
    if (b->ended || b->len == 0) {
        chan_drop(b->drop, message);
        return 0;
    }
    b->busy++;
    /* Subscribers go by messages between shards only, and new ones come last. */
    uint32_t len = b->len;
    hs_list *link = b->subscribers.next;
    for (uint32_t i = 1; i <= len; i++, link = link->next) {
        hs_subscriber *x = subscriber_of(link);
        void *own = i < len && b->copy ? b->copy(message) : message;
        if (HS_LIKELY(own || !b->copy))
            push(x, own);
        else
            miss(x);
    }
    b->busy--;
    if (!b->flush.fn && !b->dropped)
        hs_microtask_post(b->shard, &b->flush, flush_run);
    bcast_free(b);
    return len;
}

void hs_broadcast_drop(void *broadcast)
{
    hs_broadcast *b = broadcast;
    HS_ASSERT(b->shard == hs_shard_self());
    HS_ASSERT(!b->dropped);
    b->dropped = true;
    if (!shard_over(b->shard)) /* or its subscribers may be gone */
        answer_all(b);
    bcast_free(b);
}
