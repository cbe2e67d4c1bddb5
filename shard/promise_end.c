/* The promises of a shard that begins or ends.
 *
 * Owns: how what is left in promises is dropped. Must not know: who left it.
 * Tested by: tests/unit/shard_promise.c. */
#include "inside.h"

hs_err promises_init(hs_shard *s)
{
    s->promises.nomem = (hs_promise){.where = "nowhere",
                                     .err = {-ENOMEM},
                                     .refs = 1,
                                     .state = HS_PROMISE_REJECTED,
                                     .handled = true};
    return hs_counters_register(&s->counters, "promises_unhandled", &s->promises.unhandled_id);
}

typedef struct leavings {
    hs_shard *s;
    uint32_t pending;
    bool dropped;
} leavings;

static void count_pending(void *slot, void *ctx)
{
    const hs_promise *p = slot;
    ((leavings *)ctx)->pending += p->state == HS_PROMISE_PENDING;
}

/* Drop what is in one slot. Drop functions may settle other promises, and give up handles. */
static void empty_slot(void *slot, void *ctx)
{
    leavings *left = ctx;
    hs_promise *p = slot;
    hs_outcome o = {0};
    if (p->state != HS_PROMISE_PENDING) {
        o = (hs_outcome){.value = p->value, .drop = p->drop};
        p->drop = NULL;
    } else if (p->kind == PROMISE_KEEPS) {
        o = (hs_outcome){.value = p->kept.value, .drop = p->kept.drop};
        p->kind = PROMISE_PLAIN;
    } else if (p->kind == PROMISE_SLEEPS) {
        promise_sleep_forget(p);
    } else if (p->kind == PROMISE_GATHERS) {
        left->dropped = true;
        promise_gather_forget(p);
    }
    left->dropped |= o.drop != NULL;
    promise_drop_value(o);
}

static void give_slot(void *slot, void *ctx)
{
    hs_shard *s = ((leavings *)ctx)->s;
    hs_promise *p = slot;
    if (p->state == HS_PROMISE_REJECTED && !p->handled)
        promise_tell_unhandled(s, p);
    hs_pool_give(&s->promises.pool, p);
}

/* What is posted will not run; those who posted it may still take it back. */
static void forget_microtasks(hs_shard *s)
{
    for (hs_list *l; (l = hs_list_pop_front(&s->microtasks));)
        HS_CONTAINER_OF(l, hs_microtask, link)->fn = NULL;
}

void promises_end(hs_shard *s)
{
    promise_state *ps = &s->promises;
    ps->ending = true;
    if (ps->pool.slabs) {
        leavings left = {.s = s};
        hs_pool_each(&ps->pool, count_pending, &left);
        if (left.pending)
            hs_log_write(s->log, HS_LOG_INFO, "%u promises were pending at the end", left.pending);
        do {
            left.dropped = false;
            hs_pool_each(&ps->pool, empty_slot, &left);
        } while (left.dropped);
        forget_microtasks(s);
        hs_pool_each(&ps->pool, give_slot, &left);
        hs_shard_trim_remove(&ps->trim);
        hs_pool_fini(&ps->pool);
    }
    forget_microtasks(s);
}
