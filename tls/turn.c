/* How much of a turn handshakes take.
 *
 * A signature takes a fifth of a millisecond to some milliseconds, and a thousand clients may come
 * at once: steps of handshakes share HS_TURN_HANDSHAKES_NS of a turn, and one runs at least. The
 * others wait in order for the next turn, after the completions of connections that are open
 * already. Owns: the list of those that wait. Must not know: what a step does. Tested by:
 * tests/unit/tls_turn.c. */
#include "tls.h"

static uint64_t clock_now(const hs_tls *tls)
{
    return hs_io_now_ns(hs_shard_io(tls->shard));
}

static void turn_begin(hs_tls *tls)
{
    tls->turn_ns = hs_shard_now_ns(tls->shard);
    tls->turn_until_ns = clock_now(tls) + HS_TURN_HANDSHAKES_NS;
    tls->turn_spent = false;
}

static void resume_all(hs_task *task);

bool tls_turn_waits(tls_conn *c)
{
    hs_tls *tls = c->tls;
    if (!hs_list_empty(&c->hs->turn_link))
        return true;
    if (tls->turn_ns != hs_shard_now_ns(tls->shard) && hs_list_empty(&tls->turn_list))
        turn_begin(tls);
    if (!tls->turn_spent && hs_list_empty(&tls->turn_list))
        return false;
    hs_list_push_back(&tls->turn_list, &c->hs->turn_link);
    if (!tls->turn_task.fn)
        hs_task_post_next_turn(tls->shard, &tls->turn_task, resume_all);
    return true;
}

void tls_turn_count(hs_tls *tls)
{
    tls->turn_spent = clock_now(tls) >= tls->turn_until_ns;
}

/* Those that wait resume in the order in which they came, until the time is over. */
static void resume_all(hs_task *task)
{
    hs_tls *tls = HS_CONTAINER_OF(task, hs_tls, turn_task);
    hs_list now;
    hs_list_init(&now);
    hs_list_append(&now, &tls->turn_list);
    if (tls->refs > 0)
        tls->refs++; /* a step may end the last of a client's streams */
    turn_begin(tls);
    for (hs_list *link; !tls->turn_spent && (link = hs_list_pop_front(&now));)
        tls_shake_resume(HS_CONTAINER_OF(link, tls_hs, turn_link)->conn);
    /* What joined meanwhile is behind those that are left. */
    hs_list_append(&now, &tls->turn_list);
    hs_list_append(&tls->turn_list, &now);
    if (!hs_list_empty(&tls->turn_list) && !task->fn)
        hs_task_post_next_turn(tls->shard, task, resume_all);
    if (tls->refs > 0)
        tls_unref(tls);
}
