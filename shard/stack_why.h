/* Why there is no stack, in words.
 *
 * Owns: the texts: which of the system's limits ended it, what it is now, and how it is raised.
 * Must not know: fibers. Tested by: tests/unit/shard_stack.c, tests/plain/fibers.c. */
#pragma once

#include "stack.h"

/* The cause and the remedy of the last stack_take of `pool` that failed, in one line. Reads a few
 * small files below /proc: not for each failure. Thread: the pool's. */
void stack_why(const stack_pool *pool, char *text, size_t text_bytes);
