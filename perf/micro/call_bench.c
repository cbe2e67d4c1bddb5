/* What it costs to reach another shard: a queue, a call one after the other, many at a time.
 *
 * Owns: two shards on their own loops, and a fiber of the first that makes the calls. A target is
 * busy when something to run keeps its loop from waiting, and sleeps when it has
 * had nothing to do for longer than it takes to go to sleep. With one processor for both shards the
 * figures are those of the scheduler. Tested by: being run (perf/micro_bench). */
#include <semaphore.h>

#include "bench.h"
#include "hs_call.h"
#include "hs_fiber.h"
#include "hs_limits.h"
#include "hs_spsc.h"

#define SAMPLES 20000
#define SLEEPING_SAMPLES 500
#define ITEMS 50000
#define POP_MAX 64

static hs_shard *near, *far;
static sem_t ended;

static void check(hs_err err)
{
    if (!hs_ok(err))
        bench_fail(hs_err_text(err));
}

static void await(hs_promise *p)
{
    check(hs_await(p, NULL));
}

/* ---- loops that never rest ---- */

/* A task that is posted again by a timer, which runs after the tasks of its turn: one of each a
 * turn. A task that posts itself would run as often as a turn's bound allows, and make long turns.
 */
typedef struct spinner {
    hs_task task;
    hs_timer timer;
    bool on;
} spinner;

static spinner spinners[2]; /* each its own shard's */

static void spin_task(hs_task *task);

static void spin_timer(hs_timer *timer)
{
    spinner *sp = HS_CONTAINER_OF(timer, spinner, timer);
    if (sp->on)
        hs_task_post(hs_shard_self(), &sp->task, spin_task);
}

static void spin_task(hs_task *task)
{
    spinner *sp = HS_CONTAINER_OF(task, spinner, task);
    check(hs_timer_after(hs_shard_self(), &sp->timer, 0, spin_timer));
}

static hs_outcome spin_set(void *on)
{
    spinner *sp = &spinners[hs_shard_id(hs_shard_self())];
    sp->on = on != NULL;
    if (on)
        hs_task_post(hs_shard_self(), &sp->task, spin_task);
    return hs_value(NULL);
}

static void set_busy(bool on)
{
    await(hs_call(near, spin_set, on ? spinners : NULL));
    await(hs_call(far, spin_set, on ? spinners : NULL));
}

/* ---- the queue alone: items of 8 bytes, taken in batches ---- */

static hs_spsc queue;

static hs_outcome consume(void *ops)
{
    uint64_t items[POP_MAX], sum = 0;
    for (uint64_t left = (uint64_t)(uintptr_t)ops; left > 0;) {
        uint32_t n = hs_spsc_pop(&queue, items, POP_MAX);
        for (uint32_t i = 0; i < n; i++)
            sum += items[i];
        left -= n;
    }
    return hs_value((void *)(uintptr_t)sum);
}

static void push_items(void *ctx, uint64_t ops)
{
    (void)ctx;
    hs_promise *p = hs_call(far, consume, (void *)(uintptr_t)ops);
    for (uint64_t i = 0; i < ops; i++)
        while (!hs_spsc_push(&queue, &i))
            ;
    void *sum;
    check(hs_await(p, &sum));
    if ((uint64_t)(uintptr_t)sum != ops * (ops - 1) / 2)
        bench_fail("the queue lost an item");
}

/* ---- calls, as many at a time as one may ---- */

static hs_call_op ops_storage[HS_CALLS_MAX];
static uint64_t ops_left;
static hs_promise *ops_done;

static void op_serve(hs_call_op *op)
{
    op->result++;
}

static void op_served(hs_call_op *op)
{
    (void)op;
    if (--ops_left == 0)
        hs_promise_settle(ops_done, hs_value(NULL));
}

static void call_many(void *ctx, uint64_t ops)
{
    (void)ctx;
    ops_done = hs_promise_create(near);
    if (!ops_done)
        bench_fail("no memory");
    ops_left = ops;
    for (uint64_t i = 0; i < ops; i++) {
        ops_storage[i] = (hs_call_op){.fn = op_serve, .done = op_served};
        check(hs_call_op_start(far, &ops_storage[i]));
    }
    await(ops_done);
}

static hs_outcome serve(void *arg)
{
    return hs_value(arg);
}

static hs_outcome count_served(void *ctx, void *value)
{
    (void)value;
    op_served(ctx);
    return hs_value(NULL);
}

static void call_many_promises(void *ctx, uint64_t ops)
{
    (void)ctx;
    ops_done = hs_promise_create(near);
    if (!ops_done)
        bench_fail("no memory");
    ops_left = ops;
    for (uint64_t i = 0; i < ops; i++)
        hs_promise_drop(hs_then(hs_call(far, serve, NULL), count_served, NULL));
    await(ops_done);
}

/* ---- there and back, one after the other ---- */

static uint64_t samples[SAMPLES];

static void round_trips(const char *name, size_t len, bool sleeps)
{
    for (size_t i = 0; i < len; i++) {
        if (sleeps)
            await(hs_sleep(near, 2, NULL)); /* enough for the other loop to rest */
        uint64_t start = bench_now_ns();
        await(hs_call(far, serve, NULL));
        samples[i] = bench_now_ns() - start;
    }
    bench_samples(name, samples, len);
}

static hs_err run(void *arg)
{
    (void)arg;
    set_busy(true);
    bench_case("queue: push, and pop on the other side", ITEMS, push_items, NULL);
    bench_case("call in caller's storage, 256 at a time", HS_CALLS_MAX, call_many, NULL);
    bench_case("call that gives a promise, 256 at a time", HS_CALLS_MAX, call_many_promises, NULL);
    round_trips("call there and back, busy shards", SAMPLES, false);
    set_busy(false);
    round_trips("call there and back, sleeping shards", SLEEPING_SAMPLES, true);
    sem_post(&ended);
    return HS_OK;
}

/* ---- the program ---- */

static hs_err start(hs_shard *shard, void *ctx)
{
    (void)ctx;
    if (hs_shard_id(shard) != 0)
        return HS_OK;
    near = shard;
    far = hs_shard_peer(shard, 1);
    bench_counter_open();
    hs_promise_drop(hs_fiber_start(shard, "bench", run, NULL, NULL));
    return HS_OK;
}

int main(int argc, char **argv)
{
    int code = bench_begin(argc, argv, "across shards");
    if (code != 0)
        return code;
    check(hs_spsc_init(&queue, hs_mem_system(), HS_MAIL_CAPACITY, sizeof(uint64_t)));
    sem_init(&ended, 0, 0);
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = 2;
    o.log_level = HS_LOG_WARN;
    o.start = start;
    hs_group *group;
    check(hs_group_start(&o, &group));
    while (sem_wait(&ended) != 0)
        ; /* a signal */
    hs_group_stop(group);
    hs_group_join(group);
    hs_spsc_fini(&queue);
    return 0;
}
