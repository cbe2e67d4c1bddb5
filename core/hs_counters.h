/* Counters: named numbers that one shard counts and anybody may read.
 *
 * Owns: a fixed table; a layer registers its names before it counts and counts by the number it
 * got. Each value is written by its shard alone with a plain add, and is an atomic only so that
 * another thread may read it at any moment without stopping the shard. Tested by:
 * tests/unit/core_counters.c. */
#pragma once

#include "hs_err.h"
#include "hs_spsc.h"

HS_BEGIN_DECLS

#define HS_COUNTERS_MAX 64

#ifdef __cplusplus
#define HS_ATOMIC_U64 std::atomic<uint64_t>
#else
#define HS_ATOMIC_U64 _Atomic(uint64_t)
#endif

typedef struct hs_counters {
    const char *names[HS_COUNTERS_MAX];
    HS_ATOMIC_U64 values[HS_COUNTERS_MAX];
    HS_ATOMIC_U32 len; /* told after the name, as others look while a layer registers late */
} hs_counters;

/* Make `c` empty. Shard: owner, before others read. */
HS_API void hs_counters_init(hs_counters *c);

/* Find or add the counter `name` (static storage); *id is its number.
 * Errors: HS_E_LIMIT. Shard: owner only; others may read meanwhile. */
HS_API HS_NODISCARD hs_err hs_counters_register(hs_counters *c, const char *name, uint32_t *id);

/* Add `n` to counter `id`. Thread: one for each counter, as a rule its shard's. */
HS_API void hs_count(hs_counters *c, uint32_t id, uint64_t n);

/* The value of counter `id` now. Thread: any. */
HS_API uint64_t hs_counters_value(const hs_counters *c, uint32_t id);

/* The value of the counter `name` now; 0 where there is none. Thread: any. */
HS_API uint64_t hs_counters_find(const hs_counters *c, const char *name);

HS_END_DECLS
