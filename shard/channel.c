/* The ends of channels in a shard.
 *
 * Owns: when they are closed, and that none outlives the shard. Must not know: kinds of channels.
 * Tested by: tests/unit/shard_channel.c. */
#include "inside.h"

void chan_side_add(hs_shard *s, chan_side *side)
{
    HS_ASSERT(side->link.next == NULL);
    HS_ASSERT(side->end && side->forget);
    hs_list_init(&side->link);
    hs_list_push_back(shard_ending_now(s) ? &s->channels.ended : &s->channels.sides, &side->link);
}

void chan_side_remove(chan_side *side)
{
    HS_ASSERT(side->link.next != NULL);
    hs_list_remove(&side->link);
}

hs_promise *chan_refuse(hs_shard *s, hs_err err, const char *where)
{
    return hs_promise_settled_at(s, hs_error(err), where);
}

/* ---- who waits for a message ---- */

void chan_await_settle(chan_await *wait, hs_outcome outcome)
{
    hs_promise *promise = wait->promise;
    HS_ASSERT(promise != NULL);
    wait->promise = NULL;
    hs_cancel_remove(&wait->hook);
    hs_cancel_unref(wait->cancel);
    hs_promise_settle(promise, outcome);
}

static void await_cancelled(hs_cancel_hook *hook, hs_err why)
{
    chan_await_settle(HS_CONTAINER_OF(hook, chan_await, hook), hs_error(why));
}

hs_err chan_await_begin(chan_await *wait, hs_promise *promise, hs_cancel *cancel)
{
    HS_ENSURE(!wait->promise, HS_E_USAGE);
    HS_TRY(hs_cancel_why(cancel));
    wait->promise = promise;
    wait->cancel = hs_cancel_ref(cancel);
    hs_err err = hs_cancel_add(cancel, &wait->hook, await_cancelled);
    HS_ASSERT(hs_ok(err));
    return HS_OK;
}

/* ---- sends that wait ---- */

static bool trim_waits(hs_trim *trim)
{
    return hs_shard_trim_pool(&HS_CONTAINER_OF(trim, hs_shard, channels.trim)->channels.waits);
}

hs_err chan_waits_ready(hs_shard *s, size_t slot_bytes)
{
    channel_state *cs = &s->channels;
    if (HS_LIKELY(cs->waits.slabs))
        return HS_OK;
    HS_TRY(hs_pool_init(&cs->waits, s->mem, slot_bytes, HS_CHANNEL_WAIT_MAX));
    cs->trim.fn = trim_waits;
    hs_shard_trim_add(s, &cs->trim);
    return HS_OK;
}

/* ---- the end of a stop ---- */

/* Whatever an end does here, others may be added or dropped meanwhile, so it is taken from the list
 * first. */
static void end_all(shard_ending *ending)
{
    channel_state *cs = &HS_CONTAINER_OF(ending, hs_shard, channels.ending)->channels;
    for (hs_list *link; (link = hs_list_pop_front(&cs->sides)) != NULL;) {
        chan_side *side = HS_CONTAINER_OF(link, chan_side, link);
        hs_list_push_back(&cs->ended, &side->link);
        side->end(side);
    }
}

void channels_init(hs_shard *s)
{
    channel_state *cs = &s->channels;
    hs_list_init(&cs->sides);
    hs_list_init(&cs->ended);
    cs->ending.fn = end_all;
    shard_ending_add(s, &cs->ending);
}

void channels_end(hs_shard *s)
{
    channel_state *cs = &s->channels;
    shard_ending_remove(&cs->ending);
    HS_ASSERT(hs_list_empty(&cs->sides));
    while (!hs_list_empty(&cs->ended)) {
        chan_side *side = HS_CONTAINER_OF(cs->ended.next, chan_side, link);
        side->forget(side);
        HS_ASSERT(cs->ended.next != &side->link);
    }
    if (!cs->waits.slabs)
        return;
    hs_shard_trim_remove(&cs->trim);
    hs_pool_fini(&cs->waits);
}
