/* Work that blocks, seen from its shard. See hs_blocking.h.
 *
 * Owns: a slot for each piece of work, in a pool of its shard, and what is in it: the job, the
 * promise and the token. The thread that runs the job touches that alone, and hands it back over a
 * list without a lock, which the shard empties in each turn. A piece of work that was withdrawn
 * stays where it is until a thread comes across it. Must not know: how threads are found.
 * Tested by: tests/unit/shard_blocking.c, tests/plain/blocking.c. */
#include "inside.h"
#include "tsan.h"

#define TELL_MS_FIRST 1000

typedef struct work {
    blocking_job job;
    hs_shard *origin;
    hs_list link;
    hs_task task; /* where there is no pool */
    hs_drop_fn *drop;
    const char *where, *label;
    hs_promise *promise; /* NULL: rejected already */
    hs_cancel *cancel;
    hs_cancel_hook hook;
} work;

static work *work_of(blocking_job *job)
{
    return HS_CONTAINER_OF(job, work, job);
}

/* These two counters go up and down, and the pool's threads count, too. */
static void gauge(hs_shard *s, uint32_t id, uint64_t n)
{
    (void)atomic_fetch_add_explicit(&s->counters.values[id], n, memory_order_relaxed);
}

#define ONE_LESS UINT64_MAX

static void drop_value(hs_drop_fn *drop, void *value)
{
    if (drop)
        drop(value);
}

/* ---- slots ---- */

static bool trim_slots(hs_trim *trim)
{
    return hs_shard_trim_pool(&HS_CONTAINER_OF(trim, hs_shard, blocking.trim)->blocking.slots);
}

static hs_err take(hs_shard *s, work **out)
{
    blocking_state *bs = &s->blocking;
    if (HS_UNLIKELY(!bs->slots.slabs)) {
        HS_TRY(hs_pool_init(&bs->slots, s->mem, sizeof(work), HS_BLOCKING_WORKS_MAX));
        bs->trim.fn = trim_slots;
        hs_shard_trim_add(s, &bs->trim);
    }
    HS_ENSURE(bs->slots.slots_used < HS_BLOCKING_WORKS_MAX, HS_E_LIMIT);
    *out = hs_pool_take(&bs->slots);
    return *out ? HS_OK : hs_err_errno(ENOMEM);
}

/* As what waits for another shard, it holds the loop but not the stop (stop.c). */
static void hold(hs_shard *s, work *w)
{
    hs_list_init(&w->link);
    hs_list_push_back(&s->blocking.works, &w->link);
    hs_shard_hold_as(s, "blocking work");
    s->passive++;
}

static void give(hs_shard *s, work *w)
{
    HS_ASSERT(s->passive > 0);
    s->passive--;
    hs_shard_release_as(s, "blocking work");
    hs_list_remove(&w->link);
    hs_cancel_remove(&w->hook);
    hs_cancel_unref(w->cancel);
    hs_pool_give(&s->blocking.slots, w);
    if (hs_list_empty(&s->blocking.works))
        hs_timer_cancel(s, &s->blocking.tell);
}

/* ---- on a thread of the pool ---- */

static void begun(blocking_job *job)
{
    hs_shard *s = work_of(job)->origin;
    gauge(s, s->blocking.queued_id, ONE_LESS);
    gauge(s, s->blocking.running_id, 1);
}

/* Hand it back. The shard may end from then on, but its memory and its backend stay until the
 * pool's threads are joined. */
static void over(blocking_job *job)
{
    hs_shard *s = work_of(job)->origin;
    if (atomic_load_explicit(&job->state, memory_order_relaxed) == BLOCKING_RUNS)
        gauge(s, s->blocking.running_id, ONE_LESS);
    job->next = atomic_load_explicit(&s->blocking_done, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&s->blocking_done, &job->next, job))
        continue;
    /* Pairs with the fence in wait_until. */
    full_fence();
    uint32_t asleep = atomic_load_explicit(&s->asleep, memory_order_relaxed);
    if (asleep && atomic_compare_exchange_strong(&s->asleep, &asleep, 0))
        hs_io_wake_any(s->io);
}

static const blocking_side side = {begun, over};

/* ---- back on the shard ---- */

static void finish(hs_shard *s, work *w)
{
    hs_promise *promise = w->promise;
    hs_outcome outcome = w->job.outcome;
    HS_ASSERT(!promise || atomic_load(&w->job.state) == BLOCKING_RUNS);
    give(s, w);
    if (promise)
        hs_promise_settle(promise, outcome);
    else
        drop_value(outcome.drop, outcome.value);
}

bool blocking_waits(const hs_shard *s)
{
    return s->blocking.arrived ||
           atomic_load_explicit(&s->blocking_done, memory_order_relaxed) != NULL;
}

static work *next_arrived(hs_shard *s)
{
    blocking_state *bs = &s->blocking;
    if (!bs->arrived)
        bs->arrived = blocking_jobs_take(&s->blocking_done);
    blocking_job *job = bs->arrived;
    if (!job)
        return NULL;
    bs->arrived = job->next;
    return work_of(job);
}

void blocking_drain(hs_shard *s)
{
    if (HS_LIKELY(!blocking_waits(s)))
        return;
    (void)stop_put_off(s);
    for (uint32_t n = 0; n < HS_TURN_MAIL_MAX; n++) {
        work *w = next_arrived(s);
        if (!w)
            return;
        finish(s, w);
        callback_over(s);
    }
}

/* ---- without a pool ---- */

/* No shard's code may run in it, so that what works in a simulation does so elsewhere. */
static void run_here(hs_task *task)
{
    work *w = HS_CONTAINER_OF(task, work, task);
    hs_shard *s = w->origin;
    if (blocking_job_claim(&w->job, BLOCKING_RUNS)) {
        begun(&w->job);
        shard_enter(NULL);
        w->job.outcome = w->job.fn(w->job.arg);
        shard_enter(s);
        HS_ASSERT(w->job.outcome.promise == NULL);
        gauge(s, s->blocking.running_id, ONE_LESS);
    }
    finish(s, w);
}

/* ---- cancelling ---- */

/* Unless it has begun it will not run. */
static bool withdraw(hs_shard *s, work *w)
{
    blocking_pool *pool = s->blocking.pool;
    bool withdrawn = pool ? blocking_pool_withdraw(pool, &w->job)
                          : blocking_job_claim(&w->job, BLOCKING_WITHDRAWN);
    if (!withdrawn)
        return false;
    gauge(s, s->blocking.queued_id, ONE_LESS);
    drop_value(w->drop, w->job.arg);
    return true;
}

static void cancelled(hs_cancel_hook *hook, hs_err why)
{
    work *w = HS_CONTAINER_OF(hook, work, hook);
    hs_promise *promise = w->promise;
    w->promise = NULL;
    (void)withdraw(w->origin, w);
    hs_promise_settle(promise, hs_error(why));
}

/* ---- a stop ---- */

/* Nothing else goes on anywhere. What runs is waited for, and its outcome still arrives. */
static void end_queued(shard_ending *ending)
{
    hs_shard *s = HS_CONTAINER_OF(ending, hs_shard, blocking.ending);
    hs_list_each_safe (node, &s->blocking.works) {
        work *w = HS_CONTAINER_OF(node, work, link);
        hs_promise *promise = w->promise;
        if (!promise || !withdraw(s, w))
            continue;
        w->promise = NULL;
        hs_cancel_remove(&w->hook);
        hs_promise_settle(promise, hs_error(hs_err_of(HS_E_CLOSED)));
    }
}

static bool has_begun(work *w)
{
    return atomic_load_explicit(&w->job.state, memory_order_relaxed) == BLOCKING_RUNS;
}

static void tell_who_runs(hs_timer *timer);

/* Without memory for the timer nobody is told. */
static void tell_after(hs_shard *s, uint32_t ms)
{
    bool set = hs_ok(hs_timer_after(s, &s->blocking.tell, ms, tell_who_runs));
    (void)set;
}

static void tell_who_runs(hs_timer *timer)
{
    hs_shard *s = HS_CONTAINER_OF(timer, hs_shard, blocking.tell);
    const work *oldest = NULL;
    uint32_t running = 0;
    hs_list_each (node, &s->blocking.works) {
        work *w = HS_CONTAINER_OF(node, work, link);
        if (!has_begun(w))
            continue;
        running++;
        oldest = oldest ? oldest : w;
    }
    if (oldest)
        hs_log_write(
            s->log, HS_LOG_WARN,
            "stop: waits for blocking work since %u s: %.100s, asked for at %.100s, and %u "
            "more",
            s->blocking.tell_ms / 1000, oldest->label ? oldest->label : "(no route)", oldest->where,
            running - 1);
    uint32_t wait_ms = s->blocking.tell_ms * 9;
    s->blocking.tell_ms *= 10;
    tell_after(s, wait_ms);
}

void blocking_stopping(hs_shard *s)
{
    blocking_state *bs = &s->blocking;
    if (hs_list_empty(&bs->works) || hs_timer_active(&bs->tell))
        return;
    bs->tell_ms = TELL_MS_FIRST;
    tell_after(s, TELL_MS_FIRST);
}

/* ---- asking for it ---- */

/* Start `w`, which has everything but its promise. */
static hs_err start(hs_shard *s, work *w)
{
    blocking_state *bs = &s->blocking;
    w->promise = hs_promise_create_at(s, w->where);
    HS_ENSURE(w->promise, -ENOMEM);
    gauge(s, bs->queued_id, 1);
    hs_err err = HS_OK;
    if (bs->pool)
        err = blocking_pool_submit(bs->pool, &w->job);
    else
        hs_task_post(s, &w->task, run_here);
    if (hs_ok(err))
        return HS_OK;
    gauge(s, bs->queued_id, ONE_LESS);
    hs_promise_settle(w->promise, hs_error(err));
    hs_promise_ignore(w->promise);
    return err;
}

static hs_err make(hs_shard *s, const work *template, work **out)
{
    HS_ENSURE(!shard_ending_now(s), HS_E_CLOSED);
    HS_TRY(hs_cancel_why(template->cancel));
    work *w;
    HS_TRY(take(s, &w));
    *w = *template;
    (void)hs_cancel_ref(w->cancel);
    hs_err err = hs_cancel_add(w->cancel, &w->hook, cancelled);
    HS_ASSERT(hs_ok(err));
    hold(s, w);
    err = start(s, w);
    if (!hs_ok(err))
        give(s, w);
    else if (HS_UNLIKELY(s->stopping))
        blocking_stopping(s);
    *out = w;
    return err;
}

hs_promise *hs_blocking_at(hs_shard *s, hs_blocking_fn *fn, void *arg, hs_drop_fn *drop,
                           hs_cancel *cancel, const char *where)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(fn != NULL);
    work *w, template = {.job = {.side = &side, .fn = fn, .arg = arg},
                         .origin = s,
                         .drop = drop,
                         .where = where,
                         .label = hs_shard_label(s),
                         .cancel = cancel};
    hs_err err = make(s, &template, &w);
    if (hs_ok(err))
        return w->promise;
    if (hs_ok(hs_cancel_why(cancel)))
        hs_count(&s->counters, s->blocking.rejected_id, 1);
    drop_value(drop, arg);
    return hs_promise_settled_at(s, hs_error(err), where);
}

/* ---- begin and end ---- */

hs_err blocking_init(hs_shard *s, blocking_pool *pool)
{
    blocking_state *bs = &s->blocking;
    bs->pool = pool;
    hs_list_init(&bs->works);
    bs->ending.fn = end_queued;
    shard_ending_add(s, &bs->ending);
    HS_TRY(hs_counters_register(&s->counters, "blocking_queued", &bs->queued_id));
    HS_TRY(hs_counters_register(&s->counters, "blocking_running", &bs->running_id));
    return hs_counters_register(&s->counters, "blocking_rejected", &bs->rejected_id);
}

void blocking_end(hs_shard *s)
{
    blocking_state *bs = &s->blocking;
    HS_ASSERT(hs_list_empty(&bs->works));
    HS_ASSERT(!blocking_waits(s));
    shard_ending_remove(&bs->ending);
    if (!bs->slots.slabs)
        return;
    hs_shard_trim_remove(&bs->trim);
    hs_pool_fini(&bs->slots);
}
