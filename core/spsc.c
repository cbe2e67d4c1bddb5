/* The queue between two threads.
 *
 * Owns: the order of its memory accesses. The producer writes an element, then publishes it by a
 * release store of `tail`, which the consumer's acquire load pairs with; `head` hands slots back
 * the same way. Both count up freely and wrap around at 2^32, which the mask divides. Must not
 * know: who waits for what. Tested by: tests/unit/core_spsc.c, tests/plain/spsc_threads.c. */
#include "hs_spsc.h"

#include <errno.h>
#include <string.h>

#include "hs_assert.h"

#define CAPACITY_MAX (1u << 20)

HS_STATIC_ASSERT(offsetof(hs_spsc, head) - offsetof(hs_spsc, tail) >= HS_CACHE_PAIR,
                 "the two sides write to lines of their own");

static size_t spsc_bytes(const hs_spsc *q)
{
    return (size_t)(q->mask + 1) * q->item_bytes;
}

hs_err hs_spsc_init(hs_spsc *q, const hs_mem *mem, uint32_t capacity, uint32_t item_bytes)
{
    HS_ASSERT(q && mem);
    HS_ASSERT(capacity >= 2 && capacity <= CAPACITY_MAX);
    HS_ASSERT((capacity & (capacity - 1)) == 0);
    HS_ASSERT(item_bytes > 0);
    memset(q, 0, sizeof(*q));
    q->mem = mem;
    q->item_bytes = item_bytes;
    q->mask = capacity - 1;
    q->items = hs_mem_take(mem, spsc_bytes(q), HS_CACHE_PAIR);
    return q->items ? HS_OK : hs_err_errno(ENOMEM);
}

void hs_spsc_fini(hs_spsc *q)
{
    HS_ASSERT(q);
    if (q->items)
        hs_mem_give(q->mem, q->items, spsc_bytes(q), HS_CACHE_PAIR);
    q->items = NULL;
}

bool hs_spsc_push(hs_spsc *q, const void *item)
{
    uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    uint32_t capacity = q->mask + 1;
    if (HS_UNLIKELY(tail - q->head_seen == capacity)) {
        q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
        if (tail - q->head_seen == capacity)
            return false;
    }
    HS_ASSERT(tail - q->head_seen < capacity);
    memcpy(q->items + (size_t)(tail & q->mask) * q->item_bytes, item, q->item_bytes);
    atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
    return true;
}

uint32_t hs_spsc_pop(hs_spsc *q, void *items, uint32_t max)
{
    uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    /* The shared index is read only when what was seen of it does not fill the batch. */
    if (q->tail_seen - head < max)
        q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire);
    uint32_t n = HS_MIN(q->tail_seen - head, max);
    HS_ASSERT(n <= q->mask + 1);
    if (n == 0)
        return 0;
    uint32_t at = head & q->mask;
    uint32_t until_end = HS_MIN(n, q->mask + 1 - at);
    size_t first = (size_t)until_end * q->item_bytes;
    memcpy(items, q->items + (size_t)at * q->item_bytes, first);
    if (n > until_end)
        memcpy((uint8_t *)items + first, q->items, (size_t)(n - until_end) * q->item_bytes);
    atomic_store_explicit(&q->head, head + n, memory_order_release);
    return n;
}

bool hs_spsc_empty(const hs_spsc *q)
{
    uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    return atomic_load_explicit(&q->tail, memory_order_acquire) == head;
}
