/* The timer heap.
 *
 * Owns: the array and the order in it. Must not know: clocks.
 * A node that moves leaves a hole, the hole travels, and the node is written once at the end: half
 * the stores of swapping. Tested by: tests/unit/core_heap.c. */
#include "hs_heap.h"

#include <errno.h>
#include <string.h>

#include "hs_assert.h"

/* The children of place i are 4i + 1 to 4i + 4. With three unused items in front, place 1 begins a
 * cache line, and so do the first children of every place. */
#define ARITY 4
#define ITEMS_BEFORE 3
HS_STATIC_ASSERT(ARITY * sizeof(hs_heap_item) == HS_CACHE_LINE, "siblings share a cache line");

/* The array starts with 256 bytes. Below 4 KiB it does not shrink, so that a shard whose few timers
 * come and go does not go to the system for it. */
#define ITEMS_FIRST 16u
#define ITEMS_KEPT 256u

void hs_heap_init(hs_heap *h, const hs_mem *mem, uint32_t len_max)
{
    HS_ASSERT(h && mem);
    HS_ASSERT(len_max > 0 && len_max <= UINT32_MAX / 4); /* places times four fit 32 bits */
    *h = (hs_heap){.mem = mem, .len_max = len_max};
}

static void items_give(hs_heap *h)
{
    if (!h->items)
        return;
    size_t bytes = (size_t)(h->cap + ITEMS_BEFORE) * sizeof(hs_heap_item);
    hs_mem_give(h->mem, h->items - ITEMS_BEFORE, bytes, HS_CACHE_LINE);
}

void hs_heap_fini(hs_heap *h)
{
    HS_ASSERT(h);
    items_give(h);
    *h = (hs_heap){0};
}

/* Move to an array of `items` (those in front included). False without memory; nothing changed. */
static HS_COLD bool heap_resize(hs_heap *h, uint32_t items)
{
    HS_ASSERT(items > ITEMS_BEFORE && items - ITEMS_BEFORE >= h->len);
    hs_heap_item *base = hs_mem_take(h->mem, (size_t)items * sizeof(*base), HS_CACHE_LINE);
    if (!base)
        return false;
    memset(base, 0, ITEMS_BEFORE * sizeof(*base));
    if (h->len > 0)
        memcpy(base + ITEMS_BEFORE, h->items, (size_t)h->len * sizeof(*base));
    items_give(h);
    h->items = base + ITEMS_BEFORE;
    h->cap = items - ITEMS_BEFORE;
    return true;
}

static hs_err heap_grow(hs_heap *h)
{
    uint32_t items = h->items ? (h->cap + ITEMS_BEFORE) * 2 : ITEMS_FIRST;
    return heap_resize(h, items) ? HS_OK : hs_err_errno(ENOMEM);
}

/* Halve the array when three quarters of it are unused: half is then still free, so the next growth
 * is as far away as the next shrinking. Without memory it stays as it is. */
static void heap_shrink(hs_heap *h)
{
    uint32_t items = h->cap + ITEMS_BEFORE;
    if (HS_LIKELY(items <= ITEMS_KEPT || h->len >= items / 4))
        return;
    bool shrunk = heap_resize(h, items / 2);
    (void)shrunk;
}

static void place(hs_heap *h, uint32_t i, hs_heap_item item)
{
    h->items[i] = item;
    item.node->pos = i + 1;
}

/* Put `item` into the hole at `i`, or as far above as its deadline says. */
static void sift_up(hs_heap *h, uint32_t i, hs_heap_item item)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / ARITY;
        if (h->items[parent].deadline <= item.deadline)
            break;
        place(h, i, h->items[parent]);
        i = parent;
    }
    place(h, i, item);
}

/* The child of `i` (which has one, at `first`) with the earliest deadline. */
static uint32_t child_min(const hs_heap *h, uint32_t first)
{
    HS_ASSERT(first < h->len);
    uint32_t end = HS_MIN(first + ARITY, h->len);
    uint32_t min = first;
    for (uint32_t i = first + 1; i < end; i++) {
        if (h->items[i].deadline < h->items[min].deadline)
            min = i;
    }
    return min;
}

/* Put `item` into the hole at `i`, or as far below as its deadline says. */
static void sift_down(hs_heap *h, uint32_t i, hs_heap_item item)
{
    for (;;) {
        uint32_t first = ARITY * i + 1;
        if (first >= h->len)
            break;
        uint32_t child = child_min(h, first);
        if (item.deadline <= h->items[child].deadline)
            break;
        place(h, i, h->items[child]);
        i = child;
    }
    place(h, i, item);
}

/* Put `item` into the hole at `i`, above or below. */
static void sift(hs_heap *h, uint32_t i, hs_heap_item item)
{
    if (i > 0 && item.deadline < h->items[(i - 1) / ARITY].deadline)
        sift_up(h, i, item);
    else
        sift_down(h, i, item);
}

hs_err hs_heap_add(hs_heap *h, hs_heap_node *node, uint64_t deadline)
{
    HS_ASSERT(node->pos == 0);
    HS_ENSURE(h->len < h->len_max, HS_E_LIMIT);
    if (HS_UNLIKELY(h->len == h->cap))
        HS_TRY(heap_grow(h));
    h->len++;
    sift_up(h, h->len - 1, (hs_heap_item){deadline, node});
    return HS_OK;
}

void hs_heap_move(hs_heap *h, hs_heap_node *node, uint64_t deadline)
{
    uint32_t i = node->pos - 1;
    HS_ASSERT(i < h->len); /* in a heap: of no heap, pos - 1 wraps around */
    HS_ASSERT(h->items[i].node == node);
    sift(h, i, (hs_heap_item){deadline, node});
}

/* Take the item at `i` out: the last one fills the hole. */
static void heap_remove(hs_heap *h, uint32_t i)
{
    HS_ASSERT(i < h->len);
    h->items[i].node->pos = 0;
    h->len--;
    if (i < h->len)
        sift(h, i, h->items[h->len]);
    heap_shrink(h);
}

void hs_heap_cancel(hs_heap *h, hs_heap_node *node)
{
    if (node->pos == 0)
        return;
    uint32_t i = node->pos - 1;
    HS_ASSERT(i < h->len);
    HS_ASSERT(h->items[i].node == node); /* in this heap, not in another */
    heap_remove(h, i);
}

hs_heap_node *hs_heap_pop(hs_heap *h, uint64_t now)
{
    if (h->len == 0 || h->items[0].deadline > now)
        return NULL;
    hs_heap_node *node = h->items[0].node;
    HS_ASSERT(node->pos == 1);
    heap_remove(h, 0);
    return node;
}

void hs_heap_validate(const hs_heap *h)
{
    HS_ASSERT(h);
    HS_ASSERT(h->len <= h->cap && h->len <= h->len_max);
    HS_ASSERT(!h->items == (h->cap == 0));
    for (uint32_t i = 0; i < h->len; i++) {
        HS_ASSERT(h->items[i].node->pos == i + 1);
        HS_ASSERT(i == 0 || h->items[(i - 1) / ARITY].deadline <= h->items[i].deadline);
    }
}
