/* What ThreadSanitizer has to be told, because it cannot see it.
 *
 * Owns: the annotations. The kernel's side of a ring is unseen by it, so a wake-up through the
 * kernel is told as a hand-over from the waker to the woken; and it does not model fences, so under
 * it a locked instruction stands in for one, without linking the two threads. */
#pragma once

#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define HS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HS_TSAN 1
#endif
#endif

#ifdef HS_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);

static inline void tsan_acquire(void *addr)
{
    __tsan_acquire(addr);
}

static inline void tsan_release(void *addr)
{
    __tsan_release(addr);
}

static inline void full_fence(void)
{
    _Atomic(int) own = 0;
    (void)atomic_fetch_add(&own, 1);
}
#else
static inline void tsan_acquire(void *addr)
{
    (void)addr;
}

static inline void tsan_release(void *addr)
{
    (void)addr;
}

static inline void full_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}
#endif
