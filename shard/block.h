/* Memory of any size that comes and goes: a chunk where it fits, the shard's memory otherwise.
 *
 * Owns: nothing. Must not know: what it is for. */
#pragma once

#include "inside.h"

#define BLOCK_ALIGN 16

/* `bytes` (> 0), or NULL without memory. A chunk costs no call of the system's heap. */
static inline void *block_take(hs_shard *s, size_t bytes)
{
    HS_ASSERT(bytes > 0);
    if (HS_LIKELY(bytes <= HS_CHUNK_BYTES))
        return hs_pool_take(&s->chunks);
    return hs_mem_take(s->mem, bytes, BLOCK_ALIGN);
}

/* Give back what block_take gave, with the same size. */
static inline void block_give(hs_shard *s, void *block, size_t bytes)
{
    HS_ASSERT(block != NULL);
    if (HS_LIKELY(bytes <= HS_CHUNK_BYTES))
        hs_pool_give(&s->chunks, block);
    else
        hs_mem_give(s->mem, block, bytes, BLOCK_ALIGN);
}
