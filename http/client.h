/* The inside of the HTTP client: its pool of connections, and one fetch from its call to its end.
 *
 *   client.c          making and ending a client
 *   client_end.c      when its memory may go
 *   client_pool.c     which connections there are, and who waits for one
 *   client_conn.c     one connection: dialling, resting, its end
 *   client_route.c    where connections go instead
 *   client_tunnel.c   which proxy, and a tunnel through it
 *   client_reply.c    reading a response
 *   fetch.c           the call: a request is looked at and copied
 *   fetch_run.c       the state machine of one exchange
 *   fetch_zone.c      the zone of an address in a URL
 *   fetch_next.c      what a response leads to instead of to the caller: redirections, repetitions
 *   fetch_send.c      the request as bytes
 *   fetch_file.c      a file as a request's body
 *   fetch_cookie.c    the jar, if there is one
 *   fetch_body.c      the response's body on its way to the reader
 *   fetch_read.c      how a reader asks for it
 *   fetch_time.c      deadlines
 *   fetch_end.c       ends, good and bad
 *   fetch_error.c     what is told of bad ones
 *
 * Calls go down this order of files: run, next, end, body, time, conn, pool; what has to be told
 * upwards goes through client->events. A fetch may be freed by the callbacks that it makes: who
 * calls one, or what may lead to one, stands between fetch_enter and fetch_leave, and looks at
 * f->phase after it. */
#pragma once

#include <errno.h>

#include "client_reply.h"
#include "coding.h"
#include "hs_fetch.h"
#include "hs_heap.h"
#include "hs_limits.h"
#include "hs_list.h"
#include "hs_map.h"
#include "hs_url.h"
#include "proxy.h"

typedef struct fetch fetch;
typedef struct client_conn client_conn;
typedef struct client_origin client_origin;

#define FETCHES_MAX (1u << 20)
/* A host name has at most 253 bytes (RFC 1035); an IPv6 address fewer. */
#define HOST_BYTES_MAX 255
#define ORIGIN_KEY_MAX (HOST_BYTES_MAX + 10)
/* What is read ahead of a reader: enough for one to be busy while the network brings more. */
#define BODY_WINDOW_BYTES (64u * 1024)
/* The body of a response that leads on to another is read over up to here, to keep its
 * connection. */
#define DISCARD_BYTES_MAX (64u * 1024)
/* What is decoded at a time. */
#define PLAIN_BYTES (16u * 1024)

/* Where connections to one scheme, host and port are; guarded ones apart from the others. Those
 * that go through the proxy for http: can carry a request to any host, and are together. */
struct client_origin {
    hs_heap_node waiting; /* in client->waiting while fetches wait here */
    hs_list resting;      /* connections; the one that was used last first */
    hs_list waiters;      /* fetches, in their order */
    uint32_t conns;       /* that are not closing */
    uint16_t key_len;
    uint8_t key[ORIGIN_KEY_MAX];
};

typedef enum conn_state {
    CONN_DIALS,
    CONN_MEETS,   /* the TLS handshake with the proxy */
    CONN_TUNNELS, /* the proxy's answer to CONNECT, or to SOCKS */
    CONN_SHAKES,  /* the TLS handshake with the host */
    CONN_HEARS,   /* whether the server speaks first */
    CONN_WORKS,
    CONN_RESTS,
    CONN_ENDS /* closing: nobody's any more */
} conn_state;

struct client_conn {
    hs_client *client;
    client_origin *origin; /* NULL: not counted any more */
    fetch *fetch;          /* NULL: rests or ends */
    hs_stream *stream;     /* NULL: not there yet */
    hs_list link;          /* in client->conns */
    hs_list rest;          /* in origin->resting */
    hs_list oldest;        /* in client->resting */
    hs_reaction reaction;  /* to the dial or a handshake */
    hs_cancel *cancel;     /* of all of them; NULL: the way is over */
    proxy_answer *answer;  /* of CONN_TUNNELS, in the fetch's arena */
    proxy_socks *socks;    /* or this */
    hs_timer hear_timer;   /* of CONN_HEARS, and then */
    hs_task heard;
    uint64_t born_ns, rest_ns;
    uint32_t uses;
    uint32_t sent_mark;  /* hs_stream_sent when the request began */
    hs_secure_info info; /* of the stream */
    uint8_t state;       /* conn_state */
    bool opening;        /* inside hs_dial */
    bool tried;          /* an address was tried */
    bool gone;           /* and only `heard` keeps the slot */
};

/* What a connection tells the fetch that has it. */
typedef struct client_events {
    void (*phase)(fetch *f, hs_fetch_phase phase);
    void (*ready)(fetch *f);
    /* It could not be made, and is gone. */
    void (*failed)(fetch *f, hs_err err, const char *text);
    void (*data)(fetch *f, hs_span bytes);
    void (*end)(fetch *f);
    void (*drained)(fetch *f);
    /* It is gone; `sent`: some of the request left us. */
    void (*closed)(fetch *f, hs_err why, bool sent);
    /* There may be a connection for somebody who waits. */
    void (*serve)(hs_client *client);
    void (*due)(fetch *f);
    void (*pump)(fetch *f);
} client_events;

struct hs_client {
    hs_shard *shard;
    hs_client_options options;
    h1_limits limits;
    const client_events *events;
    hs_tcp *tcp;
    bool own_tcp, draining, destroyed, held;
    hs_pool conn_slots, fetch_slots;
    hs_map origins;
    proxy_set proxies; /* with options.proxy_env */
    hs_arena proxy_arena;
    hs_list conns;    /* all of them, by link */
    hs_list resting;  /* the one that rests for longest first */
    hs_heap waiting;  /* origins, by client_pool.c's order */
    hs_list active;   /* fetches under way, by link */
    hs_list done;     /* and those whose response somebody has */
    uint32_t counted; /* connections that are not closing */
    uint32_t queued;
    uint64_t seq;
    hs_timer rest_timer;
    hs_microtask serve;
    hs_task gone;
    hs_trim trim;
    uint32_t count_started, count_failed, count_dialled, count_reused, count_repeated;
};

typedef enum body_state {
    BODY_KEPT,    /* nobody asked for it yet */
    BODY_READ,    /* by a hs_fetch_reader */
    BODY_WHOLE,   /* it is collected */
    BODY_PIECES,  /* by hs_fetch_next */
    BODY_DROPPED, /* nobody will: it is read over */
    BODY_TOLD     /* its reader knows that it is over */
} body_state;

typedef enum fetch_then { THEN_TELL, THEN_REDIRECT, THEN_REPEAT } fetch_then;

struct hs_fetch_sink {
    hs_fetch_source source;
    uint64_t left;    /* of a known length */
    bool asked;       /* `more` was called: `over` will be */
    bool full;        /* it was told to wait for `more` */
    bool calling;     /* inside `more` */
    bool ours;        /* of a file: `over` is called even where `more` never was */
    const char *text; /* why it could not be made; NULL: not known */
};

struct fetch {
    hs_fetch_res res; /* first: what the user has */
    hs_client *client;
    hs_list link;
    hs_list wait; /* in origin->waiters */
    uint64_t seq;
    client_origin *origin; /* of the queue; NULL: not in it */
    client_conn *conn;
    const proxy *via;    /* NULL: straight to the host */
    bool at_proxy;       /* it is the proxy who is waited for, and who fails */
    hs_promise *promise; /* NULL: settled */
    hs_cancel *cancel;
    hs_cancel_hook hook;
    hs_arena arena;
    uint32_t depth; /* of fetch_enter */
    bool freed;
    uint8_t phase; /* hs_fetch_phase */
    uint8_t then;  /* fetch_then */

    /* the request */
    hs_url url;
    uint32_t zone; /* of the URL's IPv6 address; 0: none */
    hs_span host;  /* the value of Host; empty: the URL's */
    hs_span method_name;
    hs_fetch_field *headers;
    uint32_t headers_len;
    hs_span body; /* ptr NULL: none */
    size_t body_at;
    bool has_source;
    bool sent_all;   /* with the stream */
    bool stale_once; /* a pooled connection was closed already; it was repeated for that */
    uint8_t method;  /* hs_method */
    uint8_t redirect;
    bool guarded;
    bool decodes; /* codings are asked for, and undone */
    coding_limits decoded;
    uint32_t redirects_left, retries_left, retry_ms, retry_after_ms_max;
    hs_fetch_sink sink;

    /* time */
    hs_fetch_times times;
    hs_timer timer;
    uint64_t start_ns, since_ns; /* of the call, and of the phase */
    uint64_t last_ns;            /* of the last progress */
    uint64_t ready_ns;           /* when the connection was there */
    uint64_t due_ns;             /* when the timer looks */
    uint64_t pause_ns;           /* how long HS_FETCH_PAUSE takes */
    uint32_t sent_seen;

    /* the response */
    uint8_t mode; /* body_state */
    bool paused;  /* by the user */
    bool held;    /* the stream is */
    hs_chain queue;
    hs_fetch_reader reader;
    hs_promise *wanted;   /* what hs_fetch_bytes or _next gave */
    hs_fetch_maker maker; /* make NULL: the bytes themselves are wanted */
    void *made;
    uint8_t *whole;
    size_t whole_len, whole_cap;
    uint64_t whole_max, discarded;
    hs_span piece;   /* of hs_fetch_next, or all that was collected */
    coding *coding;  /* NULL: the body is as it comes */
    uint8_t *plain;  /* PLAIN_BYTES, beside it */
    bool plain_more; /* the decoder has more, without more input */
    bool over_ratio; /* the decoder stopped at f->decoded */
    hs_microtask pump;
    hs_err err; /* how the exchange ended */
    hs_fetch_error error;
    reply reply; /* last: large, and mostly untouched */
};

static inline fetch *fetch_of(const hs_fetch_res *res)
{
    return HS_CONTAINER_OF(res, fetch, res);
}

static inline hs_pool *client_chunks(const hs_client *client)
{
    return hs_shard_chunks(client->shard);
}

static inline uint64_t client_now(const hs_client *client)
{
    return hs_shard_now_ns(client->shard);
}

/* Whether a URL, which is http or https, is the latter. */
static inline bool client_secure(const hs_url *url)
{
    HS_ASSERT(url->scheme.len == 4 || url->scheme.len == 5);
    return url->scheme.len == 5;
}

/* client_end.c */
/* Free the client, if it was destroyed and nothing of it is left. */
void client_look(hs_client *client);
/* Give everything back. */
void client_free(hs_client *client);

/* client_pool.c */
/* The origin that `f` goes to. NULL without memory. */
client_origin *client_pool_origin(hs_client *client, const fetch *f);
/* Let go of one that nobody needs. */
void client_pool_origin_look(hs_client *client, client_origin *o);
/* A resting connection of `o`, taken out; NULL: none. */
client_conn *client_pool_take(hs_client *client, client_origin *o);
/* Take a resting connection out of the lists. */
void client_pool_unrest(client_conn *c);
/* A connection rests from now on. */
void client_pool_rest(client_conn *c);
/* The connection counts, or does so no more. */
void client_pool_count(client_conn *c, client_origin *o);
void client_pool_uncount(client_conn *c);
/* Whether a new connection to `o` may be made, if need be in place of a resting one. */
bool client_pool_may_open(const hs_client *client, const client_origin *o);
/* Wait for one. Errors: HS_E_LIMIT, -ENOMEM. */
HS_NODISCARD hs_err client_pool_wait(fetch *f, client_origin *o);
/* Wait no more. */
void client_pool_unwait(fetch *f);
/* The fetch that waits for longest of those that could go on now; NULL: none. O(1): what changes an
 * origin costs O(log n) in the origins where fetches wait. */
fetch *client_pool_next(const hs_client *client);

/* client_route.c */
/* Copy options.routes. Errors: HS_E_USAGE, -ENOMEM. */
HS_NODISCARD hs_err client_routes_read(hs_client *client);
/* Where a connection to *host and *port goes. */
void client_route(const hs_client *client, hs_span *host, uint16_t *port);

/* fetch_zone.c */
/* Cut a zone out of the URL *text; f->zone is its number, or 0. Errors: HS_E_USAGE (there is no
 * such interface), -ENOMEM. */
HS_NODISCARD hs_err fetch_zone_cut(fetch *f, hs_span *text);
/* An address of f->url, in brackets, with f->zone, in f->arena. Errors: -ENOMEM. */
HS_NODISCARD hs_err fetch_zone_host(fetch *f, hs_span *host);

/* client_tunnel.c */
/* Read options.proxy_env. Errors: -ENOMEM. */
HS_NODISCARD hs_err client_tunnel_proxies(hs_client *client);
/* The proxy that `f` goes through, which may have a fault, or NULL. */
const proxy *client_tunnel_via(const fetch *f);
/* Whether `f` goes through a connection that its proxy makes. */
bool client_tunnel_needed(const fetch *f);
/* Whether the proxy itself is asked, in absolute form (RFC 9112 section 3.2.2). */
bool client_tunnel_asks(const fetch *f);
/* Whether the connection through it is there. */
bool client_tunnel_is_open(const client_conn *c);
/* What it is called when the proxy ends the connection before. */
const char *client_tunnel_cut_off(const client_conn *c);
/* Ask for a tunnel on c->stream. Errors: HS_E_CLOSED, -ENOMEM. */
HS_NODISCARD hs_err client_tunnel_ask(client_conn *c);
/* Read its answer, until it is open. Errors: as proxy_answer_read and proxy_socks_read; *text says
 * more. */
HS_NODISCARD hs_err client_tunnel_read(client_conn *c, hs_span in, const char **text);

/* client_conn.c */
/* Make a connection to `o` for `f`. Errors: -ENOMEM. Nothing is told before it returns, but the
 * phase. */
HS_NODISCARD hs_err client_conn_open(fetch *f, client_origin *o);
/* `f` has this resting connection, which was taken out, from now on. */
void client_conn_give(client_conn *c, fetch *f);
/* The fetch is done with it, and it can carry another request. */
void client_conn_rest(client_conn *c);
/* The fetch gives it up, at whatever step it is. */
void client_conn_drop(client_conn *c);
/* Close it in order. */
void client_conn_close(client_conn *c);

/* fetch_error.c */
/* Fill f->error: where it was, and why. `text` NULL: what the error is called. */
void fetch_error_set(fetch *f, hs_err err, const char *text);
/* A copy for a rejection's detail. */
hs_outcome fetch_error_outcome(const fetch *f);

/* fetch_time.c */
/* A phase begins. Never fails while the timer is set. */
void fetch_time_phase(fetch *f, hs_fetch_phase phase);
/* When the phase, or the fetch, is due; UINT64_MAX: never. */
uint64_t fetch_time_due(const fetch *f);
/* Look when that is. Errors: -ENOMEM, where the timer was not set. */
HS_NODISCARD hs_err fetch_time_look(fetch *f);

/* fetch_send.c */
/* Queue the head, and what there is of the body. Errors: -ENOMEM, HS_E_CLOSED. */
HS_NODISCARD hs_err fetch_send_start(fetch *f);
/* There is room. Errors: -ENOMEM, HS_E_CLOSED. */
HS_NODISCARD hs_err fetch_send_more(fetch *f);
/* The source has ended. Errors: `why`, HS_E_USAGE (too little), HS_E_CLOSED, -ENOMEM. */
HS_NODISCARD hs_err fetch_send_end(fetch *f, hs_err why);

/* fetch_file.c */
/* `file` is the body. Errors: HS_E_USAGE, with *text; -EBADF and so on, HS_E_LIMIT, -ENOMEM. */
HS_NODISCARD hs_err fetch_file_open(fetch *f, const hs_fetch_file *file, const char **text);
/* The next request begins with the file's first byte, and asks for it anew. */
void fetch_file_rewind(hs_fetch_sink *sink);

/* fetch_cookie.c */
/* What goes into a field Cookie; empty: nothing. Errors: -ENOMEM. */
HS_NODISCARD hs_err fetch_cookie_get(fetch *f, hs_span *value);
/* Keep what the response has. */
void fetch_cookie_take(const fetch *f);

/* fetch_body.c */
/* A piece of it came. Errors: HS_E_LIMIT, -ENOMEM. */
HS_NODISCARD hs_err fetch_body_feed(fetch *f, hs_span piece);
/* Undo the response's codings, if it has some and all are ours. Errors: HS_E_LIMIT, -ENOMEM; *text
 * says more. */
HS_NODISCARD hs_err fetch_body_begin(fetch *f, const char **text);
/* The reader is done with `len` bytes of a piece. */
void fetch_body_taken(fetch *f, size_t len);
/* Give what is queued to whoever reads. Errors: as above, HS_E_CODING, HS_E_TRUNCATED. */
HS_NODISCARD hs_err fetch_body_pump(fetch *f);
/* Hold the peer up, or let it go on, by what is queued. */
void fetch_body_flow(fetch *f);
/* The exchange is over: tell the reader soon, after what is queued. */
void fetch_body_over(fetch *f);
/* Pump soon. */
void fetch_body_soon(fetch *f);
/* Its reader cannot take what is queued. */
void fetch_body_forget(fetch *f);
/* The response is given up: nobody is told. */
void fetch_body_clear(fetch *f);

/* fetch_end.c */
/* The exchange failed, in whatever phase it is. `text` as in fetch_error_set. */
void fetch_fail(fetch *f, hs_err err, const char *text);
/* The response is whole; its connection was given back. */
void fetch_whole(fetch *f);
/* All came, and its reader cannot take it. */
void fetch_spoil(fetch *f, hs_err err, const char *text);
/* Nobody has the fetch any more. */
void fetch_let_go(fetch *f);

static inline void fetch_enter(fetch *f)
{
    f->depth++;
}

/* fetch_end.c: `f` may be gone afterwards, and its client, too. */
void fetch_leave(fetch *f);

/* fetch_next.c */
/* The head is there: what it leads to. Errors: HS_E_REDIRECT, -ENOMEM; *text says more. */
HS_NODISCARD hs_err fetch_next_look(fetch *f, const char **text);
/* Whether the request is to be repeated after `err`; then f->pause_ns is set. */
bool fetch_next_repeats(fetch *f, hs_err err);
/* Whether its body, if it has one, can be sent once more. */
bool fetch_next_has_body(const fetch *f);
/* Whether it may be sent once more at all. */
bool fetch_next_repeatable(const fetch *f);
/* Make the request that the redirection asks for. Errors: HS_E_REDIRECT, -ENOMEM; *text says more.
 */
HS_NODISCARD hs_err fetch_next_redirect(fetch *f, const char **text);

/* fetch_run.c */
extern const client_events fetch_events;
/* Begin with the request as it is. `f` may have failed on return. */
void fetch_run(fetch *f);
