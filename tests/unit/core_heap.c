/* The timer heap: rule by rule, then against a plain array of deadlines, then without memory. */
#include "core_help.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "hs_heap.h"

Test(core_heap, comes_out_in_order)
{
    enum { COUNT = 1000 };
    static hs_heap_node nodes[COUNT];
    hs_heap h;
    hs_heap_init(&h, hs_mem_system(), COUNT);
    cr_assert_eq(hs_heap_next(&h), UINT64_MAX);
    cr_assert_null(hs_heap_pop(&h, UINT64_MAX));
    for (uint64_t i = 0; i < COUNT; i++)
        cr_assert(hs_ok(hs_heap_add(&h, &nodes[i], i * 7919 % COUNT)));
    hs_heap_validate(&h);
    for (uint64_t due = 0; due < COUNT; due++) {
        cr_assert_eq(hs_heap_next(&h), due);
        cr_assert(due == 0 || !hs_heap_pop(&h, due - 1));
        hs_heap_node *node = hs_heap_pop(&h, due);
        cr_assert_not_null(node);
        cr_assert_not(hs_heap_has(node));
        cr_assert_eq((uint64_t)(node - nodes) * 7919 % COUNT, due);
    }
    cr_assert_eq(h.len, 0);
    hs_heap_fini(&h);
}

Test(core_heap, siblings_share_a_cache_line)
{
    enum { COUNT = 100 };
    static hs_heap_node nodes[COUNT];
    hs_heap h;
    hs_heap_init(&h, hs_mem_system(), COUNT);
    for (uint64_t i = 0; i < COUNT; i++)
        cr_assert(hs_ok(hs_heap_add(&h, &nodes[i], i)));
    for (uint32_t i = 0; 4 * i + 4 < h.len; i++)
        cr_assert_eq((uintptr_t)&h.items[4 * i + 1] % 64, 0);
    hs_heap_fini(&h);
}

Test(core_heap, the_limit)
{
    hs_heap_node nodes[3] = {0};
    hs_heap h;
    hs_heap_init(&h, hs_mem_system(), 2);
    cr_assert(hs_ok(hs_heap_add(&h, &nodes[0], 5)));
    cr_assert(hs_ok(hs_heap_add(&h, &nodes[1], UINT64_MAX)));
    cr_assert_eq(hs_heap_add(&h, &nodes[2], 1).code, HS_E_LIMIT);
    cr_assert_not(hs_heap_has(&nodes[2]));
    hs_heap_validate(&h);
    hs_heap_cancel(&h, &nodes[2]); /* in none: nothing */
    hs_heap_cancel(&h, &nodes[0]);
    cr_assert(hs_ok(hs_heap_add(&h, &nodes[2], 1)));
    cr_assert_eq(hs_heap_pop(&h, UINT64_MAX), &nodes[2]);
    cr_assert_eq(hs_heap_pop(&h, UINT64_MAX), &nodes[1]);
    hs_heap_fini(&h);
}

Test(core_heap, grows_and_shrinks)
{
    enum { COUNT = 20000 };
    static hs_heap_node nodes[COUNT];
    fault_mem f;
    fault_init(&f, 0, false);
    hs_heap h;
    hs_heap_init(&h, &f.mem, COUNT);
    cr_assert_eq(f.takes, 0);
    for (uint64_t i = 0; i < COUNT; i++)
        cr_assert(hs_ok(hs_heap_add(&h, &nodes[i], i)));
    cr_assert_geq(f.bytes_out, COUNT * sizeof(hs_heap_item));
    while (hs_heap_pop(&h, UINT64_MAX))
        cr_assert_leq(f.bytes_out, HS_MAX((size_t)4096, 5 * (h.len + 3) * sizeof(hs_heap_item)));
    cr_assert_eq(f.bytes_out, 4096);
    uint64_t before = f.takes;
    for (int round = 0; round < 100; round++) { /* few timers that come and go take nothing */
        for (uint64_t i = 0; i < 250; i++)
            cr_assert(hs_ok(hs_heap_add(&h, &nodes[i], i)));
        for (uint64_t i = 0; i < 250; i++)
            hs_heap_cancel(&h, &nodes[i]);
    }
    cr_assert_eq(f.takes, before);
    hs_heap_fini(&h);
    cr_assert_eq(f.bytes_out, 0);
}

/* The model: an array of deadlines; UINT64_MAX - 1 and below are used, `in` says which. */
enum { MODEL_NODES = 700 };
typedef struct model {
    hs_heap_node nodes[MODEL_NODES];
    uint64_t deadlines[MODEL_NODES];
    bool in[MODEL_NODES];
    uint32_t len;
} model;

static uint64_t model_next(const model *m)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < MODEL_NODES; i++)
        next = m->in[i] ? HS_MIN(next, m->deadlines[i]) : next;
    return next;
}

static void model_pop(model *m, hs_heap *h, uint64_t now)
{
    uint64_t next = model_next(m);
    hs_heap_node *node = hs_heap_pop(h, now);
    if (next > now || m->len == 0) {
        cr_assert_null(node);
        return;
    }
    cr_assert_not_null(node);
    size_t i = (size_t)(node - m->nodes);
    cr_assert(m->in[i]);
    cr_assert_eq(m->deadlines[i], next);
    m->in[i] = false;
    m->len--;
}

static void model_step(model *m, rng *r, hs_heap *h, uint32_t adds_in_10)
{
    uint32_t i = rng_below(r, MODEL_NODES);
    /* Often the same deadlines, now and then the largest. */
    uint64_t deadline = rng_one_in(r, 20) ? UINT64_MAX : rng_below(r, 300);
    if (rng_below(r, 10) < adds_in_10) {
        if (m->in[i]) {
            hs_heap_move(h, &m->nodes[i], deadline);
        } else {
            hs_err e = hs_heap_add(h, &m->nodes[i], deadline);
            cr_assert_eq(e.code, m->len == h->len_max ? HS_E_LIMIT : 0);
            if (!hs_ok(e))
                return;
            m->len++;
        }
        m->in[i] = true;
        m->deadlines[i] = deadline;
    } else if (rng_one_in(r, 2)) {
        hs_heap_cancel(h, &m->nodes[i]);
        m->len -= m->in[i];
        m->in[i] = false;
    } else {
        model_pop(m, h, rng_one_in(r, 10) ? UINT64_MAX : rng_below(r, 400));
    }
    cr_assert_eq(hs_heap_has(&m->nodes[i]), m->in[i]);
    cr_assert_eq(h->len, m->len);
}

Test(core_heap, model)
{
    static model m;
    rng r = rng_seeded("heap");
    for (int round = 0; round < 10; round++) {
        fault_mem f;
        fault_init(&f, 0, false);
        hs_heap h;
        memset(&m, 0, sizeof(m));
        hs_heap_init(&h, &f.mem, MODEL_NODES - rng_below(&r, 300));
        uint32_t adds_in_10 = 5;
        for (int step = 0; step < 10000; step++) {
            if (step % 1000 == 0)
                adds_in_10 = 1 + rng_below(&r, 9);
            model_step(&m, &r, &h, adds_in_10);
            hs_heap_validate(&h);
            if (step % 16 == 0)
                cr_assert_eq(hs_heap_next(&h), model_next(&m));
        }
        while (m.len > 0)
            model_pop(&m, &h, UINT64_MAX);
        hs_heap_fini(&h);
        cr_assert_eq(f.bytes_out, 0);
    }
}

static hs_err scene(const hs_mem *mem)
{
    enum { COUNT = 3000 };
    static hs_heap_node nodes[COUNT];
    hs_heap h;
    hs_err first = HS_OK;
    hs_heap_init(&h, mem, COUNT);
    memset(nodes, 0, sizeof(nodes));
    for (uint64_t i = 0; i < COUNT; i++) {
        hs_err e = hs_heap_add(&h, &nodes[i], i % 97);
        cr_assert(hs_ok(e) || e.code == -ENOMEM);
        cr_assert_eq(hs_heap_has(&nodes[i]), hs_ok(e));
        if (hs_ok(first))
            first = e;
    }
    hs_heap_validate(&h);
    uint64_t last = 0;
    while (h.len > 0) { /* shrinking fails as well, unseen */
        cr_assert_geq(hs_heap_next(&h), last);
        last = hs_heap_next(&h);
        cr_assert_not_null(hs_heap_pop(&h, last));
    }
    hs_heap_fini(&h);
    return first;
}

Test(core_heap, memory_fails)
{
    cr_assert_gt(fault_each(scene, true), 10);
}

Test(core_heap, without_memory_add_says_so)
{
    fault_mem f;
    fault_init(&f, 1, true);
    hs_heap_node node = {0};
    hs_heap h;
    hs_heap_init(&h, &f.mem, 10);
    cr_assert_eq(hs_heap_add(&h, &node, 1).code, -ENOMEM);
    hs_heap_validate(&h);
    hs_heap_fini(&h);
}

Test(core_heap, added_twice, .signal = SIGABRT)
{
    hs_heap_node node = {0};
    hs_heap h;
    hs_heap_init(&h, hs_mem_system(), 10);
    for (int i = 0; i < 2; i++) {
        hs_err e = hs_heap_add(&h, &node, 1);
        cr_assert(hs_ok(e));
    }
}

Test(core_heap, moved_but_in_none, .signal = SIGABRT)
{
    hs_heap_node node = {0};
    hs_heap h;
    hs_heap_init(&h, hs_mem_system(), 10);
    hs_heap_move(&h, &node, 1);
}

Test(core_heap, cancelled_in_another, .signal = SIGABRT)
{
    hs_heap_node nodes[2] = {0};
    hs_heap h, other;
    hs_heap_init(&h, hs_mem_system(), 10);
    hs_heap_init(&other, hs_mem_system(), 10);
    cr_assert(hs_ok(hs_heap_add(&h, &nodes[0], 1)));
    cr_assert(hs_ok(hs_heap_add(&other, &nodes[1], 1)));
    hs_heap_cancel(&other, &nodes[0]);
}

Test(core_heap, validate_sees_a_wrong_order, .signal = SIGABRT)
{
    hs_heap_node nodes[2] = {0};
    hs_heap h;
    hs_heap_init(&h, hs_mem_system(), 10);
    cr_assert(hs_ok(hs_heap_add(&h, &nodes[0], 1)));
    cr_assert(hs_ok(hs_heap_add(&h, &nodes[1], 2)));
    h.items[0].deadline = 3;
    hs_heap_validate(&h);
}
