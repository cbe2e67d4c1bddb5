/* Memory goes back to the system in portions: no turn returns more than its bound. */
#include "bench.h"

#define CHUNKS 9000 /* 600 slabs */

static void *chunks[CHUNKS];

static void use_chunks(bench *b)
{
    for (uint32_t i = 0; i < CHUNKS; i++) {
        chunks[i] = hs_pool_take(hs_shard_chunks(b->shard));
        cr_assert_not_null(chunks[i]);
    }
    for (uint32_t i = 0; i < CHUNKS; i++)
        hs_pool_give(hs_shard_chunks(b->shard), chunks[i]);
}

/* Let turns pass until `ms` have, and see that none of them returns more than it may. */
static void run_counting(bench *b, uint64_t ms)
{
    b->over = false;
    cr_assert(hs_ok(hs_timer_after(b->shard, &b->until, ms, bench_until)));
    while (!b->over) {
        size_t before = b->bytes_out;
        shard_turn(b->shard, true);
        cr_assert_leq(before - HS_MIN(before, b->bytes_out), 1024u * 1024);
    }
}

Test(shard_trim, a_turn_returns_a_bounded_number_of_slabs)
{
    bench b;
    bench_init(&b, NULL);
    use_chunks(&b);
    size_t full = b.bytes_out;
    bench_stir(&b);
    run_counting(&b, 1500); /* the first second needed them */
    cr_assert_gt(b.bytes_out, full / 2);
    run_counting(&b, 1500);
    cr_assert_eq(hs_shard_chunks(b.shard)->slabs_live, 1);
    bench_fini(&b);
}

/* What is used again while the rest goes back stays. */
Test(shard_trim, a_load_that_comes_back_keeps_what_it_uses)
{
    bench b;
    bench_init(&b, NULL);
    use_chunks(&b);
    bench_stir(&b);
    run_counting(&b, 2100);
    cr_assert(hs_pool_trim_pending(hs_shard_chunks(b.shard)));
    use_chunks(&b);
    uint32_t live = hs_shard_chunks(b.shard)->slabs_live;
    bench_stir(&b);
    run_counting(&b, 500);
    cr_assert_eq(hs_shard_chunks(b.shard)->slabs_live, live);
    run_counting(&b, 5000);
    cr_assert_eq(hs_shard_chunks(b.shard)->slabs_live, 1);
    bench_fini(&b);
}
