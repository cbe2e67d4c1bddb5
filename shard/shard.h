/* The inside of a shard: what the group and the simulator drive it with.
 *
 * Owns: the loop's step. Must not know: threads (group.c makes them), which backend it runs on.
 * Tested by: tests/unit/shard_loop.c on the sim backend. */
#pragma once

#include "blocking_pool.h"
#include "hs_shard.h"
#include "hs_spsc.h"

/* The queues between shards: one for each ordered pair, made by whoever makes the shards. The queue
 * from shard a to shard b is at [a * shards + b]. */
typedef struct shard_mail {
    const hs_mem *mem;
    uint32_t shards;
    hs_spsc *queues;
    hs_shard **peers;        /* by number; set as the shards are made */
    HS_ATOMIC_U32 rounds[2]; /* of a stop: how many shards are ready for the end of each */
} shard_mail;

HS_NODISCARD hs_err shard_mail_init(shard_mail *mail, const hs_mem *mem, uint32_t shards);
void shard_mail_fini(shard_mail *mail);

typedef struct shard_options {
    uint32_t id;
    shard_mail *mail;         /* borrowed; the new shard enters itself as peer `id` */
    const hs_mem *mem;        /* borrowed */
    hs_io *io;                /* borrowed; outlives the shard */
    blocking_pool *blocking;  /* borrowed; may be NULL: see hs_blocking.h */
    hs_log *log;              /* borrowed; may be NULL */
    uint64_t seed;            /* of hs_shard_random */
    size_t fiber_stack_bytes; /* as hs_group_options */
    uint32_t chunks_max;      /* 0: HS_CHUNKS_MAX */
    uint64_t large_max;       /* 0: no limit */
    void (*stop)(hs_shard *shard, void *ctx); /* as hs_group_options */
    void *ctx;
} shard_options;

/* chunk_share.c: how many chunks each of `shards` shards gets of a process with so much memory. */
uint32_t share_chunks_max(uint64_t memory_bytes, uint32_t shards);
/* And how many bytes its requests may take for what fits no chunk: bodies that are collected. */
uint64_t share_large_max(uint64_t memory_bytes, uint32_t shards);

HS_NODISCARD hs_err shard_create(const shard_options *options, hs_shard **out);

/* Let go of what callers left in the shard. On the shard's own thread, after its last turn and
 * while its backend is there; shard_destroy does it where nobody else has. */
void shard_end(hs_shard *shard);

/* Free the shard. Nothing may be active in it (asserted). */
void shard_destroy(hs_shard *shard);

/* One turn: tasks, timers, mail, submit and wait, completions. With `may_wait` false it looks but
 * does not wait. Makes the shard the thread's hs_shard_self for its time. */
void shard_turn(hs_shard *shard, bool may_wait);

/* Ask the shard to stop, and wake it. Thread: any. */
void shard_stop(hs_shard *shard);

/* Whether every shard of the mail has stopped and nothing is left to do here: the loop ends. */
bool shard_finished(hs_shard *shard);

/* The loop ends although it may not: log what it goes without. */
void shard_report_held(hs_shard *shard);

/* Make `shard` the calling thread's hs_shard_self; NULL: none. */
void shard_enter(hs_shard *shard);
