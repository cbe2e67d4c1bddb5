/* The inside of the HTTP/1.1 server: a connection's parked part and its session.
 *
 * A parked connection (h1_conn) lives beside its stream. From a request's first byte to its
 * answer's last it has a session: parser, request and response; then the session goes back to its
 * pool.
 *
 *   conn.c      a connection: input loop and parking
 *   session.c   a session's memory
 *   ending.c    its ends, good and bad
 *   evict.c     ends of those that hold most, where memory runs short
 *   orphan.c    requests whose connection ended before their handler answered
 *   handle.c    what handlers hold of a request
 *   deadline.c  its timer
 *   timeout.c   what the timer finds
 *   turn_budget.c  how much of a turn pipelined requests take, and who resumes in the next
 *   body.c      the request's body: framing, reading, discarding
 *   req.c       what a handler asks of a request
 *   res.c       what a handler says in a response
 *   async.c     tokens and promises of a request
 *   async_end.c how those who wait hear of its end
 *   async_run.c a handler on its fiber
 *   write.c     heads and error answers as bytes
 *   server.c    options, pools, drain */
#pragma once

#include <errno.h>

#include "h1_chunk.h"
#include "h1_head.h"
#include "handle.h"
#include "hs_http_server.h"
#include "hs_limits.h"
#include "hs_list.h"

typedef struct h1_async h1_async;

typedef enum conn_phase {
    CONN_IDLE, /* between requests, or before the first */
    CONN_HEAD, /* a head has begun */
    CONN_BUSY, /* a request is under way */
    CONN_OVER  /* closed, or about to be: input is dropped */
} conn_phase;

typedef struct h1_conn {
    hs_http_server *server;
    hs_stream *stream;
    h1_session *session; /* NULL while parked */
    hs_list link;        /* in server->conns_all */
    hs_timer timer;
    uint64_t since_ns;      /* of the phase, or of the last progress in it */
    uint64_t due_ns;        /* when the timer looks next */
    uint32_t sent;          /* hs_stream_sent when it last looked */
    uint8_t phase;          /* conn_phase */
    bool fresh;             /* no request came yet */
    bool ended;             /* the peer sends no more */
    bool in_input;          /* the input loop runs: it will flush */
    bool evicted;           /* ended for what it held */
    bool stalled;           /* the send queue is full: no new request until it drained */
    bool paused;            /* the stream is paused */
    uint8_t turn_granted;   /* pipelined ones that may run in this turn */
    uint16_t turn_requests; /* those, and those that were granted before */
} h1_conn;

/* How far a body is read. */
typedef enum body_mode {
    BODY_UNREAD,  /* nobody asked for it yet */
    BODY_HEARD,   /* the handler hears it */
    BODY_DISCARD, /* the answer is complete: read over the rest */
    BODY_OVER     /* all of it was read */
} body_mode;

/* How far an answer is made. */
typedef enum res_state {
    RES_OPEN,  /* nothing is decided */
    RES_BEGUN, /* the head is out */
    RES_DONE
} res_state;

/* What a session has of its request. Handlers have a handle of it. */
typedef struct h1_req {
    const uint8_t *base; /* the head's first byte */
    const char *label;   /* of its callbacks */
    bool kept;           /* `base` is the request's own memory */
    bool deferred;       /* it is answered after the handler's return */
    bool held;           /* the handler said so itself: it has the handle, and means to use it */
    bool overdue;        /* it was reported that nobody answers */
    bool running;        /* the handler has not returned */
    bool body_paused;
    bool chunked, continue_due;
    uint8_t body;         /* body_mode */
    uint16_t tail;        /* where the path's part for the handler begins */
    uint64_t body_left;   /* of a body with a length */
    uint64_t body_seen;   /* bytes so far */
    uint64_t window_seen; /* body_seen when the rate was last looked at, */
    uint64_t window_ns;   /* and when that was */
    uint64_t since_ns;    /* when the request began */
    uint64_t body_max;    /* limit of what is collected or discarded */
    hs_req_body_fn *body_fn;
    void *body_ctx;
    void (*collected)(hs_req *req, hs_span body, void *ctx);
    void *collected_ctx;
    uint8_t *collect; /* in the arena */
    size_t collect_len, collect_cap;
    void (*abort_fn)(hs_req *req, void *ctx);
    void *abort_ctx;
    h1_chunk chunk;
    bool in_trailers;
    bool end_due;      /* the body is over, and its reader was not told */
    uint8_t *trailers; /* their bytes, in the arena */
    uint32_t trailers_len;
    h1_head *trailer_head; /* in the arena; NULL: none came */
    h1_async *async;       /* in the arena; NULL: nobody waits for anything */
} h1_req;

typedef struct h1_res {
    uint8_t state; /* res_state */
    bool close;    /* the connection ends after it */
    bool chunked;
    bool failed;   /* a piece could not be queued */
    bool bodiless; /* what is written is counted, and not sent */
    bool typed;    /* the handler's fields have a Content-Type */
    uint64_t left; /* of a body with a length */
    hs_chain fields, trailers;
    void (*drain_fn)(hs_res *res, void *ctx);
    void *drain_ctx;
} h1_res;

struct h1_session {
    handle_entry *handle; /* of its request; stays with the session */
    hs_list
        resume_link; /* in server->resuming: the input loop has something to do, with no input */
    h1_conn *conn;
    hs_list orphan_link; /* in server->orphans, once the connection is gone */
    bool orphaned;       /* it outlives its connection */
    bool told;           /* its handler knows of that end, by what a call came to */
    uint8_t *in;         /* the bytes of a head that came in pieces */
    uint32_t in_len, in_cap;
    hs_chain stash; /* input that has to wait for the answer before it */
    hs_arena arena;
    h1_req req;
    h1_res res;
    h1_head head; /* last: large, and mostly untouched */
};

struct hs_http_server {
    hs_shard *shard;
    hs_http_options options;
    h1_limits limits;
    hs_http_handler *handler;
    void *ctx;
    hs_pool sessions, in_small, in_large;
    h1_session *spare; /* the last that was given back: most requests need no other */
    hs_trim trim;
    hs_chunk_holder holder;
    hs_timer_fn *on_timer;
    hs_list conns_all;
    uint32_t active;
    const handle_table *handles; /* of its thread: it may be left behind with the server */
    h1_conn nowhere;             /* the connection of orphans: one that has ended */
    hs_list orphans;             /* sessions, the oldest first */
    hs_timer overdue;            /* looks at them */
    hs_list resuming;         /* sessions that resume in the next turn, the first to join first */
    hs_task resume_task;      /* posted while there are any */
    uint64_t budget_turn_ns;  /* the turn of the budget, */
    uint64_t budget_until_ns; /* when it is spent, */
    bool budget_spent, resuming_now;
    bool draining;
    uint64_t date_until_ns;                    /* when `date` is no longer true */
    char start[17 + 6 + HS_HTTP_DATE_LEN + 2]; /* how most answers begin: 200, and the date */
    uint32_t count_requests, count_bad, count_timeouts, count_aborted, count_evicted;
};

#define IN_SMALL_BYTES 2048

/* The session that serves a handler's request; NULL: it is over, and that was reported. */
static inline h1_session *session_of_req(const hs_req *req)
{
    return handle_session((uint64_t)(uintptr_t)req);
}

static inline h1_session *session_of_res(const hs_res *res)
{
    return handle_session((uint64_t)(uintptr_t)res);
}

/* What its handler gets. */
static inline hs_req *req_of(const h1_session *x)
{
    return (hs_req *)(uintptr_t)x->handle->handle;
}

static inline hs_res *res_of(const h1_session *x)
{
    return (hs_res *)(uintptr_t)x->handle->handle;
}

/* How much a request's arena may hold. A chunked body is collected in memory that doubles as it
 * grows, and an arena gives nothing back before its end: the pieces before the last are smaller
 * than twice that one in sum. The head, and what a handler needs besides, have as much as a head
 * may. */
static inline size_t session_arena_bytes(uint64_t body_bytes_max)
{
    return 3 * (size_t)HS_MIN(body_bytes_max, (uint64_t)SIZE_MAX / 4) + 2 * H1_HEAD_BYTES_MAX;
}

/* The request's label for the time of one of its callbacks; returns what to put back after it. */
static inline const char *label_enter(const h1_session *x)
{
    return hs_shard_label_set(x->conn->server->shard, x->req.label);
}

static inline void label_leave(const hs_http_server *server, const char *before)
{
    (void)hs_shard_label_set(server->shard, before);
}

static inline hs_pool *conn_chunks(const h1_conn *c)
{
    return hs_shard_chunks(c->server->shard);
}

/* Most requests have no fields or trailers of their own: then there is nothing to call for. */
static inline void drop_chain(hs_chain *chain, hs_pool *chunks)
{
    if (HS_UNLIKELY(chain->head != NULL))
        hs_chain_clear(chain, chunks);
}

/* session.c */
/* A session of the pool, with a handle. NULL: no memory. */
h1_session *session_make(hs_http_server *server);
/* The request is over: give back what it held, and end its handle. */
void session_clear(h1_session *x);
/* Give back the bytes of a head that came in pieces. */
void session_give_in(h1_session *x);
/* Give back a session that was cleared, and what waits in it. */
void session_give(h1_session *x);

/* conn.c */
/* The answer is complete, or more can be read: go on with what waits, or park, or close. Inside the
 * input loop nothing happens: it sees for itself. */
void conn_go_on(h1_conn *c);
/* Its turn has come, after turn_resume_next. */
void session_resume(h1_session *x);
/* One step of a drain: a resting connection is closed, a busy one closes after its answer. */
void conn_drain(h1_conn *c);
/* Keep the head's bytes beyond this input. */
HS_NODISCARD hs_err conn_keep_head(h1_session *x);

/* turn_budget.c */
/* Whether one more pipelined request of `c` may run in this turn. */
bool turn_budget_allows(h1_conn *c);
/* Call session_resume(x) in the next turn, after the completions of this one. Again: nothing. */
void turn_resume_next(h1_session *x);
/* Whether it will be called. */
static inline bool turn_resumes(const h1_session *x)
{
    return !hs_list_empty(&x->resume_link);
}

/* ending.c */
/* The phase CONN_OVER: input is dropped, and a handler that has not answered is told. */
void conn_over(h1_conn *c);
/* Send what is queued, then close in order. */
void conn_close(h1_conn *c);
/* Answer `status`, if nothing of an answer is out, and close: the framing or the peer cannot be
 * trusted any more. */
void conn_fail(h1_conn *c, uint32_t status, const char *why);
/* End the connection now; the handler's abort function is called. */
void conn_abort(h1_conn *c);
/* Send what is queued, unless the input loop will. */
void conn_flush(h1_conn *c);

/* req.c: the answer comes after the handler's return: keep the head. Errors: -ENOMEM. */
HS_NODISCARD hs_err req_defer(h1_session *x);

/* evict.c: as hs_chunk_holder.release. */
size_t evict_release(hs_chunk_holder *holder, size_t bytes);

/* orphan.c */
/* Whether the handler of a request whose connection ends has no other way to learn of it than by
 * its next call: then the request outlives the connection. */
bool orphan_is(const h1_session *x);
/* The connection is gone: keep the session until then. False: the handler knows already. */
bool orphan_keep(h1_session *x);
/* A call has told the handler that the connection is gone: what it held goes in the next turn. */
void orphan_told(h1_session *x);
/* Release the session of such a request. */
void orphan_release(h1_session *x);
/* The server ends: report and free those that are left. */
void orphan_end_all(hs_http_server *server);
/* Report a request that is not answered, once. */
void overdue_report(h1_session *x);

/* deadline.c */
/* A phase begins: remember when, and make sure that the timer looks soon enough. */
void timeout_phase(h1_conn *c, conn_phase phase);
/* Look within `ms` milliseconds. Without memory for a timer the connection ends. */
void timeout_within(h1_conn *c, uint32_t ms);

/* timeout.c: the timer came due. */
void timeout_look(hs_timer *timer);

/* body.c */
void body_start(h1_session *x);
/* Read the body from `in`; returns how many bytes of it were taken: 0 where it may not go on now.
 */
size_t body_input(h1_session *x, hs_span in);
/* Tell the reader of the body that it is over, if it was not told. */
void body_tell_end(h1_session *x);
/* Tell the client to go on with its body, if it waits for that. */
void body_wanted(h1_session *x);
/* Whether the rest of the body can be read over, so that the connection may live on. */
static inline bool body_discardable(const h1_session *x)
{
    const h1_req *req = &x->req;
    /* A client that waits for 100 (Continue) may or may not send its body now. */
    if (req->continue_due)
        return false;
    return req->chunked || req->body_left + req->body_seen <= req->body_max;
}

/* async_end.c; for a request that has an h1_async */
/* The request will not be answered any more: its token fires, and its fiber comes to its end. */
void async_abandon(h1_session *x);
/* Would a fiber or a token hear of the end? */
bool async_is_told(const h1_session *x);
/* The request is over: let go of what it had. */
void async_clear(h1_session *x);
/* More can be written. */
void async_drained(h1_session *x);

/* write.c */
/* Queue the head of `x`'s answer. `length`: HS_LENGTH_UNKNOWN for chunked or to the end. `type` is
 * a Content-Type or empty. Decides whether the connection lives on. */
HS_NODISCARD hs_err write_head(h1_session *x, uint32_t status, uint64_t length, hs_span type,
                               hs_span *body);
/* Queue a whole answer that closes. */
HS_NODISCARD hs_err write_error(h1_conn *c, uint32_t status);
