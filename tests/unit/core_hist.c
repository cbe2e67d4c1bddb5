/* The histogram, against sorted values. */
#include "core_help.h"

#include <signal.h>
#include <string.h>

#include "hs_hist.h"

static hs_hist h, other;

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

Test(core_hist, empty)
{
    memset(&h, 0xee, sizeof(h));
    hs_hist_init(&h);
    cr_assert_eq(hs_hist_quantile(&h, 0), 0);
    cr_assert_eq(hs_hist_quantile(&h, 1000), 0);
    hs_hist_init(&other);
    hs_hist_merge(&h, &other);
    cr_assert(h.count == 0 && h.min == 0 && h.max == 0 && h.sum == 0);
}

Test(core_hist, small_values_are_exact)
{
    hs_hist_init(&h);
    for (uint64_t value = 0; value < 32; value++)
        hs_hist_add(&h, value);
    cr_assert_eq(h.min, 0);
    cr_assert_eq(h.max, 31);
    cr_assert_eq(h.sum, 496);
    for (uint32_t i = 0; i < 32; i++)
        cr_assert_eq(hs_hist_quantile(&h, (i + 1) * 1000 / 32), i);
}

Test(core_hist, one_value_is_every_quantile)
{
    for (int bit = 0; bit < 64; bit++) {
        for (int less = -1; less <= 1; less++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)less;
            hs_hist_init(&h);
            hs_hist_add(&h, value);
            cr_assert_eq(hs_hist_quantile(&h, 0), value);
            cr_assert_eq(hs_hist_quantile(&h, 500), value);
            cr_assert_eq(hs_hist_quantile(&h, 1000), value);
        }
    }
}

/* Each quantile is at or above the true one, by a sixteenth at most. */
static void close_enough(const uint64_t *sorted, uint32_t count)
{
    for (uint32_t permille = 0; permille <= 1000; permille++) {
        uint64_t rank = ((uint64_t)count * permille + 999) / 1000;
        uint64_t exact = sorted[rank > 0 ? rank - 1 : 0];
        uint64_t got = hs_hist_quantile(&h, permille);
        cr_assert_geq(got, exact);
        cr_assert_leq(got - exact, exact / 16, "%" PRIu32 ": %" PRIu64 ", not %" PRIu64, permille,
                      got, exact);
    }
}

Test(core_hist, model)
{
    enum { COUNT = 4000 };
    static uint64_t values[COUNT];
    rng r = rng_seeded("hist");
    for (int round = 0; round < 50; round++) {
        uint32_t count = 1 + rng_below(&r, COUNT), shift = rng_below(&r, 64);
        uint64_t sum = 0;
        hs_hist_init(&h);
        hs_hist_init(&other);
        for (uint32_t i = 0; i < count; i++) {
            values[i] = rng_next(&r) >> (shift + rng_below(&r, 64 - shift));
            hs_hist_add(i % 3 ? &h : &other, values[i]);
            sum = sum + values[i] < sum ? UINT64_MAX : sum + values[i];
        }
        hs_hist_merge(&h, &other);
        qsort(values, count, sizeof(values[0]), by_value);
        cr_assert_eq(h.count, count);
        cr_assert_eq(h.min, values[0]);
        cr_assert_eq(h.max, values[count - 1]);
        cr_assert(sum == UINT64_MAX || h.sum == sum);
        close_enough(values, count);
    }
}

Test(core_hist, merge_into_an_empty_one)
{
    hs_hist_init(&h);
    hs_hist_init(&other);
    hs_hist_add(&other, 100);
    hs_hist_add(&other, 50);
    hs_hist_merge(&h, &other);
    cr_assert(h.min == 50 && h.max == 100 && h.sum == 150 && h.count == 2);
    hs_hist_merge(&h, &other);
    cr_assert(h.min == 50 && h.max == 100 && h.sum == 300 && h.count == 4);
    hs_hist_init(&other);
    hs_hist_merge(&h, &other); /* an empty one has no smallest value */
    cr_assert(h.min == 50 && h.max == 100 && h.sum == 300 && h.count == 4);
}

Test(core_hist, a_sum_does_not_wrap_around)
{
    hs_hist_init(&h);
    hs_hist_add(&h, UINT64_MAX - 1);
    hs_hist_add(&h, 1);
    cr_assert_eq(h.sum, UINT64_MAX);
    hs_hist_add(&h, 1);
    cr_assert_eq(h.sum, UINT64_MAX);
    cr_assert_eq(hs_hist_quantile(&h, 1000), UINT64_MAX - 1);
}

Test(core_hist, quantiles_of_huge_counts)
{
    hs_hist_init(&h);
    hs_hist_add(&h, 3);
    hs_hist_add(&h, 5);
    h.count = h.buckets[3] = UINT64_MAX / 2; /* as if it had counted for centuries */
    h.buckets[5] = UINT64_MAX - h.count;
    h.count = UINT64_MAX;
    cr_assert_eq(hs_hist_quantile(&h, 499), 3);
    cr_assert_eq(hs_hist_quantile(&h, 501), 5);
    cr_assert_eq(hs_hist_quantile(&h, 1000), 5);
}

Test(core_hist, more_than_all, .signal = SIGABRT)
{
    hs_hist_init(&h);
    hs_hist_quantile(&h, 1001);
}
