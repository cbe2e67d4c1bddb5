/* A hash map from byte strings to pointers.
 *
 * Owns: an open-addressed table. Keys and values are borrowed: the caller keeps them alive while
 * they are in. The hash is keyed by a seed, so that a peer who chooses keys cannot aim at one slot
 * (SipHash-1-3 or better). Single shard. Tested by: tests/unit/core_map.c (model-based). */
#pragma once

#include "hs_err.h"
#include "hs_mem.h"
#include "hs_span.h"

HS_BEGIN_DECLS

typedef struct hs_map_slot {
    hs_span key;
    void *value; /* NULL: the slot is free */
    uint64_t hash;
} hs_map_slot;

typedef struct hs_map {
    const hs_mem *mem;
    hs_map_slot *slots;
    uint32_t len, cap, len_max;
    uint64_t seed[2];
} hs_map;

/* An empty map for at most `len_max` keys. Takes nothing yet. `seed` should come from the system's
 * random numbers, or from the test's seed. `mem` is borrowed. */
HS_API void hs_map_init(hs_map *m, const hs_mem *mem, uint32_t len_max, const uint64_t seed[2]);

/* Give the table back. */
HS_API void hs_map_fini(hs_map *m);

/* Set `key` to `value` (not NULL). *old (may be NULL) is what it was, or NULL. An equal key that
 * was in is replaced as well: from now on `key` is the borrowed one.
 * Errors: HS_E_LIMIT (len_max), -ENOMEM; then nothing changed. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_map_set(hs_map *m, hs_span key, void *value, void **old);

/* The value of `key`, or NULL. Shard: owner only. */
HS_API void *hs_map_get(const hs_map *m, hs_span key);

/* Take `key` out and return its value, or NULL. Shard: owner only. */
HS_API void *hs_map_remove(hs_map *m, hs_span key);

/* Call `fn` for each pair, in no promised order; `fn` must not change the map. Shard: owner
 * only. */
HS_API void hs_map_each(const hs_map *m, void (*fn)(hs_span key, void *value, void *ctx),
                        void *ctx);

/* The keyed hash that the map uses. Shard: any. */
HS_API uint64_t hs_hash(hs_span bytes, const uint64_t seed[2]);

/* Check that every key is found where it is; asserts on a fault. Shard: owner only. */
HS_API void hs_map_validate(const hs_map *m);

HS_END_DECLS
