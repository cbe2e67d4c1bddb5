/* One shard's part in a simulation of the runtime: what it holds, and the random programs that it
 * runs.
 *
 *   actor.c         beginning, stopping and ending; its tokens and open promises
 *   actor_make.c    promises of every kind, at random
 *   actor_run.c     fibers, calls to other shards, roots
 *   actor_channel.c channels of every kind
 *
 * All that is begun is written in the ledger. */
#pragma once

#include "hs_call.h"
#include "hs_channel.h"
#include "hs_fiber.h"
#include "hs_promise.h"
#include "ledger.h"

#define ACTORS_MAX 4
#define ACTOR_TOKENS 6
#define ACTOR_OPEN 48
#define ACTOR_ROOTS 8
#define ACTOR_ENDS 12

typedef struct actor actor;
typedef struct runtime runtime;

/* A token, and one who listens to it. */
typedef struct actor_token {
    hs_cancel *cancel; /* NULL: free */
    hs_cancel_hook hook;
    uint32_t listens; /* in the ledger; 0: nobody */
} actor_token;

/* A promise that is owed, until its timer is due or somebody comes before. */
typedef struct actor_open {
    actor *a;
    hs_promise *promise; /* NULL: free */
    hs_timer timer;
    uint32_t number, depth;
} actor_open;

/* An end of a channel. */
typedef enum actor_end_kind {
    ACTOR_SENDER,
    ACTOR_RECEIVER,
    ACTOR_ONE_SENDER,
    ACTOR_ONE_RECEIVER,
    ACTOR_BROADCAST,
    ACTOR_SUBSCRIBER,
    ACTOR_END_KINDS
} actor_end_kind;

typedef struct actor_held {
    actor_end_kind kind;
    void *handle; /* NULL: free */
} actor_held;

/* Where a program begins. */
typedef struct actor_root {
    actor *a;
    hs_timer start;
    hs_reaction reaction;
} actor_root;

struct actor {
    runtime *rt;
    hs_shard *shard; /* NULL: it has not begun, or has ended */
    uint32_t number;
    uint32_t fuel; /* how many things it may still begin */
    uint32_t roots_left;
    actor_token tokens[ACTOR_TOKENS];
    actor_open open[ACTOR_OPEN];
    actor_root roots[ACTOR_ROOTS];
    actor_held ends[ACTOR_ENDS];
};

struct runtime {
    sim_world *w;
    uint32_t actors_len;
    bool whole; /* it is let come to its end */
    uint32_t sleep_ms_max;
    uint64_t messages_sent, messages_received; /* by those who did not wait */
    actor actors[ACTORS_MAX];
};

/* ---- actor.c ---- */
/* Begin on `shard`. */
void actor_start(actor *a, hs_shard *shard);
/* The shard stops: begin nothing more. */
void actor_stop(actor *a);
/* The shard's loop has ended: let go of all that is held. */
void actor_end(actor *a);
/* The one whose shard runs. */
actor *actor_self(void);
uint32_t actor_below(const actor *a, uint32_t n);
/* A thing less that it may begin; false: none is left. */
bool actor_burn(actor *a);
/* One of the tokens, fired or not, or NULL. Borrowed. */
hs_cancel *actor_token_any(actor *a);
/* Make, fire, or let go of a token. */
void actor_token_work(actor *a);
/* A promise that is settled later. Never NULL. */
hs_promise *actor_owe(actor *a, uint32_t depth);
/* Settle one of those now, if there is one. */
void actor_pay(actor *a);

/* ---- actor_make.c ---- */
/* A promise of a value of the ledger, of NULL, or of an error; its handle is the caller's. `depth`:
 * how many it may be made of, one in the other. */
hs_promise *actor_make(actor *a, uint32_t depth);
/* A value, NULL, an error, or a promise. */
hs_outcome actor_outcome(actor *a, uint32_t depth);
/* A value: the number of its entry. */
void *actor_value_new(void);
/* It was received and is not passed on, or is dropped; NULL: nothing. */
void actor_free_value(void *value);

/* ---- actor_run.c ---- */
hs_promise *actor_fiber(actor *a, uint32_t depth);
hs_promise *actor_call(actor *a, uint32_t depth);
/* A call to all shards: a promise of their outcomes. */
hs_promise *actor_call_all(actor *a, uint32_t depth);
/* Begin `roots` programs at random moments. */
void actor_roots(actor *a, uint32_t roots);

/* ---- actor_channel.c ---- */
/* Make, use, send away, or let go of ends of channels. */
void actor_channel_work(actor *a);
/* Wait for room or for a message, for a while. Never NULL. */
hs_promise *actor_channel_wait(actor *a, uint32_t depth);
/* Let go of all ends; and once the loop has ended, of what is not left to the shard. */
void actor_channels_close(actor *a);
void actor_channels_end(actor *a);
