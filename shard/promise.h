/* The inside of promises, for the files that make them up.
 *
 * Owns: what lies in a promise's slot, and the steps that promise.c offers to promise_then.c,
 * promise_list.c, promise_sleep.c and promise_end.c. Must not know: the loop. */
#pragma once

#include "hs_pool.h"
#include "hs_promise.h"

/* What a slot holds besides, so that it can be let go of at the end. */
typedef enum promise_kind {
    PROMISE_PLAIN, /* nothing, or functions to call */
    PROMISE_KEEPS, /* the outcome that passes a finally function by */
    PROMISE_SLEEPS,
    PROMISE_GATHERS
} promise_kind;

/* Functions to call once the promise that this one waits for is settled. */
typedef struct promise_fns {
    union {
        hs_then_fn *then;
        hs_finally_fn *finally;
    };
    hs_catch_fn *catch;
    void *ctx;
} promise_fns;

typedef struct promise_kept {
    void *value;
    hs_drop_fn *drop;
    hs_err err;
} promise_kept;

/* One promise waits for at most one other, so the reaction of a derived promise lies in its own
 * slot: hs_then takes one slot and nothing else. */
struct hs_promise {
    const char *where;
    union {
        hs_list reactions; /* pending: links of microtasks */
        struct {           /* settled */
            void *value;
            hs_drop_fn *drop;
        };
    };
    hs_err err;
    uint32_t refs; /* handles, reactions that wait for it, and its settler while it is pending */
    uint8_t state; /* hs_promise_state */
    uint8_t kind;  /* promise_kind */
    bool owed;     /* of hs_promise_create, and not settled yet */
    bool handled;  /* something reacts to it, or its rejection was ignored */
    bool taken;    /* its value has gone to a receiver */
    union {
        struct {
            hs_microtask job; /* its link is in the list of `on` first */
            hs_promise *on;   /* what it waits for: a reference */
            union {
                promise_fns fns;
                promise_kept kept;
            };
        };
        struct {
            hs_timer timer;
            hs_cancel_hook hook;
            hs_cancel *cancel; /* a reference */
        } sleep;
        struct promise_gather *gather;
    };
};
HS_STATIC_ASSERT(sizeof(hs_promise) <= 96, "a promise takes 96 bytes");

/* The promises of a shard. */
typedef struct promise_state {
    hs_pool pool; /* made at the first promise */
    hs_trim trim;
    hs_promise nomem; /* what stands for a promise that there was no memory for */
    hs_promise *dead; /* promises without a reference whose values are still to be dropped */
    bool dropping;    /* somebody works on that list */
    bool ending;      /* nothing is made any more, and nothing given back one by one */
    uint32_t unhandled_id;
} promise_state;

/* promise.c: a pending promise with a handle and a settler. NULL without memory. */
hs_promise *promise_new(hs_shard *s, const char *where);
/* What stands for one that there was no memory for. */
hs_promise *promise_none(hs_shard *s, const char *where);
/* Give up a reference. */
void promise_unref(hs_promise *p);
/* Settle it for good with an outcome that is not a promise's, and give up the settler's hold. */
void promise_end(hs_promise *p, hs_outcome o);
/* The same with any outcome. */
void promise_resolve(hs_promise *p, hs_outcome o);
/* Post `job` once `on` is settled: its caller's handle is the job's reference from now on. */
void promise_wait(hs_promise *on, hs_microtask *job, hs_microtask_fn *fn);
/* What `p`, which is settled, came to; an owned value is the caller's then. */
hs_outcome promise_take(hs_promise *p);
/* Free a value that nobody receives. */
void promise_drop_value(hs_outcome o);
/* Count and log that nobody handled the rejection `p`. */
void promise_tell_unhandled(hs_shard *s, const hs_promise *p);

/* promise_sleep.c, promise_list.c: let go of what such a promise has in its slot. */
void promise_sleep_forget(hs_promise *p);
void promise_gather_forget(hs_promise *p);

/* promise_end.c: make the promises of a new shard. */
HS_NODISCARD hs_err promises_init(hs_shard *s);
/* Drop whatever is left in promises, and free them. */
void promises_end(hs_shard *s);
