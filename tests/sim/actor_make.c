/* Promises of every kind, at random: see actor.h. */
#include "actor.h"

#include <errno.h>

/* ---- values ---- */

void *actor_value_new(void)
{
    return (void *)(uintptr_t)ledger_begin(LEDGER_VALUE);
}

void actor_free_value(void *value)
{
    if (value)
        ledger_end((uint32_t)(uintptr_t)value, LEDGER_VALUE);
}

static hs_err error_any(const actor *a)
{
    static const int32_t codes[] = {-ECANCELED, -EIO, HS_E_LIMIT, HS_E_CLOSED};
    return hs_err_of(codes[actor_below(a, HS_ARRAY_LEN(codes))]);
}

/* Nothing, a value or an error. */
static hs_outcome outcome_plain(const actor *a)
{
    switch (actor_below(a, 4)) {
    case 0:
        return hs_value(NULL);
    case 1:
        return hs_error(error_any(a));
    default:
        return hs_value_owned(actor_value_new(), actor_free_value);
    }
}

hs_outcome actor_outcome(actor *a, uint32_t depth)
{
    if (depth == 0 || actor_below(a, 2))
        return outcome_plain(a);
    return hs_adopt(actor_make(a, depth - 1));
}

/* ---- reactions ---- */

/* Who reacts, by the number of its entry in the ledger: a pointer that needs no memory. */
static void *reactor_new(void)
{
    return (void *)(uintptr_t)ledger_begin(LEDGER_REACTION);
}

static actor *reacted(void *ctx)
{
    ledger_end((uint32_t)(uintptr_t)ctx, LEDGER_REACTION);
    return actor_self();
}

/* Pass a value on, or make something else of it. */
static hs_outcome pass(actor *a, void *value)
{
    if (value && actor_below(a, 2))
        return hs_value_owned(value, actor_free_value);
    actor_free_value(value);
    return actor_outcome(a, actor_below(a, 2));
}

static hs_outcome on_value(void *ctx, void *value)
{
    return pass(reacted(ctx), value);
}

/* More is known of hs_any's rejection, all of them, and of messages missed, how many. */
static hs_outcome on_error(void *ctx, hs_err err, void *detail)
{
    actor *a = reacted(ctx);
    HS_ASSERT(!hs_ok(err));
    HS_ASSERT(!detail || err.code == HS_E_AGGREGATE || err.code == HS_E_LAGGED);
    if (err.code == HS_E_AGGREGATE && detail)
        hs_outcomes_free(detail);
    return actor_below(a, 2) ? hs_error(err) : pass(a, NULL);
}

static hs_outcome on_either(void *ctx)
{
    return outcome_plain(reacted(ctx));
}

/* Several outcomes: take one out, drop the others. */
static hs_outcome on_outcomes(void *ctx, void *value)
{
    actor *a = reacted(ctx);
    hs_outcomes *all = value;
    void *one = NULL;
    if (all->len > 0) {
        hs_outcome *at = &all->at[actor_below(a, all->len)];
        if (hs_ok(at->err)) {
            one = at->value;
            at->drop = NULL;
        }
    }
    hs_outcomes_free(all);
    return pass(a, one);
}

/* ---- what promises are made of ---- */

typedef hs_promise *maker(actor *a, uint32_t depth);

static hs_promise *make_settled(actor *a, uint32_t depth)
{
    (void)depth;
    return hs_promise_settled(a->shard, outcome_plain(a));
}

static hs_promise *make_sleep(actor *a, uint32_t depth)
{
    (void)depth;
    return hs_sleep(a->shard, actor_below(a, a->rt->sleep_ms_max), actor_token_any(a));
}

static hs_promise *make_chain(actor *a, uint32_t depth)
{
    hs_promise *p = actor_make(a, depth);
    for (uint32_t links = 1 + actor_below(a, 4); links > 0; links--)
        p = actor_below(a, 3) ? hs_then_catch(p, on_value, on_error, reactor_new())
                              : hs_finally(p, on_either, reactor_new());
    return p;
}

/* Two wait for the same: one of them gets the value, if it is an owned one. */
static hs_promise *make_shared(actor *a, uint32_t depth)
{
    hs_promise *p = hs_promise_ref(actor_make(a, depth));
    hs_promise_ignore(hs_then_catch(p, on_value, on_error, reactor_new()));
    return hs_then_catch(p, on_value, on_error, reactor_new());
}

static hs_promise *make_call_all(actor *a, uint32_t depth)
{
    return hs_then_catch(actor_call_all(a, depth), on_outcomes, on_error, reactor_new());
}

static hs_promise *make_several(actor *a, uint32_t depth)
{
    hs_promise *list[5];
    uint32_t len = 1 + actor_below(a, HS_ARRAY_LEN(list));
    for (uint32_t i = 0; i < len; i++)
        list[i] = actor_make(a, depth);
    switch (actor_below(a, 4)) {
    case 0:
        return hs_then_catch(hs_all(a->shard, list, len), on_outcomes, on_error, reactor_new());
    case 1:
        return hs_then_catch(hs_all_settled(a->shard, list, len), on_outcomes, on_error,
                             reactor_new());
    case 2:
        return hs_then_catch(hs_any(a->shard, list, len), on_value, on_error, reactor_new());
    default:
        return hs_then_catch(hs_race(a->shard, list, len), on_value, on_error, reactor_new());
    }
}

/* Nobody waits for the first. */
static hs_promise *make_and_drop(actor *a, uint32_t depth)
{
    hs_promise_drop(actor_make(a, depth));
    return actor_make(a, depth);
}

hs_promise *actor_make(actor *a, uint32_t depth)
{
    static maker *const leaves[] = {make_settled, make_sleep};
    static maker *const all[] = {
        make_settled, make_sleep,    actor_owe,          make_chain,        make_shared,
        make_several, make_and_drop, actor_fiber,        actor_fiber,       actor_call,
        actor_call,   make_call_all, actor_channel_wait, actor_channel_wait};
    if (depth == 0 || !actor_burn(a))
        return leaves[actor_below(a, HS_ARRAY_LEN(leaves))](a, 0);
    return all[actor_below(a, HS_ARRAY_LEN(all))](a, depth - 1);
}
