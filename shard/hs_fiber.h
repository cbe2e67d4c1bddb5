/* Fibers: straight-line code that waits without holding its shard.
 *
 * Owns: pooled stacks with guard pages, the switch between them and the loop, and the end of a
 * fiber. Must not know: what it runs. Everything belongs to the owner shard.
 * Tested by: tests/unit/shard_fiber.c, tests/plain/fibers.c (also under TSan).
 *
 * A fiber runs until it awaits, and goes on when what it awaits is settled. When its cancel token
 * fires it goes on at once: the await returns why, and so does every later one, without waiting, so
 * that the fiber comes to its end by returning errors, before hs_cancel_fire returns. One that runs
 * just then (it fires its own token, or has started the fiber that does) hears of it at its next
 * await.
 *
 * A stop. Fibers hold no shard. Those that still await when no shard of the group has anything else
 * left to do are ended in the same way, with HS_E_CLOSED, and from then on none is started; until
 * then they may serve other shards.
 *
 * The stack has a fixed size (hs_group_options), and a guard below: a fiber that overflows it ends
 * the process with a line that names it. What a fiber lends to an operation must not lie on its
 * stack, unless the operation ends no later than the await of it, also where that is cancelled. */
#pragma once

#include "hs_promise.h"

HS_BEGIN_DECLS

/* What a fiber runs. */
typedef hs_err hs_fiber_fn(void *arg);

/* Run fn(arg) on a fiber: now, until its first await. `name` (a route, for example) is what log
 * lines and crash messages call it, and the shard's label while it runs; it lives as long as the
 * group. `cancel` may be NULL. Returns a promise: fulfilled with NULL when `fn` returns HS_OK,
 * rejected with its error otherwise. Where no fiber could be made it is rejected with why, and `fn`
 * is never called: -ENOMEM, HS_E_LIMIT (HS_FIBERS_MAX; both with a log line that says what to do),
 * HS_E_CLOSED (the end of the group), or why `cancel` has fired already. Shard: owner only. */
HS_API hs_promise *hs_fiber_start_at(hs_shard *shard, const char *name, hs_fiber_fn *fn, void *arg,
                                     hs_cancel *cancel, const char *where);
#define hs_fiber_start(shard, name, fn, arg, cancel)                                               \
    hs_fiber_start_at(shard, name, fn, arg, cancel, HS_HERE)

/* Wait for `promise`, whose handle is consumed. Returns HS_OK and puts its value where `out` (the
 * address of a pointer; may be NULL, which drops the value) says, or its error, and leaves *out as
 * it was. Others run first, even where it is settled. Errors besides: why the fiber was cancelled;
 * HS_E_USAGE, with a log line, when the caller is not on a fiber, or awaits its own end. */
HS_API HS_NODISCARD hs_err hs_await(hs_promise *promise, void *out);

/* The same, with what more is known of a rejection, such as the address that a dial is about: the
 * value, or the detail, is the caller's, to be freed by the outcome's `drop` where it has one. */
HS_API HS_NODISCARD hs_outcome hs_await_outcome(hs_promise *promise);

/* Let others run, and go on after the tasks that are ready now. One that only yields keeps nobody
 * waiting at a stop. Errors: as hs_await. */
HS_API HS_NODISCARD hs_err hs_yield(void);

/* Whether the caller is on a fiber. */
HS_API bool hs_on_fiber(void);

/* The token that the calling fiber was started with, to pass on to what it starts; NULL off a
 * fiber, or where it has none. Borrowed. */
HS_API hs_cancel *hs_fiber_cancel(void);

/* How many fibers of `shard` have not ended. */
HS_API uint32_t hs_fibers(const hs_shard *shard);

HS_END_DECLS
