/* What a timer costs beside 10, 10^4 and 10^6 others.
 *
 * Owns: the subjects. Tested by: being run (perf/micro_bench). */
#include "bench.h"

#define LIVE_MAX 1000000
#define BATCH 200
#define SPAN_MS 600000 /* the others are due within ten minutes from an hour on */
#define HOUR_MS 3600000

static hs_shard *shard;
static hs_timer live[LIVE_MAX];
static hs_timer own[BATCH];
static uint64_t due_ms[BATCH];

static void fired(hs_timer *timer)
{
    (void)timer;
    bench_fail("a timer fired too soon");
}

static void set(hs_timer *timer, uint64_t after_ms)
{
    if (!hs_ok(hs_timer_after(shard, timer, after_ms, fired)))
        bench_fail("no memory");
}

/* As a request's time limit: set, and cancelled soon after; due among all the others. */
static void set_cancel(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++) {
        set(&own[i], due_ms[i]);
        hs_timer_cancel(shard, &own[i]);
    }
}

/* Many at once, cancelled in the order of setting. */
static void set_all_cancel_all(void *ctx, uint64_t ops)
{
    (void)ctx;
    for (uint64_t i = 0; i < ops; i++)
        set(&own[i], due_ms[i]);
    for (uint64_t i = 0; i < ops; i++)
        hs_timer_cancel(shard, &own[i]);
}

/* As a deadline that is moved: to another place each time. */
static void move(void *ctx, uint64_t ops)
{
    static uint64_t rounds;
    (void)ctx;
    rounds++;
    for (uint64_t i = 0; i < ops; i++)
        set(&live[i], due_ms[(i + rounds) % BATCH]);
}

static void run(hs_shard *s)
{
    static const uint32_t sizes[] = {10, 10000, 1000000};
    shard = s;
    uint32_t have = 0;
    for (size_t i = 0; i < HS_ARRAY_LEN(sizes); i++) {
        for (; have < sizes[i]; have++)
            set(&live[have], HOUR_MS + hs_shard_random(s) % SPAN_MS);
        for (uint32_t j = 0; j < BATCH; j++)
            due_ms[j] = HOUR_MS + hs_shard_random(s) % SPAN_MS;
        char name[64];
        snprintf(name, sizeof(name), "set and cancel one, beside %u", have);
        bench_case(name, BATCH, set_cancel, NULL);
        snprintf(name, sizeof(name), "set %d and cancel them, beside %u", BATCH, have);
        bench_case(name, BATCH, set_all_cancel_all, NULL);
        snprintf(name, sizeof(name), "move one of %u", have);
        bench_case(name, HS_MIN(BATCH, have), move, NULL);
    }
    while (have > 0)
        hs_timer_cancel(s, &live[--have]);
}

int main(int argc, char **argv)
{
    return bench_on_shard(argc, argv, "timers", run);
}
