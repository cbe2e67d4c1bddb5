/* The queue with both sides in one thread, against a plain count; two threads: tests/plain. */
#include "core_help.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "hs_spsc.h"

static hs_spsc queue_of(const hs_mem *mem, uint32_t capacity, uint32_t item_bytes)
{
    hs_spsc q;
    cr_assert(hs_ok(hs_spsc_init(&q, mem, capacity, item_bytes)));
    return q;
}

Test(core_spsc, full_and_empty)
{
    hs_spsc q = queue_of(hs_mem_system(), 4, sizeof(int));
    int items[8];
    for (int round = 0; round < 10; round++) {
        cr_assert(hs_spsc_empty(&q));
        cr_assert_eq(hs_spsc_pop(&q, items, 8), 0);
        for (int i = 0; i < 4; i++) {
            cr_assert(hs_spsc_push(&q, &i));
            cr_assert_not(hs_spsc_empty(&q));
        }
        int late = 4;
        cr_assert_not(hs_spsc_push(&q, &late));
        cr_assert_eq(hs_spsc_pop(&q, items, 0), 0);
        cr_assert_eq(hs_spsc_pop(&q, items, 1), 1);
        cr_assert_eq(items[0], 0);
        cr_assert(hs_spsc_push(&q, &late));
        cr_assert_not(hs_spsc_push(&q, &late));
        cr_assert_eq(hs_spsc_pop(&q, items, 8), 4);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(items[i], i + 1);
    }
    hs_spsc_fini(&q);
}

Test(core_spsc, the_sides_are_apart)
{
    hs_spsc q = queue_of(hs_mem_system(), 2, 1);
    size_t lines[] = {(uintptr_t)&q.mask / HS_CACHE_PAIR, (uintptr_t)&q.tail / HS_CACHE_PAIR,
                      (uintptr_t)&q.head / HS_CACHE_PAIR};
    cr_assert(lines[0] != lines[1] && lines[1] != lines[2] && lines[0] != lines[2]);
    cr_assert_eq((uintptr_t)&q.head_seen / HS_CACHE_PAIR, lines[1]);
    cr_assert_eq((uintptr_t)&q.tail_seen / HS_CACHE_PAIR, lines[2]);
    hs_spsc_fini(&q);
}

/* The model: items carry their number, so the next one is known. */
static void model_run(rng *r, uint32_t capacity, uint32_t item_bytes)
{
    uint8_t item[100], items[16 * 100];
    fault_mem f;
    fault_init(&f, 0, false);
    hs_spsc q = queue_of(&f.mem, capacity, item_bytes);
    /* As if it had run for long: the indexes are about to wrap around. */
    uint32_t start = UINT32_MAX - rng_below(r, 1000);
    atomic_store(&q.head, start);
    atomic_store(&q.tail, start);
    q.head_seen = q.tail_seen = start;
    uint32_t pushed = 0, popped = 0, pushes_in_10 = 5;
    for (int step = 0; step < 20000; step++) {
        if (step % 200 == 0)
            pushes_in_10 = 1 + rng_below(r, 9);
        if (rng_below(r, 10) < pushes_in_10) {
            memset(item, (uint8_t)pushed, item_bytes);
            cr_assert_eq(hs_spsc_push(&q, item), pushed - popped < capacity);
            pushed += pushed - popped < capacity;
        } else {
            uint32_t max = rng_below(r, 17);
            uint32_t n = hs_spsc_pop(&q, items, max);
            cr_assert_eq(n, HS_MIN(max, pushed - popped));
            for (uint32_t i = 0; i < n; i++, popped++) {
                const uint8_t *at = items + i * item_bytes;
                cr_assert(at[0] == (uint8_t)popped && at[item_bytes - 1] == (uint8_t)popped);
            }
        }
        cr_assert_eq(hs_spsc_empty(&q), pushed == popped);
    }
    hs_spsc_fini(&q);
    cr_assert_eq(f.bytes_out, 0);
}

Test(core_spsc, model)
{
    rng r = rng_seeded("spsc");
    static const uint32_t capacities[] = {2, 4, 64, 512};
    static const uint32_t bytes[] = {1, 8, 48, 100};
    for (size_t i = 0; i < HS_ARRAY_LEN(capacities); i++) {
        for (size_t k = 0; k < HS_ARRAY_LEN(bytes); k++)
            model_run(&r, capacities[i], bytes[k]);
    }
}

Test(core_spsc, memory_fails)
{
    fault_mem f;
    fault_init(&f, 1, true);
    hs_spsc q;
    cr_assert_eq(hs_spsc_init(&q, &f.mem, 16, 16).code, -ENOMEM);
    hs_spsc_fini(&q);
    cr_assert_eq(f.bytes_out, 0);
}

Test(core_spsc, three_is_no_capacity, .signal = SIGABRT)
{
    hs_spsc q = queue_of(hs_mem_system(), 3, 1);
    hs_spsc_fini(&q);
}

Test(core_spsc, items_of_nothing, .signal = SIGABRT)
{
    hs_spsc q = queue_of(hs_mem_system(), 4, 0);
    hs_spsc_fini(&q);
}
