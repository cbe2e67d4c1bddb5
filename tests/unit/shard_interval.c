/* Intervals in simulated time: when they come, what is left out, clearing, no memory; and a million
 * timers. */
#include "cluster_rig.h"
#include "hs_interval.h"

/* Run `begin` on one shard, whose clock jumps forward by up to `jump_ms` now and then. */
static void run_jumping(hs_err (*begin)(hs_shard *s, void *ctx), uint64_t seed, uint32_t jump_ms)
{
    static sim_faults faults;
    sim_faults_none(&faults);
    faults.clock_jump = jump_ms ? 256 : 0;
    faults.jump_ms_max = jump_ms;
    memset(&rig_now, 0, sizeof rig_now);
    cluster_options o = {.sim = {.seed = seed, .shards = 1, .faults = &faults}, .start = begin};
    cr_assert(hs_ok(cluster_init(&rig_now.c, &o)));
    cr_assert_eq(cluster_run(&rig_now.c, HOUR_NS), CLUSTER_ENDED);
    cluster_fini(&rig_now.c);
}

/* ---- when ---- */

#define PERIOD_MS 7
#define TIMES 500

static struct {
    hs_interval interval;
    uint64_t start_ns, calls, missed;
} clockwork;

/* Every time but those that were left out, and as soon as the shard can. */
static void at_its_time(hs_interval *interval, uint64_t missed)
{
    hs_shard *s = hs_shard_self();
    cr_assert_eq(interval, &clockwork.interval);
    cr_assert(hs_interval_active(interval));
    clockwork.calls++;
    clockwork.missed += missed;
    uint64_t period_ns = PERIOD_MS * HS_MSEC_NS;
    uint64_t due_ns = clockwork.start_ns + (clockwork.calls + clockwork.missed) * period_ns;
    cr_assert_geq(hs_shard_now_ns(s), due_ns);
    cr_assert_lt(hs_shard_now_ns(s), due_ns + period_ns);
    if (clockwork.calls == TIMES)
        shard_stop(s); /* and the interval keeps nobody waiting */
}

static hs_err clockwork_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    memset(&clockwork, 0, sizeof clockwork);
    clockwork.start_ns = hs_shard_now_ns(s);
    return hs_interval_set(s, &clockwork.interval, PERIOD_MS, at_its_time);
}

Test(shard_interval, times_do_not_drift_and_none_is_left_out_where_the_shard_keeps_up)
{
    run_jumping(clockwork_start, 1, 0);
    cr_assert_geq(clockwork.calls, TIMES);
    cr_assert_eq(clockwork.missed, 0);
}

Test(shard_interval, times_that_have_passed_are_left_out_and_counted)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run_jumping(clockwork_start, seed, 100);
        cr_assert_geq(clockwork.calls, TIMES);
        cr_assert_gt(clockwork.missed, 0);
    }
}

/* ---- clearing, and setting again ---- */

static hs_interval one, other;
static uint32_t one_calls, other_calls;

static void never(hs_interval *interval, uint64_t missed)
{
    (void)interval;
    (void)missed;
    cr_assert_fail("it was cleared");
}

static void other_runs(hs_interval *interval, uint64_t missed)
{
    cr_assert_eq(missed, 0);
    if (++other_calls < 3)
        return;
    hs_interval_clear(hs_shard_self(), interval);
    memset(interval, 0xa5, sizeof *interval); /* as good as freed */
    shard_stop(hs_shard_self());
}

/* At 10, 20 and 30 ms; then another function, every 5 ms from 30 ms on. */
static void one_runs(hs_interval *interval, uint64_t missed)
{
    hs_shard *s = hs_shard_self();
    cr_assert_eq(missed, 0);
    if (++one_calls == 1) {
        cr_assert(hs_interval_active(&other));
        hs_interval_clear(s, &other);
        hs_interval_clear(s, &other);
        cr_assert_not(hs_interval_active(&other));
    }
    if (one_calls == 3)
        cr_assert(hs_ok(hs_interval_set(s, interval, 5, other_runs)));
}

static hs_err clear_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    memset(&one, 0, sizeof one);
    memset(&other, 0, sizeof other);
    one_calls = other_calls = 0;
    HS_TRY(hs_interval_set(s, &one, 10, one_runs));
    return hs_interval_set(s, &other, 15, never);
}

Test(shard_interval, one_may_be_cleared_and_set_again_at_any_time)
{
    run_jumping(clear_start, 1, 0);
    cr_assert(one_calls == 3 && other_calls == 3);
}

static hs_err far_start(hs_shard *s, void *ctx)
{
    memset(&other, 0, sizeof other);
    HS_TRY(hs_interval_set(s, &other, UINT64_MAX, never));
    return clockwork_start(s, ctx);
}

Test(shard_interval, a_period_without_end_does_not_wrap)
{
    run_jumping(far_start, 1, 0);
    cr_assert(hs_interval_active(&other));
}

/* ---- no memory ---- */

static hs_err poor_set(void)
{
    hs_shard *s = hs_shard_self();
    memset(&clockwork, 0, sizeof clockwork);
    clockwork.start_ns = hs_shard_now_ns(s);
    return hs_interval_set(s, &clockwork.interval, PERIOD_MS, at_its_time);
}

static void poor_before(void)
{
    cr_assert_eq(poor_set().code, -ENOMEM);
    cr_assert_not(hs_interval_active(&clockwork.interval));
    stop_all();
}

static void poor_after(void)
{
    cr_assert(hs_ok(poor_set()));
    rig_now.c.mem.fail_chance = 1024;
}

Test(shard_interval, once_set_it_needs_no_memory)
{
    run_failing(poor_before, 1, 0, 1024);
    run_failing(poor_after, 1, 0, 0);
    cr_assert_geq(clockwork.calls, TIMES);
}

/* ---- many ---- */

#define MILLION 1000000u
#define SPAN_MS 2000u

static hs_timer *million;
static uint32_t million_fired, million_left;
static uint64_t million_ns;

static void one_of_a_million(hs_timer *timer)
{
    hs_shard *s = hs_shard_self();
    cr_assert_geq(hs_shard_now_ns(s), million_ns);
    million_ns = hs_shard_now_ns(s);
    cr_assert(timer >= million && timer < million + MILLION);
    million_fired++;
    if (--million_left == 0)
        shard_stop(s);
}

static hs_err million_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    for (uint32_t i = 0; i < MILLION; i++)
        HS_TRY(hs_timer_after(s, &million[i], 1 + hs_shard_random(s) % SPAN_MS, one_of_a_million));
    million_left = MILLION;
    for (uint32_t i = 0; i < MILLION; i += 3) {
        hs_timer_cancel(s, &million[i]);
        million_left--;
    }
    for (uint32_t i = 1; i < MILLION; i += 3)
        HS_TRY(hs_timer_after(s, &million[i], SPAN_MS + i % SPAN_MS, one_of_a_million));
    return HS_OK;
}

Test(shard_interval, a_million_timers_live_at_once)
{
    million = calloc(MILLION, sizeof *million);
    cr_assert_not_null(million);
    million_fired = 0;
    million_ns = 0;
    run_jumping(million_start, 1, 0);
    cr_assert_eq(million_fired, MILLION - (MILLION + 2) / 3);
    free(million);
}
