/* The arena: what it hands out is aligned, apart, within the limit, and gone in one step. */
#include "core_help.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "hs_arena.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

static hs_pool pool_of(const hs_mem *mem, uint32_t chunks)
{
    hs_pool pool;
    cr_assert(hs_ok(hs_pool_init(&pool, mem, HS_CHUNK_BYTES, chunks)));
    return pool;
}

Test(core_arena, an_unused_one_holds_nothing)
{
    fault_mem f;
    fault_init(&f, 0, false);
    hs_pool pool = pool_of(&f.mem, 10);
    hs_arena a;
    hs_arena_init(&a, &pool, 1000);
    hs_arena_reset(&a);
    cr_assert_eq(pool.slots_used, 0);
    cr_assert_not_null(hs_arena_take(&a, 1));
    cr_assert_eq(pool.slots_used, 1);
    hs_arena_reset(&a);
    cr_assert_eq(pool.slots_used, 0);
    hs_pool_fini(&pool);
    cr_assert_eq(f.bytes_out, 0);
}

Test(core_arena, the_limit_is_on_the_sum)
{
    hs_pool pool = pool_of(hs_mem_system(), 10);
    hs_arena a;
    for (size_t max = 0; max < 100; max++) {
        hs_arena_init(&a, &pool, max);
        size_t got = 0;
        while (hs_arena_take(&a, 3))
            got++;
        cr_assert_eq(got, max / 16); /* what is taken is rounded */
        cr_assert_null(hs_arena_take(&a, SIZE_MAX));
        cr_assert_null(hs_arena_take(&a, SIZE_MAX - 14));
        hs_arena_reset(&a);
        cr_assert_eq(!hs_arena_take(&a, 16), max < 16);
        hs_arena_reset(&a);
    }
    hs_pool_fini(&pool);
}

Test(core_arena, blocks_and_large_pieces_side_by_side)
{
    fault_mem f;
    fault_init(&f, 0, false);
    hs_pool pool = pool_of(&f.mem, 10);
    hs_arena a;
    hs_arena_init(&a, &pool, 1 << 20);
    uint8_t *small = hs_arena_take(&a, 10);
    size_t pieces = f.pieces_out;
    cr_assert_not_null(hs_arena_take(&a, HS_CHUNK_BYTES - 16)); /* just fits a block */
    cr_assert_eq(f.pieces_out, pieces);
    cr_assert_eq(pool.slots_used, 2);
    uint8_t *large = hs_arena_take(&a, HS_CHUNK_BYTES - 15);
    cr_assert_eq(f.pieces_out, pieces + 1);
    cr_assert_eq(pool.slots_used, 2);
    memset(large, 'l', HS_CHUNK_BYTES - 15);
    memset(small, 's', 10);
    uint8_t *next = hs_arena_take(&a, 100000);
    cr_assert_eq(f.pieces_out, pieces + 2);
    memset(next, 'n', 100000);
    cr_assert(small[9] == 's' && large[0] == 'l' && next[99999] == 'n');
    hs_arena_reset(&a);
    cr_assert_eq(f.pieces_out, pieces);
    cr_assert_eq(pool.slots_used, 0);
    hs_pool_fini(&pool);
}

Test(core_arena, copy)
{
    hs_pool pool = pool_of(hs_mem_system(), 1);
    hs_arena a;
    hs_arena_init(&a, &pool, 100);
    hs_span out = HS_SPAN("was");
    cr_assert(hs_ok(hs_arena_copy(&a, HS_SPAN("some text"), &out)));
    cr_assert(hs_span_eq(out, HS_SPAN("some text")));
    cr_assert(hs_ok(hs_arena_copy(&a, hs_span_of(NULL, 0), &out)));
    cr_assert_eq(out.len, 0);
    char big[100] = {0};
    cr_assert_eq(hs_arena_copy(&a, hs_span_of(big, 100), &out).code, -ENOMEM);
    hs_arena_reset(&a);
    hs_pool_fini(&pool);
}

/* The model: each piece is filled with its number, and still is at the end. */
Test(core_arena, model)
{
    enum { PIECES = 300 };
    rng r = rng_seeded("arena");
    hs_pool pool = pool_of(hs_mem_system(), 1000);
    hs_arena a;
    hs_arena_init(&a, &pool, 1 << 20);
    for (int round = 0; round < 100; round++) {
        uint8_t *pieces[PIECES];
        size_t sizes[PIECES], sum = 0;
        for (int i = 0; i < PIECES; i++) {
            sizes[i] = 1 + rng_below(&r, rng_one_in(&r, 50) ? 9000 : 200);
            pieces[i] = hs_arena_take(&a, sizes[i]);
            cr_assert_not_null(pieces[i]);
            cr_assert_eq((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], i, sizes[i]);
            sum += (sizes[i] + 15) / 16 * 16;
        }
        cr_assert_eq(a.bytes_used, sum);
        for (int i = 0; i < PIECES; i++) {
            for (size_t k = 0; k < sizes[i]; k++) {
                if (pieces[i][k] != (uint8_t)i)
                    cr_assert_fail("piece %d, byte %zu", i, k);
            }
        }
        hs_arena_reset(&a);
        cr_assert_eq(pool.slots_used, 0);
    }
    hs_pool_fini(&pool);
}

static hs_err scene_steps(hs_arena *a)
{
    static const uint8_t big[70000];
    hs_span out;
    for (int i = 0; i < 200; i++)
        HS_ENSURE(hs_arena_take(a, 1000), HS_E_LIMIT);
    HS_TRY(hs_arena_copy(a, hs_span_of(big, 5000), &out));
    return hs_arena_copy(a, hs_span_of(big, sizeof(big)), &out);
}

static hs_err scene(const hs_mem *mem)
{
    hs_pool pool;
    HS_TRY(hs_pool_init(&pool, mem, HS_CHUNK_BYTES, 100));
    hs_arena a;
    hs_arena_init(&a, &pool, 1 << 20);
    hs_err e = scene_steps(&a);
    hs_arena_reset(&a);
    hs_pool_fini(&pool);
    return e;
}

Test(core_arena, memory_fails)
{
    cr_assert_gt(fault_each(scene, false), 6);
}

Test(core_arena, steady_state_takes_nothing_from_the_system)
{
    hs_pool pool = pool_of(hs_mem_system(), 100);
    hs_arena a;
    hs_arena_init(&a, &pool, 1 << 20);
    uint64_t before = 0;
    for (int request = 0; request < 1000; request++) {
        for (int i = 0; i < 20; i++)
            cr_assert_not_null(hs_arena_take(&a, 500));
        hs_arena_reset(&a);
        if (request == 0)
            before = hs_mem_system_takes();
    }
    cr_assert_eq(hs_mem_system_takes(), before);
    hs_pool_fini(&pool);
}

#if defined(__SANITIZE_ADDRESS__)
Test(core_arena, what_was_not_taken_is_poisoned)
{
    hs_pool pool = pool_of(hs_mem_system(), 100);
    hs_arena a;
    hs_arena_init(&a, &pool, 1 << 20);
    uint8_t *piece = hs_arena_take(&a, 20);
    cr_assert_null(__asan_region_is_poisoned(piece, 20));
    cr_assert_neq(__asan_address_is_poisoned(piece + 20), 0);
    cr_assert_neq(__asan_address_is_poisoned(piece + 32), 0);
    hs_arena_reset(&a);
    cr_assert_neq(__asan_address_is_poisoned(piece), 0);
    hs_pool_fini(&pool);
}
#endif

Test(core_arena, nothing_is_no_size, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 1);
    hs_arena a;
    hs_arena_init(&a, &pool, 100);
    hs_arena_take(&a, 0);
}

Test(core_arena, the_pool_must_have_chunks, .signal = SIGABRT)
{
    hs_pool pool;
    cr_assert(hs_ok(hs_pool_init(&pool, hs_mem_system(), 64, 1)));
    hs_arena a;
    hs_arena_init(&a, &pool, 100);
}
