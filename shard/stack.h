/* Stacks for fibers: pooled, with a guard below each.
 *
 * Owns: the mappings that stacks are carved from, their guards, and the idle ones. A page that was
 * never touched costs no memory. The stack given back last is taken first, while it is in the
 * processor's cache; what a quiet second did not need goes back to the system. Must not know: who
 * stands on a stack. Everything belongs to the owner shard.
 * Tested by: tests/unit/shard_stack.c. */
#pragma once

#include "hs_err.h"
#include "hs_list.h"
#include "hs_mem.h"

typedef struct stack_region stack_region;

typedef struct stack {
    hs_list link; /* among the idle ones */
    uint8_t *low; /* its lowest byte; the guard lies below */
    stack_region *region;
    uint32_t number; /* in its region */
} stack;

/* What could not be had when there was no stack. */
typedef enum stack_failure {
    STACK_NO_MEM,  /* for the few bytes that describe stacks */
    STACK_NO_MAP,  /* a mapping */
    STACK_NO_GUARD /* a guard in it */
} stack_failure;

typedef struct stack_pool {
    const hs_mem *mem;
    size_t bytes, guard_bytes; /* of each stack, whole pages */
    uint32_t region_stacks;    /* carved from one region */
    bool light;                /* guards are marks in the page table, and split no mapping */
    hs_list regions;
    hs_list warm;          /* idle, with their pages; the one given back last comes first */
    hs_list cold;          /* idle, without pages */
    uint32_t used;         /* stacks that were taken */
    uint32_t idle;         /* in `warm` */
    uint32_t quiet;        /* the least `idle` was since the last stack_pool_trim */
    uint32_t mapped;       /* regions */
    stack_failure failure; /* what the last stack_take lacked */
} stack_pool;

/* Prepare a pool of stacks of `bytes` (HS_FIBER_STACK_BYTES_MIN to ..._MAX), rounded up to pages.
 * Takes nothing yet. `mem` is borrowed, and describes stacks; the stacks are mapped. */
void stack_pool_init(stack_pool *pool, const hs_mem *mem, size_t bytes);

/* Unmap all. No stack may be in use (asserted). */
void stack_pool_fini(stack_pool *pool);

/* Take a stack. Its bytes are undefined. Errors: -ENOMEM; pool->failure says of what. */
HS_NODISCARD hs_err stack_take(stack_pool *pool, stack **out);

/* Give it back. Nobody stands on it any more. */
void stack_give(stack_pool *pool, stack *st);

/* A quiet second passed: give back what it did not need, but for HS_FIBER_STACKS_KEEP stacks, and
 * for HS_FIBER_STACKS_TRIM at most. Returns whether more could follow. */
bool stack_pool_trim(stack_pool *pool);

/* Whether `addr` lies in the guard of `st`. Async-signal-safe. */
bool stack_guards(const stack_pool *pool, const stack *st, uintptr_t addr);

/* Whether this kernel has guards that split no mapping: found by trying, unless HS_CAPS_DISABLE
 * names guard_madv. Thread: any. */
bool stack_light_guards(void);
