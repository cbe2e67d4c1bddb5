/* What one shard holds in a simulation of the runtime: see actor.h. */
#include "actor.h"

#include <errno.h>
#include <string.h>

static runtime *the_runtime; /* of the one run */

void actor_start(actor *a, hs_shard *shard)
{
    the_runtime = a->rt;
    a->shard = shard;
    HS_ASSERT(hs_shard_id(shard) == a->number);
}

actor *actor_self(void)
{
    actor *a = &the_runtime->actors[hs_shard_id(hs_shard_self())];
    HS_ASSERT(a->shard == hs_shard_self());
    return a;
}

uint32_t actor_below(const actor *a, uint32_t n)
{
    return (uint32_t)sim_below(a->rt->w, n);
}

bool actor_burn(actor *a)
{
    if (a->fuel == 0)
        return false;
    a->fuel--;
    return true;
}

/* ---- tokens ---- */

static void token_fired(hs_cancel_hook *hook, hs_err why)
{
    actor_token *t = HS_CONTAINER_OF(hook, actor_token, hook);
    HS_ASSERT(!hs_ok(why));
    HS_ASSERT(hs_cancel_why(t->cancel).code == why.code);
    ledger_end(t->listens, LEDGER_HOOK);
    t->listens = 0;
}

static hs_cancel *token_new(actor *a)
{
    hs_cancel *two[2] = {actor_token_any(a), actor_token_any(a)};
    switch (actor_below(a, 3)) {
    case 0:
        return hs_cancel_create(a->shard);
    case 1:
        return hs_cancel_after(a->shard, actor_below(a, a->rt->sleep_ms_max));
    default:
        return hs_cancel_any(a->shard, two, 2);
    }
}

static void token_make(actor *a, actor_token *t)
{
    t->cancel = token_new(a);
    if (!t->cancel)
        return;
    if (hs_ok(hs_cancel_add(t->cancel, &t->hook, token_fired)))
        t->listens = ledger_begin(LEDGER_HOOK);
    else
        HS_ASSERT(!hs_ok(hs_cancel_why(t->cancel)));
}

static void token_drop(actor_token *t)
{
    hs_cancel_remove(&t->hook);
    if (t->listens)
        ledger_end(t->listens, LEDGER_HOOK);
    t->listens = 0;
    hs_cancel_unref(t->cancel);
    t->cancel = NULL;
}

hs_cancel *actor_token_any(actor *a)
{
    return actor_below(a, 2) ? a->tokens[actor_below(a, ACTOR_TOKENS)].cancel : NULL;
}

void actor_token_work(actor *a)
{
    actor_token *t = &a->tokens[actor_below(a, ACTOR_TOKENS)];
    if (!t->cancel) {
        token_make(a, t);
    } else if (actor_below(a, 2)) {
        /* Whoever is called may let go of it. */
        hs_cancel *c = hs_cancel_ref(t->cancel);
        hs_cancel_fire(c, hs_err_of(actor_below(a, 2) ? -ECANCELED : HS_E_CLOSED));
        hs_cancel_unref(c);
    } else {
        token_drop(t);
    }
}

/* ---- promises that are owed ---- */

static void pay(actor_open *o, hs_outcome outcome)
{
    hs_promise *p = o->promise;
    o->promise = NULL;
    hs_timer_cancel(o->a->shard, &o->timer);
    ledger_end(o->number, LEDGER_PROMISE);
    hs_promise_settle(p, outcome);
}

/* What it is settled with may be made of much, and pay others on the way. */
static void pay_something(actor_open *o)
{
    actor *a = o->a;
    hs_promise *p = o->promise;
    hs_outcome outcome = actor_outcome(a, o->depth);
    if (o->promise == p)
        pay(o, outcome);
    else if (outcome.promise)
        hs_promise_ignore(outcome.promise);
    else if (outcome.drop)
        outcome.drop(outcome.value);
}

static void due(hs_timer *timer)
{
    pay_something(HS_CONTAINER_OF(timer, actor_open, timer));
}

hs_promise *actor_owe(actor *a, uint32_t depth)
{
    actor_open *o = NULL;
    for (uint32_t i = 0; i < ACTOR_OPEN && !o; i++)
        if (!a->open[i].promise)
            o = &a->open[i];
    hs_promise *p = o ? hs_promise_create(a->shard) : NULL;
    if (!p)
        return hs_promise_settled(a->shard, hs_error(hs_err_of(HS_E_LIMIT)));
    *o = (actor_open){.a = a, .promise = p, .depth = depth};
    o->number = ledger_begin(LEDGER_PROMISE);
    /* In a run that is stopped some are paid by nobody before its end. */
    if (!a->rt->whole && actor_below(a, 8) == 0)
        return p;
    if (!hs_ok(hs_timer_after(a->shard, &o->timer, actor_below(a, a->rt->sleep_ms_max), due)))
        pay(o, hs_error(hs_err_errno(ENOMEM)));
    return p;
}

void actor_pay(actor *a)
{
    actor_open *o = &a->open[actor_below(a, ACTOR_OPEN)];
    if (o->promise)
        pay_something(o);
}

/* ---- the end ---- */

void actor_stop(actor *a)
{
    a->fuel = 0;
}

void actor_end(actor *a)
{
    for (uint32_t i = 0; i < ACTOR_ROOTS; i++)
        hs_timer_cancel(a->shard, &a->roots[i].start);
    actor_channels_end(a);
    for (uint32_t i = 0; i < ACTOR_OPEN; i++)
        if (a->open[i].promise)
            pay(&a->open[i], actor_outcome(a, 0)); /* nobody is told any more */
    for (uint32_t i = 0; i < ACTOR_TOKENS; i++)
        if (a->tokens[i].cancel)
            token_drop(&a->tokens[i]);
    a->shard = NULL;
}
