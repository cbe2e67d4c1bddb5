/* How the shards of a group stop: each when it is asked, all of them at the same end.
 *
 * Owns: the count of shards that have nothing left to do. Must not know: what the shards do.
 * Tested by: tests/unit/shard_loop.c and tests/plain/shards.c. */
#include "inside.h"

/* A stopping shard that holds nothing is idle; when all are, they end together, so that until then
 * each can still answer another's call. The count never falls again once it is complete. */
static void update_idle(hs_shard *s)
{
    bool idle = s->stopping && s->holds == 0 && !s->tasks && hs_list_empty(&s->microtasks);
    if (HS_LIKELY(idle == s->idle))
        return;
    shard_mail *mail = s->mail;
    if (!idle) {
        uint32_t seen = atomic_load(&mail->idle);
        do {
            if (seen == mail->shards)
                return;
        } while (!atomic_compare_exchange_weak(&mail->idle, &seen, seen - 1));
        s->idle = false;
        return;
    }
    s->idle = true;
    if (atomic_fetch_add(&mail->idle, 1) + 1 < mail->shards)
        return;
    for (uint32_t i = 0; i < mail->shards; i++)
        if (mail->peers[i] != s)
            hs_io_wake_any(mail->peers[i]->io);
}

bool shard_finished(hs_shard *s)
{
    return atomic_load_explicit(&s->mail->idle, memory_order_acquire) == s->mail->shards;
}

void shard_stop(hs_shard *s)
{
    atomic_store_explicit(&s->stop_asked, 1, memory_order_release);
    hs_io_wake_any(s->io);
}

void stop_look(hs_shard *s)
{
    if (HS_UNLIKELY(atomic_load_explicit(&s->stop_asked, memory_order_acquire) && !s->stopping)) {
        s->stopping = true;
        if (s->stop)
            s->stop(s, s->ctx);
        microtasks_look(s);
    }
    if (HS_UNLIKELY(s->stopping))
        update_idle(s);
}
