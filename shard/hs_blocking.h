/* Work that blocks, off the shards: a disk without io_uring, a library that waits, a long sum.
 *
 * Owns: a function's way to a thread of the group's pool, and its outcome's way back as a promise.
 * Must not know: what it does. Tested by: tests/unit/shard_blocking.c on the simulated backend,
 * tests/plain/blocking.c under TSan.
 *
 * What is handed over. `arg` is the thread's from the start of `fn`, the value of the outcome is
 * the shard's again; both may not belong to a pool of a shard. Where nobody receives the value, its
 * drop function runs on the shard.
 *
 * The pool. One for each group, of `blocking_threads` (hs_group_options): made as they are needed,
 * kept until the end of the group, on any processor that the process may use, with signals blocked.
 * When all of them work, `blocking_queue` pieces of work wait, of all shards together, begun in
 * about the order in which they came; past that HS_E_LIMIT at once, never silence.
 *
 * A stop. Work holds no shard, as what merely waits does not: a request that waits for it does.
 * When no shard of the group has anything else left to do, what has not begun is rejected with
 * HS_E_CLOSED and never runs. What runs cannot be ended from outside: the group waits for it, and
 * says in the log whose it is after 1 s, 10 s, 100 s of a stop.
 *
 * In a simulation, where no group is, the work runs on its shard, from a task of its own. */
#pragma once

#include "hs_promise.h"

HS_BEGIN_DECLS

/* What runs on a thread of the pool: returns a value or an error, never a promise. It may use
 * nothing of any shard: not its memory, its log or its promises. */
typedef hs_outcome hs_blocking_fn(void *arg);

/* Run fn(arg) on a thread of the pool. Returns a promise of what it comes to. Rejections besides,
 * where `fn` is never called: HS_E_LIMIT (as many wait as may), -ENOMEM, -EAGAIN (there is no
 * thread, and none could be made), HS_E_CLOSED (the end of the group). Shard: owner only. */
#define hs_blocking(shard, fn, arg) hs_blocking_at(shard, fn, arg, NULL, NULL, HS_HERE)

/* The same. Where `fn` is never called, drop(arg) is, on the shard; `drop` may be NULL. When
 * `cancel` (may be NULL) fires the promise is rejected with its reason at once: what has not begun
 * never runs, and the outcome of what runs is dropped when it comes. */
#define hs_blocking_with(shard, fn, arg, drop, cancel)                                             \
    hs_blocking_at(shard, fn, arg, drop, cancel, HS_HERE)

/* What both of them are; `where` is for the log. */
HS_API hs_promise *hs_blocking_at(hs_shard *shard, hs_blocking_fn *fn, void *arg, hs_drop_fn *drop,
                                  hs_cancel *cancel, const char *where);

HS_END_DECLS
