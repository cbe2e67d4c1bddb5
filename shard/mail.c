/* Calls across shards.
 *
 * Owns: the queues between shards and what is in them: pointers to hs_call_op, the lowest bit
 * telling an answer from a call. A queue has room for the calls of its sender and for the answers
 * to the calls of its receiver, and both are counted, so pushing an answer cannot fail. Must not
 * know: backends. Tested by: tests/unit/shard_loop.c and tests/plain/shards.c under TSan. */
#include "inside.h"
#include "tsan.h"

#define MAIL_ANSWER ((uintptr_t)1)

HS_STATIC_ASSERT(_Alignof(hs_call_op) >= 2, "the lowest bit of a call's address is free");

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

void mail_wake(hs_shard *from, hs_shard *target)
{
    if (from == target)
        return;
    /* Pairs with the fence in wait_until: either it sees our message, or we see that it sleeps. */
    full_fence();
    uint32_t asleep = 1;
    if (atomic_compare_exchange_strong_explicit(&target->asleep, &asleep, 0, memory_order_relaxed,
                                                memory_order_relaxed))
        hs_io_wake(from->io, target->io);
}

static bool mail_push(hs_shard *from, hs_shard *to, uintptr_t message)
{
    if (!hs_spsc_push(mail_queue(from->mail, from->id, to->id), &message))
        return false;
    mail_wake(from, to);
    return true;
}

hs_err hs_call_op_start(hs_shard *target, hs_call_op *call)
{
    hs_shard *s = hs_shard_self();
    HS_ASSERT(s != NULL);
    HS_ASSERT(s->mail == target->mail);
    HS_ASSERT(call->fn != NULL);
    HS_ASSERT(call->done != NULL);
    HS_ENSURE(!shard_finished(s), HS_E_CLOSED);
    HS_ENSURE(s->calls_out[target->id] < HS_CALLS_MAX, HS_E_BLOCKED);
    call->origin = s;
    call->target = target;
    bool pushed = mail_push(s, target, (uintptr_t)call);
    HS_ASSERT(pushed);
    s->calls_out[target->id]++;
    hs_shard_hold(s);
    return HS_OK;
}

static void mail_handle(hs_shard *s, uintptr_t message)
{
    hs_call_op *call = (hs_call_op *)(message & ~MAIL_ANSWER);
    if (message & MAIL_ANSWER) {
        HS_ASSERT(call->origin == s);
        HS_ASSERT(s->calls_out[call->target->id] > 0);
        s->calls_out[call->target->id]--;
        hs_shard_release(s);
        call->done(call);
        return;
    }
    HS_ASSERT(call->target == s);
    call->fn(call);
    bool pushed = mail_push(s, call->origin, message | MAIL_ANSWER);
    HS_ASSERT(pushed);
}

void mail_drain(hs_shard *s)
{
    for (uint32_t from = 0; from < s->mail->shards; from++) {
        uintptr_t messages[HS_TURN_MAIL_MAX];
        hs_spsc *queue = mail_queue(s->mail, from, s->id);
        uint32_t n = hs_spsc_pop(queue, messages, HS_TURN_MAIL_MAX);
        for (uint32_t i = 0; i < n; i++) {
            mail_handle(s, messages[i]);
            microtasks_look(s);
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
