/* Calls across shards that give promises.
 *
 * Owns: a slot for each call, in a pool of its origin, and what is in it: the call of mail.c, the
 * origin's promise and token, the target's reaction. Each side touches its own fields; the outcome
 * and the argument are handed over with the call. Must not know: queues. Tested by:
 * tests/unit/shard_call.c. */
#include "inside.h"

typedef struct call {
    hs_call_op op;
    hs_call_fn *fn;
    hs_outcome outcome;
    /* The target's, while its promise is pending. */
    hs_reaction reaction;
    hs_list link;
    /* The origin's. */
    hs_drop_fn *drop;    /* of the argument */
    hs_promise *promise; /* NULL: cancelled */
    hs_cancel *cancel;
    hs_cancel_hook hook;
} call;

static call *call_of(hs_call_op *op)
{
    return HS_CONTAINER_OF(op, call, op);
}

/* ---- slots ---- */

static bool trim_calls(hs_trim *trim)
{
    return hs_shard_trim_pool(&HS_CONTAINER_OF(trim, hs_shard, calls.trim)->calls.pool);
}

static hs_err take(hs_shard *s, call **out)
{
    call_state *cs = &s->calls;
    if (HS_UNLIKELY(!cs->pool.slabs)) {
        HS_TRY(hs_pool_init(&cs->pool, s->mem, sizeof(call), HS_CALLS_WAIT_MAX));
        cs->trim.fn = trim_calls;
        hs_shard_trim_add(s, &cs->trim);
    }
    HS_ENSURE(cs->pool.slots_used < HS_CALLS_WAIT_MAX, HS_E_LIMIT);
    *out = hs_pool_take(&cs->pool);
    return *out ? HS_OK : hs_err_errno(ENOMEM);
}

static void give(hs_shard *s, call *c)
{
    hs_cancel_remove(&c->hook);
    hs_cancel_unref(c->cancel);
    hs_pool_give(&s->calls.pool, c);
}

static void drop_value(hs_drop_fn *drop, void *value)
{
    if (drop)
        drop(value);
}

/* ---- the target ---- */

static void settled(hs_reaction *reaction, hs_outcome outcome)
{
    call *c = HS_CONTAINER_OF(reaction, call, reaction);
    hs_list_remove(&c->link);
    c->outcome = outcome;
    hs_call_op_answer(&c->op);
}

static void serve(hs_call_op *op)
{
    call *c = call_of(op);
    hs_shard *s = op->target;
    c->outcome = c->fn(op->arg);
    if (!c->outcome.promise)
        return;
    hs_call_op_defer(op);
    hs_list_init(&c->link);
    hs_list_push_back(&s->calls.served, &c->link);
    c->reaction = (hs_reaction){0};
    hs_react(c->outcome.promise, &c->reaction, settled);
    if (HS_UNLIKELY(shard_ending_now(s)) && !s->calls.sweep.fn)
        s->calls.ending.fn(&s->calls.ending);
}

/* Nothing will settle what is pending now: what could has been told to end before this. */
static void sweep(hs_task *task)
{
    hs_shard *s = HS_CONTAINER_OF(task, hs_shard, calls.sweep);
    while (!hs_list_empty(&s->calls.served)) {
        call *c = HS_CONTAINER_OF(s->calls.served.next, call, link);
        hs_react_cancel(&c->reaction);
        settled(&c->reaction, hs_error(hs_err_of(HS_E_CLOSED)));
    }
}

/* As a task, so that fibers that are ended here come to their outcomes first, by microtasks. */
static void end_soon(shard_ending *ending)
{
    hs_shard *s = HS_CONTAINER_OF(ending, hs_shard, calls.ending);
    hs_task_post(s, &s->calls.sweep, sweep);
}

/* ---- the origin ---- */

static void done(hs_call_op *op)
{
    call *c = call_of(op);
    hs_promise *promise = c->promise;
    hs_outcome outcome = c->outcome;
    give(op->origin, c);
    if (promise)
        hs_promise_settle(promise, outcome);
    else
        drop_value(outcome.drop, outcome.value);
}

static void cancelled(hs_cancel_hook *hook, hs_err why)
{
    call *c = HS_CONTAINER_OF(hook, call, hook);
    hs_promise *promise = c->promise;
    c->promise = NULL;
    if (c->op.waits) {
        void *arg = c->op.arg;
        hs_drop_fn *drop = c->drop;
        mail_withdraw(&c->op);
        give(hs_shard_self(), c);
        drop_value(drop, arg);
    }
    hs_promise_settle(promise, hs_error(why));
}

/* Start `c`, which has everything but its promise. */
static hs_err start(hs_shard *s, hs_shard *target, call *c, const char *where)
{
    c->promise = hs_promise_create_at(s, where);
    HS_ENSURE(c->promise, -ENOMEM);
    hs_err err = mail_post(target, &c->op);
    if (hs_ok(err))
        return HS_OK;
    hs_promise_settle(c->promise, hs_error(err));
    hs_promise_ignore(c->promise);
    return err;
}

static hs_err make(hs_shard *s, hs_shard *target, call *template, const char *where, call **out)
{
    HS_TRY(hs_cancel_why(template->cancel));
    call *c;
    HS_TRY(take(s, &c));
    *c = *template;
    (void)hs_cancel_ref(c->cancel);
    hs_err err = hs_cancel_add(c->cancel, &c->hook, cancelled);
    HS_ASSERT(hs_ok(err));
    err = start(s, target, c, where);
    if (!hs_ok(err))
        give(s, c);
    *out = c;
    return err;
}

hs_promise *hs_call_at(hs_shard *target, hs_call_fn *fn, void *arg, hs_drop_fn *drop,
                       hs_cancel *cancel, const char *where)
{
    hs_shard *s = hs_shard_self();
    HS_ASSERT(s != NULL);
    HS_ASSERT(fn != NULL);
    call *c, template = {.op = {.fn = serve, .done = done, .arg = arg},
                         .fn = fn,
                         .drop = drop,
                         .cancel = cancel};
    hs_err err = make(s, target, &template, where, &c);
    if (hs_ok(err))
        return c->promise;
    drop_value(drop, arg);
    return hs_promise_settled_at(s, hs_error(err), where);
}

/* ---- begin and end ---- */

void calls_init(hs_shard *s)
{
    call_state *cs = &s->calls;
    hs_list_init(&cs->served);
    cs->ending.fn = end_soon;
    shard_ending_add(s, &cs->ending);
}

void calls_end(hs_shard *s)
{
    call_state *cs = &s->calls;
    HS_ASSERT(hs_list_empty(&cs->served));
    shard_ending_remove(&cs->ending);
    if (!cs->pool.slabs)
        return;
    hs_shard_trim_remove(&cs->trim);
    hs_pool_fini(&cs->pool);
}
