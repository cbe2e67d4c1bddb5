/* A sleep as a promise.
 *
 * Owns: the timer and the hook in such a promise's slot. Must not know: how promises are stored.
 * Tested by: tests/unit/shard_promise_sleep.c. */
#include "inside.h"

/* The slot is an ordinary one from now on. */
static void wake(hs_promise *p)
{
    HS_ASSERT(p->kind == PROMISE_SLEEPS);
    hs_cancel *cancel = p->sleep.cancel;
    hs_timer_cancel(hs_shard_self(), &p->sleep.timer);
    hs_cancel_remove(&p->sleep.hook);
    p->kind = PROMISE_PLAIN;
    p->job.fn = NULL;
    p->on = NULL;
    hs_cancel_unref(cancel);
}

static void time_is_up(hs_timer *timer)
{
    hs_promise *p = HS_CONTAINER_OF(timer, hs_promise, sleep.timer);
    wake(p);
    promise_end(p, hs_value(NULL));
}

static void cancelled(hs_cancel_hook *hook, hs_err why)
{
    hs_promise *p = HS_CONTAINER_OF(hook, hs_promise, sleep.hook);
    wake(p);
    promise_end(p, hs_error(why));
}

hs_promise *hs_sleep_at(hs_shard *s, uint64_t ms, hs_cancel *cancel, const char *where)
{
    hs_promise *p = promise_new(s, where);
    if (!p)
        return promise_none(s, where);
    p->kind = PROMISE_SLEEPS;
    p->sleep.timer = (hs_timer){0};
    p->sleep.hook = (hs_cancel_hook){0};
    p->sleep.cancel = hs_cancel_ref(cancel);
    hs_err err = hs_cancel_add(cancel, &p->sleep.hook, cancelled);
    if (hs_ok(err))
        err = hs_timer_after(s, &p->sleep.timer, ms, time_is_up);
    if (!hs_ok(err)) {
        wake(p);
        promise_end(p, hs_error(err));
    }
    return p;
}

void promise_sleep_forget(hs_promise *p)
{
    wake(p);
}
