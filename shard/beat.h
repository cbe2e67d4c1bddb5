/* The beat of a shard's loop: by which another thread sees whether it moves.
 *
 * Owns: a number that changes after each callback, and is odd while the loop is in its backend,
 * where it may wait for as long as it likes. One number that stays the same and even is one
 * callback that goes on. Written by the shard's thread alone, read by any; it costs one instruction
 * a callback, so it needs no switch. Must not know: who reads it (stall.c does).
 * Tested by: tests/unit/shard_loop.c. */
#pragma once

#include "hs_spsc.h"
#include "tsan.h"

#define BEAT_RESTS 1u

static inline void beat_add(HS_ATOMIC_U32 *beat, uint32_t n)
{
#if defined(__x86_64__) && !defined(HS_TSAN)
    /* One instruction, where compilers make three of a relaxed load and store. */
    __asm__ volatile("addl %1, %0" : "+m"(*beat) : "ri"(n));
#else
    uint32_t value = atomic_load_explicit(beat, memory_order_relaxed);
    atomic_store_explicit(beat, value + n, memory_order_relaxed);
#endif
}

/* A callback has returned. */
static inline void beat_step(HS_ATOMIC_U32 *beat)
{
    beat_add(beat, 2);
}

/* The loop goes into its backend, or comes back. */
static inline void beat_turn(HS_ATOMIC_U32 *beat)
{
    beat_add(beat, BEAT_RESTS);
}
