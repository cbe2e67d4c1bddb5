/* What the sanitizers have to be told of stacks that are switched.
 *
 * Owns: the annotations. AddressSanitizer wants to know the bounds of the stack that is gone to,
 * ThreadSanitizer takes each stack for a thread of its own. Without them nothing is done. Must not
 * know: how a switch is made. Tested by: every test that switches, in the asan and tsan builds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tsan.h"

#if defined(__SANITIZE_ADDRESS__)
#define HS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HS_ASAN 1
#endif
#endif

#ifdef HS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef HS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* A stack as they know it. Zeroed: the one under our feet, of which nothing is known yet. */
typedef struct san_stack {
    const void *low;
    size_t bytes;
    void *fake;   /* where ASan keeps the locals of this stack */
    void *thread; /* what TSan takes it for */
} san_stack;

/* A new stack of `bytes` from `low`, on which nobody stands yet. */
static inline void san_make(san_stack *st, const void *low, size_t bytes)
{
    *st = (san_stack){.low = low, .bytes = bytes};
#ifdef HS_TSAN
    st->thread = __tsan_create_fiber(0);
#endif
}

/* It was left for good: its memory may be used for anything. */
static inline void san_unmake(san_stack *st)
{
#ifdef HS_ASAN
    __asan_unpoison_memory_region(st->low, st->bytes);
#endif
#ifdef HS_TSAN
    __tsan_destroy_fiber(st->thread);
#endif
    *st = (san_stack){0};
}

/* Right before a switch, in the same function. `last`: nobody comes back to `from`. */
static inline void san_leave(san_stack *from, san_stack *to, bool last)
{
#ifdef HS_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->low, to->bytes);
#endif
#ifdef HS_TSAN
    from->thread = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->thread, 0);
#endif
    (void)from, (void)to, (void)last;
}

/* Right after a switch to `here`, which was made on `from`. */
static inline void san_arrive(san_stack *here, san_stack *from)
{
#ifdef HS_ASAN
    __sanitizer_finish_switch_fiber(here->fake, &from->low, &from->bytes);
#endif
    (void)here, (void)from;
}
