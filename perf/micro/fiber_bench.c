/* What a fiber costs: to start and end one, to await, to switch.
 *
 * Owns: the subjects. Tested by: being run (perf/micro_bench). */
#include "bench.h"
#include "hs_fiber.h"
#include "hs_limits.h"
#include "switch.h"

static hs_shard *shard;
static uint64_t ran;

/* ---- the switch alone ---- */

static void *inside, *outside;

static void goes_back(void *arg)
{
    (void)arg;
    for (;;) {
        ran++;
        switch_stack(&inside, outside);
    }
}

static void switch_and_back(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++)
        switch_stack(&outside, inside);
}

/* ---- from start to end ---- */

static hs_err returns(void *arg)
{
    (void)arg;
    ran++;
    return HS_OK;
}

static void start_and_end(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++)
        hs_promise_drop(hs_fiber_start(shard, "bench", returns, NULL, NULL));
    shard_turn(shard, false);
}

static hs_err awaits_settled(void *arg)
{
    (void)arg;
    hs_err err = hs_await(hs_promise_settled(shard, hs_value(NULL)), NULL);
    ran++;
    return err;
}

/* The fibers of a batch await together; the turn that goes on with them is shared. */
static void start_await_and_end(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++)
        hs_promise_drop(hs_fiber_start(shard, "bench", awaits_settled, NULL, NULL));
    shard_turn(shard, false);
}

/* ---- one fiber that waits again and again ---- */

static uint64_t left;

static hs_err yields(void *arg)
{
    (void)arg;
    for (; left > 0; left--)
        HS_TRY(hs_yield());
    return HS_OK;
}

static hs_err awaits(void *arg)
{
    (void)arg;
    for (; left > 0; left--)
        HS_TRY(hs_await(hs_promise_settled(shard, hs_value(NULL)), NULL));
    return HS_OK;
}

static void wait_often(void *ctx, uint64_t ops)
{
    hs_fiber_fn **fn = ctx;
    left = ops;
    hs_promise_drop(hs_fiber_start(shard, "bench", *fn, NULL, NULL));
    while (left > 0)
        shard_turn(shard, false);
    shard_turn(shard, false);
}

/* The same work without a fiber: what an await adds to its promise. */
static hs_outcome reacts(void *ctx, void *value)
{
    (void)ctx, (void)value;
    if (--left == 0)
        return hs_value(NULL);
    hs_promise_drop(hs_then(hs_promise_settled(shard, hs_value(NULL)), reacts, NULL));
    return hs_value(NULL);
}

static void react_often(void *ctx, uint64_t ops)
{
    (void)ctx;
    left = ops;
    hs_promise_drop(hs_then(hs_promise_settled(shard, hs_value(NULL)), reacts, NULL));
    while (left > 0)
        shard_turn(shard, false);
}

/* ---- many ---- */

/* Each goes on once a pass; with many, on a stack that the cache has forgotten. */
static hs_err yields_for_ever(void *arg)
{
    (void)arg;
    for (;;) {
        ran++;
        HS_TRY(hs_yield());
    }
}

static void let_run(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t end = ran + ops; ran < end;)
        shard_turn(shard, false);
}

static void one_of(uint32_t many)
{
    char name[64];
    snprintf(name, sizeof name, "yield, one of %u fibers", many);
    hs_cancel *cancel = hs_cancel_create(shard);
    if (!cancel)
        bench_fail("no memory for a token");
    for (uint32_t i = 0; i < many; i++)
        hs_promise_ignore(hs_fiber_start(shard, "many", yields_for_ever, NULL, cancel));
    bench_case(name, 20 * HS_TURN_TASKS_MAX, let_run, NULL);
    hs_cancel_fire(cancel, hs_err_of(HS_E_CLOSED));
    hs_cancel_unref(cancel);
}

static void run(hs_shard *s)
{
    static _Alignas(64) uint8_t stack[65536];
    static hs_fiber_fn *yield = yields, *await = awaits;
    shard = s;
    inside = switch_frame(stack + sizeof stack, goes_back, NULL);
    bench_case("switch to another stack and back", 1000, switch_and_back, NULL);
    bench_case("start a fiber that ends at once", 500, start_and_end, NULL);
    bench_case("start a fiber, await once, end", 500, start_await_and_end, NULL);
    bench_case("yield", 500, wait_often, &yield);
    bench_case("await a settled promise", 500, wait_often, &await);
    bench_case("the same without a fiber: then", 500, react_often, NULL);
    one_of(1000);
    one_of(20000);
}

int main(int argc, char **argv)
{
    return bench_on_shard(argc, argv, "fibers", run);
}
