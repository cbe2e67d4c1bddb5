/* hs_blocking on a simulated shard: outcomes, cancelling, stopping, and no memory. Without a group
 * there are no threads, and the work runs from a task: what threads do is tests/plain/blocking.c's.
 */
#include "cluster_rig.h"
#include "hs_blocking.h"
#include "hs_fiber.h"

static seen s1, s2;

static uint64_t counted(const char *name)
{
    return hs_counters_find(hs_shard_counters(rig_now.c.shards[0]), name);
}

/* ---- outcomes ---- */

static hs_outcome double_of(void *arg)
{
    cr_assert_null(hs_shard_self());
    return hs_value_owned(thing_make(2 * (intptr_t)arg), thing_drop);
}

static hs_outcome fails(void *arg)
{
    hs_outcome o = hs_value_owned(thing_make((intptr_t)arg), thing_drop);
    o.err = hs_err_of(HS_E_PROTOCOL);
    return o;
}

static void outcomes(void)
{
    see(&s1, hs_blocking(peer(0), double_of, (void *)21), NULL);
    see(&s2, hs_blocking(peer(0), fails, (void *)8), see_and_stop);
    cr_assert_eq(s1.calls, 0);
    cr_assert_eq(counted("blocking_queued"), 2);
}

Test(shard_blocking, a_value_or_an_error_comes_back_and_is_the_callers)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        things_none();
        run_scene(outcomes, 2, seed);
        cr_assert(s1.calls == 1 && hs_ok(s1.err) && s1.number == 42);
        cr_assert(s2.calls == 1 && s2.err.code == HS_E_PROTOCOL && s2.number == 8);
        cr_assert(things_out == 0 && things_dropped == 0);
    }
}

static void nobody_waits(void)
{
    hs_promise_drop(hs_blocking(peer(0), double_of, (void *)1));
    see(&s1, hs_blocking(peer(0), double_of, (void *)2), see_and_stop);
}

Test(shard_blocking, a_value_that_nobody_receives_is_dropped_on_the_shard)
{
    things_none();
    run_scene(nobody_waits, 2, 0);
    cr_assert(s1.calls == 1 && things_out == 0);
    cr_assert(things_dropped == 1 && things_dropped_at[0] == 1);
}

/* ---- on a fiber ---- */

static hs_err awaits(void *arg)
{
    thing *value;
    hs_shard *s = hs_shard_self();
    (void)arg;
    HS_TRY(hs_await(hs_blocking(s, double_of, (void *)4), &value));
    cr_assert_eq(thing_take(value), 8);
    cr_assert_eq(hs_await(hs_blocking(s, fails, NULL), &value).code, HS_E_PROTOCOL);
    return HS_OK;
}

static void on_a_fiber(void)
{
    see(&s1, hs_fiber_start(peer(0), "awaits", awaits, NULL, NULL), see_and_stop);
}

Test(shard_blocking, a_fiber_awaits_it)
{
    things_none();
    run_scene(on_a_fiber, 1, 0);
    cr_assert(s1.calls == 1 && hs_ok(s1.err));
    cr_assert(things_out == 0 && things_dropped == 1);
}

/* ---- cancelling ---- */

static bool ran;

static hs_outcome give_back(void *arg)
{
    ran = true;
    return hs_value_owned(arg, thing_drop);
}

static hs_cancel *token;

static void with_token(void (*then)(seen *seen))
{
    see(&s1, hs_blocking_with(peer(0), give_back, thing_make(1), thing_drop, token), then);
}

static void cancelled_before(void)
{
    token = hs_cancel_create(peer(0));
    hs_cancel_fire(token, hs_err_errno(ECANCELED));
    with_token(see_and_stop);
    hs_cancel_unref(token);
}

static void cancelled_in_line(void)
{
    token = hs_cancel_create(peer(0));
    with_token(see_and_stop);
    hs_cancel_fire(token, hs_err_errno(ETIMEDOUT));
    hs_cancel_unref(token);
    cr_assert_eq(counted("blocking_queued"), 0);
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
    with_token(fire_token);
}

Test(shard_blocking, what_is_cancelled_is_rejected_at_once_and_its_argument_dropped)
{
    things_none();
    ran = false;
    run_scene(cancelled_before, 1, 0);
    cr_assert(s1.calls == 1 && s1.err.code == -ECANCELED && !ran);
    cr_assert(things_out == 0 && things_dropped_at[0] == 1);

    things_none();
    run_scene(cancelled_in_line, 1, 0);
    cr_assert(s1.calls == 1 && s1.err.code == -ETIMEDOUT && !ran);
    cr_assert(things_out == 0 && things_dropped_at[0] == 1);

    things_none();
    run_scene(cancelled_after, 1, 0);
    cr_assert(s1.calls == 1 && hs_ok(s1.err) && ran);
    cr_assert(things_out == 0 && things_dropped == 0);
}

/* ---- stop ---- */

static void stop_at_once(void)
{
    with_token(NULL);
    stop_all();
}

static hs_err waits_for_the_end(void *arg)
{
    (void)arg;
    hs_err err = hs_await(hs_promise_create(hs_shard_self()), NULL);
    cr_assert_eq(err.code, HS_E_CLOSED);
    see(&s1, hs_blocking_with(hs_shard_self(), give_back, thing_make(1), thing_drop, NULL), NULL);
    return HS_OK;
}

static void ask_at_the_end(void)
{
    see(&s2, hs_fiber_start(peer(0), "waits", waits_for_the_end, NULL, NULL), NULL);
    stop_all();
}

Test(shard_blocking, at_a_stop_what_was_asked_for_runs_and_what_comes_after_is_refused)
{
    token = NULL;
    for (uint64_t seed = 0; seed < 10; seed++) {
        things_none();
        run_scene(stop_at_once, 2, seed);
        cr_assert(s1.calls == 1 && hs_ok(s1.err) && things_out == 0);
        things_none();
        ran = false;
        run_scene(ask_at_the_end, 2, seed);
        cr_assert(s1.calls == 1 && s1.err.code == HS_E_CLOSED && !ran);
        cr_assert(things_out == 0 && things_dropped_at[0] == 1);
    }
}

/* ---- no memory ---- */

#define MANY 100

static seen many[MANY];
static uint32_t poor_done, poor_refused;

static hs_outcome poor_work(void *arg)
{
    return hs_value_owned(thing_make(thing_take(arg)), thing_drop);
}

static void poor_next(seen *s)
{
    poor_done++;
    if (!hs_ok(s->err)) {
        cr_assert_eq(s->err.code, -ENOMEM);
        poor_refused++;
    }
    if (poor_done == MANY) {
        cr_assert(counted("blocking_queued") == 0 && counted("blocking_running") == 0);
        cr_assert_eq(counted("blocking_rejected"), poor_refused);
        stop_all();
    }
}

static void poor(void)
{
    poor_done = poor_refused = 0;
    for (intptr_t i = 0; i < MANY; i++)
        see(&many[i], hs_blocking_with(peer(0), poor_work, thing_make(i), thing_drop, NULL),
            poor_next);
}

Test(shard_blocking, without_memory_it_is_rejected_and_nothing_leaks)
{
    uint32_t refused = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        things_none();
        run_failing(poor, 1, seed, 300);
        cr_assert_eq(poor_done, MANY);
        cr_assert_eq(things_out, 0);
        refused += poor_refused;
    }
    cr_assert_gt(refused, 0);
}
