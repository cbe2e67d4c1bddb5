/* Fibers on the simulated backend: starting, awaiting, yielding, and what they come to. */
#include "fiber_rig.h"

TestSuite(shard_fiber, .init = setup, .fini = teardown);

/* ---- starting and ending ---- */

static hs_err returns_at_once(void *arg)
{
    cr_assert(hs_on_fiber());
    cr_assert_eq(hs_shard_self(), b.shard);
    cr_assert_null(hs_fiber_cancel());
    cr_assert_eq(hs_fibers(b.shard), 1);
    note('f');
    return hs_err_of(*(int32_t *)arg);
}

Test(shard_fiber, one_that_awaits_nothing_has_ended_when_its_start_returns)
{
    int32_t code = 0;
    note('s');
    hs_promise *p = hs_fiber_start(b.shard, "test", returns_at_once, &code, NULL);
    note('e');
    cr_assert_not(hs_on_fiber());
    cr_assert_eq(hs_fibers(b.shard), 0);
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_FULFILLED);
    cr_assert_eq(end_of(p), 0);
    cr_assert_str_eq(order, "sfe");
}

Test(shard_fiber, its_error_rejects_its_promise)
{
    int32_t code = HS_E_PROTOCOL;
    hs_promise *p = hs_fiber_start(b.shard, "test", returns_at_once, &code, NULL);
    cr_assert_eq(hs_promise_state_of(p), HS_PROMISE_REJECTED);
    cr_assert_eq(end_of(p), HS_E_PROTOCOL);
}

Test(shard_fiber, it_runs_until_its_first_await_and_goes_on_with_the_value)
{
    waiter w = {.awaits[0] = make()};
    hs_promise *settles = w.awaits[0];
    hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, NULL);
    cr_assert(w.started && !w.ended);
    cr_assert_not(hs_on_fiber());
    cr_assert_eq(hs_fibers(b.shard), 1);
    bench_run(&b, 10);
    cr_assert_not(w.ended);
    hs_promise_settle(settles, owned());
    cr_assert_not(w.ended); /* never within the settling */
    bench_run(&b, 0);
    cr_assert(w.ended);
    cr_assert_eq(w.value, &drops);
    cr_assert_eq(drops, 0); /* the value is the fiber's */
    cr_assert_eq(end_of(p), 0);
    cr_assert_eq(drops, 0);
}

Test(shard_fiber, an_awaited_rejection_is_returned_and_its_detail_dropped)
{
    waiter w = {.awaits[0] = make(), .value = &w};
    hs_promise *settles = w.awaits[0];
    hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, NULL);
    hs_outcome o = hs_error(hs_err_errno(ECONNRESET));
    o.value = &drops;
    o.drop = drop;
    settle(settles, o);
    cr_assert_eq(w.errs[0].code, -ECONNRESET);
    cr_assert_eq(w.value, &w); /* untouched */
    cr_assert_eq(drops, 1);
    cr_assert_eq(end_of(p), -ECONNRESET);
}

static hs_err wants_the_outcome(void *arg)
{
    hs_outcome o = hs_await_outcome(arg);
    cr_assert_null(o.promise);
    cr_assert_eq(o.value, &drops);
    cr_assert_eq(drops, 0); /* it is the fiber's, whatever it is */
    o.drop(o.value);
    return o.err;
}

Test(shard_fiber, the_whole_outcome_brings_the_detail_of_a_rejection)
{
    for (int32_t code = 0; code >= -ECONNRESET; code -= ECONNRESET) {
        hs_promise *awaited = make();
        hs_promise *p = hs_fiber_start(b.shard, "test", wants_the_outcome, awaited, NULL);
        hs_outcome o = owned();
        o.err = hs_err_of(code);
        drops = 0;
        settle(awaited, o);
        cr_assert_eq(drops, 1);
        cr_assert_eq(end_of(p), code);
    }
    hs_promise *settled = hs_promise_settled(b.shard, owned());
    cr_assert_eq(hs_await_outcome(settled).err.code, HS_E_USAGE); /* off a fiber */
}

static hs_err cares_for_nothing(void *arg)
{
    return hs_await(arg, NULL);
}

Test(shard_fiber, a_value_that_nobody_wants_is_dropped)
{
    hs_promise *awaited = make();
    hs_promise *p = hs_fiber_start(b.shard, "test", cares_for_nothing, awaited, NULL);
    settle(awaited, owned());
    cr_assert_eq(drops, 1);
    cr_assert_eq(end_of(p), 0);
}

Test(shard_fiber, awaiting_what_is_settled_lets_the_starter_go_on_first)
{
    waiter w = {.awaits[0] = hs_promise_settled(b.shard, owned())};
    hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, NULL);
    cr_assert(w.started && !w.ended);
    bench_run(&b, 0);
    cr_assert(w.ended);
    cr_assert_eq(w.value, &drops);
    cr_assert_eq(end_of(p), 0);
}

Test(shard_fiber, a_name_a_function_and_the_own_shard_are_needed, .signal = SIGABRT)
{
    (void)hs_fiber_start(b.shard, "test", NULL, NULL, NULL);
}

/* ---- off a fiber ---- */

Test(shard_fiber, awaiting_off_a_fiber_is_a_clear_error_and_consumes_the_handle)
{
    hs_promise *p = hs_promise_settled(b.shard, owned());
    void *value = &b;
    cr_assert_eq(hs_await(p, &value).code, HS_E_USAGE);
    cr_assert_eq(value, &b);
    cr_assert_eq(drops, 1);
    cr_assert_eq(bench_logged(&b, "hs_await was called off a fiber"), 1);
    cr_assert_eq(hs_yield().code, HS_E_USAGE);
    cr_assert_eq(bench_logged(&b, "hs_yield was called off a fiber"), 1);
    cr_assert_not(hs_on_fiber());
    cr_assert_null(hs_fiber_cancel());
}

static hs_outcome awaits_in_a_reaction(void *ctx, void *value)
{
    (void)value;
    return hs_error(hs_await(hs_promise_settled(b.shard, owned()), ctx));
}

Test(shard_fiber, a_reaction_is_off_a_fiber_too)
{
    void *value = NULL;
    hs_promise *p = hs_promise_settled(b.shard, hs_value(NULL));
    hs_promise *q = hs_then(p, awaits_in_a_reaction, &value);
    bench_run(&b, 0);
    cr_assert_eq(end_of(q), HS_E_USAGE);
    cr_assert_eq(drops, 1);
    cr_assert_eq(bench_logged(&b, "hs_await was called off a fiber"), 1);
}

/* ---- fibers that start fibers ---- */

typedef struct nest {
    uint32_t depth, depth_max;
    hs_promise *gate; /* awaited by the innermost */
} nest;

static hs_err nests(void *arg)
{
    nest *n = arg;
    uint32_t own = ++n->depth;
    note((char)('a' + own - 1));
    if (own == n->depth_max) {
        HS_TRY(hs_await(n->gate, NULL));
        note('!');
        return hs_err_of(HS_E_PROTOCOL);
    }
    hs_promise *inner = hs_fiber_start(b.shard, "inner", nests, n, NULL);
    note((char)('A' + own - 1));
    hs_err err = hs_await(inner, NULL);
    cr_assert_eq(err.code, HS_E_PROTOCOL);
    note((char)('0' + own));
    return err;
}

Test(shard_fiber, a_fiber_may_start_fibers_and_await_them)
{
    nest n = {.depth_max = 4, .gate = make()};
    hs_promise *p = hs_fiber_start(b.shard, "outer", nests, &n, NULL);
    cr_assert_str_eq(order, "abcdCBA");
    cr_assert_eq(hs_fibers(b.shard), 4);
    settle(n.gate, hs_value(NULL));
    cr_assert_eq(end_of(p), HS_E_PROTOCOL);
    cr_assert_str_eq(order, "abcdCBA!321");
}

typedef struct self {
    hs_promise *gate, *own;
    hs_err err;
} self;

typedef struct selfish {
    hs_promise *gate, *own;
    hs_err err;
} selfish;

static hs_err awaits_itself(void *arg)
{
    selfish *w = arg;
    HS_TRY(hs_await(w->gate, NULL));
    w->err = hs_await(hs_promise_ref(w->own), NULL);
    return HS_OK;
}

Test(shard_fiber, awaiting_its_own_end_is_a_clear_error)
{
    hs_promise *gate = make();
    selfish w = {.gate = gate};
    w.own = hs_fiber_start(b.shard, "test", awaits_itself, &w, NULL);
    settle(gate, hs_value(NULL));
    cr_assert_eq(w.err.code, HS_E_USAGE);
    cr_assert_eq(bench_logged(&b, "a fiber awaits its own end"), 1);
    cr_assert_eq(end_of(w.own), 0);
}

/* ---- the shard's label ---- */

static hs_err looks_at_labels(void *arg)
{
    cr_assert_str_eq(hs_shard_label(b.shard), "outer");
    hs_promise *inner = hs_fiber_start(b.shard, "inner", wait_all, arg, NULL);
    cr_assert_str_eq(hs_shard_label(b.shard), "outer");
    (void)hs_shard_label_set(b.shard, "set inside");
    HS_TRY(hs_await(inner, NULL));
    cr_assert_str_eq(hs_shard_label(b.shard), "set inside");
    return HS_OK;
}

Test(shard_fiber, its_name_is_the_shards_label_while_it_runs)
{
    hs_promise *gate = make();
    waiter w = {.awaits[0] = gate};
    (void)hs_shard_label_set(b.shard, "around");
    hs_promise *p = hs_fiber_start(b.shard, "outer", looks_at_labels, &w, NULL);
    cr_assert_str_eq(hs_shard_label(b.shard), "around");
    settle(gate, hs_value(NULL));
    cr_assert_str_eq(hs_shard_label(b.shard), "around");
    cr_assert_eq(end_of(p), 0);
    (void)hs_shard_label_set(b.shard, NULL);
}

/* ---- yielding ---- */

static hs_err yields(void *arg)
{
    const char *letters = arg;
    for (; *letters; letters++) {
        note(*letters);
        HS_TRY(hs_yield());
    }
    return HS_OK;
}

static void note_task(hs_task *task)
{
    (void)task;
    note('-');
}

Test(shard_fiber, those_that_yield_take_turns_with_each_other_and_with_tasks)
{
    hs_task task = {0};
    char lower[] = "abc", upper[] = "ABC";
    hs_promise *p = hs_fiber_start(b.shard, "p", yields, lower, NULL);
    hs_promise *q = hs_fiber_start(b.shard, "q", yields, upper, NULL);
    hs_task_post(b.shard, &task, note_task);
    cr_assert_str_eq(order, "aA");
    bench_run(&b, 0);
    cr_assert_str_eq(order, "aAb-BcC");
    cr_assert_eq(end_of(p), 0);
    cr_assert_eq(end_of(q), 0);
}

static bool over;

static hs_err yields_until_over(void *arg)
{
    uint32_t *turns = arg;
    for (; !over; ++*turns)
        HS_TRY(hs_yield());
    return HS_OK;
}

static void set_over(hs_timer *timer)
{
    (void)timer;
    over = true;
}

Test(shard_fiber, one_that_always_yields_starves_no_timer)
{
    hs_timer timer = {0};
    uint32_t turns = 0;
    hs_promise *p = hs_fiber_start(b.shard, "test", yields_until_over, &turns, NULL);
    cr_assert(hs_ok(hs_timer_after(b.shard, &timer, 5, set_over)));
    bench_run(&b, 50);
    cr_assert_gt(turns, 0);
    cr_assert_eq(end_of(p), 0);
}

/* ---- limits ---- */

Test(shard_fiber, past_the_limit_a_start_is_refused_and_the_log_is_told_once_a_second)
{
    b.shard->fibers.len_max = 2;
    waiter w[2] = {{.awaits[0] = make()}, {.awaits[0] = make()}};
    hs_promise *settles[2] = {w[0].awaits[0], w[1].awaits[0]}, *ends[2];
    for (int i = 0; i < 2; i++)
        ends[i] = hs_fiber_start(b.shard, "busy", wait_all, &w[i], NULL);
    waiter none = {0};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(end_of(hs_fiber_start(b.shard, "more", wait_all, &none, NULL)), HS_E_LIMIT);
    cr_assert_not(none.started);
    cr_assert_eq(bench_logged(&b, "fiber 'more' not started (1 such): HS_E_LIMIT: 2 fibers"), 1);
    bench_run(&b, 1100);
    cr_assert_eq(end_of(hs_fiber_start(b.shard, "more", wait_all, &none, NULL)), HS_E_LIMIT);
    cr_assert_eq(bench_logged(&b, "(3 such)"), 1);
    for (int i = 0; i < 2; i++) {
        settle(settles[i], hs_value(NULL));
        cr_assert_eq(end_of(ends[i]), 0);
    }
    /* There is room again. */
    w[0] = (waiter){.awaits[0] = hs_promise_settled(b.shard, hs_value(NULL))};
    ends[0] = hs_fiber_start(b.shard, "later", wait_all, &w[0], NULL);
    bench_run(&b, 0);
    cr_assert_eq(end_of(ends[0]), 0);
}

/* Each piece of memory fails once: the fiber runs to its end, or not at all and the promise says
 * why. */
Test(shard_fiber, without_memory_nothing_runs_and_nothing_leaks)
{
    for (uint64_t n = 1; n < 40; n++) {
        bench_fini(&b);
        bench_init(&b, NULL);
        b.fail_at = b.takes + n;
        waiter w = {.awaits[0] = hs_promise_create(b.shard)};
        if (!w.awaits[0])
            continue;
        hs_promise *settles = w.awaits[0];
        hs_promise *p = hs_fiber_start(b.shard, "test", wait_all, &w, NULL);
        if (!w.started) {
            b.fail_at = 0;
            cr_assert_eq(end_of(p), -ENOMEM);
            hs_promise_drop(w.awaits[0]);
            hs_promise_settle(settles, hs_value(NULL));
            cr_assert_eq(bench_logged(&b, "fiber 'test' not started"), 1);
            continue;
        }
        settle(settles, hs_value(NULL));
        b.fail_at = 0;
        cr_assert(w.ended);
        cr_assert_eq(end_of(p), 0);
    }
}

/* ---- memory ---- */

Test(shard_fiber, stacks_are_used_again_and_go_back_when_it_is_quiet)
{
    static waiter w[100];
    static hs_promise *settles[100], *ends[100];
    const stack_pool *pool = &b.shard->fibers.stacks;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) {
            settles[i] = make();
            w[i] = (waiter){.awaits[0] = settles[i]};
            ends[i] = hs_fiber_start(b.shard, "test", wait_all, &w[i], NULL);
        }
        for (int i = 0; i < 100; i++) {
            settle(settles[i], hs_value(NULL));
            hs_promise_drop(ends[i]);
        }
        cr_assert_eq(pool->idle, 100);
        cr_assert_eq(pool->used, 0);
    }
    /* Only an active shard looks after its memory: an op completes. */
    hs_io_wake_any(hs_shard_io(b.shard));
    bench_run(&b, 5000);
    cr_assert_leq(pool->idle, 100);
    while (b.shard->fibers.trim.fn(&b.shard->fibers.trim))
        ;
    cr_assert_eq(pool->idle, HS_FIBER_STACKS_KEEP);
}

Test(shard_fiber, the_size_of_stacks_is_an_option)
{
    cr_assert_eq(b.shard->fibers.stacks.bytes, HS_FIBER_STACK_BYTES);
}

/* ---- depth ---- */

static uint32_t recurse(uint32_t depth, hs_promise **gate)
{
    volatile char frame[128];
    memset((char *)frame, (int)depth, sizeof frame);
    uint32_t sum = depth ? recurse(depth - 1, gate) : 0;
    if (depth == 0)
        cr_assert(hs_ok(hs_await(*gate, NULL)));
    for (size_t i = 0; i < sizeof frame; i++)
        cr_assert_eq(frame[i], (char)depth);
    return sum + depth;
}

static hs_err deep(void *arg)
{
    return hs_err_of(recurse(100, arg) == 5050 ? 0 : HS_E_INTERNAL);
}

Test(shard_fiber, it_may_await_from_deep_within)
{
    hs_promise *gate = make(), *handle = gate;
    hs_promise *p = hs_fiber_start(b.shard, "test", deep, &handle, NULL);
    settle(gate, hs_value(NULL));
    cr_assert_eq(end_of(p), 0);
}
