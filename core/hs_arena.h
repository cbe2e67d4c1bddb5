/* An arena: memory that is gone in one step.
 *
 * Owns: blocks of HS_CHUNK_BYTES from a pool that a shard's arenas share, and larger blocks from
 * the system for what does not fit one. An arena that nothing was taken from holds no block.
 * Single shard. Tested by: tests/unit/core_arena.c. */
#pragma once

#include "hs_chain.h"

HS_BEGIN_DECLS

typedef struct hs_arena {
    hs_pool *pool;                /* blocks of HS_CHUNK_BYTES */
    struct hs_arena_block *block; /* newest first */
    struct hs_arena_block *large; /* from pool->mem */
    uint8_t *next, *end;          /* room in the newest block */
    size_t bytes_used;            /* sum of what was taken, rounded */
    size_t bytes_max;             /* limit */
} hs_arena;

/* Prepare an empty arena that may hand out `bytes_max` (at most SIZE_MAX / 2) in all. `pool` has
 * slots of HS_CHUNK_BYTES and is borrowed. Takes nothing yet. Shard: owner only. */
HS_API void hs_arena_init(hs_arena *a, hs_pool *pool, size_t bytes_max);

/* `bytes` (> 0) aligned to 16, valid until hs_arena_reset. NULL without memory or past the limit.
 * Shard: owner only. */
HS_API void *hs_arena_take(hs_arena *a, size_t bytes);

/* A copy of `data` in the arena; *out is set. Errors: -ENOMEM. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_arena_copy(hs_arena *a, hs_span data, hs_span *out);

/* Give everything back in one step. The arena can be used again. Shard: owner only. */
HS_API void hs_arena_reset(hs_arena *a);

HS_END_DECLS
