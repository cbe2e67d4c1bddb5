/* Calls across shards that give promises.
 *
 * Owns: a function's way to another shard, and its outcome's way back. Must not know: what it does.
 * hs_call_op_start (hs_shard.h) is what this stands on, for who has storage of his own and needs
 * neither a promise nor a place in line. Tested by: tests/unit/shard_call*.c on the simulated
 * backend, tests/plain/channels.c under TSan.
 *
 * What is handed over. `arg` is the target's from the start of `fn`, the value of the outcome is
 * the origin's from its arrival: whoever hands over does not touch it any more, and the memory must
 * not belong to a pool of one shard. A value's drop function runs on the shard that has it when
 * nobody receives it: the target for what `fn` makes and does not return, the origin for what
 * arrives and is not wanted any more.
 *
 * What may wait for what.
 * 1. A shard never waits, and no queue between shards waits for another: every shard looks at its
 *    messages in each turn, whatever its fibers wait for (mail.c). A call takes a place in a queue
 *    only until the target looks at it; the 257th that arrives there before that stands in line on
 *    the origin, in order.
 * 2. So calls in a circle do not block each other: a may call b, whose function calls a and returns
 *    that promise, and so on, thousands at a time. What limits them is memory: HS_CALLS_WAIT_MAX
 *    that have not come to an end for each origin, and past it HS_E_LIMIT at once, never silence.
 * 3. A fiber that awaits a call holds nothing but its stack: other fibers of its shard run, also on
 *    behalf of the shard that it waits for. `fn` itself runs from the loop, not on a fiber: it
 *    starts one (hs_adopt(hs_fiber_start(...))) in order to wait.
 * 4. Promises that wait for each other in a circle do wait for ever, across shards as within one: a
 *    fiber that awaits a call whose function awaits what that fiber would do next. Nothing finds
 *    that out, but two things end it: a cancel token, and a stop.
 * 5. At a stop calls are answered as long as anything goes on in any shard. When all that is left
 *    waits for each other, all of it is rejected with HS_E_CLOSED (stop.c): none is lost. */
#pragma once

#include "hs_promise.h"

HS_BEGIN_DECLS

/* What runs on the target: returns a value, an error, or a promise of the target, whose outcome is
 * the call's then. */
typedef hs_outcome hs_call_fn(void *arg);

/* Run fn(arg) on `target` (which may be the caller's own shard), never before this returns; calls
 * to one shard begin in order. Returns a promise of what it comes to. Rejections besides, where
 * `fn` is never called: HS_E_LIMIT (HS_CALLS_WAIT_MAX calls of this shard have not come to an end),
 * -ENOMEM, HS_E_CLOSED (the group is past stopping). Shard: any; it becomes the origin. */
#define hs_call(target, fn, arg) hs_call_at(target, fn, arg, NULL, NULL, HS_HERE)

/* The same. Where `fn` is never called, drop(arg) is, on the origin; `drop` may be NULL. When
 * `cancel` (may be NULL) fires the promise is rejected with its reason at once: a call that still
 * stands in line is not made, and the outcome of any other is dropped when it arrives. */
#define hs_call_with(target, fn, arg, drop, cancel)                                                \
    hs_call_at(target, fn, arg, drop, cancel, HS_HERE)

/* What both of them are; `where` is for the log. */
HS_API hs_promise *hs_call_at(hs_shard *target, hs_call_fn *fn, void *arg, hs_drop_fn *drop,
                              hs_cancel *cancel, const char *where);

/* ---- on all shards ---- */

/* Run fn(arg) on every shard of the group, the caller's own included. Returns a promise that is
 * fulfilled with hs_outcomes (hs_promise.h) when all of them have come to an end: at[i] is what the
 * call to shard i came to, a value or an error, as of hs_call. `arg` is everyone's at the same
 * time: a number, or something that nobody changes until then. Rejections of the promise itself,
 * where no function is called: -ENOMEM, HS_E_CLOSED (the group is past stopping). Shard: any. */
#define hs_call_all(fn, arg) hs_call_all_at(fn, arg, NULL, NULL, NULL, HS_HERE)

/* The same with an argument for each shard: args[i] is shard i's, handed over as by hs_call_with;
 * the array is the caller's again on return. When `cancel` (may be NULL) fires, the promise is
 * fulfilled at once: with what has come, and the reason for all that has not. One that has fired
 * already: a rejection with its reason. */
#define hs_call_all_with(fn, args, drop, cancel)                                                   \
    hs_call_all_at(fn, NULL, args, drop, cancel, HS_HERE)

/* What both of them are: `arg` or `args`; `drop` may be NULL, and goes with `args` alone. */
HS_API hs_promise *hs_call_all_at(hs_call_fn *fn, void *arg, void *const *args, hs_drop_fn *drop,
                                  hs_cancel *cancel, const char *where);

HS_END_DECLS
