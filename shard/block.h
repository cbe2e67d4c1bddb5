/* Memory of any size that comes and goes: a small piece, a chunk, or the shard's memory.
 *
 * Owns: a shard's pool of small pieces. Must not know: what they are for. In steady state none but
 * the largest cost a call of the system's heap. */
#pragma once

#include "hs_pool.h"
#include "hs_shard.h"

#define BLOCK_SMALL_BYTES 512

typedef struct block_state {
    hs_pool small; /* made at the first one */
    hs_trim trim;
} block_state;

/* `bytes` (> 0) aligned to 16, or NULL without memory. */
void *block_take(hs_shard *s, size_t bytes);
/* Give back what block_take gave, with the same size. */
void block_give(hs_shard *s, void *block, size_t bytes);
/* Free the pool. Nothing of it may be in use (asserted). */
void blocks_fini(hs_shard *s);
