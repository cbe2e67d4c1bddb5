/* The histogram.
 *
 * Owns: the cut of 2^64 values into buckets. Small values have a bucket each; above, every power of
 * two is cut into 16 equal ones, as in HdrHistogram. Must not know: units.
 * Tested by: tests/unit/core_hist.c. */
#include "hs_hist.h"

#include <string.h>

#include "hs_assert.h"

#define SUBS (1u << HS_HIST_SUB_BITS)

void hs_hist_init(hs_hist *h)
{
    HS_ASSERT(h);
    memset(h, 0, sizeof(*h));
}

static uint32_t bucket_of(uint64_t value)
{
    if (value < SUBS)
        return (uint32_t)value;
    uint32_t top = 63 - (uint32_t)__builtin_clzll(value);
    uint32_t shift = top - HS_HIST_SUB_BITS;
    uint32_t sub = (uint32_t)(value >> shift) & (SUBS - 1);
    uint32_t bucket = (shift + 1) * SUBS + sub;
    HS_ASSERT(bucket < HS_HIST_BUCKETS);
    return bucket;
}

/* The largest value that `bucket` counts. */
static uint64_t bucket_edge(uint32_t bucket)
{
    HS_ASSERT(bucket < HS_HIST_BUCKETS);
    if (bucket < SUBS)
        return bucket;
    uint32_t shift = bucket / SUBS - 1;
    uint64_t low = (uint64_t)(SUBS + bucket % SUBS) << shift;
    return low + ((UINT64_C(1) << shift) - 1);
}

/* A sum that would wrap around stays at its largest: a wrong mean is better seen than believed. */
static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void hs_hist_add(hs_hist *h, uint64_t value)
{
    HS_ASSERT(h);
    h->min = h->count == 0 ? value : HS_MIN(h->min, value);
    h->max = HS_MAX(h->max, value);
    h->sum = add_saturated(h->sum, value);
    h->count++;
    h->buckets[bucket_of(value)]++;
}

void hs_hist_merge(hs_hist *to, const hs_hist *from)
{
    HS_ASSERT(to != from);
    if (from->count == 0)
        return;
    HS_ASSERT(from->min <= from->max);
    to->min = to->count == 0 ? from->min : HS_MIN(to->min, from->min);
    to->max = HS_MAX(to->max, from->max);
    to->sum = add_saturated(to->sum, from->sum);
    to->count += from->count;
    for (uint32_t i = 0; i < HS_HIST_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
}

uint64_t hs_hist_quantile(const hs_hist *h, uint32_t permille)
{
    HS_ASSERT(permille <= 1000);
    if (h->count == 0)
        return 0;
    /* How many values lie at or below the answer: count * permille / 1000 rounded up, in two parts
     * so that it does not wrap around, and at least one. */
    uint64_t rest = h->count % 1000 * permille;
    uint64_t rank = h->count / 1000 * permille + (rest + 999) / 1000;
    rank = HS_MAX(rank, UINT64_C(1));
    HS_ASSERT(rank <= h->count);
    uint64_t seen = 0;
    uint32_t bucket = 0;
    while ((seen += h->buckets[bucket]) < rank) {
        bucket++;
        HS_ASSERT(bucket < HS_HIST_BUCKETS);
    }
    return HS_MIN(bucket_edge(bucket), h->max);
}
