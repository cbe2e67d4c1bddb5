/* A sleep as a promise. */
#include "promise_rig.h"

Test(shard_promise_sleep, ends_after_its_time)
{
    rig_init();
    seen s = {0};
    see(&s, hs_sleep(b.shard, 50, NULL));
    bench_run(&b, 49);
    cr_assert_eq(s.calls, 0);
    bench_run(&b, 2);
    cr_assert_eq(s.calls, 1);
    cr_assert(hs_ok(s.o.err));
    cr_assert_null(s.o.value);
    rig_fini();
}

Test(shard_promise_sleep, is_cut_short_by_its_token_with_the_reason)
{
    rig_init();
    hs_cancel *c = hs_cancel_create(b.shard);
    seen s = {0};
    see(&s, hs_sleep(b.shard, 50, c));
    bench_run(&b, 10);
    hs_cancel_fire(c, hs_err_of(HS_E_CLOSED));
    cr_assert_eq(s.calls, 0); /* its reaction is a microtask, as always */
    settle_all();
    cr_assert_eq(s.o.err.code, HS_E_CLOSED);
    s.calls = 0;
    see(&s, hs_sleep(b.shard, 50, c)); /* it has fired already */
    settle_all();
    cr_assert_eq(s.o.err.code, HS_E_CLOSED);
    hs_cancel_unref(c);
    bench_run(&b, 100);
    cr_assert_eq(s.calls, 1);
    rig_fini();
}

Test(shard_promise_sleep, refers_to_its_token_while_it_sleeps)
{
    rig_init();
    hs_cancel *c = hs_cancel_after(b.shard, 20);
    seen s[2] = {0};
    see(&s[0], hs_sleep(b.shard, 50, c));
    see(&s[1], hs_sleep(b.shard, 10, c));
    hs_cancel_unref(c);
    bench_run(&b, 15);
    cr_assert_eq(s[1].calls, 1);
    cr_assert(hs_ok(s[1].o.err));
    bench_run(&b, 10);
    cr_assert_eq(s[0].o.err.code, -ETIMEDOUT);
    rig_fini();
}

Test(shard_promise_sleep, of_nothing_still_takes_a_turn)
{
    rig_init();
    seen s = {0};
    see(&s, hs_sleep(b.shard, 0, NULL));
    cr_assert_eq(s.calls, 0);
    settle_all();
    cr_assert_eq(s.calls, 1);
    rig_fini();
}

Test(shard_promise_sleep, without_a_handle_it_ends_for_nobody)
{
    rig_init();
    hs_promise_drop(hs_sleep(b.shard, 10, NULL));
    bench_run(&b, 20);
    shard_end(b.shard); /* nothing is pending: no line in the log */
    rig_fini();
}

Test(shard_promise_sleep, keeps_nobody_waiting_at_a_stop)
{
    rig_init();
    hs_cancel *c = hs_cancel_create(b.shard);
    seen s[2] = {0};
    see(&s[0], hs_sleep(b.shard, 1000000, c));
    see(&s[1], hs_sleep(b.shard, 1000000, NULL));
    hs_cancel_unref(c);
    uint64_t start_ms = bench_ms(&b);
    shard_stop(b.shard);
    while (!shard_finished(b.shard))
        shard_turn(b.shard, true);
    cr_assert_lt(bench_ms(&b), start_ms + 1000);
    shard_end(b.shard);
    cr_assert_eq(s[0].calls + s[1].calls, 0);
    cr_assert_eq(bench_logged(&b, "2 promises were pending"), 1);
    rig_fini();
}

Test(shard_promise_sleep, without_memory_is_rejected)
{
    for (uint64_t n = 1; n < 6; n++) {
        rig_init();
        hs_timer_cancel(b.shard, &b.until); /* or there would be room in the heap */
        hs_cancel *c = hs_cancel_create(b.shard);
        b.takes = 0, b.fail_at = n, b.fail_on = true;
        enum { N = 300 };
        static seen s[N];
        memset(s, 0, sizeof s);
        uint32_t failed = 0, slept = 0;
        for (uint32_t i = 0; i < N; i++)
            see(&s[i], hs_sleep(b.shard, 10, c));
        uint64_t fails = b.fails;
        b.fail_at = 0;
        cr_assert(hs_ok(hs_timer_after(b.shard, &b.until, FAR_MS, bench_until)));
        bench_run(&b, 20);
        for (uint32_t i = 0; i < N; i++) {
            cr_assert_eq(s[i].calls, 1);
            failed += s[i].o.err.code == -ENOMEM;
            slept += hs_ok(s[i].o.err);
        }
        cr_assert_eq(failed + slept, N);
        cr_assert_eq(failed > 0, fails > 0);
        hs_cancel_unref(c);
        rig_fini();
    }
}
