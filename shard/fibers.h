/* The fibers of a shard: what hs_shard has of them.
 *
 * Owns: the set, its stacks, and what is said when there is none. Must not know: how a fiber runs
 * (fiber.c). Tested by: tests/unit/shard_fiber.c. */
#pragma once

#include "ending.h"
#include "hs_shard.h"
#include "stack.h"

typedef struct fiber fiber;

typedef struct fiber_set {
    fiber *running;   /* the one under our feet; NULL: the loop */
    hs_list all;      /* those that have not ended */
    uint32_t len;     /* of them */
    uint32_t len_max; /* HS_FIBERS_MAX; less in tests */
    hs_list yielded;  /* those that let others run */
    hs_task turn;     /* of the first of these */
    stack_pool stacks;
    hs_trim trim;
    uint32_t untold;     /* fibers that were refused since the log was told */
    uint64_t told_ns;    /* when it was; 0: never */
    shard_ending ending; /* of all that wait; added with the first */
} fiber_set;

/* An empty set, with stacks of `stack_bytes` (0: HS_FIBER_STACK_BYTES). Takes nothing. */
void fibers_init(fiber_set *set, const hs_mem *mem, size_t stack_bytes);

/* Give the stacks back. No fiber is left (asserted). */
void fibers_fini(fiber_set *set);

/* Tell the log, once a second at most, that the fiber `name` was refused, and what to do. */
void fibers_tell(hs_shard *shard, const char *name, hs_err err);
