/* Free memory that AddressSanitizer is told to guard.
 *
 * Owns: nothing. A slot that was given back to a pool is no longer the caller's, though its memory
 * is still mapped: under ASan it is poisoned, so that use after give is found as use after free is.
 * Without ASan these are empty. Private to core. Tested by: tests/unit/core_pool.c (under ASan). */
#pragma once

#include "hs_base.h"

#if defined(__SANITIZE_ADDRESS__)
#define POISON_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_ASAN 1
#endif
#endif

#ifdef POISON_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* Touching `bytes` at `ptr` is an error from now on. */
static inline void poison_on(const void *ptr, size_t bytes)
{
#ifdef POISON_ASAN
    __asan_poison_memory_region(ptr, bytes);
#else
    (void)ptr, (void)bytes;
#endif
}

/* `bytes` at `ptr` may be used again. */
static inline void poison_off(const void *ptr, size_t bytes)
{
#ifdef POISON_ASAN
    __asan_unpoison_memory_region(ptr, bytes);
#else
    (void)ptr, (void)bytes;
#endif
}
