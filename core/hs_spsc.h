/* A bounded queue between one producer and one consumer, without locks.
 *
 * Owns: a ring of equal elements; the two indexes stand on cache lines of their own, and each side
 * keeps a copy of the other's so that it reads the shared one only when it must. Must not know: how
 * a sleeping consumer is woken (shard/ does that). Threads: exactly one pushes, exactly one pops.
 * Tested by: tests/unit/core_spsc.c (model-based) and tests/plain/spsc_threads.c (under TSan). */
#pragma once

#ifdef __cplusplus
#include <atomic>
#define HS_ATOMIC_U32 std::atomic<uint32_t>
#else
#include <stdatomic.h>
#define HS_ATOMIC_U32 _Atomic(uint32_t)
#endif

#include "hs_err.h"
#include "hs_mem.h"

HS_BEGIN_DECLS

typedef struct hs_spsc {
    const hs_mem *mem;
    uint8_t *items;
    uint32_t item_bytes;
    uint32_t mask;                                              /* capacity - 1 */
    __attribute__((aligned(HS_CACHE_PAIR))) HS_ATOMIC_U32 tail; /* written by the producer */
    uint32_t head_seen;                                         /* producer's copy of head */
    __attribute__((aligned(HS_CACHE_PAIR))) HS_ATOMIC_U32 head; /* written by the consumer */
    uint32_t tail_seen;                                         /* consumer's copy of tail */
} hs_spsc;

/* Prepare a queue of `capacity` (a power of two, 2 to 2^20) elements of `item_bytes` (> 0).
 * `mem` is borrowed. Errors: -ENOMEM. Thread: before either side starts. */
HS_API HS_NODISCARD hs_err hs_spsc_init(hs_spsc *q, const hs_mem *mem, uint32_t capacity,
                                        uint32_t item_bytes);

/* Give the memory back; what is still in the queue is dropped. Thread: after both sides ended. */
HS_API void hs_spsc_fini(hs_spsc *q);

/* Copy `item` in. False when the queue is full. Thread: the producer. */
HS_API HS_NODISCARD bool hs_spsc_push(hs_spsc *q, const void *item);

/* Copy up to `max` elements to `items`; returns how many. Thread: the consumer. */
HS_API uint32_t hs_spsc_pop(hs_spsc *q, void *items, uint32_t max);

/* Whether nothing is in it now. Thread: the consumer; elsewhere only a hint. */
HS_API bool hs_spsc_empty(const hs_spsc *q);

HS_END_DECLS
