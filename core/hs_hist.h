/* Histograms: log-linear, fixed memory, no floating point on the way in.
 *
 * Owns: counts in buckets of 1/16 of a power of two (an error of at most 6.25 %), from 0 to
 * 2^64 - 1. Units are the caller's, the name of the field says them. Written by one shard; another
 * may read a copy that its owner made. Tested by: tests/unit/core_hist.c. */
#pragma once

#include "hs_base.h"

HS_BEGIN_DECLS

#define HS_HIST_SUB_BITS 4
#define HS_HIST_BUCKETS ((64 - HS_HIST_SUB_BITS + 1) << HS_HIST_SUB_BITS)

typedef struct hs_hist {
    uint64_t count, sum, min, max;
    uint64_t buckets[HS_HIST_BUCKETS];
} hs_hist;

/* Make `h` empty. Shard: owner only. */
HS_API void hs_hist_init(hs_hist *h);

/* Count one value. O(1). Shard: owner only. */
HS_API void hs_hist_add(hs_hist *h, uint64_t value);

/* Add all of `from` to `to`. Shard: owner of both. */
HS_API void hs_hist_merge(hs_hist *to, const hs_hist *from);

/* The value below which `permille` (0 to 1000) of the values lie, rounded up to its bucket's upper
 * edge, at most the maximum; 0 of an empty histogram. Shard: owner only. */
HS_API uint64_t hs_hist_quantile(const hs_hist *h, uint32_t permille);

HS_END_DECLS
