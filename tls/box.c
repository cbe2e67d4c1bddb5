/* What new connections use, published to all shards.
 *
 * Owns: one reference to the newest context, the keys of tickets, and the number of both together.
 * A shard compares the number at each new connection, and takes the lock only when it has changed:
 * for as long as it takes to count a reference and copy the keys. Who comes first after their time
 * changes the keys. Tested by: tests/unit/tls_ctx.c, tests/e2e/tls.py (reload under load). */
#include <stdatomic.h>

#include "tls.h"

/* A clock that is set back by no more than this leaves the keys as they are. */
#define CLOCK_STEP_S (HS_TLS_TICKET_S / 4)

struct hs_tls_box {
    const hs_mem *mem;
    hs_tls_ctx *ctx;
    tls_ticket_keys keys;
    _Atomic(uint32_t) generation; /* from 1 */
    _Atomic(uint64_t) rotate_s;   /* when the keys change next; 0: nobody has looked yet */
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
    if (!hs_ok(tls_ticket_rotate(&box->keys))) {
        hs_mem_give(mem, box, sizeof *box, 16);
        return NULL;
    }
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
    tls_forget(&box->keys, sizeof box->keys);
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

/* The keys' time is over, or the clock was set back so far that it would not end in time. A small
 * step back changes nothing: each change costs a key, and the sessions of its tickets. */
static bool keys_expired(uint64_t now_s, uint64_t due_s)
{
    return now_s >= due_s || due_s - now_s > HS_TLS_TICKET_S + CLOCK_STEP_S;
}

/* By one shard at a time; the others see it by the number. */
static void rotate(hs_tls_box *box, uint64_t now_s)
{
    lock(box);
    uint64_t due = atomic_load(&box->rotate_s);
    if (keys_expired(now_s, due)) {
        atomic_store(&box->rotate_s, now_s + HS_TLS_TICKET_S);
        /* Without random numbers the old ones stay for another period. */
        if (due != 0 && hs_ok(tls_ticket_rotate(&box->keys)))
            atomic_fetch_add(&box->generation, 1);
    }
    unlock(box);
}

bool tls_box_changed(hs_tls_box *box, uint32_t have, uint64_t now_s)
{
    if (keys_expired(now_s, atomic_load_explicit(&box->rotate_s, memory_order_relaxed)))
        rotate(box, now_s);
    return atomic_load_explicit(&box->generation, memory_order_acquire) != have;
}

hs_tls_ctx *tls_box_get(hs_tls_box *box, uint32_t *generation, tls_ticket_keys *keys)
{
    lock(box);
    hs_tls_ctx *ctx = hs_tls_ctx_ref(box->ctx);
    *generation = atomic_load(&box->generation);
    *keys = box->keys;
    unlock(box);
    return ctx;
}
