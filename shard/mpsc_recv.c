/* Channels from many senders to one receiver: the receiver.
 *
 * Owns: the senders' rings from the moment a batch tells of them until their messages are read, and
 * whose turn it is. Must not know: how messages are sent. Tested by: tests/unit/shard_channel.c. */
#include "mpsc.h"

struct hs_receiver {
    hs_shard *shard;
    hs_drop_fn *drop;
    chan_side side;
    hs_list ready;    /* senders that have messages */
    hs_list parked;   /* senders with a want or a watch here */
    hs_list credited; /* of these, who wants and was read from since */
    hs_task credit;
    uint32_t senders; /* that were announced and have not said their last */
    uint32_t run;     /* messages read from the first sender since its turn began */
    uint32_t busy;    /* drop functions are called, which may drop the handle */
    bool closed;
    bool dropped;
    chan_await waits; /* what hs_receiver_recv returned */
};

/* ---- memory ---- */

static void receiver_end(chan_side *side);
static void receiver_forget(chan_side *side);

hs_receiver *mpsc_receiver_new(hs_shard *s, hs_drop_fn *drop)
{
    hs_receiver *r = hs_mem_take(s->mem, sizeof *r, _Alignof(hs_receiver));
    if (!r)
        return NULL;
    *r = (hs_receiver){.shard = s, .drop = drop, .senders = 1};
    hs_list_init(&r->ready);
    hs_list_init(&r->parked);
    hs_list_init(&r->credited);
    r->side = (chan_side){.end = receiver_end, .forget = receiver_forget};
    chan_side_add(s, &r->side);
    return r;
}

void mpsc_receiver_undo(hs_receiver *r)
{
    chan_side_remove(&r->side);
    hs_mem_give(r->shard->mem, r, sizeof *r, _Alignof(hs_receiver));
}

/* Free it, once its handle was dropped and no sender will say anything more. */
static void receiver_free(hs_receiver *r)
{
    if (!r->dropped || r->busy > 0 || r->credit.fn || (r->senders > 0 && !shard_over(r->shard)))
        return;
    HS_ASSERT(hs_list_empty(&r->ready));
    HS_ASSERT(!r->waits.promise);
    mpsc_receiver_undo(r);
}

/* The handle may have been dropped before, while a sender was left that is still fresh. */
static void receiver_forget(chan_side *side)
{
    hs_receiver *r = HS_CONTAINER_OF(side, hs_receiver, side);
    if (r->dropped)
        receiver_free(r);
    else
        hs_receiver_drop(r);
}

void mpsc_prepare(hs_sender *x)
{
    hs_list_init(&x->ready);
    hs_list_init(&x->parked);
    hs_list_init(&x->credited);
}

/* ---- answers ---- */

static uint64_t answer_of(const hs_sender *x)
{
    return x->head | (x->receiver->closed ? MPSC_CLOSED : 0);
}

static void answer(hs_sender *x, hs_call_op *op)
{
    op->result = answer_of(x);
    hs_call_op_answer(op);
}

static void answer_want(hs_sender *x)
{
    hs_list_remove(&x->credited);
    if (!x->want_here)
        return;
    x->want_here = false;
    if (!x->watch_here)
        hs_list_remove(&x->parked);
    answer(x, &x->want.op);
}

static void answer_watch(hs_sender *x)
{
    if (!x->watch_here)
        return;
    x->watch_here = false;
    if (!x->want_here)
        hs_list_remove(&x->parked);
    answer(x, &x->watch.op);
}

static void credit_run(hs_task *task)
{
    hs_receiver *r = HS_CONTAINER_OF(task, hs_receiver, credit);
    while (!hs_list_empty(&r->credited))
        answer_want(HS_CONTAINER_OF(r->credited.next, hs_sender, credited));
    receiver_free(r);
}

/* A message of a sender that wants room was read. It is told as a task, so that one answer tells of
 * all that is read in a row. */
static void credit_soon(hs_receiver *r, hs_sender *x)
{
    if (!hs_list_empty(&x->credited))
        return;
    hs_list_push_back(&r->credited, &x->credited);
    if (!r->credit.fn)
        hs_task_post(r->shard, &r->credit, credit_run);
}

/* Once a sender was announced, has said its last, and all of it was read, it is left alone. */
static void leave_if_last(hs_receiver *r, hs_sender *x)
{
    if (!x->last_here || !x->announced || x->head != x->have)
        return;
    HS_ASSERT(hs_list_empty(&x->ready));
    HS_ASSERT(r->senders > 0);
    x->last_here = false;
    r->senders--;
    answer_want(x);
    answer_watch(x);
    answer(x, &x->batch.op);
}

/* ---- messages ---- */

/* The next message; there is one. */
static void *take(hs_receiver *r)
{
    HS_ASSERT(!hs_list_empty(&r->ready));
    hs_sender *x = HS_CONTAINER_OF(r->ready.next, hs_sender, ready);
    HS_ASSERT(x->head != x->have);
    void *message = x->ring[x->head++ & x->mask];
    if (x->head == x->have) {
        hs_list_remove(&x->ready);
        r->run = 0;
    } else if (++r->run == MPSC_RUN) {
        hs_list_remove(&x->ready);
        hs_list_push_back(&r->ready, &x->ready);
        r->run = 0;
    }
    if (x->want_here)
        credit_soon(r, x);
    leave_if_last(r, x);
    return message;
}

/* Whether nothing will come any more. */
static bool at_end(const hs_receiver *r)
{
    return hs_list_empty(&r->ready) && (r->senders == 0 || r->closed);
}

/* Give who waits what he waits for, if it is there. */
static void deliver(hs_receiver *r)
{
    if (!r->waits.promise)
        return;
    if (!hs_list_empty(&r->ready))
        chan_await_settle(&r->waits, hs_value_owned(take(r), r->drop));
    else if (at_end(r))
        chan_await_settle(&r->waits, hs_error(hs_err_of(HS_E_CLOSED)));
}

static void drop_all(hs_receiver *r)
{
    r->busy++;
    while (!hs_list_empty(&r->ready))
        chan_drop(r->drop, take(r));
    r->busy--;
}

/* ---- what arrives ---- */

static void announce(hs_receiver *r, hs_sender *x)
{
    while (x) {
        hs_sender *next = x->sibling;
        HS_ASSERT(!x->announced);
        x->announced = true;
        r->senders++;
        leave_if_last(r, x); /* it went another way, and faster */
        x = next;
    }
}

static void receive(hs_receiver *r, hs_sender *x, uint32_t upto)
{
    uint32_t from = x->seen;
    x->seen = upto;
    HS_ASSERT(upto - x->head <= x->capacity);
    if (HS_UNLIKELY(r->closed)) {
        for (uint32_t at = from; at != upto; at++)
            chan_drop(r->drop, x->ring[at & x->mask]);
        return;
    }
    x->have = upto;
    if (from != upto && hs_list_empty(&x->ready))
        hs_list_push_back(&r->ready, &x->ready);
    deliver(r);
}

void mpsc_batch_arrives(hs_call_op *op)
{
    hs_sender *x = HS_CONTAINER_OF(op, hs_sender, batch.op);
    hs_receiver *r = x->receiver;
    r->busy++;
    announce(r, x->batch.children);
    receive(r, x, x->batch.at);
    if (x->batch.last) {
        hs_call_op_defer(op);
        x->last_here = true;
        leave_if_last(r, x);
        deliver(r);
    } else {
        op->result = answer_of(x);
    }
    r->busy--;
    receiver_free(r);
}

static void park(hs_sender *x, hs_call_op *op)
{
    hs_call_op_defer(op);
    if (hs_list_empty(&x->parked))
        hs_list_push_back(&x->receiver->parked, &x->parked);
}

void mpsc_want_arrives(hs_call_op *op)
{
    hs_sender *x = HS_CONTAINER_OF(op, hs_sender, want.op);
    op->result = answer_of(x);
    if (x->receiver->closed || x->head != x->want.at)
        return;
    x->want_here = true;
    park(x, op);
}

void mpsc_watch_arrives(hs_call_op *op)
{
    hs_sender *x = HS_CONTAINER_OF(op, hs_sender, watch.op);
    op->result = answer_of(x);
    if (x->receiver->closed)
        return;
    x->watch_here = true;
    park(x, op);
}

/* ---- the interface ---- */

hs_err hs_receiver_try_recv(hs_receiver *r, void **message)
{
    HS_ASSERT(r->shard == hs_shard_self());
    HS_ASSERT(!r->dropped);
    if (HS_UNLIKELY(hs_list_empty(&r->ready)))
        return hs_err_of(at_end(r) ? HS_E_CLOSED : HS_E_BLOCKED);
    HS_ASSERT(!r->waits.promise); /* it would have been given what is here */
    *message = take(r);
    return HS_OK;
}

hs_promise *hs_receiver_recv_at(hs_receiver *r, hs_cancel *cancel, const char *where)
{
    HS_ASSERT(r->shard == hs_shard_self());
    HS_ASSERT(!r->dropped);
    /* First the promise, then the message: none is lost where there is no memory. */
    hs_promise *promise = hs_promise_create_at(r->shard, where);
    if (HS_UNLIKELY(!promise))
        return chan_refuse(r->shard, hs_err_errno(ENOMEM), where);
    hs_err err = chan_await_begin(&r->waits, promise, cancel);
    if (hs_ok(err))
        deliver(r);
    else
        hs_promise_settle(promise, hs_error(err));
    return promise;
}

static void tell_parked(hs_receiver *r)
{
    while (!hs_list_empty(&r->parked)) {
        hs_sender *x = HS_CONTAINER_OF(r->parked.next, hs_sender, parked);
        answer_want(x);
        answer_watch(x);
    }
}

void hs_receiver_close(hs_receiver *r)
{
    HS_ASSERT(r->shard == hs_shard_self());
    HS_ASSERT(!r->dropped);
    r->closed = true;
    tell_parked(r);
    deliver(r);
}

static void receiver_end(chan_side *side)
{
    hs_receiver *r = HS_CONTAINER_OF(side, hs_receiver, side);
    r->closed = true;
    tell_parked(r);
    drop_all(r);
    deliver(r);
}

void hs_receiver_drop(void *receiver)
{
    hs_receiver *r = receiver;
    HS_ASSERT(r->shard == hs_shard_self());
    HS_ASSERT(!r->dropped);
    receiver_end(&r->side);
    r->dropped = true;
    receiver_free(r);
}
