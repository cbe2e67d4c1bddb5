/* The inside of a fiber, for those who look at it from outside.
 *
 * Owns: the question whether a fault is a stack that overflowed. Must not know: signals. */
#pragma once

#include "hs_fiber.h"

/* What a crash message says of a fiber. */
typedef struct fiber_overflow {
    const char *name;
    size_t stack_bytes;
} fiber_overflow;

/* Whether the fiber that runs on `shard` touched the guard below its stack at `addr`; then *out is
 * filled. Async-signal-safe; on the shard's thread. */
bool fiber_overflowed(const hs_shard *shard, uintptr_t addr, fiber_overflow *out);
