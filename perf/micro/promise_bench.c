/* What tasks, microtasks and promises cost.
 *
 * Owns: the subjects. Tested by: being run (perf/micro_bench). */
#include "bench.h"
#include "hs_cancel.h"
#include "hs_promise.h"

static hs_shard *shard;
static uint64_t ran;

/* ---- tasks ---- */

#define BATCH 500

static hs_task tasks[BATCH];
static hs_microtask microtasks[BATCH];

static void task_run(hs_task *task)
{
    (void)task;
    ran++;
}

static void microtask_run(hs_microtask *task)
{
    (void)task;
    ran++;
}

/* The turn of the loop, with its system call, is shared by the batch. */
static void post_tasks(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++)
        hs_task_post(shard, &tasks[i], task_run);
    shard_turn(shard, false);
}

static void post_microtasks(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++)
        hs_microtask_post(shard, &microtasks[i], microtask_run);
    shard_turn(shard, false);
}

static void turn_only(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++)
        shard_turn(shard, false);
}

/* From the posting of a task to its start, each with a clock of its own. */
#define SAMPLES 100000

static uint64_t samples[SAMPLES], posted_ns;
static uint32_t samples_len;

static void sample_run(hs_task *task)
{
    uint64_t now = bench_now_ns();
    samples[samples_len++] = now - posted_ns;
    if (samples_len == SAMPLES)
        return;
    posted_ns = bench_now_ns();
    hs_task_post(shard, task, sample_run);
}

static void sample_clock(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++)
        posted_ns = bench_now_ns();
}

static void latency(void)
{
    samples_len = 0;
    posted_ns = bench_now_ns();
    hs_task_post(shard, &tasks[0], sample_run);
    while (samples_len < SAMPLES)
        shard_turn(shard, false);
    bench_samples("post a task to its start (and one clock reading)", samples, SAMPLES);
}

/* ---- promises ---- */

static hs_outcome then_run(void *ctx, void *value)
{
    (void)ctx;
    ran++;
    return hs_value(value);
}

static void thens(void *ctx, uint64_t ops)
{
    (void)ctx;
    hs_promise *p = hs_promise_settled(shard, hs_value(NULL));
    for (uint64_t i = 0; i < ops; i++)
        p = hs_then(p, then_run, NULL);
    hs_promise_drop(p);
    shard_turn(shard, false);
}

static void react_run(hs_reaction *reaction, hs_outcome o)
{
    (void)reaction;
    (void)o;
    ran++;
}

static void reacts(void *ctx, uint64_t ops)
{
    static hs_reaction reactions[BATCH];
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++) {
        hs_promise *p = hs_promise_create(shard);
        if (!p)
            bench_fail("no memory");
        hs_react(p, &reactions[i], react_run);
        hs_promise_settle(p, hs_value(NULL));
    }
    shard_turn(shard, false);
}

static hs_outcome adopt_run(void *ctx, void *value)
{
    (void)ctx;
    ran++;
    return hs_adopt(hs_promise_settled(shard, hs_value(value)));
}

static void adopts(void *ctx, uint64_t ops)
{
    (void)ctx;
    hs_promise *p = hs_promise_settled(shard, hs_value(NULL));
    for (uint64_t i = 0; i < ops; i++)
        p = hs_then(p, adopt_run, NULL);
    hs_promise_drop(p);
    shard_turn(shard, false);
}

/* ---- cancel tokens ---- */

static void hook_run(hs_cancel_hook *hook, hs_err why)
{
    (void)hook;
    (void)why;
    ran++;
}

static void cancels(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++) {
        hs_cancel *cancel = hs_cancel_create(shard);
        hs_cancel_hook hook = {0};
        if (!cancel || !hs_ok(hs_cancel_add(cancel, &hook, hook_run)))
            bench_fail("no memory");
        hs_cancel_fire(cancel, hs_err_of(HS_E_CLOSED));
        hs_cancel_unref(cancel);
    }
}

static void run(hs_shard *s)
{
    shard = s;
    bench_case("a turn of the loop that finds nothing", 100, turn_only, NULL);
    bench_case("post a task and run it", BATCH, post_tasks, NULL);
    bench_case("one clock reading", BATCH, sample_clock, NULL);
    latency();
    bench_case("post a microtask and run it", BATCH, post_microtasks, NULL);
    bench_case("then: made, run, settled, freed", BATCH, thens, NULL);
    bench_case("then that returns a promise", BATCH, adopts, NULL);
    bench_case("create, react, settle, run", BATCH, reacts, NULL);
    bench_case("token: create, add a hook, fire, free", BATCH, cancels, NULL);
}

int main(int argc, char **argv)
{
    return bench_on_shard(argc, argv, "tasks and promises", run);
}
