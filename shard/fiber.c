/* Fibers: how one starts, waits, goes on and ends.
 *
 * Owns: the fiber, which lies at the top of its own stack, and who runs on whose behalf. A fiber is
 * always gone on with by somebody: the loop (what it awaited has come), whoever starts it, or
 * whoever cancels it, which may be another fiber; it goes back there when it awaits or ends. Must
 * not know: what it runs. Tested by: tests/unit/shard_fiber.c, tests/plain/fibers.c. */
#include "fiber.h"

#include <string.h>

#include "inside.h"
#include "sanitize.h"
#include "switch.h"

typedef enum fiber_state {
    FIBER_RUNS,    /* or waits for a fiber that it started or cancelled */
    FIBER_AWAITS,  /* a promise */
    FIBER_YIELDED, /* for its turn */
    FIBER_ENDED
} fiber_state;

struct fiber {
    void *sp, *outer_sp; /* where it stands; where whoever goes on with it does */
    fiber *outer;        /* who that is; NULL: the loop */
    san_stack san, *outer_san;
    stack *stack;
    hs_shard *shard;
    fiber_state state;
    bool came;  /* `outcome` did, and not a cancellation */
    hs_err why; /* it was cancelled */
    hs_err result;
    hs_outcome outcome;
    hs_reaction reaction;
    hs_fiber_fn *fn;
    void *arg;
    const char *name;
    const char *label; /* of what it runs, while it does not */
    hs_cancel *cancel;
    hs_cancel_hook hook;
    hs_promise *promise; /* of its end */
    hs_list link, yield_link;
};

/* A fiber on a stack of the least size leaves its function most of that. */
#define FIBER_BYTES (((sizeof(fiber) + HS_CACHE_LINE - 1) / HS_CACHE_LINE) * HS_CACHE_LINE)
HS_STATIC_ASSERT(FIBER_BYTES <= 512, "a fiber is small beside its stack");

/* Stacks lie at the same place of their pages, and so would all that fibers use most share a few
 * sets of the cache: each begins at one of eight places. */
#define PLACES 8

static fiber *running_fiber(void)
{
    hs_shard *s = hs_shard_self();
    return s ? s->fibers.running : NULL;
}

/* ---- the switch ---- */

/* Back to who went on with it. Returns when somebody does again. */
static void leave(fiber *f, bool last)
{
    san_leave(&f->san, f->outer_san, last);
    switch_stack(&f->sp, f->outer_sp);
    san_arrive(&f->san, f->outer_san);
}

static void body(void *arg)
{
    fiber *f = arg;
    san_arrive(&f->san, f->outer_san);
    f->result = f->fn(f->arg);
    f->state = FIBER_ENDED;
    leave(f, true);
    HS_ASSERT(f->state != FIBER_ENDED); /* nobody comes back */
}

/* It stands on its stack no more. */
static void finish(fiber *f)
{
    fiber_set *set = &f->shard->fibers;
    hs_promise *promise = f->promise;
    hs_err result = f->result;
    hs_list_remove(&f->link);
    set->len--;
    hs_cancel_remove(&f->hook);
    hs_cancel_unref(f->cancel);
    san_unmake(&f->san);
    stack_give(&set->stacks, f->stack);
    hs_promise_settle(promise, hs_error(result));
}

/* Go on with it, until it awaits or ends. */
static void go_on(fiber *f)
{
    HS_ASSERT(f->state != FIBER_ENDED);
    fiber_set *set = &f->shard->fibers;
    san_stack here = {0};
    f->outer = set->running;
    f->outer_san = &here;
    f->state = FIBER_RUNS;
    set->running = f;
    const char *outer_label = hs_shard_label_set(f->shard, f->label);
    san_leave(&here, &f->san, false);
    switch_stack(&f->outer_sp, f->sp);
    san_arrive(&here, &f->san);
    f->label = hs_shard_label_set(f->shard, outer_label);
    set->running = f->outer;
    if (f->state == FIBER_ENDED)
        finish(f);
}

/* ---- the end ---- */

/* Tell it `why`; where it waits, it goes on at once, and never waits again. */
static void stop_fiber(fiber *f, hs_err why)
{
    if (!hs_ok(f->why))
        return;
    f->why = why;
    if (f->state == FIBER_RUNS)
        return;
    HS_ASSERT(f->state != FIBER_ENDED);
    f->came = false;
    hs_react_cancel(&f->reaction);
    hs_list_remove(&f->yield_link);
    go_on(f);
}

static void cancelled(hs_cancel_hook *hook, hs_err why)
{
    stop_fiber(HS_CONTAINER_OF(hook, fiber, hook), why);
}

/* No shard has anything left to do: what fibers wait for will not come. */
static void end_all(shard_ending *ending)
{
    fiber_set *set = HS_CONTAINER_OF(ending, fiber_set, ending);
    HS_ASSERT(set->running == NULL);
    while (!hs_list_empty(&set->all)) {
        fiber *f = HS_CONTAINER_OF(set->all.next, fiber, link);
        stop_fiber(f, hs_err_of(HS_E_CLOSED));
    }
}

/* ---- the start ---- */

static hs_err make(hs_shard *s, const char *where, fiber **out)
{
    fiber_set *set = &s->fibers;
    HS_ENSURE(!shard_ending_now(s), HS_E_CLOSED);
    HS_ENSURE(set->len < set->len_max, HS_E_LIMIT);
    hs_promise *promise = hs_promise_create_at(s, where);
    HS_ENSURE(promise, -ENOMEM);
    stack *st;
    hs_err err = stack_take(&set->stacks, &st);
    if (!hs_ok(err)) {
        hs_promise_settle(promise, hs_error(err));
        hs_promise_ignore(promise);
        return err;
    }
    size_t room = set->stacks.bytes - FIBER_BYTES - st->number % PLACES * HS_CACHE_PAIR;
    fiber *f = (fiber *)(st->low + room);
    *f = (fiber){.stack = st, .shard = s, .promise = promise};
    hs_list_init(&f->link);
    hs_list_init(&f->yield_link);
    hs_list_push_back(&set->all, &f->link);
    set->len++;
    if (!set->ending.fn) {
        set->ending.fn = end_all;
        shard_ending_add(s, &set->ending);
    }
    san_make(&f->san, st->low, room);
    f->sp = switch_frame(f, body, f);
    *out = f;
    return HS_OK;
}

hs_promise *hs_fiber_start_at(hs_shard *s, const char *name, hs_fiber_fn *fn, void *arg,
                              hs_cancel *cancel, const char *where)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(name != NULL);
    HS_ASSERT(fn != NULL);
    hs_err err = hs_cancel_why(cancel);
    if (!hs_ok(err))
        return hs_promise_settled_at(s, hs_error(err), where);
    fiber *f;
    err = make(s, where, &f);
    if (HS_UNLIKELY(!hs_ok(err))) {
        if (err.code != HS_E_CLOSED)
            fibers_tell(s, name, err);
        return hs_promise_settled_at(s, hs_error(err), where);
    }
    f->name = name;
    f->label = name;
    f->fn = fn;
    f->arg = arg;
    f->cancel = hs_cancel_ref(cancel);
    err = hs_cancel_add(cancel, &f->hook, cancelled);
    HS_ASSERT(hs_ok(err)); /* it has not fired */
    hs_promise *promise = f->promise;
    go_on(f);
    return promise;
}

/* ---- waiting ---- */

static void arrived(hs_reaction *reaction, hs_outcome outcome)
{
    fiber *f = HS_CONTAINER_OF(reaction, fiber, reaction);
    HS_ASSERT(f->state == FIBER_AWAITS);
    HS_ASSERT(f->shard->fibers.running == NULL); /* it comes from the loop */
    f->outcome = outcome;
    f->came = true;
    go_on(f);
}

static HS_COLD hs_err refuse(hs_promise *promise, const char *what)
{
    hs_shard *s = hs_shard_self();
    hs_log_write(s ? s->log : NULL, HS_LOG_ERROR, "%s", what);
    hs_promise_drop(promise);
    return hs_err_of(HS_E_USAGE);
}

/* What the promise came to, or why nobody waits for it. */
static inline hs_outcome await(hs_promise *promise)
{
    HS_ASSERT(promise != NULL);
    fiber *f = running_fiber();
    if (HS_UNLIKELY(!f))
        return hs_error(refuse(promise, "hs_await was called off a fiber: run the caller by "
                                        "hs_fiber_start, or use hs_then"));
    if (HS_UNLIKELY(promise == f->promise))
        return hs_error(refuse(promise, "a fiber awaits its own end"));
    if (!hs_ok(f->why)) {
        hs_promise_ignore(promise);
        return hs_error(f->why);
    }
    hs_react(promise, &f->reaction, arrived);
    f->state = FIBER_AWAITS;
    leave(f, false);
    if (!f->came)
        return hs_error(f->why);
    f->came = false;
    return f->outcome;
}

hs_err hs_await(hs_promise *promise, void *out)
{
    hs_outcome o = await(promise);
    if (out && hs_ok(o.err))
        memcpy(out, &o.value, sizeof o.value);
    else if (o.drop)
        o.drop(o.value);
    return o.err;
}

hs_outcome hs_await_outcome(hs_promise *promise)
{
    return await(promise);
}

/* The fiber whose turn it is; one in a task, so that others come in between. */
static void turn(hs_task *task)
{
    hs_shard *s = hs_shard_self();
    fiber_set *set = HS_CONTAINER_OF(task, fiber_set, turn);
    hs_list *link = hs_list_pop_front(&set->yielded);
    if (!link)
        return; /* cancelled */
    if (!hs_list_empty(&set->yielded))
        hs_task_post(s, task, turn);
    fiber *f = HS_CONTAINER_OF(link, fiber, yield_link);
    HS_ASSERT(f->state == FIBER_YIELDED);
    go_on(f);
}

hs_err hs_yield(void)
{
    fiber *f = running_fiber();
    if (HS_UNLIKELY(!f)) {
        hs_shard *s = hs_shard_self();
        hs_log_write(s ? s->log : NULL, HS_LOG_ERROR, "hs_yield was called off a fiber");
        return hs_err_of(HS_E_USAGE);
    }
    HS_TRY(f->why);
    fiber_set *set = &f->shard->fibers;
    hs_list_push_back(&set->yielded, &f->yield_link);
    if (!set->turn.fn)
        hs_task_post(f->shard, &set->turn, turn);
    f->state = FIBER_YIELDED;
    leave(f, false);
    return f->why;
}

/* ---- questions ---- */

bool hs_on_fiber(void)
{
    return running_fiber() != NULL;
}

hs_cancel *hs_fiber_cancel(void)
{
    fiber *f = running_fiber();
    return f ? f->cancel : NULL;
}

uint32_t hs_fibers(const hs_shard *s)
{
    return s->fibers.len;
}

bool fiber_overflowed(const hs_shard *s, uintptr_t addr, fiber_overflow *out)
{
    const fiber *f = s->fibers.running;
    if (!f || !stack_guards(&s->fibers.stacks, f->stack, addr))
        return false;
    *out = (fiber_overflow){f->name, s->fibers.stacks.bytes};
    return true;
}
