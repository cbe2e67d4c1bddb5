/* Whole shards in a simulated world: what hs_group does, without threads.
 *
 * Owns: the world, its shards and the queues between them, and memory that is counted and fails by
 * the seed. */
#pragma once

#include "shard.h"
#include "sim.h"

#define CLUSTER_SHARDS_MAX 4

/* Memory that knows what is out, and fails in `fail_chance` of 1024 cases. */
typedef struct cluster_mem {
    hs_mem mem;
    uint64_t random;
    uint32_t fail_chance;
    uint64_t fails;
    size_t pieces_out, bytes_out;
} cluster_mem;

typedef struct cluster cluster;

typedef struct cluster_options {
    sim_options sim; /* `mem` is set by the cluster */
    uint32_t fail_chance;
    /* As in hs_group_options, and with the same promises: each on its shard's own thread. */
    hs_err (*start)(hs_shard *shard, void *ctx);
    void (*stop)(hs_shard *shard, void *ctx);
    void (*end)(hs_shard *shard, void *ctx);
    void *ctx;
} cluster_options;

struct cluster {
    cluster_options options;
    cluster_mem mem;
    sim_world *w;
    shard_mail mail;
    hs_shard *shards[CLUSTER_SHARDS_MAX];
    struct cluster_member {
        cluster *c;
        hs_shard *shard;
    } members[CLUSTER_SHARDS_MAX];
    hs_err start_err; /* the first error of a start function; all shards were asked to stop then */
    uint32_t started;
};

/* Make a world of shards. Errors: -ENOMEM, where the memory failed; then nothing is left. */
HS_NODISCARD hs_err cluster_init(cluster *c, const cluster_options *options);

/* Ask all shards to stop. */
void cluster_stop(cluster *c);

typedef enum cluster_end {
    CLUSTER_ENDED, /* every loop has ended */
    CLUSTER_STUCK, /* nothing will ever happen, but they have not */
    CLUSTER_SLOW   /* the virtual time is up */
} cluster_end;

/* Run until all shards have ended, for `ns` of virtual time at most. */
cluster_end cluster_run(cluster *c, uint64_t ns);

/* Free all that is left, and assert that nothing else is. */
void cluster_fini(cluster *c);
