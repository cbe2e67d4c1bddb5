/* Promises: how one is made, settled, adopted and freed, and how it is waited for.
 *
 * Owns: their slots, references and states, and the word about rejections that nobody handled. Must
 * not know: what settles them. Nothing here calls back: all that follows from a settlement runs as
 * microtasks, one after the other, so a chain of any length needs no stack.
 * Tested by: tests/unit/shard_promise.c. */
#include "inside.h"

/* ---- memory ---- */

static bool trim_promises(hs_trim *trim)
{
    return hs_shard_trim_pool(&HS_CONTAINER_OF(trim, promise_state, trim)->pool);
}

/* A shard that makes no promise has no table of them either. */
static HS_COLD hs_promise *take_slow(hs_shard *s)
{
    promise_state *ps = &s->promises;
    if (ps->pool.slabs)
        return NULL;
    if (!hs_ok(hs_pool_init(&ps->pool, s->mem, sizeof(hs_promise), HS_PROMISES_MAX)))
        return NULL;
    ps->trim.fn = trim_promises;
    hs_shard_trim_add(s, &ps->trim);
    return hs_pool_take(&ps->pool);
}

hs_promise *promise_new(hs_shard *s, const char *where)
{
    HS_ASSERT(s == hs_shard_self());
    if (HS_UNLIKELY(s->promises.ending))
        return NULL;
    hs_promise *p = hs_pool_take(&s->promises.pool);
    if (HS_UNLIKELY(!p)) {
        p = take_slow(s);
        if (!p)
            return NULL;
    }
    p->where = where;
    hs_list_init(&p->reactions);
    p->err = HS_OK;
    p->refs = 2;
    p->state = HS_PROMISE_PENDING;
    p->kind = PROMISE_PLAIN;
    p->owed = false;
    p->handled = false;
    p->taken = false;
    p->job.fn = NULL;
    p->on = NULL;
    return p;
}

HS_COLD hs_promise *promise_none(hs_shard *s, const char *where)
{
    hs_promise *p = &s->promises.nomem;
    HS_ASSERT(p->refs < UINT32_MAX);
    p->refs++; /* one is ours: it never goes */
    p->where = where;
    return p;
}

HS_COLD void promise_tell_unhandled(hs_shard *s, const hs_promise *p)
{
    if (p->err.code == -ECANCELED)
        return;
    hs_count(&s->counters, s->promises.unhandled_id, 1);
    hs_log_write(s->log, HS_LOG_WARN, "a rejection that nobody handled: %s (%s), promise of %s",
                 hs_err_name(p->err), hs_err_text(p->err), p->where);
}

void promise_drop_value(hs_outcome o)
{
    if (o.drop)
        o.drop(o.value);
}

/* A drop function may give up the last handle of another promise that has a value, and so on: such
 * promises queue up, so that it is a loop and not a recursion. */
static void drop_values(promise_state *ps)
{
    ps->dropping = true;
    while (ps->dead) {
        hs_promise *p = ps->dead;
        ps->dead = p->on;
        void *value = p->value;
        hs_drop_fn *drop = p->drop;
        hs_pool_give(&ps->pool, p);
        drop(value);
    }
    ps->dropping = false;
}

static void promise_free(hs_promise *p)
{
    hs_shard *s = hs_shard_self();
    promise_state *ps = &s->promises;
    if (HS_UNLIKELY(ps->ending))
        return; /* promises_end walks over all */
    HS_ASSERT(p->on == NULL);
    if (HS_UNLIKELY(p->state == HS_PROMISE_REJECTED && !p->handled))
        promise_tell_unhandled(s, p);
    if (p->state == HS_PROMISE_PENDING || !p->drop) {
        hs_pool_give(&ps->pool, p);
        return;
    }
    p->on = ps->dead;
    ps->dead = p;
    if (!ps->dropping)
        drop_values(ps);
}

void promise_unref(hs_promise *p)
{
    HS_ASSERT(p->refs > 0);
    if (--p->refs == 0)
        promise_free(p);
}

/* Debug builds look whether `p` is a promise of this thread's shard, and not freed. */
static void check_owner(const hs_promise *p)
{
#ifdef HS_DEBUG
    hs_shard *s = hs_shard_self();
    HS_ASSERT(s != NULL);
    if (p != &s->promises.nomem)
        (void)hs_pool_ref(&s->promises.pool, p);
#endif
    HS_ASSERT(p->refs > 0);
}

/* ---- settling ---- */

void promise_end(hs_promise *p, hs_outcome o)
{
    HS_ASSERT(p->state == HS_PROMISE_PENDING);
    HS_ASSERT(o.promise == NULL);
    /* Every reaction is a job already: all of them are queued in one step. */
    hs_list_append(&hs_shard_self()->microtasks, &p->reactions);
    p->state = hs_ok(o.err) ? HS_PROMISE_FULFILLED : HS_PROMISE_REJECTED;
    p->err = o.err;
    p->value = o.value;
    p->drop = o.drop;
    promise_unref(p);
}

/* What was adopted is settled. */
static void adopt_run(hs_microtask *job)
{
    hs_promise *p = HS_CONTAINER_OF(job, hs_promise, job);
    hs_promise *on = p->on;
    p->on = NULL;
    hs_outcome o = promise_take(on);
    promise_unref(on);
    promise_end(p, o);
}

/* ECMA-262 calls `then` of what is adopted from a job of its own (NewPromiseResolveThenableJob,
 * section 27.2.2.2), so an adoption takes two jobs more than a value. */
static void adopt_start(hs_microtask *job)
{
    hs_promise *p = HS_CONTAINER_OF(job, hs_promise, job);
    promise_wait(p->on, job, adopt_run);
}

void promise_resolve(hs_promise *p, hs_outcome o)
{
    if (HS_LIKELY(!o.promise)) {
        promise_end(p, o);
        return;
    }
    HS_ASSERT(hs_ok(o.err));
    HS_ASSERT(o.drop == NULL);
    check_owner(o.promise);
    if (o.promise == p) {
        promise_unref(p);
        promise_end(p, hs_error(hs_err_of(HS_E_USAGE)));
        return;
    }
    p->on = o.promise;
    p->on->handled = true;
    hs_microtask_post(hs_shard_self(), &p->job, adopt_start);
}

hs_promise *hs_promise_create_at(hs_shard *s, const char *where)
{
    hs_promise *p = promise_new(s, where);
    if (p)
        p->owed = true;
    return p;
}

void hs_promise_settle(hs_promise *p, hs_outcome o)
{
    check_owner(p);
    HS_ASSERT(p->owed);
    p->owed = false;
    promise_resolve(p, o);
}

hs_promise *hs_promise_settled_at(hs_shard *s, hs_outcome o, const char *where)
{
    if (o.promise) /* as Promise.resolve: a promise is itself (section 27.2.4.7.1) */
        return o.promise;
    hs_promise *p = promise_new(s, where);
    if (!p) {
        promise_drop_value(o);
        return promise_none(s, where);
    }
    promise_end(p, o);
    return p;
}

/* ---- handles ---- */

hs_promise *hs_promise_ref(hs_promise *p)
{
    check_owner(p);
    HS_ASSERT(p->refs < UINT32_MAX);
    p->refs++;
    return p;
}

void hs_promise_drop(hs_promise *p)
{
    check_owner(p);
    hs_shard *s = hs_shard_self();
    if (HS_UNLIKELY(p == &s->promises.nomem)) /* which is never freed */
        promise_tell_unhandled(s, p);
    promise_unref(p);
}

void hs_promise_ignore(hs_promise *p)
{
    check_owner(p);
    p->handled = true;
    promise_unref(p);
}

hs_promise_state hs_promise_state_of(const hs_promise *p)
{
    check_owner(p);
    return (hs_promise_state)p->state;
}

/* ---- waiting ---- */

void promise_wait(hs_promise *on, hs_microtask *job, hs_microtask_fn *fn)
{
    check_owner(on);
    HS_ASSERT(job->fn == NULL);
    on->handled = true;
    hs_list *list = &on->reactions;
    if (on->state != HS_PROMISE_PENDING)
        list = &hs_shard_self()->microtasks;
    job->fn = fn;
    hs_list_init(&job->link);
    hs_list_push_back(list, &job->link);
}

hs_outcome promise_take(hs_promise *p)
{
    HS_ASSERT(p->state != HS_PROMISE_PENDING);
    hs_outcome o = {p->err, NULL, p->value, p->drop};
    if (p->drop) {
        p->value = NULL;
        p->drop = NULL;
        p->taken = true;
    } else if (HS_UNLIKELY(p->taken) && hs_ok(p->err)) {
        o.err = hs_err_of(HS_E_USAGE); /* an owned value has one receiver */
    }
    return o;
}

static void reaction_run(hs_microtask *job)
{
    hs_reaction *r = HS_CONTAINER_OF(job, hs_reaction, job);
    hs_promise *p = r->promise;
    r->promise = NULL;
    hs_outcome o = promise_take(p);
    promise_unref(p);
    r->fn(r, o);
}

void hs_react(hs_promise *p, hs_reaction *r, void (*fn)(hs_reaction *reaction, hs_outcome outcome))
{
    HS_ASSERT(fn != NULL);
    HS_ASSERT(r->promise == NULL);
    r->promise = p;
    r->fn = fn;
    promise_wait(p, &r->job, reaction_run);
}

void hs_react_cancel(hs_reaction *r)
{
    hs_promise *p = r->promise;
    if (!p)
        return;
    r->promise = NULL;
    hs_microtask_cancel(&r->job);
    promise_unref(p);
}
