/* Derived promises: then, catch, finally.
 *
 * Owns: what happens when the promise that one was derived from is settled, in the order of
 * ECMA-262 (sections 27.2.5.3, 27.2.5.4), job by job. Must not know: how promises are stored.
 * Tested by: tests/unit/shard_promise_then.c. */
#include "inside.h"

/* A pending promise that waits for `on`; without memory, what stands for it. */
static hs_promise *derive(hs_promise *on, promise_fns fns, hs_microtask_fn *run, const char *where)
{
    hs_shard *s = hs_shard_self();
    hs_promise *p = promise_new(s, where);
    if (HS_UNLIKELY(!p)) {
        hs_promise_ignore(on); /* what is returned is the rejection that is to be handled */
        return promise_none(s, where);
    }
    p->fns = fns;
    p->on = on;
    promise_wait(on, &p->job, run);
    return p;
}

/* The outcome of what `p` waited for. */
static hs_outcome receive(hs_promise *p)
{
    hs_promise *on = p->on;
    HS_ASSERT(on != NULL);
    p->on = NULL;
    hs_outcome o = promise_take(on);
    promise_unref(on);
    return o;
}

/* ---- then and catch ---- */

static void then_run(hs_microtask *job)
{
    hs_promise *p = HS_CONTAINER_OF(job, hs_promise, job);
    promise_fns fns = p->fns;
    hs_outcome o = receive(p);
    if (hs_ok(o.err)) {
        if (fns.then)
            o = fns.then(fns.ctx, o.value);
    } else if (fns.catch) {
        o = fns.catch(fns.ctx, o.err, o.value);
    }
    promise_resolve(p, o);
}

hs_promise *hs_then_catch_at(hs_promise *on, hs_then_fn *fulfilled, hs_catch_fn *rejected,
                             void *ctx, const char *where)
{
    promise_fns fns = {.then = fulfilled, .catch = rejected, .ctx = ctx};
    return derive(on, fns, then_run, where);
}

/* ---- finally ----
 *
 * Section 27.2.5.3 makes it of three promises more: what the function returned, as a promise; that
 * one's `then`, which gives the outcome back; and the adoption of this by the derived promise. None
 * of them can be seen but by the jobs that they take, so those are all that is here: one for the
 * function's promise, if it has one, and two for the adoption, of which the first has nothing to do
 * where it would only begin to wait. */

static hs_outcome kept_outcome(const hs_promise *p)
{
    return (hs_outcome){p->kept.err, NULL, p->kept.value, p->kept.drop};
}

static void finally_end(hs_microtask *job)
{
    hs_promise *p = HS_CONTAINER_OF(job, hs_promise, job);
    p->kind = PROMISE_PLAIN;
    promise_end(p, kept_outcome(p));
}

/* What the function returned has come to something. */
static void finally_returned(hs_microtask *job)
{
    hs_promise *p = HS_CONTAINER_OF(job, hs_promise, job);
    if (p->on) {
        hs_outcome o = receive(p);
        if (!hs_ok(o.err)) {
            hs_outcome kept = kept_outcome(p);
            p->kept = (promise_kept){o.value, o.drop, o.err};
            o = kept;
        }
        promise_drop_value(o);
    }
    hs_microtask_post(hs_shard_self(), job, finally_end);
}

static void finally_run(hs_microtask *job)
{
    hs_promise *p = HS_CONTAINER_OF(job, hs_promise, job);
    promise_fns fns = p->fns;
    hs_outcome o = receive(p);
    p->kept = (promise_kept){o.value, o.drop, o.err};
    p->kind = PROMISE_KEEPS;
    hs_outcome own = fns.finally(fns.ctx);
    if (own.promise == p) {
        promise_unref(p);
        own = hs_error(hs_err_of(HS_E_USAGE));
    }
    if (!hs_ok(own.err)) {
        p->kind = PROMISE_PLAIN;
        promise_drop_value(o);
        promise_end(p, own);
        return;
    }
    promise_drop_value(own);
    p->on = own.promise;
    if (p->on)
        promise_wait(p->on, job, finally_returned);
    else
        hs_microtask_post(hs_shard_self(), job, finally_returned);
}

hs_promise *hs_finally_at(hs_promise *on, hs_finally_fn *fn, void *ctx, const char *where)
{
    HS_ASSERT(fn != NULL);
    return derive(on, (promise_fns){.finally = fn, .ctx = ctx}, finally_run, where);
}
