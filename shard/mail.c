/* Calls across shards.
 *
 * Owns: the queues between shards and what is in them: the address of an hs_call_op, its lowest
 * bits telling what is said about it. Must not know: backends. Tested by: tests/unit/shard_mail.c,
 * tests/unit/shard_loop.c and tests/plain/shards.c under TSan.
 *
 * Why no message ever waits for room. A shard sends two kinds of messages on its own account, calls
 * and late answers, and has at most HS_CALLS_MAX of them with another shard that this one has not
 * looked at; what is beyond stands in line in the sender, in storage that it has already. Each is
 * answered by exactly one message, as soon as it is looked at: a call by its answer or by "later",
 * a late answer by "taken". A queue has room for both: the sender's own, and its answers to the
 * receiver's. So a shard looks at its messages whatever else it waits for, and a place in a queue
 * is never held by a call that waits for something. */
#include "inside.h"
#include "tsan.h"

enum {
    MAIL_CALL,   /* run call->fn */
    MAIL_ANSWER, /* to a call: it has run */
    MAIL_LATER,  /* to a call: it has run, but its answer comes later; the call is not to be touched
                  */
    MAIL_LATE,   /* that answer */
    MAIL_TAKEN,  /* to a late answer; the call may be gone */
    MAIL_KINDS
};

#define MAIL_KIND_MASK ((uintptr_t)7)

HS_STATIC_ASSERT(_Alignof(hs_call_op) > MAIL_KIND_MASK && MAIL_KINDS <= MAIL_KIND_MASK + 1,
                 "the lowest bits of a call's address are free");
HS_STATIC_ASSERT(HS_MAIL_CAPACITY >= 2 * HS_CALLS_MAX, "an answer always has room");

static hs_spsc *mail_queue(shard_mail *mail, uint32_t from, uint32_t to)
{
    HS_ASSERT(from < mail->shards);
    HS_ASSERT(to < mail->shards);
    return &mail->queues[(size_t)from * mail->shards + to];
}

static size_t mail_pairs(const shard_mail *mail)
{
    return (size_t)mail->shards * mail->shards;
}

hs_err shard_mail_init(shard_mail *mail, const hs_mem *mem, uint32_t shards)
{
    HS_ASSERT(shards > 0);
    HS_ASSERT(shards <= HS_SHARDS_MAX);
    *mail = (shard_mail){.mem = mem, .shards = shards};
    mail->peers = hs_mem_take_zero(mem, shards * sizeof(hs_shard *), sizeof(void *));
    mail->queues = hs_mem_take_zero(mem, mail_pairs(mail) * sizeof(hs_spsc), HS_CACHE_PAIR);
    hs_err err = hs_err_errno(ENOMEM);
    if (mail->peers && mail->queues) {
        err = HS_OK;
        for (size_t i = 0; i < mail_pairs(mail) && hs_ok(err); i++)
            err = hs_spsc_init(&mail->queues[i], mem, HS_MAIL_CAPACITY, sizeof(uintptr_t));
    }
    if (!hs_ok(err))
        shard_mail_fini(mail);
    return err;
}

void shard_mail_fini(shard_mail *mail)
{
    for (size_t i = 0; mail->queues && i < mail_pairs(mail); i++)
        hs_spsc_fini(&mail->queues[i]);
    hs_mem_give(mail->mem, mail->queues, mail_pairs(mail) * sizeof(hs_spsc), HS_CACHE_PAIR);
    hs_mem_give(mail->mem, mail->peers, mail->shards * sizeof(hs_shard *), sizeof(void *));
    mail->queues = NULL;
    mail->peers = NULL;
}

bool mail_lanes_init(hs_shard *s)
{
    uint32_t shards = s->mail->shards;
    hs_list_init(&s->deferred);
    s->lanes = hs_mem_take_zero(s->mem, shards * sizeof(mail_lane), _Alignof(mail_lane));
    for (uint32_t i = 0; s->lanes && i < shards; i++)
        hs_list_init(&s->lanes[i].waiting);
    return s->lanes != NULL;
}

void mail_lanes_fini(hs_shard *s)
{
    hs_mem_give(s->mem, s->lanes, s->mail->shards * sizeof(mail_lane), _Alignof(mail_lane));
}

/* ---- sending ---- */

static void push(hs_shard *s, uint32_t to, hs_call_op *call, uintptr_t kind)
{
    uintptr_t message = (uintptr_t)call | kind;
    bool pushed = hs_spsc_push(mail_queue(s->mail, s->id, to), &message);
    HS_ASSERT(pushed);
    s->wakes[to / 64] |= UINT64_C(1) << (to % 64);
}

/* Send a call or a late answer, or put it in line. */
static void send_own(hs_shard *s, uint32_t to, hs_call_op *call)
{
    mail_lane *lane = &s->lanes[to];
    if (HS_UNLIKELY(lane->sent == HS_CALLS_MAX)) {
        hs_list_init(&call->link);
        hs_list_push_back(&lane->waiting, &call->link);
        return;
    }
    lane->sent++;
    push(s, to, call, call->told ? MAIL_LATE : MAIL_CALL);
}

/* A message of ours was answered: its place is the next one's. */
static void send_next(hs_shard *s, uint32_t to)
{
    mail_lane *lane = &s->lanes[to];
    HS_ASSERT(lane->sent > 0);
    lane->sent--;
    hs_list *node = hs_list_pop_front(&lane->waiting);
    if (HS_LIKELY(!node))
        return;
    hs_call_op *call = HS_CONTAINER_OF(node, hs_call_op, link);
    /* Of a late answer the flag is not ours: its origin may look at it in a cancel right now. */
    if (call->origin == s)
        call->waits = false;
    send_own(s, to, call);
}

hs_err mail_post(hs_shard *target, hs_call_op *call)
{
    hs_shard *s = hs_shard_self();
    HS_ASSERT(s != NULL);
    HS_ASSERT(s->mail == target->mail);
    HS_ASSERT(call->fn != NULL);
    HS_ASSERT(call->done != NULL);
    HS_ENSURE(stop_put_off(s), HS_E_CLOSED);
    call->origin = s;
    call->target = target;
    call->told = false;
    call->waits = s->lanes[target->id].sent == HS_CALLS_MAX;
    hs_shard_hold_as(s, "call");
    send_own(s, target->id, call);
    return HS_OK;
}

hs_err hs_call_op_start(hs_shard *target, hs_call_op *call)
{
    hs_shard *s = hs_shard_self();
    HS_ASSERT(s != NULL);
    HS_ENSURE(s->lanes[target->id].sent < HS_CALLS_MAX, HS_E_BLOCKED);
    return mail_post(target, call);
}

void mail_withdraw(hs_call_op *call)
{
    HS_ASSERT(call->origin == hs_shard_self());
    HS_ASSERT(call->waits);
    hs_list_remove(&call->link);
    call->waits = false;
    hs_shard_release_as(call->origin, "call");
}

/* ---- answers that come later ---- */

void hs_call_op_defer(hs_call_op *call)
{
    hs_shard *s = call->target;
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(s->serving == call);
    s->serving = NULL;
    hs_list_init(&call->link);
    hs_list_push_back(&s->deferred, &call->link);
}

void hs_call_op_answer(hs_call_op *call)
{
    hs_shard *s = call->target;
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(s->serving != call);
    if (!call->told) {
        hs_list_remove(&call->link);
        push(s, call->origin->id, call, MAIL_ANSWER);
        return;
    }
    hs_shard_hold_as(s, "call");
    send_own(s, call->origin->id, call);
}

static void wake(hs_shard *from, hs_shard *target)
{
    /* Looked at before it is written to: the line is the target's, who is mostly awake. */
    uint32_t asleep = atomic_load_explicit(&target->asleep, memory_order_relaxed);
    if (asleep && atomic_compare_exchange_strong_explicit(
                      &target->asleep, &asleep, 0, memory_order_relaxed, memory_order_relaxed))
        hs_io_wake(from->io, target->io);
}

void mail_flush(hs_shard *s)
{
    for (hs_list *node; (node = hs_list_pop_front(&s->deferred)) != NULL;) {
        hs_call_op *call = HS_CONTAINER_OF(node, hs_call_op, link);
        call->told = true;
        push(s, call->origin->id, call, MAIL_LATER);
    }
    s->wakes[s->id / 64] &= ~(UINT64_C(1) << (s->id % 64));
    bool fenced = false;
    for (uint32_t i = 0; i < HS_ARRAY_LEN(s->wakes) && i * 64 < s->mail->shards; i++) {
        if (HS_LIKELY(!s->wakes[i]))
            continue;
        /* Pairs with the fence in wait_until: either it sees our messages, or we see that it
         * sleeps. */
        if (!fenced)
            full_fence();
        fenced = true;
        for (uint64_t bits = s->wakes[i]; bits; bits &= bits - 1)
            wake(s, s->mail->peers[i * 64 + (uint32_t)__builtin_ctzll(bits)]);
        s->wakes[i] = 0;
    }
}

/* ---- receiving ---- */

static void serve(hs_shard *s, hs_call_op *call)
{
    HS_ASSERT(call->target == s);
    s->serving = call;
    call->fn(call);
    if (s->serving == call)
        push(s, call->origin->id, call, MAIL_ANSWER);
    s->serving = NULL;
}

static void finish(hs_shard *s, hs_call_op *call)
{
    HS_ASSERT(call->origin == s);
    hs_shard_release_as(s, "call");
    call->done(call);
}

static void handle(hs_shard *s, uint32_t from, uintptr_t message)
{
    hs_call_op *call = (hs_call_op *)(message & ~MAIL_KIND_MASK);
    switch (message & MAIL_KIND_MASK) {
    case MAIL_CALL:
        serve(s, call);
        break;
    case MAIL_ANSWER:
        send_next(s, from);
        finish(s, call);
        break;
    case MAIL_LATER:
        send_next(s, from);
        s->passive++;
        break;
    case MAIL_LATE:
        push(s, from, call, MAIL_TAKEN);
        HS_ASSERT(s->passive > 0);
        s->passive--;
        finish(s, call);
        break;
    default:
        HS_ASSERT((message & MAIL_KIND_MASK) == MAIL_TAKEN);
        send_next(s, from);
        hs_shard_release_as(s, "call");
    }
}

void mail_drain(hs_shard *s)
{
    for (uint32_t from = 0; from < s->mail->shards; from++) {
        uintptr_t messages[HS_TURN_MAIL_MAX];
        hs_spsc *queue = mail_queue(s->mail, from, s->id);
        uint32_t n = hs_spsc_pop(queue, messages, HS_TURN_MAIL_MAX);
        if (n > 0)
            (void)stop_put_off(s);
        for (uint32_t i = 0; i < n; i++) {
            handle(s, from, messages[i]);
            callback_over(s);
        }
    }
}

bool mail_waits(const hs_shard *s)
{
    for (uint32_t from = 0; from < s->mail->shards; from++)
        if (!hs_spsc_empty(mail_queue(s->mail, from, s->id)))
            return true;
    return false;
}
