/* Files by number: see fd_table.h.
 *
 * Open addressing with linear probing; a removal moves what follows back, so there are no
 * tombstones. The capacity is any number, not a power of two alone: a large table grows by an
 * eighth, so that it is never emptier than 0.77. File numbers are small and close together, which
 * multiplicative hashing spreads evenly, so a probe is short even at 7/8. */
#include "fd_table.h"

#define SLOTS_MIN 256
/* 64 KiB, from where on hs_mem maps pages, which go back to the system when they are given back;
 * there is one step up to it, so that little of the heap is left behind. */
#define SLOTS_MAPPED 4096

void fd_table_init(fd_table *t, const hs_mem *mem)
{
    HS_ASSERT(mem != NULL);
    *t = (fd_table){.mem = mem};
}

static size_t slots_bytes(uint32_t cap)
{
    return cap * sizeof(fd_slot);
}

void fd_table_fini(fd_table *t)
{
    hs_mem_give(t->mem, t->slots, slots_bytes(t->cap), HS_CACHE_LINE);
    *t = (fd_table){.mem = t->mem};
}

/* Where the search for `fd` begins. */
static uint32_t home_of(const fd_table *t, int32_t fd)
{
    uint32_t hash = (uint32_t)fd * 0x9e3779b1u;
    return (uint32_t)((uint64_t)hash * t->cap >> 32);
}

static uint32_t after(const fd_table *t, uint32_t at)
{
    return at + 1 == t->cap ? 0 : at + 1;
}

/* The slot of `fd`, or the free one where it would be. */
static fd_slot *probe(const fd_table *t, int32_t fd)
{
    HS_ASSERT(t->len < t->cap);
    uint32_t at = home_of(t, fd);
    while (t->slots[at].used && t->slots[at].fd != fd)
        at = after(t, at);
    return &t->slots[at];
}

fd_slot *fd_table_find(const fd_table *t, int32_t fd)
{
    if (HS_UNLIKELY(t->cap == 0))
        return NULL;
    fd_slot *slot = probe(t, fd);
    return slot->used ? slot : NULL;
}

static bool fits(uint32_t len, uint32_t cap)
{
    return len <= cap - cap / 8;
}

/* The capacity for `len` files, of the steps that growing takes. */
static uint32_t cap_for(uint32_t len)
{
    uint32_t cap = SLOTS_MIN;
    while (!fits(len, cap))
        cap = HS_MAX(cap + cap / 8, SLOTS_MAPPED);
    return cap;
}

/* False without memory: then nothing changed. */
static bool resize(fd_table *t, uint32_t cap)
{
    HS_ASSERT(fits(t->len, cap));
    fd_table next = *t;
    next.cap = cap;
    next.slots = hs_mem_take_zero(t->mem, slots_bytes(cap), HS_CACHE_LINE);
    if (!next.slots)
        return false;
    for (uint32_t i = 0; i < t->cap; i++)
        if (t->slots[i].used)
            *probe(&next, t->slots[i].fd) = t->slots[i];
    hs_mem_give(t->mem, t->slots, slots_bytes(t->cap), HS_CACHE_LINE);
    *t = next;
    return true;
}

fd_slot *fd_table_add(fd_table *t, int32_t fd)
{
    HS_ASSERT(fd >= 0);
    fd_slot *slot = fd_table_find(t, fd);
    if (slot)
        return slot;
    if (!fits(t->len + 1, t->cap) && !resize(t, cap_for(t->len + 1)))
        return NULL;
    slot = probe(t, fd);
    HS_ASSERT(!slot->used);
    *slot = (fd_slot){.fd = fd, .used = true};
    t->len++;
    t->len_peak = HS_MAX(t->len_peak, t->len);
    return slot;
}

/* Whether place `at` lies on the way from `home` to `hole`, which wraps at the end. */
static bool on_the_way(uint32_t home, uint32_t hole, uint32_t at)
{
    return home <= at ? home <= hole && hole < at : home <= hole || hole < at;
}

void fd_table_remove(fd_table *t, int32_t fd)
{
    fd_slot *slot = fd_table_find(t, fd);
    if (!slot)
        return;
    uint32_t hole = (uint32_t)(slot - t->slots), at = hole;
    for (;;) {
        at = after(t, at);
        if (!t->slots[at].used)
            break;
        /* What passed over the hole when it was put in must be found without it. */
        if (on_the_way(home_of(t, t->slots[at].fd), hole, at)) {
            t->slots[hole] = t->slots[at];
            hole = at;
        }
    }
    t->slots[hole] = (fd_slot){0};
    HS_ASSERT(t->len > 0);
    t->len--;
}

bool fd_table_trim(fd_table *t)
{
    uint32_t cap = cap_for(t->len_peak);
    t->len_peak = t->len;
    /* By half at least, so that a load that varies a little changes nothing. */
    if (cap <= t->cap / 2)
        (void)resize(t, cap);
    return cap_for(t->len) <= t->cap / 2;
}

void fd_table_validate(const fd_table *t)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (!t->slots[i].used)
            continue;
        used++;
        HS_ASSERT(fd_table_find(t, t->slots[i].fd) == &t->slots[i]);
    }
    HS_ASSERT(used == t->len);
    HS_ASSERT(t->len <= t->len_peak);
    HS_ASSERT(t->cap == 0 || fits(t->len, t->cap));
}
