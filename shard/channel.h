/* What a shard keeps for its ends of channels.
 *
 * Owns: the list of them, so that all are closed at the end of a stop, and what was forgotten is
 * freed. Must not know: kinds of channels. */
#pragma once

#include "call.h"
#include "hs_channel.h"
#include "hs_pool.h"

/* One end of a channel, in storage of its own. */
typedef struct chan_side chan_side;
struct chan_side {
    hs_list link;                    /* link.next is NULL before it is added */
    void (*end)(chan_side *side);    /* close it: nothing else goes on any more */
    void (*forget)(chan_side *side); /* free it: all loops have ended, and nobody dropped it */
};

typedef struct channel_state {
    hs_list sides;
    hs_list ended; /* those that were told so */
    shard_ending ending;
    hs_pool waits; /* of sends, made at the first that waits */
    hs_trim trim;
} channel_state;

/* Who waits for the next message at a receiving end: one at a time. */
typedef struct chan_await {
    hs_promise *promise; /* NULL: nobody */
    hs_cancel *cancel;
    hs_cancel_hook hook;
} chan_await;

/* channel.c: `promise` waits from now on, until it is settled or `cancel` (may be NULL) fires,
 * which rejects it. Errors, where it does not: HS_E_USAGE (another does), why `cancel` has fired.
 */
HS_NODISCARD hs_err chan_await_begin(chan_await *wait, hs_promise *promise, hs_cancel *cancel);
/* Settle it: nobody waits any more. */
void chan_await_settle(chan_await *wait, hs_outcome outcome);

/* Add an end that belongs to `s` from now on; take it away. */
void chan_side_add(hs_shard *s, chan_side *side);
void chan_side_remove(chan_side *side);

/* A promise that is rejected with `err`, or fulfilled with NULL for HS_OK. */
hs_promise *chan_refuse(hs_shard *s, hs_err err, const char *where);

/* Make the pool of waits, if it is not there: slots of `slot_bytes`. Errors: -ENOMEM. */
HS_NODISCARD hs_err chan_waits_ready(hs_shard *s, size_t slot_bytes);

static inline void chan_drop(hs_drop_fn *drop, void *message)
{
    if (drop)
        drop(message);
}

void channels_init(hs_shard *s);
/* Free what was forgotten. */
void channels_end(hs_shard *s);
