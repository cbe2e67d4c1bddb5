/* The loop of a shard: one turn, and what runs in it.
 *
 * Owns: the order of a turn (tasks, timers, mail, submit and wait, completions; after each callback
 * the microtasks) and its bounds, so that one noisy connection starves nobody. Callbacks run from
 * here alone: no recursion, a short stack. Must not know: threads, backends. Tested by:
 * tests/unit/shard_loop.c. */
#include "inside.h"
#include "stall.h"
#include "tsan.h"

/* ---- tasks ---- */

void hs_task_post(hs_shard *s, hs_task *task, hs_task_fn *fn)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(fn != NULL);
    HS_ASSERT(task->fn == NULL);
    task->fn = fn;
    task->next = NULL;
    if (s->tasks_last)
        s->tasks_last->next = task;
    else
        s->tasks = task;
    s->tasks_last = task;
}

/* Run what is ready, and what that makes ready, up to the turn's bound. */
static void run_tasks(hs_shard *s)
{
    for (uint32_t n = 0; s->tasks && n < HS_TURN_TASKS_MAX; n++) {
        hs_task *task = s->tasks;
        hs_task_fn *fn = task->fn;
        s->tasks = task->next;
        if (!s->tasks)
            s->tasks_last = NULL;
        task->next = NULL;
        task->fn = NULL;
        fn(task);
        callback_over(s);
    }
}

/* ---- timers ---- */

hs_err hs_timer_set(hs_shard *s, hs_timer *timer, uint64_t deadline_ns, hs_timer_fn *fn)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(fn != NULL);
    timer->fn = fn;
    if (!hs_heap_has(&timer->node))
        return hs_heap_add(&s->timers, &timer->node, deadline_ns);
    hs_heap_move(&s->timers, &timer->node, deadline_ns);
    return HS_OK;
}

hs_err hs_timer_after(hs_shard *s, hs_timer *timer, uint64_t after_ms, hs_timer_fn *fn)
{
    uint64_t room_ms = (UINT64_MAX - s->now_ns) / HS_MSEC_NS;
    return hs_timer_set(s, timer, s->now_ns + HS_MIN(after_ms, room_ms) * HS_MSEC_NS, fn);
}

void hs_timer_cancel(hs_shard *s, hs_timer *timer)
{
    HS_ASSERT(s == hs_shard_self());
    hs_heap_cancel(&s->timers, &timer->node);
}

static void run_timers(hs_shard *s)
{
    for (uint32_t n = 0; n < HS_TURN_TIMERS_MAX; n++) {
        hs_heap_node *node = hs_heap_pop(&s->timers, s->now_ns);
        if (!node)
            return;
        hs_timer *timer = HS_CONTAINER_OF(node, hs_timer, node);
        timer->fn(timer);
        callback_over(s);
    }
}

/* ---- memory that returns ---- */

static void trim_tick(hs_timer *timer)
{
    hs_shard *s = HS_CONTAINER_OF(timer, hs_shard, trim_timer);
    bool more = s->io->ops->trim(s->io);
    hs_list_each_safe (node, &s->trims) {
        hs_trim *trim = HS_CONTAINER_OF(node, hs_trim, link);
        more |= trim->fn(trim);
    }
    /* A failed set is made good by the next completion. */
    s->trimming = more && hs_ok(hs_timer_after(s, timer, 1000, trim_tick));
}

/* The tick is only set while something happens: a shard that rests does not wake up for it. */
static void trim_soon(hs_shard *s)
{
    s->trimming = hs_ok(hs_timer_after(s, &s->trim_timer, 1000, trim_tick));
}

/* ---- the turn ---- */

static uint64_t wait_until(hs_shard *s, bool may_wait)
{
    if (!may_wait || s->tasks || !hs_list_empty(&s->microtasks) || shard_finished(s))
        return 0;
    uint64_t deadline = hs_heap_next(&s->timers);
    if (deadline <= s->now_ns)
        return 0;
    /* From here a sender wakes us; what came before that must be seen here. The two sides' order is
     * flag, fence, look: one of them sees the other. */
    atomic_store_explicit(&s->asleep, 1, memory_order_relaxed);
    full_fence();
    if (mail_waits(s) || blocking_waits(s) || (!s->stopping && atomic_load(&s->stop_asked)))
        return 0;
    return deadline;
}

void shard_turn(hs_shard *s, bool may_wait)
{
    shard_enter(s);
    s->micro_left = HS_TURN_MICROTASKS_MAX;
    callback_over(s);
    run_tasks(s);
    run_timers(s);
    mail_drain(s);
    blocking_drain(s);
    stop_look(s);
    mail_flush(s);

    uint64_t deadline = wait_until(s, may_wait);
    beat_turn(&s->beat);
    uint32_t n = s->io->ops->turn(s->io, deadline, s->events, HS_TURN_EVENTS_MAX);
    beat_turn(&s->beat);
    atomic_store_explicit(&s->asleep, 0, memory_order_relaxed);
    if (HS_UNLIKELY(atomic_load_explicit(&s->watch_asleep, memory_order_relaxed)))
        stall_wake(s->watch);
    s->now_ns = hs_io_now_ns(s->io);
    if (n && HS_UNLIKELY(!s->trimming))
        trim_soon(s);
    for (uint32_t i = 0; i < n; i++) {
        const hs_io_event *ev = &s->events[i];
        if (!ev->more)
            hs_op_end(s->io, ev->op);
        ev->op->done(ev->op, ev);
        if (ev->data)
            s->io->ops->buf_give(s->io, ev->buf);
        callback_over(s);
    }
}
