/* Promises: a value or an error that comes later, in one shard.
 *
 * Owns: what a promise came to and who waits for it, with the semantics of ECMAScript (ECMA-262,
 * section 27.2) as far as C has them. Must not know: what brings the value. Everything belongs to
 * the owner shard. Tested by: tests/unit/shard_promise*.c, tests/sim/.
 *
 * References. A promise is held by whoever will settle it, until it does, and by one handle: what a
 * function here returns is a handle, and a function that takes a promise consumes its handle:
 * hs_then, hs_all, hs_await and so on, or hs_promise_drop by one who does not care. Who needs it
 * twice takes another handle by hs_promise_ref.
 *
 * Values. A value is a pointer (or a number, cast). It belongs to whoever receives it: the function
 * given to hs_then, the caller of hs_await. One that nobody received is freed by the `drop`
 * function that it came with, when its promise goes. A value with a drop function has one receiver,
 * the first that reacts: any other gets HS_E_USAGE (of a rejection: the error, without the detail).
 * A value without one goes to all.
 *
 * Memory. No function here returns NULL but hs_promise_create: where there is none left, what is
 * returned is a promise that is rejected with -ENOMEM, and the function that was given is never
 * called.
 *
 * The end. What is pending when the shard ends stays so: nobody is called any more, values are
 * dropped, and a line in the log says how many there were. */
#pragma once

#include "hs_cancel.h"

HS_BEGIN_DECLS

typedef struct hs_promise hs_promise;

/* Frees a value that nobody received. */
typedef void hs_drop_fn(void *value);

typedef enum hs_promise_state {
    HS_PROMISE_PENDING,
    HS_PROMISE_FULFILLED,
    HS_PROMISE_REJECTED
} hs_promise_state;

/* What something came to. */
typedef struct hs_outcome {
    hs_err err;          /* HS_OK: fulfilled */
    hs_promise *promise; /* not NULL: whatever this comes to; its handle is consumed */
    void *value;         /* of a fulfilment; of a rejection, what more is known of it, or NULL */
    hs_drop_fn *drop;    /* frees `value`; may be NULL */
} hs_outcome;

/* Fulfilled with `value`, which needs no freeing. */
static inline hs_outcome hs_value(void *value)
{
    hs_outcome o = {{0}, NULL, value, NULL};
    return o;
}

/* Fulfilled with `value`, which `drop` frees if nobody receives it. */
static inline hs_outcome hs_value_owned(void *value, hs_drop_fn *drop)
{
    hs_outcome o = {{0}, NULL, value, drop};
    return o;
}

/* Rejected with `err`; HS_OK: fulfilled with NULL. */
static inline hs_outcome hs_error(hs_err err)
{
    hs_outcome o = {err, NULL, NULL, NULL};
    return o;
}

/* Whatever `promise` comes to. */
static inline hs_outcome hs_adopt(hs_promise *promise)
{
    hs_outcome o = {{0}, promise, NULL, NULL};
    return o;
}

/* Where a promise was made, for the log line of a rejection that nobody handled. */
#define HS_HERE_TEXT2(file, line) file ":" #line
#define HS_HERE_TEXT(file, line) HS_HERE_TEXT2(file, line)
#define HS_HERE HS_HERE_TEXT(__FILE_NAME__, __LINE__)

/* ---- the side that settles ---- */

/* Make a pending promise: a handle for the one who will wait, and an obligation of the caller to
 * settle it exactly once. NULL without memory: then return hs_promise_settled(...). */
HS_API hs_promise *hs_promise_create_at(hs_shard *shard, const char *where);
#define hs_promise_create(shard) hs_promise_create_at(shard, HS_HERE)

/* Settle it. Reactions run later, as microtasks. With `outcome.promise` it stays pending until that
 * one settles; a promise that is told to adopt itself is rejected with HS_E_USAGE. The settler's
 * hold ends here: `promise` may be gone on return. */
HS_API void hs_promise_settle(hs_promise *promise, hs_outcome outcome);

/* A promise that is settled from the start; of hs_adopt(p) it is `p`. Never NULL. */
HS_API hs_promise *hs_promise_settled_at(hs_shard *shard, hs_outcome outcome, const char *where);
#define hs_promise_settled(shard, outcome) hs_promise_settled_at(shard, outcome, HS_HERE)

/* ---- handles ---- */

/* One more handle. Returns `promise`. */
HS_API hs_promise *hs_promise_ref(hs_promise *promise);

/* Give up a handle. When the last is gone and nothing reacts to it, a rejection is logged (but for
 * -ECANCELED), once, with where the promise was made. */
HS_API void hs_promise_drop(hs_promise *promise);

/* The same, and a rejection is nobody's business. */
HS_API void hs_promise_ignore(hs_promise *promise);

/* What it is now. */
HS_API hs_promise_state hs_promise_state_of(const hs_promise *promise);

/* ---- reactions ---- */

typedef hs_outcome hs_then_fn(void *ctx, void *value);
typedef hs_outcome hs_catch_fn(void *ctx, hs_err err, void *detail);
typedef hs_outcome hs_finally_fn(void *ctx);

/* Call fn(ctx, value) when `promise` is fulfilled, never before this returns. What it returns
 * settles the promise that this returns; a rejection passes `fn` by. */
#define hs_then(promise, fn, ctx) hs_then_catch_at(promise, fn, NULL, ctx, HS_HERE)

/* Call fn(ctx, err, detail) when `promise` is rejected; a value passes it by. */
#define hs_catch(promise, fn, ctx) hs_then_catch_at(promise, NULL, fn, ctx, HS_HERE)

/* One of both: a rejection that `fulfilled` returns is not `rejected`'s. Either may be NULL. */
HS_API hs_promise *hs_then_catch_at(hs_promise *promise, hs_then_fn *fulfilled,
                                    hs_catch_fn *rejected, void *ctx, const char *where);
#define hs_then_catch(promise, fulfilled, rejected, ctx)                                           \
    hs_then_catch_at(promise, fulfilled, rejected, ctx, HS_HERE)

/* Call fn(ctx) either way. The outcome of `promise` goes on, unless `fn` returns an error (or a
 * promise that comes to one); its value is dropped. */
HS_API hs_promise *hs_finally_at(hs_promise *promise, hs_finally_fn *fn, void *ctx,
                                 const char *where);
#define hs_finally(promise, fn, ctx) hs_finally_at(promise, fn, ctx, HS_HERE)

/* What all of the above stand on: a reaction in the caller's storage, which needs no memory. Zeroed
 * storage is idle. */
typedef struct hs_reaction hs_reaction;
struct hs_reaction {
    hs_microtask job;    /* its link is in the promise's list first */
    hs_promise *promise; /* NULL: idle */
    void (*fn)(hs_reaction *reaction, hs_outcome outcome);
};

/* Call fn(reaction, outcome) as a microtask once `promise` is settled; the value is the callee's.
 * The reaction holds the promise until then and is idle when `fn` starts. */
HS_API void hs_react(hs_promise *promise, hs_reaction *reaction,
                     void (*fn)(hs_reaction *reaction, hs_outcome outcome));

/* Take it back: its function will not be called, and its handle is given up; a rejection counts as
 * handled. Idle: nothing. */
HS_API void hs_react_cancel(hs_reaction *reaction);

/* ---- several at once ---- */

/* Several outcomes, in the order of the promises. Belongs to the receiver: hs_outcomes_free. */
typedef struct hs_outcomes {
    hs_shard *shard;
    uint32_t len;
    hs_outcome at[];
} hs_outcomes;

/* Free it, and with it each value that has a drop function: take one out by setting that to NULL.
 */
HS_API void hs_outcomes_free(void *outcomes);

/* Each of the four takes `len` handles at `list` (which is the caller's again on return) and gives
 * one promise. This one: fulfilled with hs_outcomes when all are, or rejected as the first that is
 * rejected. */
HS_API hs_promise *hs_all_at(hs_shard *shard, hs_promise *const *list, uint32_t len,
                             const char *where);
#define hs_all(shard, list, len) hs_all_at(shard, list, len, HS_HERE)

/* Fulfilled with hs_outcomes when all are settled, whatever they came to. */
HS_API hs_promise *hs_all_settled_at(hs_shard *shard, hs_promise *const *list, uint32_t len,
                                     const char *where);
#define hs_all_settled(shard, list, len) hs_all_settled_at(shard, list, len, HS_HERE)

/* Fulfilled as the first that is; HS_E_AGGREGATE with hs_outcomes as its detail when all are
 * rejected, also when there is none. */
HS_API hs_promise *hs_any_at(hs_shard *shard, hs_promise *const *list, uint32_t len,
                             const char *where);
#define hs_any(shard, list, len) hs_any_at(shard, list, len, HS_HERE)

/* As the first that is settled; of none, pending for ever. */
HS_API hs_promise *hs_race_at(hs_shard *shard, hs_promise *const *list, uint32_t len,
                              const char *where);
#define hs_race(shard, list, len) hs_race_at(shard, list, len, HS_HERE)

/* ---- time ---- */

/* Fulfilled with NULL after `ms` milliseconds, or rejected with the reason of `cancel` (may be
 * NULL) as soon as that fires. Keeps nobody waiting at a stop. */
HS_API hs_promise *hs_sleep_at(hs_shard *shard, uint64_t ms, hs_cancel *cancel, const char *where);
#define hs_sleep(shard, ms, cancel) hs_sleep_at(shard, ms, cancel, HS_HERE)

HS_END_DECLS
