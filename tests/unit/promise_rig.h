/* What the tests of promises share: a shard of their own, values that know whether they were
 * received or dropped, and a reaction that writes down what came. */
#pragma once

#include "bench.h"
#include "hs_promise.h"

static bench b;

/* ---- values ---- */

static uint32_t values_out; /* made, and neither received nor dropped */
static uint32_t values_dropped;

typedef struct thing {
    uint64_t alive; /* VALUE_ALIVE */
    intptr_t number;
} thing;

#define VALUE_ALIVE UINT64_C(0x616c697665)

static inline void value_gone(void *ptr)
{
    thing *v = ptr;
    cr_assert_eq(v->alive, VALUE_ALIVE);
    v->alive = 0;
    values_out--;
    free(v);
}

static inline void value_drop(void *ptr)
{
    values_dropped++;
    value_gone(ptr);
}

static inline hs_outcome value_made(intptr_t number)
{
    thing *v = malloc(sizeof *v);
    cr_assert_not_null(v);
    *v = (thing){VALUE_ALIVE, number};
    values_out++;
    return hs_value_owned(v, value_drop);
}

/* A rejection with an owned detail. */
static inline hs_outcome error_made(int32_t code, intptr_t number)
{
    hs_outcome o = value_made(number);
    o.err = hs_err_of(code);
    return o;
}

/* Receive a value: its number. */
static inline intptr_t value_take(void *ptr)
{
    intptr_t number = ((thing *)ptr)->number;
    value_gone(ptr);
    return number;
}

/* ---- promises ---- */

static inline hs_promise *make(void)
{
    hs_promise *p = hs_promise_create(b.shard);
    cr_assert_not_null(p);
    return p;
}

static inline hs_promise *fulfilled(intptr_t number)
{
    return hs_promise_settled(b.shard, hs_value((void *)number));
}

static inline hs_promise *rejected(int32_t code)
{
    return hs_promise_settled(b.shard, hs_error(hs_err_of(code)));
}

/* ---- a reaction that writes down ---- */

typedef struct seen {
    hs_reaction reaction;
    uint32_t calls, turn; /* how often it ran; and as which of all, from 1 */
    hs_outcome o;
    intptr_t number; /* of the value, owned or not */
} seen;

static uint32_t seen_all;

static inline void seen_run(hs_reaction *reaction, hs_outcome o)
{
    seen *s = HS_CONTAINER_OF(reaction, seen, reaction);
    cr_assert_null(reaction->promise);
    cr_assert_null(o.promise);
    s->calls++;
    s->turn = ++seen_all;
    s->o = o;
    s->number = o.drop == value_drop ? value_take(o.value) : (intptr_t)o.value;
}

static inline void see(seen *s, hs_promise *p)
{
    hs_react(p, &s->reaction, seen_run);
    cr_assert_eq(s->calls, 0);
}

/* Let all microtasks run. */
static inline void settle_all(void)
{
    bench_run(&b, 1);
}

/* ---- begin and end ---- */

static inline void rig_init(void)
{
    bench_init(&b, NULL);
    values_out = values_dropped = 0;
}

/* Nothing is left: no value, no promise, no memory, and no line in the log. */
static inline void rig_fini(void)
{
    cr_assert_eq(values_out, 0);
    bench *all = &b;
    shard_end(all->shard);
    cr_assert_eq(bench_logged(all, ""), 0);
    bench_fini(all);
    cr_assert_eq(values_out, 0);
}
