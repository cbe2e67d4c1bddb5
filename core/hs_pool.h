/* A pool of equal slots with generations.
 *
 * Owns: slabs of HS_POOL_SLAB_BYTES, each cut into slots. A free slot costs no memory beyond its
 * slab; a slab without a used slot goes back to the system at hs_pool_trim, so memory returns after
 * a burst. Slots are taken from the lowest slab that has room, so that high ones run empty.
 * A reference (index and generation in one integer) tells a slot that was given back and taken
 * again from the one that was meant: a late completion is recognised, not obeyed.
 * Must not know: what is in a slot. Single shard.
 * Tested by: tests/unit/core_pool.c (model-based, with failing memory). */
#pragma once

#include "hs_err.h"
#include "hs_mem.h"

HS_BEGIN_DECLS

#define HS_POOL_SLAB_BYTES 65536

typedef struct hs_pool hs_pool;
typedef struct hs_pool_slab hs_pool_slab;

struct hs_pool {
    const hs_mem *mem;
    hs_pool_slab *hint;   /* the lowest slab with room, or one that just filled up; may be NULL */
    hs_pool_slab **slabs; /* by number; NULL where there is none */
    uint64_t *room;       /* a bit for each slab that exists and has a free slot */
    uint32_t slabs_max;
    uint32_t slots_max; /* limit */
    uint32_t slots_used;
    uint64_t large_bytes; /* what arenas of this pool took from `mem`, as it fits no slot */
    uint32_t slots_per_slab;
    uint32_t slot_bytes;
    uint32_t slot_stride; /* from slot to slot: what a slab has to spare lies between its slots */
    uint32_t slots_at;    /* the first slot's place in its slab */
    uint32_t recip;       /* turns a slot's place into its number without a division */
    uint32_t slabs_live;  /* slabs that hold memory now */
    uint32_t slabs_peak;  /* of this period: no slab from this number on gave a slot */
    uint32_t trim_from;   /* empty slabs from this number on are still to go back; 0: none */
    uint32_t generation;  /* where new slabs start, above all that returned ones reached */
};

/* Prepare a pool of at most `slots_max` (> 0, and at most 2^20 slabs) slots of `slot_bytes` (> 0,
 * at most 32 KiB; rounded up to 16) each, aligned to 16, or to 64 where the size is a multiple
 * of 64. Takes no slab yet, only the table of slabs. `mem` is borrowed for the pool's life. Shard:
 * owner only. Errors: -ENOMEM; then the pool is zeroed, and hs_pool_fini is harmless. */
HS_API HS_NODISCARD hs_err hs_pool_init(hs_pool *pool, const hs_mem *mem, size_t slot_bytes,
                                        uint32_t slots_max);

/* Give back all slabs. No slot may be in use (asserted). Shard: owner only. */
HS_API void hs_pool_fini(hs_pool *pool);

/* Take a slot; its contents are undefined. NULL at the limit or without memory. O(1) in the usual
 * case. Owned by the caller until hs_pool_give. Shard: owner only. */
HS_API void *hs_pool_take(hs_pool *pool);

/* Give a used slot back; every reference to it is stale from now on. Shard: owner only. */
HS_API void hs_pool_give(hs_pool *pool, void *slot);

/* A reference to a used slot: its number in the low 32 bits, its generation (odd) in the high ones,
 * so never 0. Shard: owner only. */
HS_API uint64_t hs_pool_ref(const hs_pool *pool, const void *slot);

/* The slot that `ref` meant, or NULL where it was given back since; any other number gives NULL, or
 * a slot in use. Shard: owner only. */
HS_API void *hs_pool_get(const hs_pool *pool, uint64_t ref);

/* Give slabs without a used slot back to the system, but for `keep` of them (the lowest).
 * Returns how many bytes went back. Shard: owner only. */
HS_API size_t hs_pool_trim(hs_pool *pool, uint32_t keep);

/* A period passed (about a second): give slabs without a used slot back to the system, but for the
 * lowest and for those that the period took slots from. A pool is nearly empty between two bursts
 * of a steady load, and what is given back then would be taken again at once. At most `slabs_max`
 * of them: returning one takes the system up to a tenth of a millisecond, and hs_pool_trim_rest
 * goes on. Returns how many slabs went back; *more tells whether a quiet period would give back
 * more. Shard: owner only. */
HS_API uint32_t hs_pool_trim_period(hs_pool *pool, uint32_t slabs_max, bool *more);

/* Give back more of what the last period left over, at most `slabs_max` slabs, but for those that
 * gave a slot since. Returns how many went back. Shard: owner only. */
HS_API uint32_t hs_pool_trim_rest(hs_pool *pool, uint32_t slabs_max);

/* Whether the last period left something for hs_pool_trim_rest. Shard: owner only. */
static inline bool hs_pool_trim_pending(const hs_pool *pool)
{
    return pool->trim_from > 0;
}

/* Call `fn` for each used slot; `fn` may give back the slot it was called with, and no other.
 * Shard: owner only. */
HS_API void hs_pool_each(hs_pool *pool, void (*fn)(void *slot, void *ctx), void *ctx);

/* Check every slab and free list; asserts on a fault. O(slots). Shard: owner only. */
HS_API void hs_pool_validate(const hs_pool *pool);

HS_END_DECLS
