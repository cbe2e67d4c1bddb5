/* How the shards of a group stop: each when it is asked, all of them at the same end.
 *
 * Owns: what holds a shard, and the two rounds of a stop. In the first, a stopping shard is ready
 * when nothing holds it but calls to others whose answers were deferred. When all are ready nothing
 * is on its way between them, so they would wait for each other for ever (a fiber here for a call
 * there, that for a message of a third): everything that waits is told to end, by the list of
 * endings. In the second, a shard is ready when nothing at all holds it; when all are, the loops
 * end together, so that until then each can still answer another's call. A shard that is ready and
 * gets something to do is not ready until it has done it, and says so before it does it. Must not
 * know: what the shards do. Tested by: tests/unit/shard_loop.c and tests/plain/shards.c. */
#include <stdio.h>

#include "inside.h"

static bool round_complete(const hs_shard *s, uint32_t round)
{
    return atomic_load_explicit(&s->mail->rounds[round], memory_order_acquire) == s->mail->shards;
}

/* Ready. The last one wakes the others. */
static void round_enter(hs_shard *s)
{
    shard_mail *mail = s->mail;
    s->counted = true;
    if (atomic_fetch_add(&mail->rounds[s->round], 1) + 1 < mail->shards)
        return;
    for (uint32_t i = 0; i < mail->shards; i++)
        if (mail->peers[i] != s)
            hs_io_wake_any(mail->peers[i]->io);
}

/* Not ready after all. False when the round is complete: it stays so. */
static bool round_leave(hs_shard *s)
{
    HS_ATOMIC_U32 *count = &s->mail->rounds[s->round];
    uint32_t seen = atomic_load(count);
    do {
        HS_ASSERT(seen > 0);
        if (seen == s->mail->shards)
            return false;
    } while (!atomic_compare_exchange_weak(count, &seen, seen - 1));
    s->counted = false;
    return true;
}

bool stop_put_off(hs_shard *s)
{
    if (HS_LIKELY(!s->counted) || round_leave(s))
        return true;
    return !round_complete(s, HS_ARRAY_LEN(s->mail->rounds) - 1);
}

/* ---- endings ---- */

void shard_ending_add(hs_shard *s, shard_ending *ending)
{
    HS_ASSERT(ending->fn != NULL);
    HS_ASSERT(!shard_ending_now(s));
    hs_list_init(&ending->link);
    hs_list_push_back(&s->endings, &ending->link);
}

void shard_ending_remove(shard_ending *ending)
{
    if (ending->link.next)
        hs_list_remove(&ending->link);
}

static void run_endings(hs_shard *s)
{
    for (hs_list *node; (node = hs_list_pop_front(&s->endings)) != NULL;) {
        shard_ending *ending = HS_CONTAINER_OF(node, shard_ending, link);
        ending->fn(ending);
    }
}

/* ---- rounds ---- */

/* Fibers that only yield keep nobody waiting: they are told to end, too. */
static bool nothing_to_run(const hs_shard *s)
{
    bool yields = s->round == 0 && s->tasks.first == &s->fibers.turn && !s->tasks.first->next;
    return (!s->tasks.first || yields) && !s->tasks_next.first && hs_list_empty(&s->microtasks);
}

static void update_ready(hs_shard *s)
{
    bool ready = nothing_to_run(s) && s->holds == (s->round == 0 ? s->passive : 0);
    /* An operation that its owner forgot holds the shard as well: the ring goes at the end. */
    ready = ready && (s->round == 0 || s->io->ops_active == 0);
    if (ready && !s->counted)
        round_enter(s);
    else if (!ready && s->counted)
        (void)round_leave(s);
}

bool stop_begins(hs_shard *s)
{
    if (HS_LIKELY(!atomic_load_explicit(&s->stop_asked, memory_order_acquire) || s->stopping))
        return false;
    s->stopping = true;
    if (s->stop)
        s->stop(s, s->ctx);
    return true;
}

void stop_look(hs_shard *s)
{
    if (HS_LIKELY(!s->stopping))
        return;
    update_ready(s);
    if (s->round > 0 || !round_complete(s, 0))
        return;
    s->round = 1;
    s->counted = false;
    run_endings(s);
    callback_over(s);
    update_ready(s);
}

bool shard_over(const hs_shard *s)
{
    return HS_UNLIKELY(round_complete(s, 1));
}

bool shard_finished(hs_shard *s)
{
    return shard_over(s) && s->holds == 0 && nothing_to_run(s) && s->io->ops_active == 0;
}

void shard_stop(hs_shard *s)
{
    atomic_store_explicit(&s->stop_asked, 1, memory_order_release);
    hs_io_wake_any(s->io);
}

/* ---- what holds a shard ---- */

bool hs_shard_stopping(const hs_shard *s)
{
    return s->stopping;
}

/* The count of what is called so; NULL: the table is full. */
static uint32_t *count_of(hs_shard *s, const char *what)
{
    for (uint32_t i = 0; i < HS_ARRAY_LEN(s->held); i++) {
        if (s->held[i].what == what)
            return &s->held[i].count;
        if (!s->held[i].what) {
            s->held[i].what = what;
            return &s->held[i].count;
        }
    }
    return NULL;
}

void hs_shard_hold_as(hs_shard *s, const char *what)
{
    HS_ASSERT(s->holds < UINT32_MAX);
    HS_ASSERT(what != NULL);
    (void)stop_put_off(s);
    s->holds++;
    uint32_t *count = count_of(s, what);
    if (count)
        (*count)++;
}

void hs_shard_release_as(hs_shard *s, const char *what)
{
    HS_ASSERT(s->holds > 0);
    s->holds--;
    uint32_t *count = count_of(s, what);
    if (count && *count > 0)
        (*count)--;
}

void hs_shard_hold(hs_shard *s)
{
    hs_shard_hold_as(s, "hs_shard_hold");
}

void hs_shard_release(hs_shard *s)
{
    hs_shard_release_as(s, "hs_shard_hold");
}

void shard_report_held(hs_shard *s)
{
    char text[256];
    size_t len = 0;
    for (uint32_t i = 0; i < HS_ARRAY_LEN(s->held) && len < sizeof text; i++) {
        if (s->held[i].count == 0)
            continue;
        int n = snprintf(text + len, sizeof text - len, "%s%s (%u)", len ? ", " : "",
                         s->held[i].what, s->held[i].count);
        len += (size_t)HS_MAX(n, 0);
    }
    if (s->io->ops_active > 0 && len < sizeof text)
        (void)snprintf(text + len, sizeof text - len, "%sI/O operations under way (%llu)",
                       len ? ", " : "", (unsigned long long)s->io->ops_active);
    if (len == 0 && s->io->ops_active == 0)
        return; /* it waited for another one */
    hs_log_write(s->log, HS_LOG_ERROR,
                 "the stop goes without what still holds this shard: %s; close it when the shard "
                 "stops",
                 text);
}
