/* The inside of a channel from many senders to one receiver, for the two files that make it up.
 *
 * Owns: what lies in a sender, which is where the two sides meet. Its ring of messages is handed to
 * and fro: from the sender to the receiver by a batch, which tells how far it is written, and back
 * by every answer, which tells how far it is read. Each field belongs to one side, named here; what
 * is in a parcel travels with it. So nothing is written by two shards at a time, and a batch
 * carries as many messages as were sent since the last one left.
 *
 * A sender is known to the receiver by number only: how many there are. A clone is announced by a
 * batch of the sender that it was made from, and its last batch is answered only when it has been
 * announced and all that it sent was received: so the number never falls to zero while one is left,
 * however they travel between shards, and after that answer the receiver touches it no more. */
#pragma once

#include "inside.h"

/* Messages that are received from one sender before it is another's turn. */
#define MPSC_RUN 32

/* What an answer says: how far the receiver has read, and whether it is closed. */
#define MPSC_CLOSED (UINT64_C(1) << 32)

/* From a sender to its receiver. */
typedef struct mpsc_parcel {
    hs_call_op op;
    uint32_t at; /* a batch: how far the ring is written; a want: how far read, as it knows */
    bool last;   /* a batch: nothing follows */
    hs_sender *children; /* a batch: clones that were made */
} mpsc_parcel;

struct hs_sender {
    /* For both to read. */
    hs_receiver *receiver; /* not to be touched but by its shard */
    hs_shard *target;
    const hs_mem *mem;
    hs_drop_fn *drop;
    uint32_t capacity, mask;
    hs_sender *sibling; /* the next of parcel->children */

    /* The sender's. */
    hs_shard *home; /* NULL: fresh */
    chan_side side;
    hs_list waiting;          /* of sends */
    hs_promise *closed_later; /* what hs_sender_closed returned; may be NULL */
    hs_microtask flush;
    hs_sender *children; /* to announce */
    uint32_t tail;       /* written so far */
    uint32_t handed;     /* of that, handed over */
    uint32_t freed;      /* read so far, as the answers told */
    bool closed;         /* the receiver is */
    bool dropped;        /* the handle is */
    bool ended;          /* the end of a stop has come: it is as if the handle were dropped */
    bool sending, wanting, watching; /* a parcel is out */
    bool finished;                   /* the last batch has left */
    bool gone;                       /* and was answered */
    bool advancing;

    mpsc_parcel batch; /* messages */
    mpsc_parcel want;  /* answered when more has been read, or it is closed */
    mpsc_parcel watch; /* answered when it is closed */

    /* The receiver's. */
    __attribute__((aligned(HS_CACHE_PAIR))) hs_list ready; /* in receiver->ready, when it has any */
    hs_list parked;   /* in receiver->parked, when it waits for an answer */
    hs_list credited; /* in receiver->credited, when its want is to be answered */
    uint32_t head;    /* read so far */
    uint32_t have;    /* handed over to it, before it was closed */
    uint32_t seen;    /* and at all */
    bool announced;
    bool want_here, watch_here, last_here; /* parcels to be answered later */

    void *ring[];
};

/* mpsc_recv.c: what a parcel runs on the receiver's shard. */
hs_call_op_fn mpsc_batch_arrives, mpsc_want_arrives, mpsc_watch_arrives;
/* Make the receiver's fields of a sender. */
void mpsc_prepare(hs_sender *x);
/* Make a receiver, with one sender announced; NULL without memory. Free it again. */
hs_receiver *mpsc_receiver_new(hs_shard *s, hs_drop_fn *drop);
void mpsc_receiver_undo(hs_receiver *r);
