/* The pool: its rules one by one, then against a model, then with memory that fails. */
#include "core_help.h"

#include <signal.h>
#include <string.h>

#include "hs_assert.h"
#include "hs_pool.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

static hs_pool pool_of(const hs_mem *mem, size_t slot_bytes, uint32_t slots_max)
{
    hs_pool pool;
    cr_assert(hs_ok(hs_pool_init(&pool, mem, slot_bytes, slots_max)));
    return pool;
}

static uintptr_t slab_at(const void *slot)
{
    return (uintptr_t)slot & ~(uintptr_t)(HS_POOL_SLAB_BYTES - 1);
}

/* Take `count` slots into `slots`. */
static void take_all(hs_pool *pool, void **slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = hs_pool_take(pool);
        cr_assert_not_null(slots[i]);
    }
}

static void give_all(hs_pool *pool, void **slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        hs_pool_give(pool, slots[i]);
}

Test(core_pool, every_slot_size_is_cut_right)
{
    enum { COUNT = 60 };
    for (size_t bytes = 1; bytes <= 32768; bytes += bytes < 700 ? 1 : 61) {
        fault_mem f;
        fault_init(&f, 0, false);
        hs_pool pool = pool_of(&f.mem, bytes, COUNT);
        void *slots[COUNT];
        take_all(&pool, slots, COUNT);
        for (int i = 0; i < COUNT; i++) {
            uintptr_t at = (uintptr_t)slots[i];
            cr_assert_eq(at % (bytes % 64 == 0 ? 64 : 16), 0);
            cr_assert_leq(at - slab_at(slots[i]) + bytes, HS_POOL_SLAB_BYTES);
            memset(slots[i], i, bytes);
        }
        for (int i = 0; i < COUNT; i++) {
            const uint8_t *slot = slots[i];
            cr_assert(slot[0] == i && slot[bytes - 1] == i, "slot %d of %zu bytes", i, bytes);
            cr_assert_eq(hs_pool_get(&pool, hs_pool_ref(&pool, slot)), slot);
        }
        hs_pool_validate(&pool);
        give_all(&pool, slots, COUNT);
        hs_pool_validate(&pool);
        hs_pool_fini(&pool);
        cr_assert_eq(f.bytes_out, 0);
    }
}

Test(core_pool, chunks_begin_in_different_cache_sets)
{
    hs_pool pool = pool_of(hs_mem_system(), 4096, 15);
    void *slots[15];
    take_all(&pool, slots, 15);
    cr_assert_eq(pool.slabs_live, 1); /* spreading them costs no slot */
    for (int i = 0; i < 15; i++) {
        for (int k = 0; k < i; k++)
            cr_assert_neq((uintptr_t)slots[i] % 4096, (uintptr_t)slots[k] % 4096);
    }
    give_all(&pool, slots, 15);
    hs_pool_fini(&pool);
}

Test(core_pool, the_last_one_given_is_taken_first)
{
    hs_pool pool = pool_of(hs_mem_system(), 64, 1000);
    void *slots[10];
    take_all(&pool, slots, 10);
    hs_pool_give(&pool, slots[3]);
    hs_pool_give(&pool, slots[7]);
    cr_assert_eq(hs_pool_take(&pool), slots[7]);
    cr_assert_eq(hs_pool_take(&pool), slots[3]);
    give_all(&pool, slots, 10);
    hs_pool_fini(&pool);
}

Test(core_pool, the_lowest_slab_with_room_serves)
{
    enum { COUNT = 3 * 15 };
    hs_pool pool = pool_of(hs_mem_system(), 4096, COUNT);
    void *slots[COUNT];
    take_all(&pool, slots, COUNT);
    cr_assert_eq(pool.slabs_live, 3);
    cr_assert_null(hs_pool_take(&pool));
    hs_pool_give(&pool, slots[40]);
    hs_pool_give(&pool, slots[20]);
    hs_pool_give(&pool, slots[1]);
    hs_pool_validate(&pool);
    cr_assert_eq(hs_pool_take(&pool), slots[1]);
    cr_assert_eq(hs_pool_take(&pool), slots[20]);
    cr_assert_eq(hs_pool_take(&pool), slots[40]);
    cr_assert_null(hs_pool_take(&pool));
    hs_pool_validate(&pool);
    give_all(&pool, slots, COUNT);
    hs_pool_fini(&pool);
}

Test(core_pool, an_existing_slab_serves_before_a_new_one)
{
    hs_pool pool = pool_of(hs_mem_system(), 4096, 1000);
    void *slots[40];
    take_all(&pool, slots, 40);
    give_all(&pool, slots, 16); /* the first slab, and one of the second */
    cr_assert_eq(hs_pool_trim(&pool, 0), HS_POOL_SLAB_BYTES);
    cr_assert_eq(pool.slabs_live, 2);
    cr_assert_eq(hs_pool_take(&pool), slots[15]);
    take_all(&pool, slots, 5); /* the third has as many left */
    cr_assert_eq(pool.slabs_live, 2);
    take_all(&pool, slots + 5, 1);
    cr_assert_eq(pool.slabs_live, 3);
    hs_pool_validate(&pool);
    give_all(&pool, slots, 6);
    give_all(&pool, slots + 15, 25);
    hs_pool_fini(&pool);
}

Test(core_pool, the_limit_holds_inside_a_slab)
{
    hs_pool pool = pool_of(hs_mem_system(), 16, 5);
    void *slots[5];
    for (int round = 0; round < 3; round++) {
        take_all(&pool, slots, 5);
        cr_assert_null(hs_pool_take(&pool));
        give_all(&pool, slots, 5);
    }
    hs_pool_fini(&pool);
}

Test(core_pool, references_go_stale)
{
    hs_pool pool = pool_of(hs_mem_system(), 100, 5000);
    void *slot = hs_pool_take(&pool);
    uint64_t first = hs_pool_ref(&pool, slot);
    cr_assert_neq(first, 0);
    cr_assert_eq(hs_pool_get(&pool, first), slot);
    hs_pool_give(&pool, slot);
    cr_assert_null(hs_pool_get(&pool, first));
    cr_assert_eq(hs_pool_take(&pool), slot);
    cr_assert_null(hs_pool_get(&pool, first));
    uint64_t second = hs_pool_ref(&pool, slot);
    cr_assert_neq(second, first);
    cr_assert_eq(hs_pool_get(&pool, second), slot);
    cr_assert_null(hs_pool_get(&pool, 0));
    cr_assert_null(hs_pool_get(&pool, UINT64_MAX));
    cr_assert_null(hs_pool_get(&pool, second + 1));            /* a slot that was never taken */
    cr_assert_null(hs_pool_get(&pool, second | 1u << 12));     /* a slab that is not there */
    cr_assert_null(hs_pool_get(&pool, second | 0xfffu << 20)); /* a slab that can never be */
    cr_assert_null(hs_pool_get(&pool, second + (UINT64_C(1) << 32)));
    hs_pool_give(&pool, slot);
    hs_pool_fini(&pool);
}

Test(core_pool, junk_in_a_new_slab_is_no_generation)
{
    fault_mem f; /* fills what it gives with 0xa5, which would be an odd generation */
    fault_init(&f, 0, false);
    hs_pool pool = pool_of(&f.mem, 100, 5000);
    void *slot = hs_pool_take(&pool);
    for (uint64_t place = 0; place < 4096; place++)
        cr_assert_null(hs_pool_get(&pool, UINT64_C(0xa5a5a5a5) << 32 | place));
    hs_pool_give(&pool, slot);
    hs_pool_fini(&pool);
}

Test(core_pool, generations_survive_their_slab)
{
    enum { ROUNDS = 50 };
    hs_pool pool = pool_of(hs_mem_system(), 32768, 1); /* one slot in all: always the same number */
    uint64_t seen[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        void *slot = hs_pool_take(&pool);
        seen[i] = hs_pool_ref(&pool, slot);
        for (int k = 0; k < i; k++) {
            cr_assert_neq(seen[k], seen[i]);
            cr_assert_null(hs_pool_get(&pool, seen[k]));
        }
        hs_pool_give(&pool, slot);
        if (i % 3 == 2)
            cr_assert_eq(hs_pool_trim(&pool, 0), HS_POOL_SLAB_BYTES);
    }
    hs_pool_fini(&pool);
}

Test(core_pool, generations_wrap_around)
{
    hs_pool pool = pool_of(hs_mem_system(), 32768, 1);
    pool.generation = UINT32_MAX - 3; /* even, as if 2^31 slots had come and gone */
    uint64_t refs[8];
    for (int i = 0; i < 8; i++) {
        void *slot = hs_pool_take(&pool);
        refs[i] = hs_pool_ref(&pool, slot);
        cr_assert_neq(refs[i], 0);
        cr_assert(i == 0 || !hs_pool_get(&pool, refs[i - 1]));
        hs_pool_give(&pool, slot);
        hs_pool_trim(&pool, 0);
        hs_pool_validate(&pool);
    }
    cr_assert_lt(refs[7] >> 32, 100);
    hs_pool_fini(&pool);
}

Test(core_pool, trim_keeps_the_lowest)
{
    enum { COUNT = 5 * 15 };
    hs_pool pool = pool_of(hs_mem_system(), 4096, COUNT);
    void *slots[COUNT];
    take_all(&pool, slots, COUNT);
    cr_assert_eq(hs_pool_trim(&pool, 0), 0);
    give_all(&pool, slots, 30);      /* slabs 0 and 1 */
    give_all(&pool, slots + 45, 30); /* slabs 3 and 4 */
    cr_assert_eq(hs_pool_trim(&pool, 4), 0);
    cr_assert_eq(hs_pool_trim(&pool, 1), 3 * HS_POOL_SLAB_BYTES);
    cr_assert_eq(pool.slabs_live, 2);
    hs_pool_validate(&pool);
    cr_assert_eq(slab_at(hs_pool_take(&pool)), slab_at(slots[0]));
    hs_pool_give(&pool, slots[14]);
    give_all(&pool, slots + 30, 15);
    cr_assert_eq(hs_pool_trim(&pool, 0), 2 * HS_POOL_SLAB_BYTES);
    hs_pool_fini(&pool);
}

Test(core_pool, a_period_keeps_what_it_needed)
{
    enum { COUNT = 5 * 15 };
    fault_mem f;
    fault_init(&f, 0, false);
    hs_pool pool = pool_of(&f.mem, 4096, COUNT);
    void *slots[COUNT];
    bool more;
    for (int period = 0; period < 4; period++) {
        take_all(&pool, slots, COUNT); /* a burst, over before the period is */
        give_all(&pool, slots, COUNT);
        cr_assert_eq(hs_pool_trim_period(&pool, UINT32_MAX, &more), 0);
        cr_assert(more);
        hs_pool_validate(&pool);
    }
    cr_assert_eq(pool.slabs_live, 5);
    take_all(&pool, slots, 20); /* a smaller one */
    give_all(&pool, slots, 20);
    cr_assert_eq(hs_pool_trim_period(&pool, UINT32_MAX, &more), 3);
    cr_assert(more);
    cr_assert_eq(hs_pool_trim_period(&pool, UINT32_MAX, &more), 1);
    cr_assert_not(more);
    cr_assert_eq(hs_pool_trim_period(&pool, UINT32_MAX, &more), 0);
    cr_assert_not(more);
    cr_assert_eq(pool.slabs_live, 1);
    hs_pool_validate(&pool);
    hs_pool_fini(&pool);
    cr_assert_eq(f.bytes_out, 0);
}

/* A slab that serves over the start of a period is needed in it, although nobody looks for it. */
Test(core_pool, a_period_begins_with_the_slab_that_serves)
{
    hs_pool pool = pool_of(hs_mem_system(), 4096, 60);
    void *slots[40];
    bool more;
    take_all(&pool, slots, 40);
    (void)hs_pool_trim_period(&pool, UINT32_MAX, &more);
    void *third = hs_pool_take(&pool);
    cr_assert_eq(slab_at(third), slab_at(slots[39]));
    hs_pool_give(&pool, third);
    give_all(&pool, slots, 40);
    cr_assert_eq(hs_pool_trim_period(&pool, UINT32_MAX, &more), 0);
    cr_assert(more);
    cr_assert_eq(hs_pool_trim_period(&pool, UINT32_MAX, &more), 2);
    hs_pool_fini(&pool);
}

Test(core_pool, a_period_gives_back_a_bounded_number_and_the_rest_follows)
{
    hs_pool pool = pool_of(hs_mem_system(), 4096, 150); /* 15 to a slab */
    void *slots[150];
    bool more;
    take_all(&pool, slots, 150);
    (void)hs_pool_trim_period(&pool, 3, &more);
    give_all(&pool, slots, 150);
    (void)hs_pool_trim_period(&pool, 3, &more); /* they were needed in this one */
    cr_assert_eq(pool.slabs_live, 10);
    cr_assert_eq(hs_pool_trim_period(&pool, 3, &more), 3);
    cr_assert(hs_pool_trim_pending(&pool));
    cr_assert_eq(hs_pool_trim_rest(&pool, 4), 4);
    cr_assert(hs_pool_trim_pending(&pool));
    take_all(&pool, slots, 20); /* two slabs are needed again: those stay */
    give_all(&pool, slots, 20);
    cr_assert_eq(hs_pool_trim_rest(&pool, 4), 1);
    cr_assert_not(hs_pool_trim_pending(&pool));
    cr_assert_eq(hs_pool_trim_rest(&pool, 4), 0);
    cr_assert_eq(pool.slabs_live, 2);
    hs_pool_validate(&pool);
    hs_pool_fini(&pool);
}

typedef struct visit {
    hs_pool *pool;
    uint32_t count;
    uint64_t sum;
} visit;

static void count_and_give(void *slot, void *ctx)
{
    visit *v = ctx;
    v->count++;
    v->sum += *(uint32_t *)slot;
    if (v->pool)
        hs_pool_give(v->pool, slot);
}

Test(core_pool, each_sees_the_used_ones)
{
    enum { COUNT = 40 };
    hs_pool pool = pool_of(hs_mem_system(), 4096, COUNT);
    void *slots[COUNT];
    take_all(&pool, slots, COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        *(uint32_t *)slots[i] = i;
    give_all(&pool, slots + 15, 15); /* all of the second slab: gone when it is trimmed */
    hs_pool_trim(&pool, 0);
    hs_pool_give(&pool, slots[0]);
    visit v = {NULL, 0, 0};
    hs_pool_each(&pool, count_and_give, &v);
    cr_assert_eq(v.count, 24);
    cr_assert_eq(v.sum, 780 - 330);
    v = (visit){&pool, 0, 0};
    hs_pool_each(&pool, count_and_give, &v);
    cr_assert_eq(v.count, 24);
    cr_assert_eq(pool.slots_used, 0);
    hs_pool_fini(&pool);
}

/* The model: what is used, and every reference that was ever seen. */
enum { MODEL_SLOTS = 400, MODEL_STALE = 4000 };
typedef struct model {
    void *slots[MODEL_SLOTS];
    uint64_t refs[MODEL_SLOTS], stale[MODEL_STALE];
    uint32_t used, stale_count;
} model;

static void model_take(model *m, hs_pool *pool)
{
    void *slot = hs_pool_take(pool);
    cr_assert_eq(!slot, m->used == pool->slots_max);
    if (!slot)
        return;
    for (uint32_t i = 0; i < m->used; i++)
        cr_assert_neq(m->slots[i], slot);
    m->slots[m->used] = slot;
    m->refs[m->used] = hs_pool_ref(pool, slot);
    memset(slot, (int)m->refs[m->used], pool->slot_bytes);
    m->used++;
}

static void model_give(model *m, hs_pool *pool, uint32_t i)
{
    const uint8_t *slot = m->slots[i];
    cr_assert_eq(hs_pool_get(pool, m->refs[i]), slot);
    cr_assert_eq(hs_pool_ref(pool, slot), m->refs[i]);
    cr_assert_eq(slot[0], (uint8_t)m->refs[i]);
    cr_assert_eq(slot[pool->slot_bytes - 1], (uint8_t)m->refs[i]);
    hs_pool_give(pool, m->slots[i]);
    m->stale[m->stale_count++ % MODEL_STALE] = m->refs[i];
    m->used--;
    m->slots[i] = m->slots[m->used];
    m->refs[i] = m->refs[m->used];
}

static void model_check(const model *m, hs_pool *pool)
{
    hs_pool_validate(pool);
    cr_assert_eq(pool->slots_used, m->used);
    for (uint32_t i = 0; i < m->used; i++)
        cr_assert_eq(hs_pool_get(pool, m->refs[i]), m->slots[i]);
    for (uint32_t i = 0; i < HS_MIN(m->stale_count, (uint32_t)MODEL_STALE); i++)
        cr_assert_null(hs_pool_get(pool, m->stale[i]));
}

static void model_run(rng *r, size_t slot_bytes)
{
    static model m;
    memset(&m, 0, sizeof(m));
    fault_mem f;
    fault_init(&f, 0, false);
    hs_pool pool = pool_of(&f.mem, slot_bytes, MODEL_SLOTS - rng_below(r, 20));
    uint32_t takes_in_10 = 5;
    for (int step = 0; step < 6000; step++) {
        if (step % 500 == 0)
            takes_in_10 = 1 + rng_below(r, 9); /* bursts, and their end */
        if (rng_below(r, 10) < takes_in_10)
            model_take(&m, &pool);
        else if (m.used > 0)
            model_give(&m, &pool, rng_below(r, m.used));
        if (rng_one_in(r, 100)) {
            uint32_t keep = rng_below(r, 5), slabs_max = rng_below(r, 5), live = pool.slabs_live;
            bool more;
            size_t slabs = keep == 3   ? hs_pool_trim_period(&pool, slabs_max, &more)
                           : keep == 4 ? hs_pool_trim_rest(&pool, slabs_max)
                                       : hs_pool_trim(&pool, keep) / HS_POOL_SLAB_BYTES;
            cr_assert_eq(slabs, live - pool.slabs_live);
            cr_assert(keep < 3 || slabs <= slabs_max);
        }
        if (rng_one_in(r, 50))
            model_check(&m, &pool);
    }
    while (m.used > 0)
        model_give(&m, &pool, m.used - 1);
    model_check(&m, &pool);
    hs_pool_fini(&pool);
    cr_assert_eq(f.bytes_out, 0);
}

Test(core_pool, model)
{
    rng r = rng_seeded("pool");
    static const size_t bytes[] = {16, 200, 1024, 4096, 16384, 20000, 32768};
    for (size_t i = 0; i < HS_ARRAY_LEN(bytes); i++)
        model_run(&r, bytes[i]);
}

static hs_err scene(const hs_mem *mem)
{
    hs_pool pool;
    HS_TRY(hs_pool_init(&pool, mem, 4096, 50));
    void *slots[50];
    uint32_t count = 0;
    hs_err e = HS_OK;
    while (count < 50) {
        slots[count] = hs_pool_take(&pool);
        if (!slots[count]) {
            e = hs_err_of(HS_E_LIMIT);
            slots[count] = hs_pool_take(&pool); /* memory may be back */
            if (!slots[count])
                break;
        }
        count++;
        hs_pool_validate(&pool);
    }
    give_all(&pool, slots, count);
    hs_pool_fini(&pool);
    return e;
}

Test(core_pool, memory_fails)
{
    cr_assert_eq(fault_each(scene, false), 1 + 4 + 1); /* the table, four slabs, and all well */
}

Test(core_pool, fini_after_failed_init_is_harmless)
{
    fault_mem f;
    fault_init(&f, 1, false);
    hs_pool pool;
    memset(&pool, 0xee, sizeof(pool));
    cr_assert_eq(hs_err_class(hs_pool_init(&pool, &f.mem, 16, 10)), HS_ERR_LIMIT);
    hs_pool_fini(&pool);
}

#if defined(__SANITIZE_ADDRESS__)
Test(core_pool, a_free_slot_is_poisoned)
{
    hs_pool pool = pool_of(hs_mem_system(), 100, 100);
    uint8_t *slots[3] = {hs_pool_take(&pool), hs_pool_take(&pool), hs_pool_take(&pool)};
    cr_assert_null(__asan_region_is_poisoned(slots[0], 112));
    cr_assert_neq(__asan_address_is_poisoned(slots[2] + 112), 0); /* never taken */
    hs_pool_give(&pool, slots[1]);
    for (int i = 0; i < 112; i++)
        cr_assert_neq(__asan_address_is_poisoned(slots[1] + i), 0);
    hs_pool_validate(&pool);
    cr_assert_neq(__asan_address_is_poisoned(slots[1]), 0);
    cr_assert_eq(hs_pool_take(&pool), slots[1]);
    cr_assert_null(__asan_region_is_poisoned(slots[1], 112));
    for (int i = 0; i < 3; i++)
        hs_pool_give(&pool, slots[i]);
    hs_pool_fini(&pool);
}
#else
Test(core_pool, a_write_after_give_is_seen, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 64, 100);
    void *slot = hs_pool_take(&pool);
    hs_pool_give(&pool, slot);
    memset(slot, 0xee, 64);
    hs_pool_take(&pool);
}
#endif

Test(core_pool, given_twice, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 64, 100);
    void *slot = hs_pool_take(&pool);
    hs_pool_give(&pool, slot);
    hs_pool_give(&pool, slot);
}

Test(core_pool, given_to_another_pool, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 64, 100), other = pool_of(hs_mem_system(), 64, 100);
    cr_assert_not_null(hs_pool_take(&other));
    hs_pool_give(&other, hs_pool_take(&pool));
}

Test(core_pool, given_in_its_middle, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 64, 100);
    hs_pool_give(&pool, (uint8_t *)hs_pool_take(&pool) + 16);
}

Test(core_pool, given_but_never_taken, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 64, 100);
    hs_pool_give(&pool, (uint8_t *)hs_pool_take(&pool) + 64);
}

Test(core_pool, fini_with_a_used_slot, .signal = SIGABRT)
{
    hs_pool pool = pool_of(hs_mem_system(), 64, 100);
    cr_assert_not_null(hs_pool_take(&pool));
    hs_pool_fini(&pool);
}

Test(core_pool, slots_that_are_too_large, .signal = SIGABRT)
{
    hs_pool pool;
    hs_err e = hs_pool_init(&pool, hs_mem_system(), 32769, 1);
    cr_assert(hs_ok(e));
}
