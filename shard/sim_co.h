/* A stack of its own for each simulated thread.
 *
 * Owns: switching between stacks, told to the sanitizers. Must not know: what runs on them.
 * Tested by: tests/unit/shard_io_sim.c. */
#pragma once

#include "hs_mem.h"

typedef struct sim_co sim_co;

/* NULL without memory. */
sim_co *sim_co_create(const hs_mem *mem, void (*body)(void *ctx), void *ctx);

/* Free it. It has returned, or is never resumed again. */
void sim_co_destroy(sim_co *co);

/* Run it until it yields or returns. Not from inside another one. */
void sim_co_resume(sim_co *co);

/* Go back to who resumed it. From inside only. */
void sim_co_yield(sim_co *co);

/* Whether its body has returned. */
bool sim_co_ended(const sim_co *co);
