/* Stacks for fibers: see stack.h.
 *
 * Stacks are carved from large mappings, a guard and a stack in turn. Where the kernel can mark
 * pages as guards (Linux 6.13) all of that stays one mapping, which the kernel even merges with its
 * neighbours; elsewhere each guard is a mapping of its own, and vm.max_map_count ends it at about
 * 32,000 stacks in a process. */
#include "stack.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hs_caps.h"
#include "hs_limits.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* One mapping, and the stacks that were carved from it so far. */
struct stack_region {
    hs_list link;
    uint8_t *base;
    uint32_t carved;
    uint32_t used, warm; /* of these; the others are cold */
    stack stacks[];
};

static size_t page_round(size_t bytes, size_t page)
{
    return (bytes + page - 1) & ~(page - 1);
}

static size_t pitch(const stack_pool *p)
{
    return p->guard_bytes + p->bytes;
}

static size_t region_map_bytes(const stack_pool *p)
{
    return p->region_stacks * pitch(p);
}

static size_t region_mem_bytes(const stack_pool *p)
{
    return sizeof(stack_region) + p->region_stacks * sizeof(stack);
}

/* No huge page behind a stack of which one page is used, and no reservation for the rest. */
static void *map_stacks(size_t bytes)
{
    void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (ptr == MAP_FAILED)
        return NULL;
    int refused = madvise(ptr, bytes, MADV_NOHUGEPAGE); /* where the kernel has none */
    (void)refused;
    return ptr;
}

bool stack_light_guards(void)
{
    if (hs_caps_off("guard_madv"))
        return false;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *ptr = map_stacks(page);
    if (!ptr)
        return false;
    bool light = madvise(ptr, page, MADV_GUARD_INSTALL) == 0;
    (void)munmap(ptr, page);
    return light;
}

/* Memory that is locked takes no mark before Linux 6.15: then this one guard is a mapping. */
static bool guard_set(const stack_pool *p, uint8_t *at)
{
    if (p->light && madvise(at, p->guard_bytes, MADV_GUARD_INSTALL) == 0)
        return true;
    return mprotect(at, p->guard_bytes, PROT_NONE) == 0;
}

void stack_pool_init(stack_pool *p, const hs_mem *mem, size_t bytes)
{
    HS_ASSERT(mem != NULL);
    HS_ASSERT(bytes >= HS_FIBER_STACK_BYTES_MIN);
    HS_ASSERT(bytes <= HS_FIBER_STACK_BYTES_MAX);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *p = (stack_pool){.mem = mem,
                      .bytes = page_round(bytes, page),
                      .guard_bytes = page_round(HS_FIBER_GUARD_BYTES, page)};
    p->region_stacks = (uint32_t)HS_MAX(HS_FIBER_REGION_BYTES / pitch(p), 4);
    hs_list_init(&p->regions);
    hs_list_init(&p->warm);
    hs_list_init(&p->cold);
}

/* ---- regions ---- */

static hs_err region_map(stack_pool *p)
{
    if (p->mapped == 0)
        p->light = stack_light_guards();
    p->failure = STACK_NO_MEM;
    stack_region *r = hs_mem_take_zero(p->mem, region_mem_bytes(p), _Alignof(stack_region));
    HS_ENSURE(r, -ENOMEM);
    p->failure = STACK_NO_MAP;
    r->base = map_stacks(region_map_bytes(p));
    if (!r->base) {
        hs_mem_give(p->mem, r, region_mem_bytes(p), _Alignof(stack_region));
        return hs_err_errno(ENOMEM);
    }
    hs_list_init(&r->link);
    hs_list_push_back(&p->regions, &r->link);
    p->mapped++;
    return HS_OK;
}

/* All of its stacks are idle. A mapping of our own that cannot be unmapped (it would split a
 * neighbour that the kernel merged with it, past the limit on mappings) loses its pages alone. */
static void region_unmap(stack_pool *p, stack_region *r)
{
    HS_ASSERT(r->used == 0);
    for (uint32_t i = 0; i < r->carved; i++)
        hs_list_remove(&r->stacks[i].link);
    p->idle -= r->warm;
    hs_list_remove(&r->link);
    HS_ASSERT(p->mapped > 0);
    p->mapped--;
    if (munmap(r->base, region_map_bytes(p)) != 0) {
        int refused = madvise(r->base, region_map_bytes(p), MADV_DONTNEED);
        (void)refused;
    }
    hs_mem_give(p->mem, r, region_mem_bytes(p), _Alignof(stack_region));
}

void stack_pool_fini(stack_pool *p)
{
    HS_ASSERT(p->used == 0);
    hs_list_each_safe (node, &p->regions)
        region_unmap(p, HS_CONTAINER_OF(node, stack_region, link));
    HS_ASSERT(p->mapped == 0);
    HS_ASSERT(p->idle == 0);
    HS_ASSERT(hs_list_empty(&p->warm) && hs_list_empty(&p->cold));
}

/* One more stack of the newest region, or of a new one. */
static hs_err carve(stack_pool *p, stack **out)
{
    stack_region *r = HS_CONTAINER_OF(p->regions.prev, stack_region, link);
    if (p->mapped == 0 || r->carved == p->region_stacks) {
        HS_TRY(region_map(p));
        r = HS_CONTAINER_OF(p->regions.prev, stack_region, link);
    }
    uint8_t *guard = r->base + r->carved * pitch(p);
    p->failure = STACK_NO_GUARD;
    HS_ENSURE(guard_set(p, guard), -ENOMEM);
    stack *st = &r->stacks[r->carved];
    st->low = guard + p->guard_bytes;
    st->region = r;
    st->number = r->carved++;
    hs_list_init(&st->link);
    *out = st;
    return HS_OK;
}

/* ---- stacks ---- */

hs_err stack_take(stack_pool *p, stack **out)
{
    stack *st;
    hs_list *node = hs_list_pop_front(&p->warm);
    if (HS_LIKELY(node != NULL)) {
        st = HS_CONTAINER_OF(node, stack, link);
        st->region->warm--;
        p->idle--;
        p->quiet = HS_MIN(p->quiet, p->idle);
    } else if ((node = hs_list_pop_front(&p->cold)) != NULL) {
        st = HS_CONTAINER_OF(node, stack, link);
    } else {
        HS_TRY(carve(p, &st));
    }
    st->region->used++;
    p->used++;
    *out = st;
    return HS_OK;
}

void stack_give(stack_pool *p, stack *st)
{
    HS_ASSERT(st->region->used > 0);
    st->region->used--;
    p->used--;
    st->region->warm++;
    p->idle++;
    hs_list_push_back(p->warm.next, &st->link); /* before the first: it becomes that */
}

/* Take the `n` stacks that rested longest out of the warm ones, and their pages from them; regions
 * of which no stack is left in use or warm go as a whole, but for the last. */
static void cool(stack_pool *p, uint32_t n)
{
    hs_list cooled;
    hs_list_init(&cooled);
    for (; n > 0; n--) {
        stack *st = HS_CONTAINER_OF(p->warm.prev, stack, link);
        hs_list_remove(&st->link);
        hs_list_push_back(&cooled, &st->link);
        st->region->warm--;
        p->idle--;
    }
    for (hs_list *node; (node = hs_list_pop_front(&cooled)) != NULL;) {
        stack *st = HS_CONTAINER_OF(node, stack, link);
        if (st->region->used == 0 && st->region->warm == 0 && p->mapped > 1) {
            region_unmap(p, st->region);
        } else {
            int refused = madvise(st->low, p->bytes, MADV_DONTNEED); /* where it is locked */
            (void)refused;
            hs_list_push_back(&p->cold, &st->link);
        }
    }
}

bool stack_pool_trim(stack_pool *p)
{
    uint32_t spare = p->idle - HS_MIN(p->idle, HS_FIBER_STACKS_KEEP);
    cool(p, HS_MIN(HS_MIN(p->quiet, spare), HS_FIBER_STACKS_TRIM));
    p->quiet = p->idle;
    return p->idle > HS_FIBER_STACKS_KEEP;
}

bool stack_guards(const stack_pool *p, const stack *st, uintptr_t addr)
{
    uintptr_t low = (uintptr_t)st->low;
    return addr < low && addr >= low - p->guard_bytes;
}
