/* hs_call: values, errors and promises from another shard; the line, cancelling, stopping, and no
 * memory. */
#include "cluster_rig.h"
#include "hs_call.h"

static seen s1, s2;

/* ---- outcomes ---- */

static hs_outcome value_there(void *arg)
{
    cr_assert_eq(here(), 1);
    return hs_value_owned(thing_make(10 * (intptr_t)arg), thing_drop);
}

static hs_outcome error_there(void *arg)
{
    hs_outcome o = hs_value_owned(thing_make((intptr_t)arg), thing_drop);
    o.err = hs_err_of(HS_E_PROTOCOL);
    return o;
}

static void outcomes(void)
{
    see(&s1, hs_call(peer(1), value_there, (void *)7), NULL);
    see(&s2, hs_call(peer(1), error_there, (void *)8), see_and_stop);
    cr_assert_eq(s1.calls, 0);
}

Test(shard_call, a_value_or_an_error_comes_back_and_is_the_callers)
{
    things_none();
    run_scene(outcomes, 2, 0);
    cr_assert(s1.calls == 1 && hs_ok(s1.err) && s1.number == 70);
    cr_assert(s2.calls == 1 && s2.err.code == HS_E_PROTOCOL && s2.number == 8);
    cr_assert_eq(things_out, 0);
    cr_assert_eq(things_dropped, 0);
}

/* ---- a promise of the target ---- */

static hs_promise *made_there;

static void settle_there(hs_timer *timer)
{
    (void)timer;
    cr_assert_eq(here(), 1);
    hs_promise_settle(made_there, hs_value_owned(thing_make(5), thing_drop));
}

static hs_outcome promise_there(void *arg)
{
    static hs_timer timer;
    timer = (hs_timer){0};
    cr_assert(
        hs_ok(hs_timer_after(hs_shard_self(), &timer, (uint64_t)(uintptr_t)arg, settle_there)));
    made_there = hs_promise_create(hs_shard_self());
    return hs_adopt(made_there);
}

static hs_outcome settled_there(void *arg)
{
    return hs_adopt(hs_promise_settled(hs_shard_self(), hs_value(arg)));
}

static void promises(void)
{
    see(&s1, hs_call(peer(1), promise_there, (void *)1000), see_and_stop);
    see(&s2, hs_call(peer(1), settled_there, (void *)3), NULL);
}

Test(shard_call, a_promise_of_the_target_answers_when_it_is_settled)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        things_none();
        run_scene(promises, 2, seed);
        cr_assert(s1.calls == 1 && hs_ok(s1.err) && s1.number == 5);
        cr_assert(s2.calls == 1 && hs_ok(s2.err) && s2.number == 3);
        cr_assert_eq(things_out, 0);
    }
}

/* ---- order, and the line ---- */

#define MANY (4 * HS_CALLS_MAX)

static seen many[MANY + 1];
static uint32_t many_begun, many_done;

static hs_outcome in_order(void *arg)
{
    cr_assert_eq((uintptr_t)arg, many_begun++);
    return hs_value(arg);
}

static void many_next(seen *s)
{
    cr_assert(hs_ok(s->err));
    cr_assert_eq(s->number, many_done++);
    if (many_done == MANY)
        stop_all();
}

static void call_many(void)
{
    many_begun = many_done = 0;
    for (uintptr_t i = 0; i < MANY; i++)
        see(&many[i], hs_call(peer(1), in_order, (void *)i), many_next);
}

Test(shard_call, more_calls_than_a_queue_has_room_for_begin_and_end_in_order)
{
    for (uint64_t seed = 0; seed < 20; seed++)
        run_scene(call_many, 2, seed);
    cr_assert_eq(many_done, MANY);
}

static uint32_t refused, dropped_args;

static void count_arg(void *arg)
{
    (void)arg;
    dropped_args++;
}

static hs_outcome nothing(void *arg)
{
    (void)arg;
    return hs_value(NULL);
}

static void see_refused(seen *s)
{
    cr_assert_eq(s->err.code, HS_E_LIMIT);
    refused++;
}

static void call_too_many(void)
{
    refused = dropped_args = 0;
    for (uint32_t i = 0; i < HS_CALLS_WAIT_MAX; i++)
        hs_promise_drop(hs_call_with(peer(1), nothing, NULL, count_arg, NULL));
    cr_assert_eq(dropped_args, 0);
    see(&s1, hs_call_with(peer(1), nothing, NULL, count_arg, NULL), see_refused);
    stop_all(); /* and all of those that stand in line are made */
}

Test(shard_call, past_the_limit_a_call_is_refused_and_its_argument_dropped)
{
    run_scene(call_too_many, 2, 0);
    cr_assert_eq(refused, 1);
    cr_assert_eq(dropped_args, 1);
}

/* ---- calls within calls ---- */

static uint32_t deepest;

static hs_outcome call_back(void *arg)
{
    uintptr_t depth = (uintptr_t)arg;
    deepest = HS_MAX(deepest, (uint32_t)depth);
    if (depth == 40)
        return hs_value((void *)depth);
    return hs_adopt(hs_call(peer(1 - here()), call_back, (void *)(depth + 1)));
}

static void nested_next(seen *s)
{
    cr_assert(hs_ok(s->err));
    cr_assert_eq(s->number, 40);
    if (++many_done == 2 * HS_CALLS_MAX)
        stop_all();
}

static void nested(void)
{
    many_done = 0;
    for (uint32_t i = 0; i < 2 * HS_CALLS_MAX; i++)
        see(&many[i], hs_call(peer(1), call_back, (void *)1), nested_next);
}

Test(shard_call, calls_that_call_back_and_so_on_do_not_block_each_other)
{
    for (uint64_t seed = 0; seed < 5; seed++)
        run_scene(nested, 2, seed);
    cr_assert_eq(many_done, 2 * HS_CALLS_MAX);
}

static void call_itself(void)
{
    see(&s1, hs_call(peer(0), call_back, (void *)39), see_and_stop);
    cr_assert_eq(s1.calls, 0);
}

Test(shard_call, a_shard_may_call_itself)
{
    deepest = 0;
    run_scene(call_itself, 2, 0);
    cr_assert(hs_ok(s1.err) && s1.number == 40 && deepest == 40);
}

/* ---- cancelling ---- */

static hs_cancel *token;
static bool ran;

static hs_outcome run_there(void *arg)
{
    ran = true;
    return hs_value_owned(arg, thing_drop);
}

static void cancelled_before(void)
{
    hs_cancel *c = hs_cancel_create(peer(0));
    hs_cancel_fire(c, hs_err_errno(ECANCELED));
    see(&s1, hs_call_with(peer(1), run_there, thing_make(1), thing_drop, c), see_and_stop);
    hs_cancel_unref(c);
}

static void cancelled_under_way(void)
{
    hs_cancel *c = hs_cancel_create(peer(0));
    see(&s1, hs_call_with(peer(1), run_there, thing_make(1), thing_drop, c), see_and_stop);
    hs_cancel_fire(c, hs_err_errno(ETIMEDOUT));
    hs_cancel_unref(c);
}

static void cancelled_in_line(void)
{
    for (uint32_t i = 0; i < HS_CALLS_MAX; i++)
        hs_promise_drop(hs_call(peer(1), nothing, NULL));
    cancelled_under_way();
}

static void fire_token(seen *s)
{
    (void)s;
    hs_cancel_fire(token, hs_err_errno(ECANCELED));
    hs_cancel_unref(token);
    stop_all();
}

static void cancelled_after(void)
{
    token = hs_cancel_create(peer(0));
    see(&s1, hs_call_with(peer(1), run_there, thing_make(1), thing_drop, token), fire_token);
}

Test(shard_call, a_cancelled_call_rejects_at_once_and_its_value_is_dropped_here)
{
    things_none();
    ran = false;
    run_scene(cancelled_before, 2, 0);
    cr_assert(s1.calls == 1 && s1.err.code == -ECANCELED && !ran);
    cr_assert(things_out == 0 && things_dropped_at[0] == 1);

    things_none();
    run_scene(cancelled_in_line, 2, 0);
    cr_assert(s1.calls == 1 && s1.err.code == -ETIMEDOUT && !ran);
    cr_assert(things_out == 0 && things_dropped_at[0] == 1);

    things_none();
    run_scene(cancelled_under_way, 2, 0);
    cr_assert(s1.calls == 1 && s1.err.code == -ETIMEDOUT && ran);
    cr_assert(things_out == 0 && things_dropped_at[0] == 1);

    things_none();
    run_scene(cancelled_after, 2, 0);
    cr_assert(s1.calls == 1 && hs_ok(s1.err) && s1.number == 1);
    cr_assert(things_out == 0 && things_dropped == 0);
}

/* ---- stop ---- */

static void hold_there(hs_timer *timer)
{
    settle_there(timer);
    hs_shard_release(hs_shard_self());
}

static hs_outcome promise_held(void *arg)
{
    static hs_timer timer;
    (void)arg;
    timer = (hs_timer){0};
    hs_shard_hold(hs_shard_self());
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &timer, 500, hold_there)));
    made_there = hs_promise_create(hs_shard_self());
    return hs_adopt(made_there);
}

static void stop_while_it_works(void)
{
    see(&s1, hs_call(peer(1), promise_held, NULL), NULL);
    stop_all();
}

static hs_outcome never_there(void *arg)
{
    (void)arg;
    made_there = hs_promise_create(hs_shard_self());
    return hs_adopt(hs_promise_ref(made_there));
}

static hs_outcome wait_back(void *arg)
{
    (void)arg;
    return hs_adopt(hs_call(peer(0), never_there, NULL));
}

static void stop_in_a_circle(void)
{
    see(&s1, hs_call(peer(1), wait_back, NULL), NULL);
    see(&s2, hs_call(peer(0), never_there, NULL), NULL);
    stop_all();
}

static void call_at_the_end(seen *s)
{
    /* All waiting has been told to end: what waits now is told so soon. */
    cr_assert_eq(s->err.code, HS_E_CLOSED);
    see(&s2, hs_call(peer(1), never_there, NULL), NULL);
}

static void stop_and_call_again(void)
{
    see(&s1, hs_call(peer(1), never_there, NULL), call_at_the_end);
    stop_all();
}

Test(shard_call, at_a_stop_every_call_is_answered_or_rejected)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        things_none();
        /* Work that holds its shard is waited for. */
        run_scene(stop_while_it_works, 2, seed);
        cr_assert(s1.calls == 1 && hs_ok(s1.err) && s1.number == 5);
        /* A timer alone keeps nobody waiting: but the call was under way, and is told. */
        run_scene(stop_and_call_again, 2, seed);
        cr_assert(s1.calls == 1 && s2.calls == 1 && s2.err.code == HS_E_CLOSED);
        /* Shards that wait for each other. */
        run_scene(stop_in_a_circle, 2, seed);
        cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED);
        cr_assert(s2.calls == 1 && s2.err.code == HS_E_CLOSED);
        cr_assert_eq(things_out, 0);
    }
}

/* ---- no memory ---- */

static uint32_t poor_done, poor_refused, poor_ran;

static hs_outcome poor_there(void *arg)
{
    poor_ran++;
    intptr_t number = thing_take(arg);
    if (number % 3 == 0)
        return hs_value_owned(thing_make(number), thing_drop);
    /* -ENOMEM is one more error that an outcome may be. */
    return hs_adopt(
        hs_promise_settled(hs_shard_self(), hs_value_owned(thing_make(number), thing_drop)));
}

static void poor_next(seen *s)
{
    poor_done++;
    if (!hs_ok(s->err)) {
        cr_assert_eq(s->err.code, -ENOMEM);
        poor_refused++;
    }
    if (poor_done == 100)
        stop_all();
}

static void poor(void)
{
    poor_done = poor_ran = 0;
    for (intptr_t i = 0; i < 100; i++)
        see(&many[i], hs_call_with(peer(1), poor_there, thing_make(i), thing_drop, NULL),
            poor_next);
}

Test(shard_call, without_memory_a_call_is_rejected_and_nothing_leaks)
{
    poor_refused = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        things_none();
        run_failing(poor, 2, seed, 300);
        cr_assert_eq(poor_done, 100);
        cr_assert_eq(things_out, 0);
        cr_assert_eq(things_dropped_at[1] + things_dropped_at[0], things_dropped);
    }
    cr_assert_gt(poor_refused, 0);
}

/* Calls after the loops have ended. */

static void call_at_end(hs_shard *s, void *ctx)
{
    (void)ctx;
    hs_promise *p = hs_call_with(hs_shard_peer(s, 0), nothing, NULL, count_arg, NULL);
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_REJECTED);
    hs_promise_ignore(p);
}

Test(shard_call, after_the_end_a_call_is_refused)
{
    static sim_faults calm;
    sim_faults_none(&calm);
    dropped_args = 0;
    cluster_options o = {.sim = {.seed = 1, .shards = 2, .faults = &calm}, .end = call_at_end};
    cluster c;
    cr_assert(hs_ok(cluster_init(&c, &o)));
    cluster_stop(&c);
    cr_assert_eq(cluster_run(&c, HOUR_NS), CLUSTER_ENDED);
    cluster_fini(&c);
    cr_assert_eq(dropped_args, 2);
}
