/* The inside of a channel from one sender to many subscribers, for the two files that make it up.
 *
 * Owns: what lies in a subscriber, which is where the two sides meet. It has two queues: what was
 * sent waits in one, with the source; from the other the subscriber reads. When that is empty the
 * subscriber asks, by a call that the source answers once it has something: the queues are
 * exchanged then, and the answer tells it. So a subscriber is written to by one shard at a time,
 * the source never waits for anyone, and need not know where a subscriber is. One that is dropped
 * takes its leave by a call of its own, after which the source touches it no more. */
#pragma once

#include "inside.h"

/* Messages in order, after `missed` that are not there any more. */
typedef struct bcast_queue {
    void **slots;
    uint32_t head, len;
    uintptr_t missed;
} bcast_queue;

struct hs_broadcast {
    hs_shard *shard;
    hs_copy_fn *copy;
    hs_drop_fn *drop;
    uint32_t capacity;
    chan_side side;
    hs_list subscribers; /* that have not taken their leave */
    uint32_t len;
    hs_microtask flush;
    uint32_t busy; /* functions of the caller's are called, which may drop the handle */
    bool ended, dropped;
};

struct hs_subscriber {
    /* For both to read. */
    hs_broadcast *from; /* not to be touched but by its shard */
    hs_shard *source;
    const hs_mem *mem;
    hs_drop_fn *drop;
    uint32_t capacity;

    /* The subscriber's. */
    hs_shard *home; /* NULL: fresh */
    chan_side side;
    chan_await waits;
    uint32_t busy;
    bool closed;           /* the source is */
    bool dropped;          /* the handle is */
    bool ended;            /* the end of a stop has come */
    bool wanting, leaving; /* a call is out */
    bool left;

    hs_call_op want, leave;
    /* Handed over with `want`. */
    bcast_queue parcel;
    bool source_closed;

    /* The source's. */
    __attribute__((aligned(HS_CACHE_PAIR))) hs_list link; /* in from->subscribers */
    bcast_queue queue;
    bool want_here; /* to be answered later */

    void *slots[]; /* of both queues */
};

/* The first message. */
static inline void *bcast_pop(bcast_queue *q, uint32_t capacity)
{
    HS_ASSERT(q->len > 0);
    void *message = q->slots[q->head];
    q->head = q->head + 1 == capacity ? 0 : q->head + 1;
    q->len--;
    return message;
}

static inline bool bcast_any(const bcast_queue *q)
{
    return q->len > 0 || q->missed > 0;
}

/* bcast_recv.c: make one, fresh, but for what its calls run on the source's shard; NULL without
 * memory. */
hs_subscriber *bcast_subscriber_new(hs_broadcast *b);
