/* The arena.
 *
 * Owns: its blocks until they are reset. What does not fit a pool's block is taken from the memory
 * below the pool, by itself. Must not know: whose request it serves.
 * Under ASan what was not handed out of a block is poisoned, so that an overrun is found.
 * Tested by: tests/unit/core_arena.c. */
#include "hs_arena.h"

#include <errno.h>

#include "hs_assert.h"
#include "poison.h"

#define GRAIN 16

struct hs_arena_block {
    struct hs_arena_block *next;
    size_t bytes; /* with this header */
};

#define BLOCK_ROOM (HS_CHUNK_BYTES - sizeof(struct hs_arena_block))
HS_STATIC_ASSERT(sizeof(struct hs_arena_block) % GRAIN == 0, "what follows the header is aligned");

void hs_arena_init(hs_arena *a, hs_pool *pool, size_t bytes_max)
{
    HS_ASSERT(a && pool);
    HS_ASSERT(pool->slot_bytes == HS_CHUNK_BYTES);
    HS_ASSERT(bytes_max <= SIZE_MAX / 2); /* so that sums with it never wrap around */
    *a = (hs_arena){.pool = pool, .bytes_max = bytes_max};
}

/* Make a new block the one that is handed out from. What was left of the old one is lost until the
 * reset: a search through old blocks would cost more than it saves in a request's life. */
static bool block_add(hs_arena *a)
{
    struct hs_arena_block *block = hs_pool_take(a->pool);
    if (!block)
        return false;
    block->bytes = HS_CHUNK_BYTES;
    block->next = a->block;
    a->block = block;
    a->next = (uint8_t *)(block + 1);
    a->end = (uint8_t *)block + HS_CHUNK_BYTES;
    poison_on(a->next, BLOCK_ROOM);
    return true;
}

static void *large_take(hs_arena *a, size_t bytes)
{
    size_t with_header = bytes + sizeof(struct hs_arena_block);
    HS_ASSERT(with_header > HS_CHUNK_BYTES);
    struct hs_arena_block *block = hs_mem_take(a->pool->mem, with_header, GRAIN);
    if (!block)
        return NULL;
    block->bytes = with_header;
    block->next = a->large;
    a->large = block;
    a->bytes_used += bytes;
    a->pool->large_bytes += with_header;
    return block + 1;
}

void *hs_arena_take(hs_arena *a, size_t bytes)
{
    HS_ASSERT(bytes > 0);
    HS_ASSERT(a->bytes_used <= a->bytes_max);
    size_t left = a->bytes_max - a->bytes_used;
    /* Before it is rounded, which could wrap around. */
    if (HS_UNLIKELY(bytes > left))
        return NULL;
    size_t rounded = (bytes + GRAIN - 1) & ~(size_t)(GRAIN - 1);
    if (HS_UNLIKELY(rounded > left))
        return NULL;
    if (HS_UNLIKELY((size_t)(a->end - a->next) < rounded)) {
        if (rounded > BLOCK_ROOM)
            return large_take(a, rounded);
        if (!block_add(a))
            return NULL;
    }
    uint8_t *taken = a->next;
    a->next += rounded;
    a->bytes_used += rounded;
    HS_ASSERT(a->next <= a->end);
    poison_off(taken, bytes);
    return taken;
}

hs_err hs_arena_copy(hs_arena *a, hs_span data, hs_span *out)
{
    HS_ASSERT(out);
    HS_ASSERT(data.ptr || data.len == 0);
    if (data.len == 0) {
        *out = hs_span_of(NULL, 0);
        return HS_OK;
    }
    void *copy = hs_arena_take(a, data.len);
    if (!copy)
        return hs_err_errno(ENOMEM);
    memcpy(copy, data.ptr, data.len);
    *out = hs_span_of(copy, data.len);
    return HS_OK;
}

void hs_arena_reset(hs_arena *a)
{
    HS_ASSERT(a->pool);
    while (a->block) {
        struct hs_arena_block *block = a->block;
        HS_ASSERT(block->bytes == HS_CHUNK_BYTES);
        a->block = block->next;
        hs_pool_give(a->pool, block);
    }
    while (a->large) {
        struct hs_arena_block *block = a->large;
        HS_ASSERT(block->bytes > HS_CHUNK_BYTES);
        a->large = block->next;
        a->pool->large_bytes -= block->bytes;
        hs_mem_give(a->pool->mem, block, block->bytes, GRAIN);
    }
    a->next = a->end = NULL;
    a->bytes_used = 0;
}
