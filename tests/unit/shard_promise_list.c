/* all, all settled, any, race: when they settle, with what, in which order, and who frees it. */
#include "promise_rig.h"
#include "hs_chain.h"

typedef hs_promise *gatherer(hs_shard *shard, hs_promise *const *list, uint32_t len,
                             const char *where);
static gatherer *const gatherers[] = {hs_all_at, hs_all_settled_at, hs_any_at, hs_race_at};

/* As seen_run, but the outcomes stay. */
static void keep_run(hs_reaction *reaction, hs_outcome o)
{
    seen *s = HS_CONTAINER_OF(reaction, seen, reaction);
    s->calls++;
    s->o = o;
    if (o.drop == value_drop)
        s->number = value_take(o.value);
}

static seen result;

static hs_outcomes *outcomes(void)
{
    cr_assert_eq(result.calls, 1);
    cr_assert_eq(result.o.drop, hs_outcomes_free);
    return result.o.value;
}

static void await(hs_promise *p)
{
    memset(&result, 0, sizeof result);
    hs_react(p, &result.reaction, keep_run);
    settle_all();
}

static intptr_t number_at(uint32_t i)
{
    const hs_outcome *o = &outcomes()->at[i];
    cr_assert_eq(o->drop, value_drop);
    return ((thing *)o->value)->number;
}

static void make_all(hs_promise **list, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        list[i] = make();
}

/* ---- of none ---- */

Test(shard_promise_list, all_and_all_settled_of_none_are_fulfilled_with_none)
{
    rig_init();
    for (uint32_t i = 0; i < 2; i++) {
        hs_promise *p = gatherers[i](b.shard, NULL, 0, HS_HERE);
        cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_FULFILLED);
        await(p);
        cr_assert_eq(outcomes()->len, 0);
        hs_outcomes_free(outcomes());
    }
    rig_fini();
}

Test(shard_promise_list, any_of_none_is_rejected)
{
    rig_init();
    hs_promise *p = hs_any(b.shard, NULL, 0);
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_REJECTED);
    await(p);
    cr_assert_eq(result.o.err.code, HS_E_AGGREGATE);
    cr_assert_eq(outcomes()->len, 0);
    hs_outcomes_free(outcomes());
    rig_fini();
}

Test(shard_promise_list, race_of_none_stays_pending)
{
    rig_init();
    hs_promise_drop(hs_race(b.shard, NULL, 0));
    hs_promise *p = hs_race(b.shard, NULL, 0);
    await(hs_promise_ref(p));
    cr_assert_eq(result.calls, 0);
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_PENDING);
    hs_react_cancel(&result.reaction);
    hs_promise_drop(p); /* which frees it: nobody else can settle it */
    rig_fini();
}

/* ---- all ---- */

Test(shard_promise_list, all_has_the_values_in_the_order_of_the_list)
{
    rig_init();
    hs_promise *list[4];
    make_all(list, 3);
    list[3] = hs_promise_settled(b.shard, value_made(3));
    hs_promise *p = hs_all(b.shard, list, 4);
    for (uint32_t i = 3; i-- > 0;) {
        settle_all();
        cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_PENDING);
        hs_promise_settle(list[i], value_made(i));
    }
    await(p);
    cr_assert(hs_ok(result.o.err));
    cr_assert_eq(outcomes()->len, 4);
    for (intptr_t i = 0; i < 4; i++)
        cr_assert_eq(number_at((uint32_t)i), i);
    hs_outcomes_free(outcomes());
    cr_assert_eq(values_dropped, 4);
    rig_fini();
}

Test(shard_promise_list, one_is_taken_out_by_clearing_its_drop)
{
    rig_init();
    hs_promise *list[] = {hs_promise_settled(b.shard, value_made(1)),
                          hs_promise_settled(b.shard, value_made(2))};
    await(hs_all(b.shard, list, 2));
    hs_outcome *o = &outcomes()->at[1];
    o->drop = NULL;
    cr_assert_eq(value_take(o->value), 2);
    hs_outcomes_free(outcomes());
    cr_assert_eq(values_dropped, 1);
    rig_fini();
}

Test(shard_promise_list, all_is_rejected_as_the_first_that_is_and_drops_the_rest)
{
    rig_init();
    hs_promise *list[5];
    make_all(list, 5);
    hs_promise *p = hs_all(b.shard, list, 5);
    hs_promise_settle(list[0], value_made(0)); /* kept until then */
    settle_all();
    hs_promise_settle(list[3], error_made(-EPIPE, 3));
    hs_promise_settle(list[1], error_made(-EIO, 1));
    hs_promise_settle(list[2], value_made(2));
    await(p);
    cr_assert_eq(result.o.err.code, -EPIPE);
    cr_assert_eq(result.number, 3);
    cr_assert_eq(values_dropped, 3);
    hs_promise_settle(list[4], error_made(-EIO, 4)); /* too late, and nobody's business */
    cr_assert_eq(values_dropped, 4);
    rig_fini();
}

/* ---- all settled ---- */

Test(shard_promise_list, all_settled_has_every_outcome)
{
    rig_init();
    hs_promise *list[4];
    make_all(list, 4);
    hs_promise *p = hs_all_settled(b.shard, list, 4);
    hs_promise_settle(list[2], value_made(2));
    hs_promise_settle(list[1], error_made(-EPIPE, 1));
    hs_promise_settle(list[3], hs_error(hs_err_errno(EIO)));
    settle_all();
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_PENDING);
    hs_promise_settle(list[0], hs_value((void *)9));
    await(p);
    cr_assert(hs_ok(result.o.err));
    hs_outcome *at = outcomes()->at;
    cr_assert(hs_ok(at[0].err) && hs_ok(at[2].err));
    cr_assert_eq((intptr_t)at[0].value, 9);
    cr_assert_eq(at[1].err.code, -EPIPE);
    cr_assert_eq(at[3].err.code, -EIO);
    cr_assert_eq(number_at(1), 1);
    cr_assert_eq(number_at(2), 2);
    hs_outcomes_free(outcomes());
    rig_fini();
}

/* ---- any ---- */

Test(shard_promise_list, any_is_fulfilled_as_the_first_that_is)
{
    rig_init();
    hs_promise *list[4];
    make_all(list, 4);
    hs_promise *p = hs_any(b.shard, list, 4);
    hs_promise_settle(list[0], error_made(-EPIPE, 0));
    hs_promise_settle(list[2], value_made(2));
    hs_promise_settle(list[1], value_made(1));
    await(p);
    cr_assert(hs_ok(result.o.err));
    cr_assert_eq(result.number, 2);
    cr_assert_eq(values_dropped, 2);
    hs_promise_settle(list[3], error_made(-EIO, 3));
    rig_fini();
}

Test(shard_promise_list, any_is_rejected_with_all_errors_in_the_order_of_the_list)
{
    rig_init();
    hs_promise *list[3];
    make_all(list, 3);
    hs_promise *p = hs_any(b.shard, list, 3);
    hs_promise_settle(list[2], error_made(-EPIPE, 2));
    hs_promise_settle(list[0], error_made(-EIO, 0));
    settle_all();
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_PENDING);
    hs_promise_settle(list[1], error_made(-EBADF, 1));
    await(p);
    cr_assert_eq(result.o.err.code, HS_E_AGGREGATE);
    static const int32_t codes[] = {-EIO, -EBADF, -EPIPE};
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(outcomes()->at[i].err.code, codes[i]);
        cr_assert_eq(number_at(i), i);
    }
    hs_outcomes_free(outcomes());
    rig_fini();
}

/* ---- race ---- */

Test(shard_promise_list, race_is_as_the_first_that_is_settled)
{
    rig_init();
    for (int fails = 0; fails < 2; fails++) {
        hs_promise *list[3];
        make_all(list, 3);
        hs_promise *p = hs_race(b.shard, list, 3);
        hs_promise_settle(list[1], fails ? error_made(-EPIPE, 1) : value_made(1));
        hs_promise_settle(list[0], value_made(0));
        await(p);
        cr_assert_eq(result.o.err.code, fails ? -EPIPE : 0);
        cr_assert_eq(result.number, 1);
        hs_promise_settle(list[2], error_made(-EIO, 2));
    }
    cr_assert_eq(values_dropped, 4);
    rig_fini();
}

Test(shard_promise_list, of_several_that_are_settled_the_first_of_the_list_wins)
{
    rig_init();
    hs_promise *list[3];
    for (intptr_t i = 0; i < 3; i++)
        list[i] = fulfilled(i + 1);
    await(hs_race(b.shard, list, 3));
    cr_assert_eq((intptr_t)result.o.value, 1);
    rig_fini();
}

/* ---- all of them ---- */

Test(shard_promise_list, the_list_is_the_caller_s_again_on_return)
{
    rig_init();
    hs_promise *list[2], *mine[2];
    make_all(mine, 2);
    memcpy(list, mine, sizeof list);
    hs_promise *p = hs_all(b.shard, list, 2);
    memset(list, 0xa5, sizeof list);
    hs_promise_settle(mine[0], value_made(0));
    hs_promise_settle(mine[1], value_made(1));
    await(p);
    hs_outcomes_free(outcomes());
    rig_fini();
}

Test(shard_promise_list, one_promise_may_stand_in_a_list_twice)
{
    rig_init();
    hs_promise *p = fulfilled(4);
    hs_promise *list[] = {hs_promise_ref(p), p};
    await(hs_all(b.shard, list, 2));
    cr_assert_eq((intptr_t)outcomes()->at[0].value, 4);
    cr_assert_eq((intptr_t)outcomes()->at[1].value, 4);
    hs_outcomes_free(outcomes());
    rig_fini();
}

Test(shard_promise_list, an_outcome_that_nobody_received_is_dropped_with_all_its_values)
{
    rig_init();
    for (uint32_t i = 0; i < HS_ARRAY_LEN(gatherers); i++) {
        hs_promise *list[3];
        for (uint32_t j = 0; j < 3; j++)
            list[j] = hs_promise_settled(b.shard, i == 2 ? error_made(-EPIPE, j) : value_made(j));
        values_dropped = 0;
        hs_promise_ignore(gatherers[i](b.shard, list, 3, HS_HERE));
        settle_all();
        cr_assert_eq(values_dropped, 3);
    }
    rig_fini();
}

Test(shard_promise_list, small_ones_take_nothing_from_the_system)
{
    rig_init();
    uint64_t takes = 0;
    for (uint32_t round = 0; round < 3; round++) {
        if (round == 1)
            takes = b.takes;
        hs_promise *list[40];
        for (uint32_t i = 0; i < 40; i++)
            list[i] = hs_promise_settled(b.shard, value_made(i));
        await(hs_all(b.shard, list, 40));
        hs_outcomes_free(outcomes());
    }
    cr_assert_eq(b.takes, takes);
    rig_fini();
}

Test(shard_promise_list, ten_thousand_in_one_list)
{
    enum { N = 10000 };
    static hs_promise *list[N];
    rig_init();
    make_all(list, N);
    hs_promise *all = hs_all(b.shard, list, N);
    for (uint32_t i = N; i-- > 0;)
        hs_promise_settle(list[i], value_made(i));
    await(all);
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(number_at(i), i);
    hs_outcomes_free(outcomes());
    make_all(list, N);
    hs_promise *race = hs_race(b.shard, list, N);
    hs_promise_settle(list[N / 2], value_made(5));
    await(race);
    cr_assert_eq(result.number, 5);
    for (uint32_t i = 0; i < N; i++)
        if (i != N / 2)
            hs_promise_settle(list[i], value_made(i));
    rig_fini();
}

Test(shard_promise_list, a_hundred_thousand_in_one_another_are_freed_without_stack)
{
    rig_init();
    hs_promise *p = hs_promise_settled(b.shard, value_made(1));
    for (uint32_t i = 0; i < 100000; i++)
        p = hs_all(b.shard, &p, 1);
    await(p);
    bench_run(&b, 100);
    hs_outcomes_free(outcomes());
    cr_assert_eq(values_dropped, 1);
    (void)bench_logged(&b, "");
    rig_fini();
}

/* ---- no memory, and the end ---- */

Test(shard_promise_list, without_memory_all_handles_are_given_up)
{
    for (uint32_t i = 0; i < HS_ARRAY_LEN(gatherers); i++) {
        for (uint64_t n = 1;; n++) {
            enum { N = 100 }; /* more than a chunk holds */
            rig_init();
            hs_promise *list[N];
            for (uint32_t j = 0; j < N; j++)
                list[j] = j % 2 ? hs_promise_settled(b.shard, error_made(-EPIPE, j)) : make();
            hs_promise *pending[N / 2];
            for (uint32_t j = 0; j < N / 2; j++)
                pending[j] = list[2 * j];
            b.takes = 0, b.fail_at = n, b.fail_on = true;
            hs_promise *big = gatherers[i](b.shard, list, N / 2 * 2 - 2, HS_HERE);
            hs_promise *small = gatherers[i](b.shard, list + N - 2, 2, HS_HERE);
            uint64_t fails = b.fails;
            for (uint32_t j = 0; j < N / 2; j++)
                hs_promise_settle(pending[j], value_made(j));
            seen s[2] = {0};
            hs_react(big, &s[0].reaction, keep_run);
            hs_react(small, &s[1].reaction, keep_run);
            settle_all();
            cr_assert(s[0].calls == 1 && s[1].calls == 1);
            for (uint32_t j = 0; j < 2; j++)
                if (s[j].o.drop == hs_outcomes_free)
                    hs_outcomes_free(s[j].o.value);
            cr_assert(fails == 0 || s[0].o.err.code == -ENOMEM || s[1].o.err.code == -ENOMEM);
            b.fail_at = 0;
            rig_fini();
            if (fails == 0)
                break;
        }
    }
}

Test(shard_promise_list, at_the_end_what_has_come_is_dropped)
{
    rig_init();
    hs_promise *list[HS_ARRAY_LEN(gatherers)][3];
    for (uint32_t i = 0; i < HS_ARRAY_LEN(gatherers); i++) {
        make_all(list[i], 3);
        (void)gatherers[i](b.shard, list[i], 3, HS_HERE);
        hs_promise_settle(list[i][0], i == 2 ? error_made(-EPIPE, 1) : value_made(1));
    }
    settle_all();
    for (uint32_t i = 0; i < HS_ARRAY_LEN(gatherers); i++)
        hs_promise_settle(list[i][1], value_made(2)); /* its turn does not come */
    shard_end(b.shard);
    cr_assert_eq(values_dropped, 8);
    cr_assert_eq(bench_logged(&b, "7 promises were pending"), 1);
    rig_fini();
}
