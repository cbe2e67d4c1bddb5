/* Where memory comes from: one small interface that the arenas, pools and maps draw on.
 *
 * Owns: the interface, the system's implementation (anonymous mappings for 64 KiB and more, which
 * return to the system when given back; the C heap below that) and a counter of its calls, by which
 * tests show that a request takes nothing from the system heap. This file's implementation is the
 * only place that may call the C heap. Tests pass an implementation that fails on purpose.
 * Tested by: tests/unit/core_mem.c. */
#pragma once

#include "hs_base.h"

HS_BEGIN_DECLS

typedef struct hs_mem {
    /* `bytes` > 0; `align` a power of two. NULL when there is none. Contents undefined. */
    void *(*take)(void *ctx, size_t bytes, size_t align);
    /* `bytes` and `align` as they were taken. */
    void (*give)(void *ctx, void *ptr, size_t bytes, size_t align);
    void *ctx;
} hs_mem;

/* The system's memory. Shard: any, from any thread. */
HS_API const hs_mem *hs_mem_system(void);

/* Take `bytes` (> 0) aligned to `align` (a power of two) from `mem`. NULL when there is none.
 * Owned by the caller until hs_mem_give with the same sizes. */
static inline void *hs_mem_take(const hs_mem *mem, size_t bytes, size_t align)
{
    return mem->take(mem->ctx, bytes, align);
}

/* The same, zeroed. NULL when there is none. Shard: as `mem`. */
HS_API void *hs_mem_take_zero(const hs_mem *mem, size_t bytes, size_t align);

/* Give back what hs_mem_take gave; NULL is allowed and does nothing. */
static inline void hs_mem_give(const hs_mem *mem, void *ptr, size_t bytes, size_t align)
{
    if (ptr)
        mem->give(mem->ctx, ptr, bytes, align);
}

/* How many times the calling thread took memory from hs_mem_system() so far. Tests compare two
 * readings. Shard: any. */
HS_API uint64_t hs_mem_system_takes(void);

HS_END_DECLS
