/* The receive buffers of a shard: see rbuf.h. */
#include "rbuf.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hs_assert.h"

#define RBUF_BYTES ((size_t)HS_RBUFS_MAX * HS_RBUF_BYTES)

HS_STATIC_ASSERT(HS_RBUFS_MAX <= UINT16_MAX, "a buffer's number fits");

static uint32_t place_of(const rbuf *r, uint32_t id)
{
    HS_ASSERT(id < HS_RBUFS_MAX);
    return r->state[id] & RBUF_PLACE;
}

static void place_set(rbuf *r, uint32_t id, uint32_t place)
{
    r->state[id] = (uint8_t)((r->state[id] & ~RBUF_PLACE) | place);
}

hs_err rbuf_init(rbuf *r, const hs_mem *mem)
{
    HS_ASSERT(mem);
    memset(r, 0, sizeof(*r));
    r->base = hs_mem_take(mem, RBUF_BYTES, HS_RBUF_BYTES);
    HS_ENSURE(r->base, -ENOMEM);
    r->mem = mem;
    r->target = HS_RBUFS_MIN;
    /* The lowest number lies on top. */
    for (uint32_t i = 0; i < HS_RBUFS_MAX; i++)
        r->idle[i] = (uint16_t)(HS_RBUFS_MAX - 1 - i);
    r->idle_len = HS_RBUFS_MAX;
    return HS_OK;
}

void rbuf_fini(rbuf *r)
{
    HS_ASSERT(r->lent == 0);
    hs_mem_give(r->mem, r->base, RBUF_BYTES, HS_RBUF_BYTES);
    r->base = NULL;
}

bool rbuf_next(rbuf *r, uint16_t *id)
{
    if (r->in_use >= r->target)
        return false;
    HS_ASSERT(r->idle_len > 0);
    uint16_t next = r->idle[--r->idle_len];
    HS_ASSERT(place_of(r, next) == RBUF_IDLE);
    place_set(r, next, RBUF_BACKEND);
    r->in_use++;
    *id = next;
    return true;
}

bool rbuf_grow(rbuf *r)
{
    if (r->target >= HS_RBUFS_MAX)
        return false;
    r->target = HS_MIN(r->target * 2, HS_RBUFS_MAX);
    return true;
}

void rbuf_lend(rbuf *r, uint16_t id)
{
    HS_ASSERT(place_of(r, id) == RBUF_BACKEND);
    r->state[id] = RBUF_LENT | RBUF_DIRTY;
    r->lent++;
    r->lent_peak = HS_MAX(r->lent_peak, r->lent);
    HS_ASSERT(r->lent <= r->in_use);
}

bool rbuf_give(rbuf *r, uint16_t id)
{
    HS_ASSERT(place_of(r, id) == RBUF_LENT);
    HS_ASSERT(r->lent > 0);
    r->lent--;
    if (r->in_use <= r->target) {
        place_set(r, id, RBUF_BACKEND);
        return true;
    }
    place_set(r, id, RBUF_IDLE);
    r->in_use--;
    HS_ASSERT(r->idle_len < HS_RBUFS_MAX);
    r->idle[r->idle_len++] = id;
    return false;
}

/* Whether the contents of buffer `id` are not worth their memory. `quiet`: none was used lately. */
static bool wants_return(const rbuf *r, uint32_t id, bool quiet)
{
    if (!(r->state[id] & RBUF_DIRTY))
        return false;
    uint32_t place = place_of(r, id);
    return place == RBUF_IDLE || (place == RBUF_BACKEND && (quiet || r->in_use > r->target));
}

/* Return the pages of buffers [from, to). A failure (locked pages) leaves them as they are, and is
 * tried again when they are dirty next. */
static void pages_return(rbuf *r, uint32_t from, uint32_t to, size_t page)
{
    uintptr_t start = (uintptr_t)rbuf_at(r, (uint16_t)from);
    uintptr_t end = (uintptr_t)r->base + (size_t)to * HS_RBUF_BYTES;
    /* Where pages are larger than buffers, only the whole ones inside can go. */
    start = (start + page - 1) & ~(page - 1);
    end &= ~(page - 1);
    if (start < end) {
        int advised = madvise((void *)start, end - start, MADV_DONTNEED);
        (void)advised;
    }
    for (uint32_t id = from; id < to; id++)
        r->state[id] &= (uint8_t)~RBUF_DIRTY;
}

/* What the period needed: a power of two, so that a load that varies a little changes nothing. */
static uint32_t target_needed(uint32_t lent_peak)
{
    uint32_t needed = HS_RBUFS_MIN;
    while (needed < lent_peak)
        needed *= 2;
    return needed;
}

bool rbuf_trim(rbuf *r)
{
    bool quiet = r->lent_peak == 0, dirty = false;
    r->target = HS_MIN(r->target, target_needed(r->lent_peak));
    r->lent_peak = r->lent;

    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t id = 0;
    while (id < HS_RBUFS_MAX) {
        uint32_t from = id;
        while (id < HS_RBUFS_MAX && wants_return(r, id, quiet))
            id++;
        if (id > from)
            pages_return(r, from, id, page);
        else
            dirty |= r->state[id++] == (RBUF_BACKEND | RBUF_DIRTY);
    }
    return r->target > HS_RBUFS_MIN || r->in_use > r->target || dirty;
}

void rbuf_validate(const rbuf *r)
{
    uint32_t places[RBUF_PLACE + 1] = {0};
    for (uint32_t id = 0; id < HS_RBUFS_MAX; id++)
        places[place_of(r, id)]++;
    HS_ASSERT(places[RBUF_PLACE] == 0);
    HS_ASSERT(places[RBUF_IDLE] == r->idle_len);
    HS_ASSERT(places[RBUF_LENT] == r->lent);
    HS_ASSERT(places[RBUF_BACKEND] + places[RBUF_LENT] == r->in_use);
    HS_ASSERT(r->lent_peak >= r->lent);
    HS_ASSERT(r->target >= HS_RBUFS_MIN && r->target <= HS_RBUFS_MAX);
    for (uint32_t i = 0; i < r->idle_len; i++)
        HS_ASSERT(place_of(r, r->idle[i]) == RBUF_IDLE);
}
