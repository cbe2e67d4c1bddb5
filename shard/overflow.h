/* What is said when a fiber overflows its stack.
 *
 * Owns: the handlers of SIGSEGV and SIGBUS, from the first group to the last, and a stack for them
 * on each shard's thread (a fiber that overflowed has none left). A fault that is not in the guard
 * of the fiber that runs goes to whom it went before. Must not know: groups.
 * Tested by: tests/plain/fiber_overflow.c. */
#pragma once

#include "hs_err.h"
#include "hs_mem.h"

/* Install the handlers, if nobody has yet; to be undone by overflow_uninstall. Thread: any. */
void overflow_install(void);
void overflow_uninstall(void);

/* The stack for the handlers of one thread; NULL where the thread had one. */
typedef struct overflow_stack {
    void *memory;
    size_t bytes;
} overflow_stack;

/* Give the calling thread one. Errors: -ENOMEM. */
HS_NODISCARD hs_err overflow_thread_init(overflow_stack *st, const hs_mem *mem);

/* Take it away, on the same thread. */
void overflow_thread_fini(overflow_stack *st, const hs_mem *mem);
