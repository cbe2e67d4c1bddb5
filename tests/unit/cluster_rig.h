/* What the tests of calls and channels share: a cluster whose first shard begins a scene, values
 * that know on which shard they are dropped, and reactions that write down what came. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "hs_limits.h"
#include "hs_promise.h"
#include "inside.h"
#include "sim/cluster.h"

#define HOUR_NS (3600 * HS_SEC_NS)

/* ---- the cluster ---- */

typedef struct rig {
    cluster c;
    void (*scene)(void); /* begins on shard 0 */
    hs_timer begin;
} rig;

static rig rig_now;

static inline hs_shard *peer(uint32_t id)
{
    return hs_shard_peer(hs_shard_self(), id);
}

static inline uint32_t here(void)
{
    return hs_shard_id(hs_shard_self());
}

/* Ask all shards to stop. */
static inline void stop_all(void)
{
    cluster_stop(&rig_now.c);
}

static inline void rig_begin(hs_timer *timer)
{
    (void)timer;
    rig_now.scene();
}

static inline hs_err rig_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    return hs_shard_id(s) == 0 ? hs_timer_after(s, &rig_now.begin, 1, rig_begin) : HS_OK;
}

/* Run `scene` on `shards` shards until they have stopped, without faults where `seed` is 0. With
 * `fail_chance` of 1024 memory fails once the shards are there. `end` (may be NULL) is theirs. */
static inline void run_all(void (*scene)(void), void (*end)(hs_shard *s, void *ctx),
                           uint32_t shards, uint64_t seed, uint32_t fail_chance)
{
    static sim_faults calm;
    sim_faults_none(&calm);
    memset(&rig_now, 0, sizeof rig_now);
    rig_now.scene = scene;
    cluster_options o = {
        .sim = {.seed = seed, .shards = shards, .faults = seed ? NULL : &calm},
        .start = rig_start,
        .end = end,
    };
    cr_assert(hs_ok(cluster_init(&rig_now.c, &o)));
    rig_now.c.mem.fail_chance = fail_chance;
    cr_assert_eq(cluster_run(&rig_now.c, HOUR_NS), CLUSTER_ENDED, "seed %llu",
                 (unsigned long long)seed);
    cluster_fini(&rig_now.c);
}

static inline void run_failing(void (*scene)(void), uint32_t shards, uint64_t seed,
                               uint32_t fail_chance)
{
    run_all(scene, NULL, shards, seed, fail_chance);
}

static inline void run_ending(void (*scene)(void), void (*end)(hs_shard *s, void *ctx),
                              uint32_t shards, uint64_t seed)
{
    run_all(scene, end, shards, seed, 0);
}

static inline void run_scene(void (*scene)(void), uint32_t shards, uint64_t seed)
{
    run_failing(scene, shards, seed, 0);
}

/* ---- values ---- */

#define VALUE_ALIVE UINT64_C(0x616c697665)

typedef struct thing {
    uint64_t alive; /* VALUE_ALIVE */
    intptr_t number;
} thing;

static uint32_t things_out, things_dropped;
static uint32_t things_dropped_at[CLUSTER_SHARDS_MAX + 1]; /* the last: on none */

static inline thing *thing_make(intptr_t number)
{
    thing *t = malloc(sizeof *t);
    cr_assert_not_null(t);
    *t = (thing){VALUE_ALIVE, number};
    things_out++;
    return t;
}

/* Receive it: its number. */
static inline intptr_t thing_take(void *ptr)
{
    thing *t = ptr;
    cr_assert_eq(t->alive, VALUE_ALIVE);
    intptr_t number = t->number;
    t->alive = 0;
    cr_assert_gt(things_out, 0);
    things_out--;
    free(t);
    return number;
}

static inline void thing_drop(void *ptr)
{
    things_dropped++;
    things_dropped_at[hs_shard_self() ? here() : CLUSTER_SHARDS_MAX]++;
    (void)thing_take(ptr);
}

static inline void things_none(void)
{
    cr_assert_eq(things_out, 0);
    things_dropped = 0;
    memset(things_dropped_at, 0, sizeof things_dropped_at);
}

/* ---- a reaction that writes down ---- */

typedef struct seen seen;
struct seen {
    hs_reaction reaction;
    void (*then)(seen *seen); /* may be NULL */
    uint32_t calls;
    hs_err err;
    intptr_t number; /* of the value, owned or not */
};

static inline void seen_run(hs_reaction *reaction, hs_outcome o)
{
    seen *s = HS_CONTAINER_OF(reaction, seen, reaction);
    s->calls++;
    s->err = o.err;
    s->number = o.drop == thing_drop ? thing_take(o.value) : (intptr_t)o.value;
    if (s->then)
        s->then(s);
}

/* Write down what `promise` comes to, then call `then` (may be NULL). */
static inline void see(seen *s, hs_promise *promise, void (*then)(seen *seen))
{
    *s = (seen){.then = then};
    hs_react(promise, &s->reaction, seen_run);
}

static inline void see_and_stop(seen *s)
{
    (void)s;
    stop_all();
}
