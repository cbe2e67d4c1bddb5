/* Fibers at a stop: they serve as long as any shard has something to do, and are ended then. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>

#include "hs_fiber.h"
#include "inside.h"
#include "sim/cluster.h"

#define HOUR_NS (3600 * HS_SEC_NS)

static struct scene {
    hs_promise *gate; /* of shard 0's fiber */
    hs_promise *end;
    hs_err err, err2, restart;
    uint32_t restarts, calls, answers;
    bool ended, released;
    hs_timer timer;
    hs_call_op call;
    hs_reaction reaction;
} sc;

static void run(uint32_t shards, hs_err (*start)(hs_shard *s, void *ctx),
                void (*stop)(hs_shard *s, void *ctx))
{
    static sim_faults calm;
    sim_faults_none(&calm);
    cluster c;
    cluster_options o = {
        .sim = {.seed = 1, .shards = shards, .faults = &calm}, .start = start, .stop = stop};
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    for (uint32_t i = 0; i < shards; i++)
        cr_assert_eq(hs_fibers(c.shards[i]), 0);
    cluster_fini(&c);
}

static hs_err awaits(void *arg)
{
    (void)arg;
    sc.err = hs_await(sc.gate, NULL);
    sc.ended = true;
    return sc.err;
}

static hs_err start_waiting(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) > 0)
        return HS_OK;
    sc.gate = hs_promise_create(s);
    hs_promise_ignore(hs_fiber_start(s, "waits", awaits, NULL, NULL));
    shard_stop(s);
    return HS_OK;
}

/* ---- one shard ---- */

Test(shard_fiber_stop, one_that_still_awaits_is_ended)
{
    run(1, start_waiting, NULL);
    cr_assert(sc.ended);
    cr_assert_eq(sc.err.code, HS_E_CLOSED);
}

static void let_go(hs_timer *timer)
{
    (void)timer;
    cr_assert_not(sc.ended);
    sc.released = true;
    hs_promise_settle(sc.gate, hs_value(NULL));
    hs_shard_release(hs_shard_self());
}

static void hold_a_while(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_shard_hold(s);
    cr_assert(hs_ok(hs_timer_after(s, &sc.timer, 100, let_go)));
}

Test(shard_fiber_stop, what_holds_the_shard_is_finished_first)
{
    run(1, start_waiting, hold_a_while);
    cr_assert(sc.released);
    cr_assert(sc.ended);
    cr_assert(hs_ok(sc.err));
}

static void again(hs_reaction *reaction, hs_outcome outcome);

static hs_err awaits_for_ever(void *arg)
{
    hs_err err = hs_await(hs_promise_create((hs_shard *)arg), NULL);
    sc.ended = true;
    return err;
}

static void start_again(hs_shard *s)
{
    sc.restarts++;
    hs_react(hs_fiber_start(s, "again", awaits_for_ever, s, NULL), &sc.reaction, again);
}

/* Somebody watches it, and starts it anew whenever it ends. */
static void again(hs_reaction *reaction, hs_outcome outcome)
{
    cr_assert_eq(reaction, &sc.reaction);
    sc.restart = outcome.err;
    if (sc.restarts < 10)
        start_again(hs_shard_self());
}

static hs_err start_watched(hs_shard *s, void *ctx)
{
    (void)ctx;
    start_again(s);
    shard_stop(s);
    return HS_OK;
}

Test(shard_fiber_stop, then_no_more_are_started)
{
    run(1, start_watched, NULL);
    cr_assert(sc.ended);
    cr_assert_eq(sc.restarts, 10); /* each refused at once */
    cr_assert_eq(sc.restart.code, HS_E_CLOSED);
}

static hs_err yields_for_ever(void *arg)
{
    (void)arg;
    while (hs_ok(sc.err))
        sc.err = hs_yield();
    return sc.err;
}

static hs_err start_yielding(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_promise_ignore(hs_fiber_start(s, "yields", yields_for_ever, NULL, NULL));
    shard_stop(s);
    return HS_OK;
}

Test(shard_fiber_stop, one_that_only_yields_keeps_nobody_waiting)
{
    run(1, start_yielding, NULL);
    cr_assert_eq(sc.err.code, HS_E_CLOSED);
}

/* ---- several shards ---- */

/* On shard 0, which has had nothing to do but its fiber for long. */
static void open_gate(hs_call_op *call)
{
    cr_assert_not(sc.ended);
    hs_promise_settle(sc.gate, hs_value(NULL));
    sc.gate = hs_promise_create(hs_shard_self());
    sc.end = hs_fiber_start(hs_shard_self(), "second", awaits, NULL, NULL);
    cr_assert_eq(hs_promise_state_of(sc.end), HS_PROMISE_PENDING);
    hs_promise_ignore(sc.end);
    call->result = 1;
}

static void answered(hs_call_op *call)
{
    cr_assert_eq(call->result, 1);
    sc.answers++;
    hs_shard_release(hs_shard_self());
}

static void ask(hs_timer *timer)
{
    (void)timer;
    hs_shard *s = hs_shard_self();
    sc.call = (hs_call_op){.fn = open_gate, .done = answered};
    cr_assert(hs_ok(hs_call_op_start(hs_shard_peer(s, 0), &sc.call)));
}

static void hold_the_last(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) != hs_shard_count(s) - 1)
        return;
    hs_shard_hold(s);
    cr_assert(hs_ok(hs_timer_after(s, &sc.timer, 1000, ask)));
}

static hs_err stop_all(hs_shard *s, void *ctx)
{
    if (hs_shard_id(s) == 0)
        for (uint32_t i = 1; i < hs_shard_count(s); i++)
            shard_stop(hs_shard_peer(s, i));
    return start_waiting(s, ctx);
}

Test(shard_fiber_stop, it_serves_other_shards_until_all_have_nothing_left)
{
    run(3, stop_all, hold_the_last);
    cr_assert_eq(sc.answers, 1);
    cr_assert(sc.ended); /* the second; the first came to its value */
    cr_assert_eq(sc.err.code, HS_E_CLOSED);
}

/* ---- the last things that a fiber does ---- */

static void count_call(hs_call_op *call)
{
    cr_assert_neq(hs_shard_id(hs_shard_self()), 0);
    sc.calls++;
    call->result = 1;
}

static void count_answer(hs_call_op *call)
{
    sc.answers += (uint32_t)call->result;
}

static hs_err says_goodbye(void *arg)
{
    hs_shard *s = arg;
    sc.err = hs_await(sc.gate, NULL);
    sc.call = (hs_call_op){.fn = count_call, .done = count_answer};
    sc.err2 = hs_call_op_start(hs_shard_peer(s, 1), &sc.call);
    return sc.err;
}

static hs_err start_polite(hs_shard *s, void *ctx)
{
    (void)ctx;
    shard_stop(s);
    if (hs_shard_id(s) > 0)
        return HS_OK;
    sc.gate = hs_promise_create(s);
    hs_promise_ignore(hs_fiber_start(s, "polite", says_goodbye, s, NULL));
    return HS_OK;
}

Test(shard_fiber_stop, what_it_does_last_is_waited_for)
{
    run(2, start_polite, NULL);
    cr_assert_eq(sc.err.code, HS_E_CLOSED);
    cr_assert(hs_ok(sc.err2));
    cr_assert_eq(sc.calls, 1);
    cr_assert_eq(sc.answers, 1);
}

/* ---- errors of the programmer ---- */

Test(shard_fiber_stop, a_shard_with_fibers_is_not_destroyed, .signal = SIGABRT)
{
    static sim_faults calm;
    sim_faults_none(&calm);
    cluster c;
    cluster_options o = {.sim = {.seed = 1, .shards = 1, .faults = &calm}};
    cr_assert(hs_ok(cluster_init(&c, &o)));
    shard_enter(c.shards[0]);
    sc.gate = hs_promise_create(c.shards[0]);
    hs_promise_ignore(hs_fiber_start(c.shards[0], "waits", awaits, NULL, NULL));
    shard_destroy(c.shards[0]);
}
