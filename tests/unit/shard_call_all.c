/* hs_call_all: what each shard says, cancelling, stopping, a full line, and no memory. */
#include "cluster_rig.h"
#include "hs_call.h"

#define SHARDS 3

static hs_reaction reaction;
static uint32_t fulfilled, rejected;
static hs_err rejection;
static hs_err errs[SHARDS];
static intptr_t numbers[SHARDS];
static uint32_t ran_at[SHARDS];

static void none_ran(void)
{
    things_none();
    fulfilled = rejected = 0;
    reaction = (hs_reaction){0};
    memset(errs, 0, sizeof errs);
    memset(numbers, 0, sizeof numbers);
    memset(ran_at, 0, sizeof ran_at);
}

static void write_down(hs_reaction *r, hs_outcome o)
{
    (void)r;
    if (!hs_ok(o.err)) {
        rejected++;
        rejection = o.err;
    } else {
        hs_outcomes *all = o.value;
        fulfilled++;
        cr_assert_eq(all->len, SHARDS);
        cr_assert_eq(o.drop, hs_outcomes_free);
        for (uint32_t i = 0; i < SHARDS; i++) {
            errs[i] = all->at[i].err;
            numbers[i] = hs_ok(errs[i]) && all->at[i].drop ? *(intptr_t *)all->at[i].value : 0;
        }
        hs_outcomes_free(all);
    }
    stop_all();
}

/* ---- values and errors ---- */

static hs_outcome by_number(void *arg)
{
    static const intptr_t constant[] = {100};
    cr_assert_eq(*(intptr_t *)arg, constant[0]);
    ran_at[here()]++;
    if (here() == 1)
        return hs_error(hs_err_of(HS_E_PROTOCOL));
    intptr_t *value = malloc(sizeof *value);
    cr_assert_not_null(value);
    *value = constant[0] + here();
    return hs_value_owned(value, free);
}

static void to_all(void)
{
    static intptr_t constant = 100;
    hs_react(hs_call_all(by_number, &constant), &reaction, write_down);
    cr_assert_eq(ran_at[0] + ran_at[1] + ran_at[2], 0); /* never before it returns */
}

Test(shard_call_all, every_shard_says_a_value_or_an_error)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        none_ran();
        run_scene(to_all, SHARDS, seed);
        cr_assert(fulfilled == 1 && rejected == 0);
        cr_assert(ran_at[0] == 1 && ran_at[1] == 1 && ran_at[2] == 1);
        cr_assert(hs_ok(errs[0]) && errs[1].code == HS_E_PROTOCOL && hs_ok(errs[2]));
        cr_assert(numbers[0] == 100 && numbers[2] == 102);
    }
}

/* ---- arguments of each, and cancelling ---- */

static hs_promise *never;

/* Gives its argument back, but on shard 2, which has never done with it. */
static hs_outcome pass_back(void *arg)
{
    ran_at[here()]++;
    if (here() < 2)
        return hs_value_owned(arg, thing_drop);
    thing_drop(arg);
    never = hs_promise_create(hs_shard_self());
    return hs_adopt(hs_promise_ref(never));
}

static void make_args(void **args)
{
    for (intptr_t i = 0; i < SHARDS; i++)
        args[i] = thing_make(i);
}

static hs_cancel *token;
static hs_timer timer;

static void fire(hs_timer *t)
{
    (void)t;
    cr_assert_eq(fulfilled, 0);
    hs_cancel_fire(token, hs_err_errno(ETIMEDOUT));
    hs_cancel_unref(token);
}

static void to_all_with(hs_cancel *cancel)
{
    void *args[SHARDS];
    make_args(args);
    hs_react(hs_call_all_with(pass_back, args, thing_drop, cancel), &reaction, write_down);
}

static void cancelled_later(void)
{
    timer = (hs_timer){0};
    token = hs_cancel_create(hs_shard_self());
    to_all_with(token);
    cr_assert(hs_ok(hs_timer_after(hs_shard_self(), &timer, 10000, fire)));
}

Test(shard_call_all, cancelled_it_gives_what_has_come_and_the_reason_for_the_rest)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        none_ran();
        run_scene(cancelled_later, SHARDS, seed);
        cr_assert_eq(fulfilled, 1);
        cr_assert(hs_ok(errs[0]) && hs_ok(errs[1]) && errs[2].code == -ETIMEDOUT);
        cr_assert(things_out == 0 && things_dropped == 3);
    }
}

static void cancelled_before(void)
{
    hs_cancel *c = hs_cancel_create(hs_shard_self());
    hs_cancel_fire(c, hs_err_errno(ECANCELED));
    to_all_with(c);
    hs_cancel_unref(c);
}

Test(shard_call_all, cancelled_before_it_calls_nobody)
{
    none_ran();
    run_scene(cancelled_before, SHARDS, 0);
    cr_assert(rejected == 1 && rejection.code == -ECANCELED);
    cr_assert(ran_at[0] + ran_at[1] + ran_at[2] == 0);
    cr_assert(things_out == 0 && things_dropped_at[0] == SHARDS);
}

/* ---- the limit ---- */

static hs_outcome nothing(void *arg)
{
    return hs_value(arg);
}

/* One more call is allowed: the others say so, each for itself. */
static void full_line(void)
{
    for (uint32_t i = 0; i + 1 < HS_CALLS_WAIT_MAX; i++)
        hs_promise_drop(hs_call(peer(1), nothing, NULL));
    void *args[SHARDS];
    make_args(args);
    hs_react(hs_call_all_with(pass_back, args, thing_drop, NULL), &reaction, write_down);
}

Test(shard_call_all, past_the_limit_of_calls_a_shard_is_not_called_and_that_is_said)
{
    none_ran();
    run_scene(full_line, SHARDS, 0);
    cr_assert_eq(fulfilled, 1);
    cr_assert(hs_ok(errs[0]) && errs[1].code == HS_E_LIMIT && errs[2].code == HS_E_LIMIT);
    cr_assert(ran_at[0] == 1 && ran_at[1] == 0 && ran_at[2] == 0);
    cr_assert(things_out == 0 && things_dropped == 3);
}

/* ---- stop ---- */

static void stopped(void)
{
    to_all_with(NULL);
    stop_all();
}

static void too_late(hs_shard *s, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(s) != 0)
        return;
    void *args[SHARDS];
    make_args(args);
    hs_promise *p = hs_call_all_with(nothing, args, thing_drop, NULL);
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_REJECTED);
    hs_promise_ignore(p);
}

Test(shard_call_all, at_a_stop_it_comes_to_an_end_and_after_it_nobody_is_called)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        none_ran();
        run_ending(stopped, too_late, SHARDS, seed);
        cr_assert_eq(fulfilled, 1);
        cr_assert(hs_ok(errs[0]) && hs_ok(errs[1]) && errs[2].code == HS_E_CLOSED);
        cr_assert(things_out == 0 && things_dropped == 6);
    }
}

/* ---- no memory ---- */

static hs_outcome give_back(void *arg)
{
    ran_at[here()]++;
    return hs_value_owned(arg, thing_drop);
}

#define TIMES 30

static seen several[TIMES];
static uint32_t poor_done, poor_failed, poor_parts_failed;

static void poor_next(hs_reaction *r, hs_outcome o)
{
    (void)r;
    poor_done++;
    if (hs_ok(o.err)) {
        hs_outcomes *all = o.value;
        for (uint32_t i = 0; i < all->len; i++)
            poor_parts_failed += all->at[i].err.code == -ENOMEM;
        hs_outcomes_free(all);
    } else {
        cr_assert_eq(o.err.code, -ENOMEM);
        poor_failed++;
    }
    if (poor_done == TIMES)
        stop_all();
}

static void poor(void)
{
    for (uint32_t i = 0; i < TIMES; i++) {
        void *args[SHARDS];
        make_args(args);
        several[i] = (seen){0};
        hs_react(hs_call_all_with(give_back, args, thing_drop, NULL), &several[i].reaction,
                 poor_next);
    }
}

Test(shard_call_all, without_memory_nothing_is_called_that_nobody_hears_of)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        none_ran();
        uint32_t failed_before = poor_failed, parts_before = poor_parts_failed;
        poor_done = 0;
        run_failing(poor, SHARDS, seed, 500);
        if (!hs_ok(rig_now.c.start_err)) /* not even its timer had memory */
            continue;
        cr_assert_eq(poor_done, TIMES);
        uint32_t failed = poor_failed - failed_before, parts = poor_parts_failed - parts_before;
        cr_assert_eq(ran_at[0] + ran_at[1] + ran_at[2], SHARDS * (TIMES - failed) - parts);
        cr_assert(things_out == 0 && things_dropped == SHARDS * TIMES);
    }
    cr_assert_gt(poor_failed, 0);
    cr_assert_gt(poor_parts_failed, 0);
}
