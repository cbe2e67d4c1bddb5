/* The stall detector: names whatever holds a shard for longer than a limit.
 *
 * Owns: a thread of the group (the watchdog) that looks at the beat of each shard every half limit;
 * a callback that is still the same after the limit is asked for its stack by a signal, and told in
 * the log once it is over. The shards pay one instruction a callback and two a turn; while all of
 * them rest the watchdog sleeps too. Must not know: what shards run; they say it (their label).
 *
 *   stall_judge.c   is this a stall? no threads, no clocks
 *   stall_stack.c   the stack of another thread
 *   stall_tell.c    the line in the log, one a second for each label
 *   symbol.c        names for addresses
 *
 * Tested by: tests/unit/shard_stall.c, tests/plain/stall.c (also under TSan), tests/e2e. */
#pragma once

#include "hs_log.h"
#include "hs_shard.h"

typedef struct stall stall;
typedef struct stall_slot stall_slot;

typedef struct stall_options {
    const hs_mem *mem; /* borrowed */
    uint32_t shards;
    uint32_t limit_ms; /* > 0 */
    hs_log *log;       /* borrowed, written by the watchdog alone; may be NULL */
} stall_options;

/* Start the watchdog. Errors: -ENOMEM, -EAGAIN (no thread). Thread: any. */
HS_NODISCARD hs_err stall_start(const stall_options *options, stall **out);

/* Watch the calling shard from stall_begin on. `shard` outlives the watchdog. Errors: HS_E_LIMIT
 * (counters). Shard: owner only. */
HS_NODISCARD hs_err stall_enter(stall *st, hs_shard *shard);

/* Its first turn begins; until now it may wait for the others of its group. One that nobody
 * watches: nothing. Shard: owner only. */
void stall_begin(hs_shard *shard);

/* After its last turn, on its own thread, which may end. Shard: owner only. */
void stall_leave(hs_shard *shard);

/* The loop goes on after all shards rested: wake the watchdog. Shard: owner only. */
void stall_wake(stall_slot *slot);

/* Tell what is to be told, then end the watchdog. All shards have left; `st` may be NULL. Thread:
 * any. */
void stall_stop(stall *st);
