/* The pool of equal slots.
 *
 * Owns: the slabs, their free lists and generations. A slab is aligned to its size, so a slot finds
 * its slab by masking its address. Must not know: what is in a slot.
 *
 * A slot's generation is odd while it is used and even while it is free: taking and giving each add
 * one, so a slot that is given twice is seen at once, and a reference (odd) never fits a free slot.
 * Free slots of a slab hang on a list through their first bytes, the last one given back first,
 * since it is the one that is still in the cache. Slots that were never taken are on no list: the
 * slab hands them out in order, and so touches its pages one after the other.
 * Tested by: tests/unit/core_pool.c. */
#include "hs_pool.h"

#include <errno.h>
#include <string.h>

#include "hs_assert.h"
#include "poison.h"

/* A slot's number is its slab's, and its place in the slab in the low bits: slots are 16 bytes or
 * more, and the header takes some, so a slab holds fewer than 2^12. */
#define PLACE_BITS 12
#define PLACE_MASK ((1u << PLACE_BITS) - 1)
#define SLOT_GRAIN 16
#define SLOT_BYTES_MAX 32768
#define SLABS_MAX (1u << 20)
#define RECIP_BITS 24
HS_STATIC_ASSERT(HS_POOL_SLAB_BYTES / SLOT_GRAIN <= 1 << PLACE_BITS, "a place fits its bits");
HS_STATIC_ASSERT((HS_POOL_SLAB_BYTES & (HS_POOL_SLAB_BYTES - 1)) == 0, "a slab is found by a mask");
HS_STATIC_ASSERT(SLABS_MAX <= 1u << (32 - PLACE_BITS), "a slot's number fits 32 bits");

struct hs_pool_slab {
    hs_pool *pool;
    uint32_t number;
    uint32_t generation; /* of slots that were never taken */
    uint16_t used;
    uint16_t fresh; /* slots from here on were never taken */
    uint16_t free;  /* place + 1 of the first slot of the free list; 0: none */
    uint32_t generations[];
};

static uint8_t *slot_at(const hs_pool *pool, const hs_pool_slab *slab, uint32_t place)
{
    return (uint8_t *)(uintptr_t)slab + pool->slots_at + (size_t)place * pool->slot_stride;
}

static hs_pool_slab *slab_of(const hs_pool *pool, const void *slot)
{
    uintptr_t mask = ~(uintptr_t)(HS_POOL_SLAB_BYTES - 1);
    hs_pool_slab *slab = (hs_pool_slab *)((uintptr_t)slot & mask);
    HS_ASSERT(slab->pool == pool);
    return slab;
}

/* The place of the used `slot` in its slab. */
static uint32_t place_of(const hs_pool *pool, const hs_pool_slab *slab, const void *slot)
{
    size_t offset = (size_t)((const uint8_t *)slot - (const uint8_t *)slab) - pool->slots_at;
    /* Exact for every offset in a slab, since recip is off by less than offset * 2^-24. */
    uint32_t place = (uint32_t)((uint64_t)(offset / SLOT_GRAIN) * pool->recip >> RECIP_BITS);
    HS_ASSERT((size_t)place * pool->slot_stride == offset); /* a slot, and its first byte */
    HS_ASSERT(place < slab->fresh);
    HS_ASSERT(slab->generations[place] & 1); /* in use */
    return place;
}

static void room_set(hs_pool *pool, uint32_t number)
{
    pool->room[number / 64] |= UINT64_C(1) << (number % 64);
}

static void room_clear(hs_pool *pool, uint32_t number)
{
    pool->room[number / 64] &= ~(UINT64_C(1) << (number % 64));
}

static size_t room_words(uint32_t slabs_max)
{
    return ((size_t)slabs_max + 63) / 64;
}

/* One piece of memory holds the table of slabs and the bits behind it. */
static size_t table_bytes(uint32_t slabs_max)
{
    return (size_t)slabs_max * sizeof(hs_pool_slab *) + room_words(slabs_max) * sizeof(uint64_t);
}

/* How the slots lie in a slab. What is left over goes between them: slots of 4096 bytes would
 * otherwise all begin in the same set of the first-level cache and push each other out of it. */
static void layout(hs_pool *pool)
{
    uint32_t room = HS_POOL_SLAB_BYTES - (uint32_t)sizeof(hs_pool_slab);
    uint32_t slot_bytes = pool->slot_bytes;
    uint32_t count = room / (slot_bytes + (uint32_t)sizeof(uint32_t));
    uint32_t grain = slot_bytes % HS_CACHE_LINE == 0 ? HS_CACHE_LINE : SLOT_GRAIN;
    uint32_t spread = (room - count * (uint32_t)sizeof(uint32_t)) / count;
    pool->slots_per_slab = count;
    pool->slot_stride = HS_MAX(spread & ~(grain - 1), slot_bytes);
    pool->slots_at = HS_POOL_SLAB_BYTES - count * pool->slot_stride;
    uint32_t grains = pool->slot_stride / SLOT_GRAIN;
    pool->recip = ((1u << RECIP_BITS) + grains - 1) / grains;
    HS_ASSERT(count > 0 && count <= PLACE_MASK);
    HS_ASSERT(pool->slots_at >= sizeof(hs_pool_slab) + count * sizeof(uint32_t));
}

hs_err hs_pool_init(hs_pool *pool, const hs_mem *mem, size_t slot_bytes, uint32_t slots_max)
{
    HS_ASSERT(pool && mem);
    HS_ASSERT(slot_bytes > 0 && slot_bytes <= SLOT_BYTES_MAX);
    HS_ASSERT(slots_max > 0);
    *pool = (hs_pool){.mem = mem, .slots_max = slots_max};
    pool->slot_bytes = ((uint32_t)slot_bytes + SLOT_GRAIN - 1) & ~(uint32_t)(SLOT_GRAIN - 1);
    layout(pool);
    pool->slabs_max = (slots_max - 1) / pool->slots_per_slab + 1;
    HS_ASSERT(pool->slabs_max <= SLABS_MAX);
    void *table = hs_mem_take_zero(mem, table_bytes(pool->slabs_max), sizeof(void *));
    if (!table) {
        *pool = (hs_pool){0};
        return hs_err_errno(ENOMEM);
    }
    pool->slabs = table;
    pool->room = (uint64_t *)(pool->slabs + pool->slabs_max);
    return HS_OK;
}

static void slab_destroy(hs_pool *pool, hs_pool_slab *slab)
{
    HS_ASSERT(slab->used == 0);
    HS_ASSERT(pool->slabs[slab->number] == slab);
    /* A slab that takes this one's number must not repeat a generation that was seen here. */
    for (uint32_t i = 0; i < slab->fresh; i++) {
        HS_ASSERT((slab->generations[i] & 1) == 0);
        if ((int32_t)(slab->generations[i] - pool->generation) > 0)
            pool->generation = slab->generations[i];
    }
    pool->slabs[slab->number] = NULL;
    room_clear(pool, slab->number);
    pool->slabs_live--;
    if (pool->hint == slab)
        pool->hint = NULL;
    poison_off(slab, HS_POOL_SLAB_BYTES);
    hs_mem_give(pool->mem, slab, HS_POOL_SLAB_BYTES, HS_POOL_SLAB_BYTES);
}

void hs_pool_fini(hs_pool *pool)
{
    HS_ASSERT(pool);
    HS_ASSERT(pool->slots_used == 0);
    if (pool->slabs) {
        hs_pool_trim(pool, 0);
        HS_ASSERT(pool->slabs_live == 0);
        hs_mem_give(pool->mem, pool->slabs, table_bytes(pool->slabs_max), sizeof(void *));
    }
    *pool = (hs_pool){0};
}

/* A new slab under the lowest number that has none; NULL without memory. */
static HS_COLD hs_pool_slab *slab_create(hs_pool *pool)
{
    uint32_t number = 0;
    while (pool->slabs[number]) {
        number++;
        HS_ASSERT(number < pool->slabs_max); /* or slots_max would have been reached */
    }
    hs_pool_slab *slab = hs_mem_take(pool->mem, HS_POOL_SLAB_BYTES, HS_POOL_SLAB_BYTES);
    if (!slab)
        return NULL;
    HS_ASSERT(((uintptr_t)slab & (HS_POOL_SLAB_BYTES - 1)) == 0);
    *slab = (hs_pool_slab){.pool = pool, .number = number, .generation = pool->generation};
    poison_on((uint8_t *)slab + pool->slots_at, HS_POOL_SLAB_BYTES - pool->slots_at);
    pool->slabs[number] = slab;
    pool->slabs_live++;
    room_set(pool, number);
    return slab;
}

/* The lowest slab with room, made where none has; NULL without memory. */
static hs_pool_slab *slab_with_room(hs_pool *pool)
{
    size_t words = room_words(pool->slabs_max);
    size_t word = pool->hint ? pool->hint->number / 64 : 0;
    while (word < words && pool->room[word] == 0)
        word++;
    hs_pool_slab *slab = NULL;
    if (word < words)
        slab = pool->slabs[word * 64 + (size_t)__builtin_ctzll(pool->room[word])];
    else
        slab = slab_create(pool);
    if (!slab)
        return NULL;
    HS_ASSERT(slab->used < pool->slots_per_slab);
    pool->hint = slab;
    pool->slabs_peak = HS_MAX(pool->slabs_peak, slab->number + 1);
    return slab;
}

void *hs_pool_take(hs_pool *pool)
{
    if (HS_UNLIKELY(pool->slots_used == pool->slots_max))
        return NULL;
    hs_pool_slab *slab = pool->hint;
    if (HS_UNLIKELY(!slab || slab->used == pool->slots_per_slab)) {
        slab = slab_with_room(pool);
        if (!slab)
            return NULL;
    }
    uint32_t place;
    uint8_t *slot;
    if (HS_LIKELY(slab->free)) {
        place = slab->free - 1u;
        slot = slot_at(pool, slab, place);
        poison_off(slot, pool->slot_bytes);
        memcpy(&slab->free, slot, sizeof(slab->free));
        HS_ASSERT(slab->free <= slab->fresh); /* nobody wrote to the slot after giving it back */
    } else {
        place = slab->fresh++;
        slot = slot_at(pool, slab, place);
        poison_off(slot, pool->slot_bytes);
        slab->generations[place] = slab->generation;
    }
    HS_ASSERT((slab->generations[place] & 1) == 0);
    slab->generations[place]++;
    pool->slots_used++;
    if (HS_UNLIKELY(++slab->used == pool->slots_per_slab))
        room_clear(pool, slab->number);
    return slot;
}

void hs_pool_give(hs_pool *pool, void *slot)
{
    HS_ASSERT(slot);
    hs_pool_slab *slab = slab_of(pool, slot);
    uint32_t place = place_of(pool, slab, slot);
    slab->generations[place]++;
    memcpy(slot, &slab->free, sizeof(slab->free));
    poison_on(slot, pool->slot_bytes);
    slab->free = (uint16_t)(place + 1);
    pool->slots_used--;
    if (HS_UNLIKELY(slab->used-- == pool->slots_per_slab))
        room_set(pool, slab->number);
    /* Without a hint the next take looks for the lowest slab anyway. */
    if (pool->hint && slab->number < pool->hint->number)
        pool->hint = slab;
}

uint64_t hs_pool_ref(const hs_pool *pool, const void *slot)
{
    HS_ASSERT(slot);
    const hs_pool_slab *slab = slab_of(pool, slot);
    uint32_t place = place_of(pool, slab, slot);
    uint32_t index = slab->number << PLACE_BITS | place;
    return (uint64_t)slab->generations[place] << 32 | index;
}

void *hs_pool_get(const hs_pool *pool, uint64_t ref)
{
    uint32_t index = (uint32_t)ref, generation = (uint32_t)(ref >> 32);
    uint32_t number = index >> PLACE_BITS, place = index & PLACE_MASK;
    if (HS_UNLIKELY((generation & 1) == 0 || number >= pool->slabs_max))
        return NULL;
    const hs_pool_slab *slab = pool->slabs[number];
    if (HS_UNLIKELY(!slab || place >= slab->fresh || slab->generations[place] != generation))
        return NULL;
    return slot_at(pool, slab, place);
}

size_t hs_pool_trim(hs_pool *pool, uint32_t keep)
{
    HS_ASSERT(pool);
    size_t bytes = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < pool->slabs_max; i++) {
        hs_pool_slab *slab = pool->slabs[i];
        if (!slab || slab->used > 0)
            continue;
        if (kept < keep) {
            kept++;
            continue;
        }
        slab_destroy(pool, slab);
        bytes += HS_POOL_SLAB_BYTES;
    }
    return bytes;
}

/* One above the highest slab that holds memory. The rest of the table was never written, and is not
 * read: that would give it pages. */
static uint32_t slabs_end(const hs_pool *pool)
{
    uint32_t end = 0;
    for (uint32_t seen = 0; seen < pool->slabs_live; end++)
        seen += pool->slabs[end] != NULL;
    return end;
}

uint32_t hs_pool_trim_rest(hs_pool *pool, uint32_t slabs_max)
{
    HS_ASSERT(pool);
    uint32_t from = HS_MAX(pool->trim_from, pool->slabs_peak), returned = 0;
    if (pool->trim_from == 0)
        return 0;
    for (uint32_t i = slabs_end(pool); i-- > from;) {
        hs_pool_slab *slab = pool->slabs[i];
        if (!slab || slab->used > 0)
            continue;
        if (returned == slabs_max)
            return returned;
        slab_destroy(pool, slab);
        returned++;
    }
    pool->trim_from = 0;
    return returned;
}

uint32_t hs_pool_trim_period(hs_pool *pool, uint32_t slabs_max, bool *more)
{
    HS_ASSERT(pool && more);
    uint32_t lowest = UINT32_MAX, needed = 0;
    for (uint32_t i = 0, seen = 0; seen < pool->slabs_live; i++) {
        const hs_pool_slab *slab = pool->slabs[i];
        seen += slab != NULL;
        if (!slab || slab->used > 0)
            continue;
        lowest = HS_MIN(lowest, i);
        needed += i < pool->slabs_peak;
    }
    *more = needed > 1;
    /* Slots come from the lowest slab with room, so those that were needed are the lowest. */
    pool->trim_from = HS_MAX(pool->slabs_peak, lowest == UINT32_MAX ? 0 : lowest + 1);
    /* The hint gives slots without being looked for. */
    pool->slabs_peak = pool->hint ? pool->hint->number + 1 : 0;
    return hs_pool_trim_rest(pool, slabs_max);
}

void hs_pool_each(hs_pool *pool, void (*fn)(void *slot, void *ctx), void *ctx)
{
    HS_ASSERT(pool && fn);
    for (uint32_t i = 0; i < pool->slabs_max; i++) {
        const hs_pool_slab *slab = pool->slabs[i];
        if (!slab)
            continue;
        for (uint32_t place = 0; place < slab->fresh; place++) {
            if (slab->generations[place] & 1)
                fn(slot_at(pool, slab, place), ctx);
        }
    }
}

/* The place + 1 of the slot behind the free one at `place` in its list. */
static uint16_t free_next(const hs_pool *pool, const hs_pool_slab *slab, uint32_t place)
{
    uint16_t next;
    const uint8_t *slot = slot_at(pool, slab, place);
    poison_off(slot, pool->slot_bytes);
    memcpy(&next, slot, sizeof(next));
    poison_on(slot, pool->slot_bytes);
    return next;
}

static void slab_validate(const hs_pool *pool, const hs_pool_slab *slab)
{
    HS_ASSERT(slab->pool == pool);
    HS_ASSERT(slab->fresh <= pool->slots_per_slab);
    uint32_t used = 0, listed = 0;
    for (uint32_t place = 0; place < slab->fresh; place++)
        used += slab->generations[place] & 1;
    HS_ASSERT(used == slab->used);
    for (uint16_t next = slab->free; next; next = free_next(pool, slab, next - 1u)) {
        HS_ASSERT(next <= slab->fresh);
        HS_ASSERT((slab->generations[next - 1] & 1) == 0);
        listed++;
        HS_ASSERT(listed <= slab->fresh); /* no circle */
    }
    HS_ASSERT(used + listed == slab->fresh);
}

void hs_pool_validate(const hs_pool *pool)
{
    HS_ASSERT(pool);
    HS_ASSERT(pool->slots_used <= pool->slots_max);
    uint32_t used = 0, live = 0;
    for (uint32_t i = 0; i < pool->slabs_max; i++) {
        const hs_pool_slab *slab = pool->slabs[i];
        bool room = pool->room[i / 64] >> (i % 64) & 1;
        HS_ASSERT(room == (slab && slab->used < pool->slots_per_slab));
        HS_ASSERT(!room || !pool->hint || pool->hint->number <= i);
        if (!slab)
            continue;
        HS_ASSERT(slab->number == i);
        slab_validate(pool, slab);
        used += slab->used;
        live++;
    }
    HS_ASSERT(used == pool->slots_used);
    HS_ASSERT(live == pool->slabs_live);
    HS_ASSERT(!pool->hint || pool->hint->number < pool->slabs_peak);
}
