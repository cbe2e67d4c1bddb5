/* The timer heap: a 4-ary min-heap over intrusive nodes.
 *
 * Owns: an array of (deadline, node) pairs that grows and shrinks; four children share a cache
 * line, so a sift touches few lines. Add, cancel and move are O(log n), the earliest is O(1).
 * Nodes of equal deadline come out in no promised order.
 * Must not know: clocks; `now` is passed in. Single shard.
 * Tested by: tests/unit/core_heap.c (model-based, with failing memory). */
#pragma once

#include "hs_err.h"
#include "hs_mem.h"

HS_BEGIN_DECLS

/* Embed one in whatever waits; zeroed storage is a node that is in no heap. */
typedef struct hs_heap_node {
    uint32_t pos; /* place in the heap + 1; 0: in none */
} hs_heap_node;

typedef struct hs_heap_item {
    uint64_t deadline;
    hs_heap_node *node;
} hs_heap_item;

typedef struct hs_heap {
    const hs_mem *mem;
    hs_heap_item *items;
    uint32_t len, cap, len_max;
} hs_heap;

/* An empty heap for at most `len_max` (> 0) nodes. Takes nothing yet. `mem` is borrowed. */
HS_API void hs_heap_init(hs_heap *h, const hs_mem *mem, uint32_t len_max);

/* Give the array back. Nodes that are still in it are forgotten, not touched. */
HS_API void hs_heap_fini(hs_heap *h);

/* Put `node` (in no heap) in, due at `deadline`. Borrowed until it leaves the heap.
 * Errors: HS_E_LIMIT (len_max), -ENOMEM. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_heap_add(hs_heap *h, hs_heap_node *node, uint64_t deadline);

/* Move a node that is in the heap to another deadline. Never fails. Shard: owner only. */
HS_API void hs_heap_move(hs_heap *h, hs_heap_node *node, uint64_t deadline);

/* Take `node` out, if it is in. Shard: owner only. */
HS_API void hs_heap_cancel(hs_heap *h, hs_heap_node *node);

/* Whether `node` is in a heap. */
static inline bool hs_heap_has(const hs_heap_node *node)
{
    return node->pos != 0;
}

/* The earliest deadline, or UINT64_MAX of an empty heap. */
static inline uint64_t hs_heap_next(const hs_heap *h)
{
    return h->len ? h->items[0].deadline : UINT64_MAX;
}

/* Take out and return the earliest node whose deadline is at or before `now`, or NULL.
 * Shard: owner only. */
HS_API hs_heap_node *hs_heap_pop(hs_heap *h, uint64_t now);

/* Check order and positions; asserts on a fault. O(n). Shard: owner only. */
HS_API void hs_heap_validate(const hs_heap *h);

HS_END_DECLS
