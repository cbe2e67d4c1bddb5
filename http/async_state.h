/* What a request has when its handler waits: the fields, for async.c, async_end.c, async_run.c. */
#pragma once

#include "hs_http_async.h"
#include "session.h"

/* A handler on its fiber, on whose stack this is: it may outlive the request. */
typedef struct async_run {
    h1_session *x;
    hs_http_async_fn *handler;
    void *ctx;
    const char *name;
    bool started;
    bool over; /* the request is gone */
} async_run;

/* Somebody waits for a promise on the request's behalf; in its arena. */
typedef struct async_when {
    hs_reaction reaction;
    struct async_when *next;
    h1_session *x;
    hs_req_when_fn *fn;
    void *ctx;
} async_when;

/* In the request's arena. */
struct h1_async {
    hs_cancel *cancel;   /* NULL: nobody asked for it */
    async_when *whens;   /* all that there ever were */
    async_run *run;      /* NULL: no fiber, or it has ended */
    hs_promise *next;    /* somebody waits for the body */
    hs_promise *drained; /* somebody waits for room */
    hs_chain held;       /* pieces that came */
    hs_span piece;       /* what the reader has, the first bytes of `held`; or the whole body */
    bool hears, over;    /* the body is read by hs_req_next; and it is over */
    bool collects;       /* it is read by hs_req_whole */
};

static inline hs_shard *async_shard(const h1_session *x)
{
    return x->conn->server->shard;
}

/* Settle a promise of a request, if there is one. */
static inline void async_settle(hs_promise **promise, hs_outcome outcome)
{
    hs_promise *p = *promise;
    *promise = NULL;
    if (p)
        hs_promise_settle(p, outcome);
}
