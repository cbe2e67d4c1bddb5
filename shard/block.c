/* Memory of any size: see block.h.
 *
 * Owns: the choice by size. Must not know: what it is for. Tested by:
 * tests/unit/shard_promise_list.c, tests/unit/shard_cancel.c. */
#include "inside.h"

#define ALIGN 16

static bool trim_blocks(hs_trim *trim)
{
    return hs_shard_trim_pool(&HS_CONTAINER_OF(trim, block_state, trim)->small);
}

static HS_COLD void *take_slow(hs_shard *s)
{
    block_state *bs = &s->blocks;
    if (bs->small.slabs)
        return NULL;
    if (!hs_ok(hs_pool_init(&bs->small, s->mem, BLOCK_SMALL_BYTES, HS_BLOCKS_MAX)))
        return NULL;
    bs->trim.fn = trim_blocks;
    hs_shard_trim_add(s, &bs->trim);
    return hs_pool_take(&bs->small);
}

void *block_take(hs_shard *s, size_t bytes)
{
    HS_ASSERT(bytes > 0);
    if (bytes <= BLOCK_SMALL_BYTES) {
        void *block = hs_pool_take(&s->blocks.small);
        return HS_LIKELY(block) ? block : take_slow(s);
    }
    if (bytes <= HS_CHUNK_BYTES)
        return hs_pool_take(&s->chunks);
    return hs_mem_take(s->mem, bytes, ALIGN);
}

void block_give(hs_shard *s, void *block, size_t bytes)
{
    HS_ASSERT(block != NULL);
    if (bytes <= BLOCK_SMALL_BYTES)
        hs_pool_give(&s->blocks.small, block);
    else if (bytes <= HS_CHUNK_BYTES)
        hs_pool_give(&s->chunks, block);
    else
        hs_mem_give(s->mem, block, bytes, ALIGN);
}

void blocks_fini(hs_shard *s)
{
    if (!s->blocks.small.slabs)
        return;
    hs_shard_trim_remove(&s->blocks.trim);
    hs_pool_fini(&s->blocks.small);
}
