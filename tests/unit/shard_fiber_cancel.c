/* Fibers that are cancelled: at each await, by each other, by themselves, and at a stop. */
#include "fiber_rig.h"

TestSuite(shard_fiber_cancel, .init = setup, .fini = teardown);

static hs_cancel *token(void)
{
    hs_cancel *c = hs_cancel_create(b.shard);
    cr_assert_not_null(c);
    return c;
}

static void fire(hs_cancel *c)
{
    hs_cancel_fire(c, hs_err_errno(ECANCELED));
}

Test(shard_fiber_cancel, it_comes_to_its_end_before_the_firing_returns)
{
    hs_promise *gates[WAITER_AWAITS];
    waiter w = {0};
    for (int i = 0; i < WAITER_AWAITS; i++)
        w.awaits[i] = gates[i] = make();
    hs_cancel *c = token();
    hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, c);
    cr_assert_not(w.ended);
    fire(c);
    cr_assert(w.ended);
    cr_assert_eq(hs_fibers(b.shard), 0);
    cr_assert_eq(w.came, WAITER_AWAITS);
    for (int i = 0; i < WAITER_AWAITS; i++)
        cr_assert_eq(w.errs[i].code, -ECANCELED);
    cr_assert_eq(end_of(p), -ECANCELED);
    /* What it awaited may come all the same: nobody is interested, nor in an error. */
    for (int i = 0; i < WAITER_AWAITS; i++)
        settle(gates[i], i % 2 ? owned() : hs_error(hs_err_errno(EIO)));
    cr_assert_eq(drops, WAITER_AWAITS / 2);
    hs_cancel_unref(c);
}

Test(shard_fiber_cancel, each_await_can_be_the_one)
{
    for (uint32_t at = 0; at <= WAITER_AWAITS; at++) {
        hs_promise *gates[WAITER_AWAITS];
        waiter w = {0};
        for (int i = 0; i < WAITER_AWAITS; i++)
            w.awaits[i] = gates[i] = make();
        hs_cancel *c = token();
        hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, c);
        for (uint32_t i = 0; i < at; i++)
            settle(gates[i], hs_value(NULL));
        cr_assert_eq(w.came, at);
        fire(c);
        cr_assert(w.ended);
        for (uint32_t i = 0; i < WAITER_AWAITS; i++)
            cr_assert_eq(w.errs[i].code, i < at ? 0 : -ECANCELED);
        for (uint32_t i = at; i < WAITER_AWAITS; i++)
            settle(gates[i], hs_value(NULL));
        cr_assert_eq(end_of(p), at < WAITER_AWAITS ? -ECANCELED : 0);
        hs_cancel_unref(c);
    }
}

Test(shard_fiber_cancel, a_value_that_had_come_but_was_not_received_is_dropped)
{
    waiter w = {.awaits = {make()}};
    hs_promise *gate = w.awaits[0];
    hs_cancel *c = token();
    hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, c);
    hs_promise_settle(gate, owned()); /* it would go on with the next microtask */
    fire(c);
    cr_assert(w.ended);
    cr_assert_eq(w.errs[0].code, -ECANCELED);
    cr_assert_eq(drops, 1);
    bench_run(&b, 0);
    cr_assert_eq(drops, 1);
    cr_assert_eq(end_of(p), -ECANCELED);
    hs_cancel_unref(c);
}

Test(shard_fiber_cancel, with_a_token_that_has_fired_nothing_is_started)
{
    waiter w = {0};
    hs_cancel *c = token();
    hs_cancel_fire(c, hs_err_errno(ETIMEDOUT));
    hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, c);
    cr_assert_not(w.started);
    cr_assert_eq(end_of(p), -ETIMEDOUT);
    hs_cancel_unref(c);
}

Test(shard_fiber_cancel, a_time_limit_is_a_reason_like_any_other)
{
    hs_promise *gate = make();
    waiter w = {.awaits = {gate}};
    hs_cancel *c = hs_cancel_after(b.shard, 20);
    hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, c);
    hs_cancel_unref(c); /* the fiber refers to it */
    bench_run(&b, 19);
    cr_assert_not(w.ended);
    bench_run(&b, 2);
    cr_assert(w.ended);
    cr_assert_eq(end_of(p), -ETIMEDOUT);
    settle(gate, hs_value(NULL));
}

static hs_err yields_for_ever(void *arg)
{
    hs_err err;
    do
        err = hs_yield();
    while (hs_ok(err));
    cr_assert_eq(hs_yield().code, err.code);
    *(hs_err *)arg = err;
    return err;
}

Test(shard_fiber_cancel, one_that_waits_for_its_turn_goes_on_at_once)
{
    hs_err errs[3] = {HS_OK, HS_OK, HS_OK};
    hs_cancel *c[3];
    hs_promise *p[3];
    for (int i = 0; i < 3; i++) {
        c[i] = token();
        p[i] = hs_fiber_start(b.shard, "test", yields_for_ever, &errs[i], c[i]);
    }
    bench_run(&b, 1);
    static const int turns[] = {1, 2, 0};
    for (int i = 0; i < 3; i++) {
        fire(c[turns[i]]);
        cr_assert_eq(errs[turns[i]].code, -ECANCELED);
        cr_assert_eq(hs_fibers(b.shard), 2u - i);
        bench_run(&b, 1);
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(end_of(p[i]), -ECANCELED);
        hs_cancel_unref(c[i]);
    }
}

/* ---- by fibers ---- */

static hs_err fires_its_own(void *arg)
{
    waiter *w = arg;
    cr_assert_not_null(hs_fiber_cancel());
    fire(hs_fiber_cancel());
    note('f'); /* it runs on, */
    hs_err err = wait_all(w);
    cr_assert_eq(hs_yield().code, -ECANCELED);
    cr_assert(hs_on_fiber());
    return err;
}

Test(shard_fiber_cancel, one_that_fires_its_own_token_hears_of_it_at_its_next_await)
{
    hs_promise *gate = make();
    waiter w = {.awaits = {gate, hs_promise_settled(b.shard, owned())}};
    hs_cancel *c = token();
    hs_promise *p = hs_fiber_start(b.shard, "test", fires_its_own, &w, c);
    cr_assert_str_eq(order, "f");
    cr_assert(w.ended);
    cr_assert_eq(w.errs[0].code, -ECANCELED);
    cr_assert_eq(w.errs[1].code, -ECANCELED);
    cr_assert_eq(drops, 1);
    cr_assert_eq(end_of(p), -ECANCELED);
    settle(gate, hs_value(NULL));
    hs_cancel_unref(c);
}

typedef struct pair {
    hs_cancel *cancel;
    waiter outer, inner;
    hs_promise *inner_end;
    bool go_on;
} pair;

static hs_err fires_the_outers(void *arg)
{
    pair *w = arg;
    note('b');
    fire(w->cancel);
    note('c'); /* the outer one waits for us, not in an await: it cannot go on before */
    if (w->go_on)
        return HS_OK;
    hs_err err = wait_all(&w->inner);
    note('e');
    return err;
}

static hs_err starts_one_that_fires(void *arg)
{
    pair *w = arg;
    note('a');
    w->inner_end = hs_fiber_start(b.shard, "inner", fires_the_outers, w, NULL);
    note('d');
    return wait_all(&w->outer);
}

Test(shard_fiber_cancel, one_in_the_middle_of_a_start_hears_of_it_at_its_next_await)
{
    hs_promise *gate = make(), *inner_gate = make();
    pair w = {.cancel = token(), .outer.awaits = {gate}, .inner.awaits = {inner_gate}};
    hs_promise *p = hs_fiber_start(b.shard, "outer", starts_one_that_fires, &w, w.cancel);
    cr_assert_str_eq(order, "abcd");
    cr_assert(w.outer.ended);
    cr_assert_eq(end_of(p), -ECANCELED);
    cr_assert_not(w.inner.ended); /* it has no token */
    settle(inner_gate, hs_value(NULL));
    cr_assert_str_eq(order, "abcde");
    cr_assert_eq(end_of(w.inner_end), 0);
    settle(gate, hs_value(NULL));
    hs_cancel_unref(w.cancel);
}

Test(shard_fiber_cancel, the_one_that_fired_may_end_within_the_start)
{
    hs_promise *gate = make();
    pair w = {.cancel = token(), .outer.awaits = {gate}, .go_on = true};
    hs_promise *p = hs_fiber_start(b.shard, "outer", starts_one_that_fires, &w, w.cancel);
    cr_assert_str_eq(order, "abcd");
    cr_assert_eq(end_of(p), -ECANCELED);
    cr_assert_eq(end_of(w.inner_end), 0);
    settle(gate, hs_value(NULL));
    hs_cancel_unref(w.cancel);
}

static hs_err fires_and_awaits(void *arg)
{
    pair *w = arg;
    HS_TRY(hs_await(w->outer.awaits[0], NULL));
    note('f');
    fire(w->cancel);
    note('g');
    return hs_await(w->outer.awaits[1], NULL);
}

Test(shard_fiber_cancel, one_fiber_ends_another_and_goes_on)
{
    hs_promise *gates[3] = {make(), make(), make()};
    pair w = {.cancel = token(), .outer.awaits = {gates[0], gates[1]}, .inner.awaits = {gates[2]}};
    hs_promise *inner = hs_fiber_start(b.shard, "inner", wait_all, &w.inner, w.cancel);
    hs_promise *outer = hs_fiber_start(b.shard, "outer", fires_and_awaits, &w, NULL);
    settle(gates[0], hs_value(NULL));
    cr_assert_str_eq(order, "fg");
    cr_assert(w.inner.ended);
    cr_assert_eq(end_of(inner), -ECANCELED);
    settle(gates[1], hs_value(NULL));
    cr_assert_eq(end_of(outer), 0);
    settle(gates[2], hs_value(NULL));
    hs_cancel_unref(w.cancel);
}

/* Each is ended by the one before, and ends the next: one stack each, no recursion on one. */
#define CHAIN 50

typedef struct chain_link {
    hs_cancel *own, *next;
    hs_promise *gate, *end;
} chain_link;

static hs_err passes_it_on(void *arg)
{
    chain_link *l = arg;
    hs_err err = hs_await(l->gate, NULL);
    if (l->next)
        fire(l->next);
    drops++;
    return err;
}

Test(shard_fiber_cancel, one_firing_may_lead_to_the_next)
{
    static chain_link links[CHAIN];
    hs_promise *gates[CHAIN];
    for (int i = CHAIN - 1; i >= 0; i--) {
        chain_link *l = &links[i];
        *l = (chain_link){.own = token(), .next = i + 1 < CHAIN ? links[i + 1].own : NULL};
        l->gate = gates[i] = make();
        l->end = hs_fiber_start(b.shard, "link", passes_it_on, l, l->own);
    }
    fire(links[0].own);
    cr_assert_eq(drops, CHAIN);
    cr_assert_eq(hs_fibers(b.shard), 0);
    for (int i = 0; i < CHAIN; i++) {
        cr_assert_eq(end_of(links[i].end), -ECANCELED);
        settle(gates[i], hs_value(NULL));
        hs_cancel_unref(links[i].own);
    }
}

static hs_err starts_when_cancelled(void *arg)
{
    pair *w = arg;
    hs_err err = hs_await(w->outer.awaits[0], NULL);
    w->inner_end = hs_fiber_start(b.shard, "inner", wait_all, &w->inner, NULL);
    return err;
}

Test(shard_fiber_cancel, one_that_ends_may_start_another_to_clean_up)
{
    hs_promise *gates[2] = {make(), make()};
    pair w = {.cancel = token(), .outer.awaits = {gates[0]}, .inner.awaits = {gates[1]}};
    hs_promise *outer = hs_fiber_start(b.shard, "outer", starts_when_cancelled, &w, w.cancel);
    fire(w.cancel);
    cr_assert_eq(end_of(outer), -ECANCELED);
    cr_assert(w.inner.started && !w.inner.ended);
    settle(gates[1], hs_value(NULL));
    cr_assert(w.inner.ended);
    cr_assert_eq(end_of(w.inner_end), 0);
    settle(gates[0], hs_value(NULL));
    hs_cancel_unref(w.cancel);
}
