/* Fibers, calls to other shards, and where programs begin: see actor.h. */
#include "actor.h"

#include <errno.h>

#define BURST 700u

/* ---- fibers ---- */

/* What a fiber is started with; on the stack of whoever starts it. */
typedef struct fiber_start {
    uint32_t number, depth;
    bool started;
} fiber_start;

static hs_err await_something(actor *a, uint32_t depth)
{
    void *value = NULL;
    hs_promise *p = actor_make(a, depth);
    bool wants = actor_below(a, 2);
    hs_err err = hs_await(p, wants ? &value : NULL);
    if (hs_ok(err) && wants)
        actor_free_value(value);
    return err;
}

/* So many calls that some stand in line. */
static hs_err call_burst(actor *a)
{
    hs_promise *list[BURST];
    if (a->fuel < BURST || actor_below(a, 16) > 0)
        return HS_OK;
    a->fuel -= BURST / 2;
    for (uint32_t i = 0; i < BURST; i++)
        list[i] = actor_call(a, 0);
    return hs_await(hs_all_settled(a->shard, list, BURST), NULL);
}

static hs_err fiber_step(actor *a, uint32_t depth)
{
    switch (actor_below(a, 13)) {
    case 0:
        return call_burst(a);
    case 1:
        return hs_yield();
    case 2:
        actor_token_work(a);
        return HS_OK;
    case 3:
        actor_pay(a);
        return HS_OK;
    case 4:
    case 5:
    case 6:
    case 7:
        actor_channel_work(a);
        return HS_OK;
    default:
        return await_something(a, depth);
    }
}

static hs_err fiber_body(void *arg)
{
    fiber_start *start = arg;
    uint32_t number = start->number, depth = start->depth;
    start->started = true;
    actor *a = actor_self();
    hs_cancel *cancel = hs_fiber_cancel();
    hs_err err = HS_OK;
    uint32_t told = 0;
    for (uint32_t steps = 1 + actor_below(a, 6); steps > 0 && told < 3; steps--) {
        HS_ASSERT(hs_on_fiber() && actor_self() == a && hs_fiber_cancel() == cancel);
        err = fiber_step(a, depth);
        /* Told to end: an await now and then on the way out, which does not wait. */
        told += !hs_ok(hs_cancel_why(cancel));
    }
    ledger_end(number, LEDGER_FIBER);
    return actor_below(a, 2) ? err : HS_OK;
}

hs_promise *actor_fiber(actor *a, uint32_t depth)
{
    fiber_start start = {ledger_begin(LEDGER_FIBER), depth, false};
    hs_promise *p = hs_fiber_start(a->shard, "/sim", fiber_body, &start, actor_token_any(a));
    if (!start.started) {
        HS_ASSERT(hs_promise_state_of(p) == HS_PROMISE_REJECTED);
        ledger_end(start.number, LEDGER_FIBER);
    }
    return p;
}

/* ---- calls ---- */

/* An argument is the number of its entry, times four, and how deep its function may go. */
#define CALL_DEPTHS 4u

static void call_dropped(void *arg)
{
    ledger_end((uint32_t)((uintptr_t)arg / CALL_DEPTHS), LEDGER_CALL);
}

static hs_outcome called(void *arg)
{
    actor *a = actor_self();
    uint32_t depth = (uint32_t)((uintptr_t)arg % CALL_DEPTHS);
    HS_ASSERT(!hs_on_fiber());
    call_dropped(arg);
    if (depth > 0 && actor_below(a, 3) == 0)
        return hs_adopt(actor_fiber(a, depth - 1));
    return actor_outcome(a, depth);
}

hs_promise *actor_call(actor *a, uint32_t depth)
{
    uint32_t target = actor_below(a, a->rt->actors_len);
    uintptr_t arg = (uintptr_t)ledger_begin(LEDGER_CALL) * CALL_DEPTHS;
    arg += HS_MIN(depth, CALL_DEPTHS - 1);
    hs_cancel *cancel = actor_below(a, 2) ? actor_token_any(a) : NULL;
    return hs_call_with(hs_shard_peer(a->shard, target), called, (void *)arg, call_dropped, cancel);
}

hs_promise *actor_call_all(actor *a, uint32_t depth)
{
    void *args[ACTORS_MAX];
    for (uint32_t i = 0; i < a->rt->actors_len; i++)
        args[i] = (void *)((uintptr_t)ledger_begin(LEDGER_CALL) * CALL_DEPTHS +
                           HS_MIN(depth, CALL_DEPTHS - 1));
    hs_cancel *cancel = actor_below(a, 2) ? actor_token_any(a) : NULL;
    return hs_call_all_with(called, args, call_dropped, cancel);
}

/* ---- roots ---- */

static void root_ends(actor *a)
{
    HS_ASSERT(a->roots_left > 0);
    if (--a->roots_left == 0)
        actor_channels_close(a);
}

static void root_over(hs_reaction *reaction, hs_outcome outcome);

static void root_begin(hs_timer *timer)
{
    actor_root *root = HS_CONTAINER_OF(timer, actor_root, start);
    actor *a = root->a;
    hs_promise *p = actor_below(a, 3) ? actor_fiber(a, 3) : actor_make(a, 4);
    hs_react(p, &root->reaction, root_over);
}

/* A program begins after a while. */
static void root_set(actor_root *root)
{
    actor *a = root->a;
    uint32_t after_ms = actor_below(a, a->rt->sleep_ms_max);
    if (!hs_ok(hs_timer_after(a->shard, &root->start, after_ms, root_begin)))
        root_ends(a);
}

/* As long as there is fuel another one follows it. */
static void root_over(hs_reaction *reaction, hs_outcome outcome)
{
    actor_root *root = HS_CONTAINER_OF(reaction, actor_root, reaction);
    actor *a = root->a;
    if (outcome.drop)
        outcome.drop(outcome.value);
    if (actor_burn(a))
        root_set(root);
    else
        root_ends(a);
}

void actor_roots(actor *a, uint32_t roots)
{
    HS_ASSERT(roots <= ACTOR_ROOTS);
    a->roots_left = roots;
    for (uint32_t i = 0; i < roots; i++) {
        a->roots[i].a = a;
        root_set(&a->roots[i]);
    }
}
