/* The loop of a shard on the simulated backend: tasks, timers, calls between shards, stop. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "hs_limits.h"
#include "sim/cluster.h"

#define HOUR_NS (3600 * HS_SEC_NS)

static cluster_options calm_options(uint32_t shards, void *ctx)
{
    static sim_faults calm;
    sim_faults_none(&calm);
    return (cluster_options){.sim = {.seed = 1, .shards = shards, .faults = &calm}, .ctx = ctx};
}

/* ---- tasks ---- */

typedef struct task_state {
    hs_task tasks[6];
    uint32_t order[8], len;
} task_state;

static task_state tasks;

static void task_run(hs_task *task)
{
    uint32_t number = (uint32_t)(task - tasks.tasks);
    cr_assert_lt(tasks.len, HS_ARRAY_LEN(tasks.order));
    tasks.order[tasks.len++] = number;
    if (number == 1 && tasks.len < 6) {
        hs_task_post(hs_shard_self(), &tasks.tasks[4], task_run);
        hs_task_post(hs_shard_self(), task, task_run); /* it is idle again */
    }
    if (tasks.len == 6)
        shard_stop(hs_shard_self());
}

static hs_err tasks_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    for (uint32_t i = 0; i < 4; i++)
        hs_task_post(s, &tasks.tasks[i], task_run);
    return HS_OK;
}

Test(shard_loop, tasks_run_in_the_order_of_their_posting)
{
    cluster c;
    cluster_options o = calm_options(1, NULL);
    o.start = tasks_start;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    static const uint32_t expected[] = {0, 1, 2, 3, 4, 1};
    cr_assert_eq(tasks.len, 6);
    cr_assert_eq(memcmp(tasks.order, expected, sizeof(expected)), 0);
    cluster_fini(&c);
}

static void post_twice(hs_task *task)
{
    hs_task_post(hs_shard_self(), task, task_run);
    hs_task_post(hs_shard_self(), task, task_run);
}

static hs_err twice_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_task_post(s, &tasks.tasks[0], post_twice);
    return HS_OK;
}

Test(shard_loop, posting_a_posted_task_is_an_error_of_the_programmer, .signal = SIGABRT)
{
    cluster c;
    cluster_options o = calm_options(1, NULL);
    o.start = twice_start;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cluster_run(&c, HOUR_NS);
}

static void post_itself(hs_task *task)
{
    tasks.len++;
    if (tasks.order[0] == 0)
        hs_task_post(hs_shard_self(), task, post_itself);
}

static void fire_and_stop(hs_timer *timer)
{
    (void)timer;
    tasks.order[0] = tasks.len;
    shard_stop(hs_shard_self());
}

static hs_err busy_start(hs_shard *s, void *ctx)
{
    static hs_timer timer;
    (void)ctx;
    hs_task_post(s, &tasks.tasks[0], post_itself);
    return hs_timer_after(s, &timer, 1, fire_and_stop);
}

Test(shard_loop, a_task_that_posts_itself_starves_no_timer)
{
    cluster c;
    cluster_options o = calm_options(1, NULL);
    o.start = busy_start;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    cr_assert_gt(tasks.len, HS_TURN_TASKS_MAX);
    cluster_fini(&c);
}

static void note_turn(hs_task *task)
{
    static uint64_t first_ns;
    uint64_t now = hs_shard_now_ns(hs_shard_self());
    tasks.order[tasks.len++] = (uint32_t)(task - tasks.tasks);
    if (tasks.len == 1) {
        first_ns = now;
        hs_task_post_next_turn(hs_shard_self(), &tasks.tasks[1], note_turn);
        hs_task_post_next_turn(hs_shard_self(), &tasks.tasks[2], note_turn);
        hs_task_post(hs_shard_self(), &tasks.tasks[3], note_turn);
        hs_task_post(hs_shard_self(), &tasks.tasks[4], note_turn);
        hs_task_cancel(hs_shard_self(), &tasks.tasks[4]);
        hs_task_cancel(hs_shard_self(), &tasks.tasks[2]);
        hs_task_cancel(hs_shard_self(), &tasks.tasks[2]); /* again: nothing */
        hs_task_post(hs_shard_self(), &tasks.tasks[5], note_turn);
    }
    cr_assert_eq(now > first_ns, tasks.len == 4); /* the clock is read after it was asked */
    if (tasks.len == 4)
        shard_stop(hs_shard_self());
}

static hs_err next_turn_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_task_post(s, &tasks.tasks[0], note_turn);
    return HS_OK;
}

Test(shard_loop, a_task_of_the_next_turn_runs_once_the_backend_was_asked)
{
    cluster c;
    cluster_options o = calm_options(1, NULL);
    o.start = next_turn_start;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    static const uint32_t expected[] = {0, 3, 5, 1};
    cr_assert_eq(tasks.len, HS_ARRAY_LEN(expected));
    cr_assert_eq(memcmp(tasks.order, expected, sizeof expected), 0);
    cluster_fini(&c);
}

/* ---- timers ---- */

#define TIMERS 200

typedef struct timer_state {
    hs_timer timers[TIMERS];
    uint64_t due[TIMERS];
    bool fired[TIMERS], cancelled[TIMERS];
    uint32_t fired_len, cancelled_len;
    uint64_t last;
} timer_state;

static timer_state timers;

static void timer_fired(hs_timer *timer)
{
    uint32_t number = (uint32_t)(timer - timers.timers);
    hs_shard *s = hs_shard_self();
    cr_assert_not(timers.fired[number]);
    cr_assert_not(timers.cancelled[number]);
    cr_assert_not(hs_timer_active(timer));
    timers.fired[number] = true;
    timers.fired_len++;
    /* At its time or soon after, and in order. */
    cr_assert_geq(hs_shard_now_ns(s), timers.due[number]);
    cr_assert_lt(hs_shard_now_ns(s), timers.due[number] + HS_MSEC_NS);
    cr_assert_geq(timers.due[number], timers.last);
    timers.last = timers.due[number];
    /* Now and then cancel a later one, or move it. */
    uint32_t other = (uint32_t)(hs_shard_random(s) % TIMERS);
    if (hs_timer_active(&timers.timers[other]) && number % 3 == 0) {
        hs_timer_cancel(s, &timers.timers[other]);
        timers.cancelled[other] = true;
        timers.cancelled_len++;
    } else if (hs_timer_active(&timers.timers[other]) && number % 3 == 1) {
        timers.due[other] += HS_SEC_NS;
        cr_assert(hs_ok(hs_timer_set(s, &timers.timers[other], timers.due[other], timer_fired)));
    }
    if (timers.fired_len + timers.cancelled_len == TIMERS)
        shard_stop(s);
}

static hs_err timers_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    for (uint32_t i = 0; i < TIMERS; i++) {
        uint64_t after_ms = 1 + hs_shard_random(s) % 5000;
        timers.due[i] = hs_shard_now_ns(s) + after_ms * HS_MSEC_NS;
        HS_TRY(hs_timer_after(s, &timers.timers[i], after_ms, timer_fired));
    }
    return HS_OK;
}

Test(shard_loop, timers_fire_once_at_their_time_unless_cancelled)
{
    cluster c;
    cluster_options o = calm_options(1, NULL);
    o.start = timers_start;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    cr_assert_gt(timers.cancelled_len, 0);
    cluster_fini(&c);
}

static void far_enough(hs_timer *timer)
{
    (void)timer;
    hs_shard *s = hs_shard_self();
    cr_assert_eq(timers.fired_len, 0);
    cr_assert(hs_timer_active(&timers.timers[0]));
    hs_timer_cancel(s, &timers.timers[0]);
    hs_timer_cancel(s, &timers.timers[0]);
    cr_assert_not(hs_timer_active(&timers.timers[0]));
    shard_stop(s);
}

static hs_err far_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    HS_TRY(hs_timer_after(s, &timers.timers[0], UINT64_MAX, timer_fired));
    return hs_timer_after(s, &timers.timers[1], 1000, far_enough);
}

Test(shard_loop, a_timer_in_the_farthest_future_does_not_wrap)
{
    cluster c;
    cluster_options o = calm_options(1, NULL);
    o.start = far_start;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    cr_assert_eq(timers.fired_len, 0);
    cluster_fini(&c);
}

/* ---- calls ---- */

#define CALL_SHARDS 3
#define CALLS 600 /* more than HS_CALLS_MAX */

typedef struct call_shard {
    hs_call_op calls[CALL_SHARDS][CALLS];
    uint32_t started[CALL_SHARDS], done[CALL_SHARDS], served[CALL_SHARDS];
    uint32_t blocked, done_all;
} call_shard;

static call_shard callers[CALL_SHARDS];

static void calls_go_on(uint32_t target);

static void call_serve(hs_call_op *call)
{
    uint32_t origin = hs_shard_id(call->origin), here = hs_shard_id(hs_shard_self());
    cr_assert_eq(hs_shard_self(), call->target);
    cr_assert_eq((uintptr_t)call->arg, callers[here].served[origin]); /* in order */
    call->result = UINT64_C(1000) * origin + callers[here].served[origin]++;
}

static void call_done(hs_call_op *call)
{
    uint32_t here = hs_shard_id(hs_shard_self()), target = hs_shard_id(call->target);
    cr_assert_eq(hs_shard_self(), call->origin);
    cr_assert_eq(call->result, UINT64_C(1000) * here + callers[here].done[target]);
    callers[here].done[target]++;
    if (++callers[here].done_all == CALLS * CALL_SHARDS)
        shard_stop(hs_shard_self());
    calls_go_on(target);
}

static void calls_go_on(uint32_t target)
{
    hs_shard *s = hs_shard_self();
    call_shard *k = &callers[hs_shard_id(s)];
    while (k->started[target] < CALLS) {
        hs_call_op *call = &k->calls[target][k->started[target]];
        *call = (hs_call_op){
            .fn = call_serve, .done = call_done, .arg = (void *)(uintptr_t)k->started[target]};
        hs_err err = hs_call_op_start(hs_shard_peer(s, target), call);
        if (err.code == HS_E_BLOCKED) {
            k->blocked++;
            cr_assert_eq(k->started[target] - k->done[target], HS_CALLS_MAX);
            return;
        }
        cr_assert(hs_ok(err));
        k->started[target]++;
    }
}

static void calls_begin(hs_timer *timer)
{
    (void)timer;
    for (uint32_t i = 0; i < CALL_SHARDS; i++)
        calls_go_on(i);
}

static hs_err calls_start(hs_shard *s, void *ctx)
{
    hs_timer *first = ctx;
    return hs_timer_after(s, &first[hs_shard_id(s)], hs_shard_id(s) * 50, calls_begin);
}

static void run_calls(uint64_t seed)
{
    memset(callers, 0, sizeof(callers));
    hs_timer first[CALL_SHARDS] = {0};
    cluster c;
    cluster_options o = {
        .sim = {.seed = seed, .shards = CALL_SHARDS}, .start = calls_start, .ctx = first};
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED, "seed %llu", (unsigned long long)seed);
    for (uint32_t i = 0; i < CALL_SHARDS; i++) {
        cr_assert_eq(callers[i].done_all, CALLS * CALL_SHARDS);
        cr_assert_gt(callers[i].blocked, 0);
    }
    cluster_fini(&c);
}

/* A wake-up that nobody sends would leave a shard asleep for good: the world would be stuck. */
Test(shard_loop, calls_are_answered_once_and_in_order)
{
    for (uint64_t seed = 1; seed <= 100; seed++)
        run_calls(seed);
}

/* ---- stop ---- */

typedef struct stop_state {
    hs_timer release, release_other;
    hs_call_op late;
    uint32_t stops, ends;
    bool late_served, late_done;
    uint64_t ended_at[2];
} stop_state;

static void release_other(hs_timer *timer)
{
    (void)timer;
    hs_shard_release(hs_shard_self());
}

/* A shard that was ready to end gets something to hold it again. */
static void late_serve(hs_call_op *call)
{
    stop_state *st = call->arg;
    st->late_served = true;
    hs_shard_hold(hs_shard_self());
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &st->release_other, 3000, release_other)));
}

static void late_done(hs_call_op *call)
{
    ((stop_state *)call->arg)->late_done = true;
}

static void release_now(hs_timer *timer)
{
    stop_state *st = HS_CONTAINER_OF(timer, stop_state, release);
    hs_shard *s = hs_shard_self();
    cr_assert(hs_shard_stopping(s));
    /* The other shard holds nothing, but answers until all end together. */
    st->late = (hs_call_op){.fn = late_serve, .done = late_done, .arg = st};
    cr_assert(hs_ok(hs_call_op_start(hs_shard_peer(s, 1), &st->late)));
    hs_shard_release(s);
}

static void stop_heard(hs_shard *s, void *ctx)
{
    stop_state *st = ctx;
    cr_assert(hs_shard_stopping(s));
    cr_assert_eq(s, hs_shard_self());
    st->stops++;
    if (hs_shard_id(s) == 0)
        cr_assert(hs_ok(hs_timer_after(s, &st->release, 5000, release_now)));
}

static void stop_ended(hs_shard *s, void *ctx)
{
    stop_state *st = ctx;
    st->ends++;
    st->ended_at[hs_shard_id(s)] = hs_shard_now_ns(s);
}

static hs_err stop_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) == 0)
        hs_shard_hold(s);
    return HS_OK;
}

/* Time passes for it; the stop itself comes from no shard's thread, as from a signal. */
static void second_passed(sim_world *w, sim_event *event)
{
    (void)w, (void)event;
}

Test(shard_loop, a_stop_waits_for_what_holds_a_shard_and_all_end_together)
{
    stop_state st = {0};
    cluster c;
    cluster_options o = calm_options(2, &st);
    o.start = stop_start;
    o.stop = stop_heard;
    o.end = stop_ended;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    sim_event later = {0};
    sim_event_set(c.w, &later, HS_SEC_NS, second_passed);
    uint64_t start = sim_world_now_ns(c.w);
    while (sim_world_now_ns(c.w) < start + HS_SEC_NS)
        cr_assert(sim_world_step(c.w));
    cr_assert_eq(st.stops, 0);
    cluster_stop(&c);
    cluster_stop(&c);
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    cr_assert_eq(st.stops, 2);
    cr_assert_eq(st.ends, 2);
    cr_assert(st.late_served && st.late_done);
    cr_assert_geq(st.ended_at[1], start + 9 * HS_SEC_NS);
    cluster_fini(&c);
}

static hs_err fail_on_one(hs_shard *s, void *ctx)
{
    (void)ctx;
    return hs_shard_id(s) == 1 ? hs_err_errno(EADDRINUSE) : HS_OK;
}

Test(shard_loop, a_start_that_fails_ends_all)
{
    cluster c;
    cluster_options o = calm_options(3, NULL);
    o.start = fail_on_one;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    cr_assert_eq(c.start_err.code, -EADDRINUSE);
    cluster_fini(&c);
}

/* ---- no memory ---- */

Test(shard_loop, shards_without_memory_are_not_made_and_leak_nothing)
{
    uint32_t failed = 0, made = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        cluster c;
        cluster_options o = calm_options(2, NULL);
        o.sim.seed = seed;
        o.fail_chance = 80;
        hs_err err = cluster_init(&c, &o);
        failed += !hs_ok(err);
        if (!hs_ok(err)) {
            cr_assert_eq(err.code, -ENOMEM);
            continue;
        }
        made++;
        cluster_stop(&c);
        cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
        cluster_fini(&c);
    }
    cr_assert_gt(failed, 0);
    cr_assert_gt(made, 0);
}
