/* What new connections use, published to all shards.
 *
 * Owns: one reference to the newest context, and its number. A shard compares the number at each
 * new connection, and takes the lock only when it has changed: for as long as it takes to count a
 * reference. Tested by: tests/unit/tls_ctx.c, tests/e2e/tls.py (reload under load). */
#include <stdatomic.h>

#include "tls.h"

struct hs_tls_box {
    const hs_mem *mem;
    hs_tls_ctx *ctx;
    _Atomic(uint32_t) generation; /* from 1 */
    atomic_flag lock;
};

static void lock(hs_tls_box *box)
{
    while (atomic_flag_test_and_set_explicit(&box->lock, memory_order_acquire))
        continue;
}

static void unlock(hs_tls_box *box)
{
    atomic_flag_clear_explicit(&box->lock, memory_order_release);
}

hs_tls_box *hs_tls_box_create(const hs_mem *mem, hs_tls_ctx *ctx)
{
    HS_ASSERT(ctx != NULL);
    mem = mem ? mem : hs_mem_system();
    hs_tls_box *box = hs_mem_take_zero(mem, sizeof *box, 16);
    if (!box)
        return NULL;
    box->mem = mem;
    box->ctx = hs_tls_ctx_ref(ctx);
    atomic_init(&box->generation, 1);
    atomic_flag_clear(&box->lock);
    return box;
}

void hs_tls_box_destroy(hs_tls_box *box)
{
    if (!box)
        return;
    hs_tls_ctx_unref(box->ctx);
    hs_mem_give(box->mem, box, sizeof *box, 16);
}

void hs_tls_box_publish(hs_tls_box *box, hs_tls_ctx *ctx)
{
    HS_ASSERT(ctx != NULL);
    hs_tls_ctx_ref(ctx);
    lock(box);
    hs_tls_ctx *before = box->ctx;
    box->ctx = ctx;
    atomic_fetch_add(&box->generation, 1);
    unlock(box);
    hs_tls_ctx_unref(before);
}

uint32_t tls_box_generation(const hs_tls_box *box)
{
    return atomic_load_explicit(&box->generation, memory_order_acquire);
}

hs_tls_ctx *tls_box_get(hs_tls_box *box, uint32_t *generation)
{
    lock(box);
    hs_tls_ctx *ctx = hs_tls_ctx_ref(box->ctx);
    *generation = tls_box_generation(box);
    unlock(box);
    return ctx;
}
