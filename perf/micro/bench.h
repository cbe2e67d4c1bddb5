/* What the micro-benchmarks share: a clock, the yardstick, and lines that all look alike.
 *
 * Owns: how a figure is made. Each subject is run in many short rounds, in turn with a plain call
 * of a function that the compiler cannot see through; the figure is the least of all rounds, so
 * that a noisy moment falls out, and it is told in nanoseconds and as a multiple of that call in
 * the same run. Where single events count (latency), all of them are kept and told as percentiles.
 * Must not know: what is measured. Usage: a program for each subject,
 *
 *     static void subject(void *ctx, uint64_t ops) { ... do it `ops` times ... }
 *     static void run(hs_shard *shard) { bench_case("name", 1000, subject, ctx); }
 *     int main(int argc, char **argv) { return bench_on_shard(argc, argv, "what", run); }
 *
 * entered in perf/CMakeLists.txt. Run them all by perf/micro_bench. */
#pragma once

#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hs_group.h"
#include "shard.h"

/* How many rounds a subject gets: the command line's first word. */
static uint32_t bench_rounds = 200;
/* A counter of this thread's instructions in user mode, or -1. */
static int bench_counter = -1;

static inline uint64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * HS_SEC_NS + (uint64_t)t.tv_nsec;
}

static inline void bench_counter_open(void)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof(attr),
                                   .config = PERF_COUNT_HW_INSTRUCTIONS,
                                   .exclude_kernel = 1,
                                   .exclude_hv = 1};
    bench_counter = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static inline uint64_t bench_instructions(void)
{
    uint64_t value = 0;
    if (bench_counter < 0 || read(bench_counter, &value, sizeof(value)) != (ssize_t)sizeof(value))
        return 0;
    return value;
}

static inline void bench_fail(const char *text)
{
    fprintf(stderr, "micro-benchmark: %s\n", text);
    exit(1);
}

/* ---- the yardstick ---- */

static __attribute__((noinline)) uint64_t bench_callee(uint64_t x)
{
    __asm__ volatile("" : "+r"(x)); /* nothing is known of it, and nothing left out */
    return x + 1;
}

static uint64_t (*volatile bench_call)(uint64_t x) = bench_callee;

static inline double bench_call_ns(void)
{
    enum { CALLS = 10000 };
    uint64_t x = 0, start = bench_now_ns();
    for (uint32_t i = 0; i < CALLS; i++)
        x = bench_call(x);
    uint64_t ns = bench_now_ns() - start;
    if (x != CALLS)
        bench_fail("the yardstick does not count");
    return (double)ns / CALLS;
}

/* ---- figures ---- */

typedef struct bench_figure {
    double ns, call_ns;  /* one op; one plain call in the same run */
    double instructions; /* one op; 0: not counted */
    double heap_calls;   /* one op, of hs_mem_system by this thread; the most of any round but the
                            first */
} bench_figure;

typedef void bench_fn(void *ctx, uint64_t ops);

/* Measure `fn`, which does `ops` operations at each call. Choose them so that a call takes less
 * than a millisecond: then most rounds are undisturbed. */
static inline bench_figure bench_measure(uint64_t ops, bench_fn *fn, void *ctx)
{
    bench_figure best = {.ns = 1e18, .call_ns = 1e18};
    fn(ctx, ops); /* warm up */
    for (uint32_t round = 0; round < bench_rounds; round++) {
        best.call_ns = HS_MIN(best.call_ns, bench_call_ns());
        uint64_t takes = hs_mem_system_takes(), instructions = bench_instructions();
        uint64_t start = bench_now_ns();
        fn(ctx, ops);
        double ns = (double)(bench_now_ns() - start) / (double)ops;
        double heap_calls = (double)(hs_mem_system_takes() - takes) / (double)ops;
        best.heap_calls = HS_MAX(best.heap_calls, heap_calls);
        if (ns >= best.ns)
            continue;
        best.ns = ns;
        best.instructions = (double)(bench_instructions() - instructions) / (double)ops;
    }
    return best;
}

static inline void bench_title(const char *what)
{
    printf("\n%-52s %10s %8s %8s %6s\n", what, "ns", "x call", "instr", "heap");
}

static inline void bench_line(const char *name, bench_figure f)
{
    printf("%-52s %10.1f %8.1f ", name, f.ns, f.ns / f.call_ns);
    if (f.instructions > 0)
        printf("%8.0f ", f.instructions);
    else
        printf("%8s ", "-");
    printf("%6.3g\n", f.heap_calls);
    fflush(stdout);
}

/* Measure and print. */
static inline bench_figure bench_case(const char *name, uint64_t ops, bench_fn *fn, void *ctx)
{
    bench_figure f = bench_measure(ops, fn, ctx);
    bench_line(name, f);
    return f;
}

static inline int bench_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The value of sorted `samples` that `percent` of them do not pass. */
static inline uint64_t bench_percentile(const uint64_t *samples, size_t len, double percent)
{
    size_t at = (size_t)((double)len * percent / 100.0);
    return samples[HS_MIN(at, len - 1)];
}

/* Print the percentiles of `len` samples in nanoseconds, which are sorted by it. */
static inline void bench_samples(const char *name, uint64_t *samples, size_t len)
{
    static const double percents[] = {50, 99, 99.9};
    double call_ns = 1e18;
    for (uint32_t round = 0; round < bench_rounds; round++)
        call_ns = HS_MIN(call_ns, bench_call_ns());
    qsort(samples, len, sizeof(*samples), bench_compare);
    for (size_t i = 0; i < HS_ARRAY_LEN(percents); i++) {
        char text[96];
        snprintf(text, sizeof(text), "%s, p%g", name, percents[i]);
        double ns = (double)bench_percentile(samples, len, percents[i]);
        printf("%-52s %10.0f %8.1f %8s %6s\n", text, ns, ns / call_ns, "-", "-");
    }
    fflush(stdout);
}

/* ---- programs ---- */

static inline int bench_begin(int argc, char **argv, const char *what)
{
    if (argc > 1)
        bench_rounds = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2 || bench_rounds == 0) {
        fprintf(stderr, "usage: %s [ROUNDS]\n", argv[0]);
        return 2;
    }
    bench_counter_open();
    bench_title(what);
    return 0;
}

static inline hs_err bench_start(hs_shard *shard, void *ctx)
{
    void (**run)(hs_shard *) = ctx;
    bench_counter_open(); /* of this thread */
    (*run)(shard);
    return HS_OK;
}

/* Call `run` on the thread of a shard of its own, before its loop runs: it turns the loop itself,
 * by shard_turn(shard, false). Returns what main returns. */
static inline int bench_on_shard(int argc, char **argv, const char *what,
                                 void (*run)(hs_shard *shard))
{
    int code = bench_begin(argc, argv, what);
    if (code != 0)
        return code;
    hs_group_options o;
    hs_group_options_init(&o);
    o.shards = 1;
    o.log_level = HS_LOG_WARN;
    o.start = bench_start;
    o.ctx = &run;
    hs_group *group;
    hs_err err = hs_group_start(&o, &group);
    if (!hs_ok(err)) {
        fprintf(stderr, "micro-benchmark: %s\n", hs_err_text(err));
        return 1;
    }
    hs_group_stop(group);
    hs_group_join(group);
    return 0;
}
