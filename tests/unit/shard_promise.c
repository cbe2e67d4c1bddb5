/* Promises: made, settled once, waited for, adopted, freed. */
#include "promise_rig.h"

/* ---- settling ---- */

Test(shard_promise, is_pending_until_it_is_settled)
{
    rig_init();
    hs_promise *p = make();
    seen s = {0};
    see(&s, hs_promise_ref(p));
    settle_all();
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_PENDING);
    cr_assert_eq(s.calls, 0);
    hs_promise_settle(p, hs_value((void *)7));
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_FULFILLED);
    cr_assert_eq(s.calls, 0); /* not before the microtasks */
    settle_all();
    cr_assert_eq(s.calls, 1);
    cr_assert(hs_ok(s.o.err));
    cr_assert_eq(s.number, 7);
    hs_promise_drop(p);
    rig_fini();
}

Test(shard_promise, ok_as_an_error_fulfils_with_null)
{
    rig_init();
    hs_promise *p = make();
    seen s = {0};
    see(&s, p);
    hs_promise_settle(p, hs_error(HS_OK));
    settle_all();
    cr_assert(hs_ok(s.o.err));
    cr_assert_null(s.o.value);
    rig_fini();
}

Test(shard_promise, settling_twice_is_an_error_of_the_programmer, .signal = SIGABRT)
{
    rig_init();
    hs_promise *p = make();
    hs_promise_settle(p, hs_value(NULL));
    hs_promise_settle(p, hs_value(NULL));
}

Test(shard_promise, settling_while_it_adopts_is_one_too, .signal = SIGABRT)
{
    rig_init();
    hs_promise *p = make();
    hs_promise_settle(p, hs_adopt(make()));
    hs_promise_settle(p, hs_value(NULL));
}

Test(shard_promise, settling_what_is_derived_is_one_too, .signal = SIGABRT)
{
    rig_init();
    hs_promise_settle(hs_then(make(), NULL, NULL), hs_value(NULL));
}

/* ---- reactions ---- */

Test(shard_promise, reactions_run_in_the_order_in_which_they_were_added)
{
    rig_init();
    hs_promise *p = make();
    enum { N = 5 };
    seen s[N] = {0};
    for (uint32_t i = 0; i < N - 1; i++)
        see(&s[i], hs_promise_ref(p));
    hs_promise_settle(p, hs_value((void *)1));
    see(&s[N - 1], p); /* to what is settled */
    settle_all();
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(s[i].turn, i + 1);
    rig_fini();
}

static void again(hs_reaction *reaction, hs_outcome o)
{
    (void)o;
    seen *s = HS_CONTAINER_OF(reaction, seen, reaction);
    s->calls = 0;
    see(s, fulfilled(3));
}

Test(shard_promise, a_reaction_is_idle_when_its_function_starts)
{
    rig_init();
    seen s = {0};
    hs_react(rejected(-EPIPE), &s.reaction, again);
    settle_all();
    cr_assert_eq(s.number, 3);
    rig_fini();
}

Test(shard_promise, reacting_twice_with_one_reaction_is_an_error_of_the_programmer,
     .signal = SIGABRT)
{
    rig_init();
    seen s = {0};
    see(&s, make());
    see(&s, make());
}

Test(shard_promise, a_reaction_that_is_taken_back_is_not_called)
{
    rig_init();
    hs_promise *p = make();
    seen s[4] = {0};
    hs_react_cancel(&s[0].reaction); /* idle */
    for (uint32_t i = 0; i < 4; i++)
        see(&s[i], i < 3 ? hs_promise_ref(p) : p);
    hs_react_cancel(&s[1].reaction); /* while it is pending */
    hs_promise_settle(p, value_made(5));
    hs_react_cancel(&s[0].reaction); /* while its microtask waits, and all the others' */
    hs_react_cancel(&s[0].reaction);
    hs_react_cancel(&s[3].reaction);
    see(&s[0], fulfilled(6)); /* it is idle again */
    settle_all();
    cr_assert_eq(s[0].number, 6);
    cr_assert_eq(s[1].calls + s[3].calls, 0);
    cr_assert_eq(s[2].number, 5); /* the value goes to who is left */
    rig_fini();
}

/* ---- values ---- */

Test(shard_promise, a_value_that_nobody_received_is_dropped_once)
{
    rig_init();
    hs_promise *p = make();
    hs_promise_drop(p); /* before */
    hs_promise_settle(p, value_made(1));
    cr_assert_eq(values_dropped, 1);
    p = make();
    hs_promise_settle(p, value_made(1));
    cr_assert_eq(values_dropped, 1);
    hs_promise_drop(p); /* after */
    cr_assert_eq(values_dropped, 2);
    hs_promise_drop(hs_promise_settled(b.shard, value_made(1)));
    cr_assert_eq(values_dropped, 3);
    hs_promise_ignore(hs_promise_settled(b.shard, error_made(-EPIPE, 1)));
    cr_assert_eq(values_dropped, 4);
    seen s = {0};
    see(&s, hs_promise_settled(b.shard, value_made(1)));
    hs_react_cancel(&s.reaction);
    cr_assert_eq(values_dropped, 5);
    rig_fini();
}

Test(shard_promise, a_value_that_was_received_is_not_dropped)
{
    rig_init();
    seen s = {0};
    see(&s, hs_promise_settled(b.shard, value_made(4)));
    settle_all();
    cr_assert_eq(s.number, 4);
    s.calls = 0;
    see(&s, hs_promise_settled(b.shard, error_made(-EPIPE, 5)));
    settle_all();
    cr_assert_eq(s.o.err.code, -EPIPE);
    cr_assert_eq(s.number, 5);
    cr_assert_eq(values_dropped, 0);
    rig_fini();
}

Test(shard_promise, a_value_without_drop_goes_to_all_that_react)
{
    rig_init();
    hs_promise *p = fulfilled(9);
    seen s[2] = {0};
    see(&s[0], hs_promise_ref(p));
    see(&s[1], p);
    settle_all();
    cr_assert_eq(s[0].number, 9);
    cr_assert_eq(s[1].number, 9);
    rig_fini();
}

Test(shard_promise, an_owned_value_has_one_receiver_and_the_others_are_told)
{
    rig_init();
    hs_promise *p = hs_promise_settled(b.shard, value_made(9));
    seen s[3] = {0};
    for (uint32_t i = 0; i < 3; i++)
        see(&s[i], i < 2 ? hs_promise_ref(p) : p);
    settle_all();
    cr_assert_eq(s[0].number, 9);
    for (uint32_t i = 1; i < 3; i++) {
        cr_assert_eq(s[i].o.err.code, HS_E_USAGE);
        cr_assert_null(s[i].o.value);
        cr_assert_null(s[i].o.drop);
    }
    rig_fini();
}

Test(shard_promise, an_error_goes_to_all_that_react_and_its_owned_detail_to_the_first)
{
    rig_init();
    hs_promise *p = hs_promise_settled(b.shard, error_made(-EPIPE, 9));
    seen s[2] = {0};
    see(&s[0], hs_promise_ref(p));
    see(&s[1], p);
    settle_all();
    cr_assert_eq(s[0].o.err.code, -EPIPE);
    cr_assert_eq(s[0].number, 9);
    cr_assert_eq(s[1].o.err.code, -EPIPE);
    cr_assert_null(s[1].o.value);
    rig_fini();
}

/* ---- adoption ---- */

Test(shard_promise, adopts_what_another_comes_to)
{
    rig_init();
    hs_promise *inner[4] = {make(), make(), fulfilled(3), rejected(-EPIPE)};
    seen s[4] = {0};
    for (uint32_t i = 0; i < 4; i++) {
        hs_promise *p = make();
        see(&s[i], p);
        hs_promise_settle(p, hs_adopt(inner[i]));
        cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_PENDING);
    }
    settle_all();
    cr_assert_eq(s[0].calls + s[1].calls, 0);
    hs_promise_settle(inner[0], value_made(1));
    hs_promise_settle(inner[1], error_made(-EIO, 2));
    settle_all();
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(s[i].calls, 1);
    cr_assert_eq(s[0].number, 1);
    cr_assert_eq(s[1].number, 2);
    cr_assert_eq(s[1].o.err.code, -EIO);
    cr_assert_eq(s[2].number, 3);
    cr_assert_eq(s[3].o.err.code, -EPIPE);
    rig_fini();
}

Test(shard_promise, a_settled_one_of_a_promise_is_that_promise)
{
    rig_init();
    hs_promise *p = make();
    cr_assert_eq(hs_promise_settled(b.shard, hs_adopt(p)), p);
    hs_promise_drop(p);
    hs_promise_settle(p, hs_value(NULL));
    rig_fini();
}

Test(shard_promise, one_that_would_wait_for_itself_is_rejected)
{
    rig_init();
    hs_promise *p = make();
    seen s = {0};
    see(&s, hs_promise_ref(p));
    hs_promise_settle(p, hs_adopt(p));
    settle_all();
    cr_assert_eq(s.o.err.code, HS_E_USAGE);
    rig_fini();
}

Test(shard_promise, the_drop_function_of_what_was_adopted_comes_along)
{
    rig_init();
    hs_promise *p = make();
    hs_promise_drop(p);
    hs_promise_settle(p, hs_adopt(hs_promise_settled(b.shard, value_made(1))));
    settle_all();
    cr_assert_eq(values_dropped, 1);
    rig_fini();
}

/* ---- rejections that nobody handled ---- */

static uint64_t unhandled(void)
{
    return bench_count(&b, "promises_unhandled");
}

Test(shard_promise, a_rejection_that_nobody_handled_is_logged_once_with_where_it_was_made)
{
    rig_init();
    char line[64];
    hs_promise *p = hs_promise_create(b.shard);
    snprintf(line, sizeof line, "EPIPE (%s), promise of shard_promise.c:%d",
             hs_err_text(hs_err_errno(EPIPE)), __LINE__ - 2);
    hs_promise *more = hs_promise_ref(p);
    hs_promise_settle(p, hs_error(hs_err_errno(EPIPE)));
    hs_promise_drop(p);
    settle_all();
    cr_assert_eq(unhandled(), 0); /* there is a handle yet */
    hs_promise_drop(more);
    cr_assert_eq(unhandled(), 1);
    cr_assert_eq(bench_logged(&b, line), 1);
    p = make();
    hs_promise_drop(p);
    hs_promise_settle(p, hs_error(hs_err_errno(EIO))); /* the handle went first */
    cr_assert_eq(unhandled(), 2);
    cr_assert_eq(bench_logged(&b, "EIO"), 1);
    rig_fini();
}

Test(shard_promise, what_is_handled_ignored_or_cancelled_is_not_logged)
{
    rig_init();
    seen s[2] = {0};
    see(&s[0], rejected(-EPIPE));
    see(&s[1], rejected(-EPIPE));
    hs_react_cancel(&s[1].reaction);
    hs_promise_ignore(rejected(-EPIPE));
    hs_promise_drop(rejected(-ECANCELED));
    hs_promise *p = make(); /* one of two handles reacts */
    hs_promise_drop(hs_promise_ref(p));
    s[1].calls = 0;
    see(&s[1], p);
    hs_promise_settle(p, hs_error(hs_err_errno(EPIPE)));
    p = make();
    hs_promise *outer = make(); /* adopted by one that is ignored */
    hs_promise_settle(outer, hs_adopt(p));
    hs_promise_ignore(outer);
    hs_promise_settle(p, hs_error(hs_err_errno(EPIPE)));
    settle_all();
    cr_assert_eq(unhandled(), 0);
    rig_fini();
}

static hs_outcome never(void *ctx, void *value)
{
    (void)ctx, (void)value;
    cr_assert_fail("called");
    return hs_value(NULL);
}

Test(shard_promise, of_a_chain_the_last_one_is_logged)
{
    rig_init();
    hs_promise *p = rejected(-EPIPE);
    for (int i = 0; i < 5; i++)
        p = hs_then(p, never, NULL);
    char line[64];
    p = hs_then(p, never, NULL);
    snprintf(line, sizeof line, "promise of shard_promise.c:%d", __LINE__ - 1);
    hs_promise_drop(p);
    settle_all();
    cr_assert_eq(unhandled(), 1);
    cr_assert_eq(bench_logged(&b, line), 1);
    rig_fini();
}

/* ---- no memory ---- */

Test(shard_promise, without_memory_there_is_a_rejected_one)
{
    rig_init();
    b.takes = 0, b.fail_at = 1, b.fail_on = true;
    cr_assert_null(hs_promise_create(b.shard));
    hs_promise *p = hs_promise_settled(b.shard, value_made(1));
    cr_assert_eq(values_dropped, 1);
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_REJECTED);
    hs_promise *more = hs_then(hs_promise_ref(p), never, NULL);
    seen s = {0};
    see(&s, more);
    hs_promise_ignore(p);
    settle_all();
    cr_assert_eq(s.o.err.code, -ENOMEM);
    cr_assert_eq(bench_logged(&b, ""), 0);
    hs_promise_drop(hs_promise_settled(b.shard, hs_value(NULL)));
    cr_assert_eq(unhandled(), 1);
    cr_assert_eq(bench_logged(&b, "ENOMEM"), 1);
    b.fail_at = 0;
    rig_fini();
}

Test(shard_promise, a_then_without_memory_drops_the_value_and_says_so)
{
    rig_init();
    hs_promise *p = hs_promise_settled(b.shard, value_made(1));
    uint32_t full = 1;
    static hs_promise *fill[4096];
    b.takes = 0, b.fail_at = 1, b.fail_on = true;
    while ((fill[full] = hs_promise_create(b.shard)))
        full++;
    seen s = {0};
    see(&s, hs_then(p, never, NULL));
    cr_assert_eq(values_dropped, 1);
    fill[full++] = make(); /* where that one was */
    hs_promise_ignore(hs_then(hs_promise_ref(fill[1]), never, NULL));
    settle_all();
    cr_assert_eq(s.o.err.code, -ENOMEM);
    for (uint32_t i = 1; i < full; i++) {
        hs_promise_drop(fill[i]);
        hs_promise_settle(fill[i], hs_value(NULL));
    }
    b.fail_at = 0;
    rig_fini();
}

Test(shard_promise, memory_returns_after_a_burst)
{
    rig_init();
    static hs_promise *many[10000];
    size_t before = b.bytes_out;
    for (uint32_t i = 0; i < HS_ARRAY_LEN(many); i++)
        many[i] = fulfilled(i);
    for (uint32_t i = 0; i < HS_ARRAY_LEN(many); i++)
        hs_promise_drop(many[i]);
    cr_assert_gt(b.bytes_out, before + 10 * (size_t)HS_POOL_SLAB_BYTES);
    bench_stir(&b);
    bench_run(&b, 5000);
    cr_assert_leq(b.bytes_out, before + HS_POOL_SLAB_BYTES + 4096 * sizeof(void *));
    rig_fini();
}

/* ---- the end of the shard ---- */

static hs_promise *settled_at_the_end;

static void drop_and_settle(void *value)
{
    hs_promise_drop(value);
    hs_promise_settle(settled_at_the_end, value_made(1));
    cr_assert_null(hs_promise_create(b.shard));
}

Test(shard_promise, what_is_left_at_the_end_is_dropped_and_counted)
{
    rig_init();
    settled_at_the_end = make();
    hs_promise *pending = make(), *adopts = make();
    hs_promise_drop(hs_then(hs_promise_ref(pending), never, NULL));
    hs_promise_settle(adopts, hs_adopt(hs_promise_ref(pending)));
    (void)hs_promise_settled(b.shard, value_made(1)); /* a handle that is lost */
    (void)hs_promise_settled(b.shard, hs_value_owned(make(), drop_and_settle));
    seen s[2] = {0};
    see(&s[0], pending);
    see(&s[1], hs_promise_settled(b.shard, value_made(2))); /* whose turn does not come */
    (void)rejected(-EPIPE);
    shard_end(b.shard);
    cr_assert_eq(s[0].calls + s[1].calls, 0);
    cr_assert_eq(values_dropped, 3);
    cr_assert_eq(values_out, 0);
    cr_assert_eq(unhandled(), 1);
    cr_assert_eq(bench_logged(&b, "5 promises were pending at the end"), 1);
    rig_fini();
}

/* ---- long chains ---- */

#define MANY 1000000u

Test(shard_promise, a_million_adopt_each_other_without_stack, .timeout = 600)
{
    rig_init();
    hs_promise *first = make(), *last = first;
    for (uint32_t i = 0; i < MANY; i++) {
        hs_promise *next = make();
        hs_promise_settle(next, hs_adopt(last));
        last = next;
    }
    seen s = {0};
    see(&s, last);
    bench_run(&b, 100);
    hs_promise_settle(first, value_made(8));
    bench_run(&b, 100);
    cr_assert_eq(s.number, 8);
    (void)bench_logged(&b, "");
    rig_fini();
}

Test(shard_promise, a_million_derived_ones_need_no_stack, .timeout = 600)
{
    rig_init();
    hs_promise *first = make(), *last = first;
    for (uint32_t i = 0; i < MANY; i++)
        last = hs_catch(last, NULL, NULL);
    hs_promise_settle(first, value_made(8));
    hs_promise_drop(last);
    bench_run(&b, 100);
    cr_assert_eq(values_dropped, 1);
    (void)bench_logged(&b, "");
    rig_fini();
}

static void drop_handle(void *value)
{
    hs_promise_drop(value);
}

Test(shard_promise, a_million_that_are_each_other_s_values_are_freed_without_stack, .timeout = 600)
{
    rig_init();
    hs_promise *last = hs_promise_settled(b.shard, value_made(8));
    for (uint32_t i = 0; i < MANY; i++)
        last = hs_promise_settled(b.shard, hs_value_owned(last, drop_handle));
    hs_promise_drop(last);
    cr_assert_eq(values_dropped, 1);
    rig_fini();
}
