/* What the tests of fibers share: promises settled by hand, values whose drops are counted, and
 * fibers that write down how far they came. */
#pragma once

#include "bench.h"
#include "hs_fiber.h"
#include "inside.h"

static bench b;
static char order[256];
static uint32_t drops;

static inline void note(char c)
{
    size_t len = strlen(order);
    cr_assert_lt(len + 1, sizeof order);
    order[len] = c;
}

static inline void drop(void *value)
{
    cr_assert_eq(value, &drops);
    drops++;
}

static inline hs_outcome owned(void)
{
    return hs_value_owned(&drops, drop);
}

static inline hs_promise *make(void)
{
    hs_promise *p = hs_promise_create(b.shard);
    cr_assert_not_null(p);
    return p;
}

static inline void settle(hs_promise *p, hs_outcome o)
{
    hs_promise_settle(p, o);
    bench_run(&b, 0);
}

/* ---- what a fiber came to ---- */

static int32_t ended;

static inline hs_outcome end_fulfilled(void *ctx, void *value)
{
    (void)ctx;
    cr_assert_null(value);
    ended = 0;
    return hs_value(NULL);
}

static inline hs_outcome end_rejected(void *ctx, hs_err err, void *detail)
{
    (void)ctx;
    cr_assert_null(detail);
    ended = err.code;
    return hs_value(NULL);
}

/* Its promise must be settled. */
static inline int32_t end_of(hs_promise *p)
{
    cr_assert_neq(hs_promise_state_of(p), HS_PROMISE_PENDING);
    ended = INT32_MAX;
    hs_promise_drop(hs_then_catch(p, end_fulfilled, end_rejected, NULL));
    bench_run(&b, 0);
    cr_assert_neq(ended, INT32_MAX);
    return ended;
}

/* ---- a fiber that awaits what it is given ---- */

#define WAITER_AWAITS 4

typedef struct waiter {
    hs_promise *awaits[WAITER_AWAITS]; /* up to the first NULL, in turn, whatever they come to */
    void *value;
    hs_err errs[WAITER_AWAITS];
    uint32_t came; /* awaits that have returned */
    bool started, ended;
} waiter;

static inline hs_err wait_all(void *arg)
{
    waiter *w = arg;
    hs_err last = HS_OK;
    w->started = true;
    for (; w->came < WAITER_AWAITS && w->awaits[w->came]; w->came++) {
        last = w->errs[w->came] = hs_await(w->awaits[w->came], &w->value);
        cr_assert(hs_on_fiber());
        cr_assert_eq(hs_shard_self(), b.shard);
    }
    w->ended = true;
    return last;
}

/* ---- around each test ---- */

static inline void setup(void)
{
    bench_init(&b, NULL);
}

static inline void teardown(void)
{
    cr_assert_eq(hs_fibers(b.shard), 0);
    cr_assert_eq(bench_logged(&b, "nobody handled"), 0);
    bench_fini(&b);
}
