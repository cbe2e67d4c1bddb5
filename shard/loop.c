/* The loop of a shard: one turn after the other.
 *
 * Owns: the order of a turn (tasks, timers, mail, submit and wait, completions; after each callback
 * the microtasks) and its bounds, so that one noisy connection starves nobody. Callbacks run in
 * a turn alone: no recursion, a short stack. Must not know: threads, backends. Tested by:
 * tests/unit/shard_loop.c. */
#include "inside.h"
#include "stall.h"
#include "tsan.h"

/* ---- memory that returns ---- */

static bool trim_one(hs_shard *s, hs_trim *trim)
{
    s->trim_pending = false;
    bool more = trim->fn(trim);
    trim->pending = s->trim_pending;
    return more;
}

static void rest_tick(hs_timer *timer);

/* What the turn's bound left over goes soon; a failed set is made good by the next second. */
static void rest_soon(hs_shard *s)
{
    hs_list_each (node, &s->trims) {
        if (HS_CONTAINER_OF(node, hs_trim, link)->pending) {
            (void)hs_timer_after(s, &s->rest_timer, HS_TRIM_REST_MS, rest_tick).code;
            return;
        }
    }
}

static void rest_tick(hs_timer *timer)
{
    hs_shard *s = HS_CONTAINER_OF(timer, hs_shard, rest_timer);
    s->trim_rest = true;
    s->trim_slabs = HS_TURN_TRIM_SLABS;
    hs_list_each_safe (node, &s->trims) {
        hs_trim *trim = HS_CONTAINER_OF(node, hs_trim, link);
        if (trim->pending)
            (void)trim_one(s, trim);
    }
    rest_soon(s);
}

static void trim_tick(hs_timer *timer)
{
    hs_shard *s = HS_CONTAINER_OF(timer, hs_shard, trim_timer);
    bool more = s->io->ops->trim(s->io);
    s->trim_rest = false;
    s->trim_slabs = HS_TURN_TRIM_SLABS;
    hs_list_each_safe (node, &s->trims)
        more |= trim_one(s, HS_CONTAINER_OF(node, hs_trim, link));
    rest_soon(s);
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
    if (!may_wait || s->tasks.first || s->tasks_next.first || !hs_list_empty(&s->microtasks) ||
        shard_finished(s))
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
    if (HS_UNLIKELY(share_is_short(s)))
        share_release(s);
    due_tasks_run(s);
    due_timers_run(s);
    mail_drain(s);
    blocking_drain(s);
    if (HS_UNLIKELY(stop_begins(s))) {
        blocking_stopping(s);
        callback_over(s);
    }
    stop_look(s);
    mail_flush(s);

    uint64_t deadline = wait_until(s, may_wait);
    beat_turn(&s->beat);
    uint32_t n = s->io->ops->turn(s->io, deadline, s->events, HS_TURN_EVENTS_MAX);
    beat_turn(&s->beat);
    if (HS_UNLIKELY(s->io->wait_error != 0))
        wait_fault(s);
    atomic_store_explicit(&s->asleep, 0, memory_order_relaxed);
    if (HS_UNLIKELY(atomic_load_explicit(&s->watch_asleep, memory_order_relaxed)))
        stall_wake(s->watch);
    s->now_ns = hs_io_now_ns(s->io);
    if (HS_UNLIKELY(s->tasks_next.first != NULL))
        due_tasks_next(s);
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
