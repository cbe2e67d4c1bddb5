/* An HTTP client: pooled, streaming fetches.
 *
 * Owns: requests from a URL to the last byte of the response, and one shard's pool of connections
 * to do them with. Must not know: TLS (a hs_secure is passed in). Everything belongs to the owner
 * shard. Tested by: tests/unit/http_fetch*.c on the sim backend, tests/plain/fetch.c on the
 * system's.
 *
 * On a fiber:
 *
 *     hs_fetch_res *res;
 *     const hs_span *body;
 *     HS_TRY(hs_await(hs_get(client, HS_SPAN("http://feed.internal/7")), &res));
 *     hs_err err = hs_await(hs_fetch_bytes(res, 0), &body);
 *     ...
 *     hs_fetch_res_free(res);
 *
 * A promise of a fetch is fulfilled when the head of the response is there; the body is read from
 * the response, and the peer is slowed down while nobody reads it. */
#pragma once

#include "hs_cookies.h"
#include "hs_dial.h"
#include "hs_guard.h"
#include "hs_headers.h"
#include "hs_http.h"
#include "hs_secure.h"

HS_BEGIN_DECLS

typedef struct hs_client hs_client;

/* ---- how long, how often ---- */

#define HS_FETCH_NEVER UINT32_MAX

/* How long each phase may take, in milliseconds. 0: the client's, and in a client's options what
 * stands here; HS_FETCH_NEVER: without a limit. */
typedef struct hs_fetch_times {
    uint32_t queue_ms;      /* waiting for a connection of a full pool. 30000 */
    uint32_t resolve_ms;    /* until there is an address. 5000; cannot be without a limit */
    uint32_t connect_ms;    /* 10000; cannot be without a limit */
    uint32_t tunnel_ms;     /* a proxy's answer to CONNECT. 10000 */
    uint32_t tls_ms;        /* a handshake. 10000; cannot be without a limit */
    uint32_t first_byte_ms; /* from the last byte of the request to the first of the response.
                             * 60000 */
    uint32_t idle_ms;       /* between two bytes, of the request or the response, while we are ready
                             * for them. 30000 */
    uint32_t total_ms;      /* from the call to the last byte of the body. HS_FETCH_NEVER */
} hs_fetch_times;

/* ---- the client ---- */

/* Where connections go instead of to a host and port that a URL (or the proxy's variable) has, such
 * as to a server that is not in the DNS yet. What TLS verifies, Host and cookies stay the URL's;
 * what `allow` and the guard see is where it really goes. The first route that fits counts. */
typedef struct hs_fetch_route {
    hs_span host;     /* as in a URL, of IPv6 in brackets. Empty: every host */
    hs_span to_host;  /* a name or an address, the same. Empty: the same host */
    uint16_t port;    /* 0: every port */
    uint16_t to_port; /* 0: the same port */
} hs_fetch_route;

#define HS_FETCH_ROUTES_MAX 1000

/* Zeroed: all defaults. */
typedef struct hs_client_options {
    hs_tcp *tcp; /* to dial with; it must outlive the client. NULL: the client makes its own */
    hs_dns *dns; /* to find names with; it must outlive the client. NULL: the tcp's own */
    hs_secure *secure; /* makes streams secure, for https; it must outlive the client. NULL: https
                        * is HS_E_USAGE */
    bool unverified;   /* take any certificate of a host; a proxy's is verified all the same */
    const hs_addr *connect_to; /* where connections go, whatever host a URL names, such as to a Unix
                                * socket; it must outlive the client. NULL: to that host */
    const hs_fetch_route *routes; /* where connections go instead; copied */
    uint32_t routes_len;          /* at most HS_FETCH_ROUTES_MAX */
    hs_cookies *cookies; /* a jar for what servers ask to be kept; it must outlive the client.
                          * NULL: nothing is kept. A request with a Cookie field of its own
                          * has that alone */
    /* Proxies, as the environment names them: a list of "NAME=value" that ends with NULL, such as
     * environ(7). Read once, and copied. NULL: no proxies. HTTP_PROXY is for http: URLs,
     * HTTPS_PROXY for https: ones, ALL_PROXY for what has none of its own, and NO_PROXY lists whom
     * none is for ("*", names with all below them, addresses, networks, each with or without a
     * port); small letters go first. A proxy is http://[NAME:PASSWORD@]HOST[:PORT], https:// where
     * it is spoken to over TLS, or socks5:// or socks5h:// (RFC 1928; both look names up at the
     * proxy). http: URLs are asked of it; for https: it is asked for a tunnel (CONNECT), and the
     * host is verified inside of that. Names of hosts are looked up by the proxy, and `allow` hears
     * of the proxy's address alone; so a guarded fetch that would go through one is HS_E_FORBIDDEN.
     * With `connect_to` there are none. A variable that names no proxy fails the fetches that would
     * go through it, with HS_E_USAGE and its name and value. */
    const char *const *proxy_env;
    uint32_t conns_per_origin; /* or to a proxy, for http:. 0: 64 */
    uint32_t conns_max;        /* in all. 0: 1024 */
    uint32_t queue_max;        /* fetches that wait for a connection. 0: 16384 */
    uint32_t idle_ms_max;      /* a connection that rests for longer is closed. 0: 30000 */
    uint32_t age_ms_max;       /* and one that is older, after its response. 0: 600000 */
    uint32_t head_bytes_max;   /* of a response, and of its trailers; at most 1 MiB. 0: 256 KiB */
    uint32_t fields_max;       /* of the same; at most 1000. 0: 1000 */
    uint64_t body_bytes_max;   /* of a body that is collected. 0: 16 MiB */
    /* A content coding that makes very much of very little is HS_E_LIMIT: a body that decodes to
     * more than decoded_bytes_free and to more than decoded_ratio_max times the coded bytes that
     * came. 0: 64 MiB and 1000; decoded_ratio_max UINT32_MAX: no such limit. */
    uint64_t decoded_bytes_free;
    uint32_t decoded_ratio_max;
    hs_fetch_times times;
    /* As hs_dial_options.allow, for every connection: where a client may go. NULL: anywhere. */
    hs_err (*allow)(const hs_addr *addr, void *ctx);
    void *ctx;
    const hs_guard *guard; /* exceptions for fetches that are guarded; it must outlive the client.
                            * NULL: none */
} hs_client_options;

/* Make a client. Owned by the caller until hs_client_destroy. `options` may be NULL. Errors:
 * HS_E_USAGE (an option is out of its range; a route's host is none, and the log says which),
 * -ENOMEM. Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_client_create(hs_shard *shard, const hs_client_options *options,
                                            hs_client **out);

/* For a drain: close the connections that rest, and let none rest from now on. Fetches go on, and
 * may be started by requests that are under way still; each closes its connection. A connection
 * holds its shard. */
HS_API void hs_client_drain(hs_client *client);

/* The end: what is under way fails with HS_E_CLOSED, and all connections are closed. `client` must
 * not be used any more; its memory is given back when the last connection and the last response
 * (hs_fetch_res_free) are gone. */
HS_API void hs_client_destroy(hs_client *client);

/* How many connections there are, resting ones included, and how many fetches wait for one. */
HS_API uint32_t hs_client_conns(const hs_client *client);
HS_API uint32_t hs_client_waiting(const hs_client *client);

/* ---- a request ---- */

typedef struct hs_fetch_field {
    hs_span name, value;
} hs_fetch_field;

typedef struct hs_fetch_sink hs_fetch_sink;

/* A request's body that is made while it is sent. */
typedef struct hs_fetch_source {
    uint64_t length; /* in all; HS_FETCH_CHUNKED: not known */
    /* There is room: write pieces with hs_fetch_write, now or later, until hs_fetch_full, and at
     * last hs_fetch_end. Called when the connection is there, which may be before hs_fetch returns,
     * and each time that there is room after hs_fetch_full was true. */
    void (*more)(hs_fetch_sink *sink, void *ctx);
    /* Nothing may be written any more: all was, or the fetch ended with `why`. Once, if `more` was
     * called; the sink is gone. It may be called from inside whatever ended the fetch. May be
     * NULL. */
    void (*over)(hs_err why, void *ctx);
    void *ctx;
} hs_fetch_source;

#define HS_FETCH_CHUNKED UINT64_MAX

/* A piece of the body; copied. Errors: HS_E_USAGE (more than the length), HS_E_CLOSED (the
 * connection is going), -ENOMEM. */
HS_API HS_NODISCARD hs_err hs_fetch_write(hs_fetch_sink *sink, hs_span piece);

/* Whether so much waits that no more should be written until `more` is called. */
HS_API bool hs_fetch_full(hs_fetch_sink *sink);

/* The body is over; or it cannot be made (`why` is not HS_OK), and the fetch fails with that. Fewer
 * bytes than the length: HS_E_USAGE. The sink may be gone on return. */
HS_API void hs_fetch_end(hs_fetch_sink *sink, hs_err why);

/* A file as a request's body: `length` bytes of it, from `offset` on. It is read in pieces, as fast
 * as the connection takes them, on a thread of the blocking pool; what it grows by meanwhile is not
 * sent. Where it shrinks the fetch fails with HS_E_TRUNCATED, where it cannot be read with why. */
typedef struct hs_fetch_file {
    int fd; /* of a regular file, open for reading. A duplicate is read: close it when you like */
    uint64_t offset;
    uint64_t length; /* HS_FETCH_REST: to the end that it has now */
} hs_fetch_file;

#define HS_FETCH_REST UINT64_MAX

typedef enum hs_fetch_redirect {
    HS_FETCH_FOLLOW, /* go where the response says, at most redirects_max times */
    HS_FETCH_ERROR,  /* HS_E_REDIRECT */
    HS_FETCH_MANUAL  /* a redirection is a response like any other */
} hs_fetch_redirect;

/* Zeroed: a GET with all defaults. Everything but the source's ctx, the token and what they point
 * to is borrowed until the call returns. */
typedef struct hs_fetch_options {
    hs_span method; /* empty: GET, or POST with a body */
    /* Names are tokens, and values have no control bytes and no space around them: nothing can be
     * smuggled in. What frames a message or is of one connection is ours (hs_headers_is_forbidden),
     * Host for example. */
    const hs_fetch_field *headers;
    uint32_t headers_len;
    hs_span host; /* the value of Host, HOST or HOST:PORT, of a virtual host. Connection, TLS and
                   * cookies stay the URL's; a redirection to another origin has its own. Empty: the
                   * URL's host and port */
    const hs_headers *fields;      /* and these behind them; NULL: none */
    hs_span body;                  /* copied. ptr NULL: none */
    const hs_fetch_source *source; /* instead of `body`; a fetch with it is not repeated */
    const hs_fetch_file *file;     /* instead of either */
    hs_cancel *cancel;             /* ends the fetch, the body's reading too, with its reason */
    hs_fetch_times times;
    hs_fetch_redirect redirect;
    uint32_t redirects_max; /* 0: 20 */
    /* For a URL that came from somebody else: go to public addresses alone (hs_guard.h, with the
     * client's exceptions), in each redirection too, and on connections that were made so. What is
     * checked is the very address that is connected to. Past it, and through a proxy, whose address
     * is not the host's: HS_E_FORBIDDEN. */
    bool guarded;
    /* Ask for no content coding, and give the body as it comes. Otherwise, unless `headers` has an
     * Accept-Encoding: gzip, deflate, br and zstd are asked for and undone. A body of any other
     * coding is given as it comes. */
    bool coded;
    /* As in hs_client_options; 0: the client's. */
    uint64_t decoded_bytes_free;
    uint32_t decoded_ratio_max;
    /* How often a request that can be repeated (an idempotent method of RFC 9110 section 9.2.2,
     * without a source; a file is sent from its start again) is, after a failure to connect, an end
     * of the connection before the response, or 408, 429, 502, 503 and 504. 0: only after a
     * pooled connection turned out to be closed, or its server said 408: then whatever the method,
     * since it was not seen. */
    uint32_t retries;
    uint32_t retry_ms;           /* before the first repetition, doubled for each next; a random
                                  * part of it is waited. 0: 200 */
    uint32_t retry_after_ms_max; /* a Retry-After above it is a response like any other. 0: 30000 */
} hs_fetch_options;

/* Where a fetch was when it failed. */
typedef enum hs_fetch_phase {
    HS_FETCH_START,   /* the request itself: URL, fields, limits of the client */
    HS_FETCH_QUEUE,   /* waiting for a connection of a full pool */
    HS_FETCH_RESOLVE, /* looking the name up */
    HS_FETCH_CONNECT,
    HS_FETCH_TUNNEL, /* asking a proxy for a tunnel */
    HS_FETCH_TLS,    /* a handshake with a proxy, or with the host */
    HS_FETCH_SEND,   /* sending the request */
    HS_FETCH_WAIT,   /* waiting for the first byte of the response */
    HS_FETCH_HEAD,   /* in the response's head */
    HS_FETCH_BODY,
    HS_FETCH_PAUSE, /* before a repetition */
    HS_FETCH_DONE
} hs_fetch_phase;

/* What more is known of a fetch that failed: the detail of its promise's rejection, NULL where
 * there was no memory for it. Belongs to the receiver: hs_fetch_error_free. */
typedef struct hs_fetch_error {
    hs_shard *shard;
    hs_err err; /* of the rejection */
    hs_fetch_phase phase;
    char text[280]; /* in words, with a NUL: "feed.internal: no host has this name" */
} hs_fetch_error;

/* Free it; NULL: nothing. */
HS_API void hs_fetch_error_free(void *error);

/* The name of a phase: "resolve", for example. Static storage. Shard: any. */
HS_API const char *hs_fetch_phase_name(hs_fetch_phase phase);

/* Fetch `url` (http or https; section 4.4 of the URL Standard, and an IPv6 address may have a zone,
 * by name or number: http://[fe80::1%25eth0]/, RFC 6874). A name and a password in it are
 * sent as Basic authorization (RFC 7617), to its own origin. `options` may be NULL. Fulfilled with
 * a hs_fetch_res * when the final head is there: hs_fetch_res_free it.
 *
 * Errors, with hs_fetch_error as detail: HS_E_USAGE (URL, method or fields; https without a
 * hs_secure; no regular file; the variable of its proxy names none), HS_E_LIMIT (the queue is full,
 * a head is too long or has too many fields or codings), HS_E_CLOSED (the client ended), -ETIMEDOUT
 * (the phase says of what), what hs_dial and hs_secure.start say, HS_E_PROTOCOL, HS_E_TRUNCATED,
 * -ECONNRESET, HS_E_REDIRECT, HS_E_FORBIDDEN, why it was cancelled, what hs_fetch_end was told,
 * -ENOMEM.
 *
 * Through a proxy: what dialling it says, in the phase `connect`; and of a tunnel, in the phase
 * `tunnel`, -EACCES (403, 407), -ECONNREFUSED (any other answer, as where the proxy does not reach
 * the host), HS_E_TRUNCATED, HS_E_PROTOCOL, HS_E_LIMIT. The text says that it is the proxy. What a
 * proxy answers to an http: request is a response like any other, 407 and 502 included. */
HS_API hs_promise *hs_fetch(hs_client *client, hs_span url, const hs_fetch_options *options);

/* The same for GET, for POST with `body`, whose Content-Type is `type`, and for POST with JSON.
 * Errors: as hs_fetch. */
HS_API hs_promise *hs_get(hs_client *client, hs_span url);
HS_API hs_promise *hs_post(hs_client *client, hs_span url, hs_span type, hs_span body);
HS_API hs_promise *hs_post_json(hs_client *client, hs_span url, hs_span json);

/* ---- a response ---- */

/* Nanoseconds. Of the last request: what a pooled connection needs not is 0. */
typedef struct hs_fetch_timing {
    uint64_t queue_ns, resolve_ns, connect_ns, tunnel_ns, tls_ns;
    uint64_t first_byte_ns; /* from the connection to the first byte of the response */
    uint64_t total_ns;      /* from the call on, through all redirections: to the head, and once the
                             * body is there, to its end */
} hs_fetch_timing;

/* A response. What is in it stays until hs_fetch_res_free. */
typedef struct hs_fetch_res {
    uint16_t status; /* 200 to 999. Above 599 is no status of the RFCs: like 500 (RFC 9110 section
                      * 15) */
    uint8_t minor;   /* of the version: HTTP/1.minor */
    bool redirected;
    bool reused;  /* the connection had carried a request before */
    bool decoded; /* a content coding was undone: Content-Length is that of the coded body */
    hs_span reason;
    hs_span url;                  /* the final one, without a fragment */
    const hs_fetch_field *fields; /* in the order in which they came. Names are tokens; values may
                                   * have control bytes, but NUL, CR and LF: hs_http_is_field_value
                                   * says whether one may be sent on */
    uint32_t fields_len;
    hs_fetch_timing timing;
    hs_secure_info secure; /* what was negotiated on the connection: with the host, or where an
                            * http: URL was asked of a proxy, with that. Static storage */
    void *user;            /* the receiver's own; NULL at first */
} hs_fetch_res;

/* The value of the first field with this name, whatever its case; an empty span with a NULL pointer
 * where there is none. */
HS_API hs_span hs_fetch_header(const hs_fetch_res *res, hs_span name);

/* The trailer field number `i`. False: there are not so many. Known at the end of the body. */
HS_API bool hs_fetch_trailer(const hs_fetch_res *res, uint32_t i, hs_fetch_field *out);

/* Who hears a body, piece by piece. Never called from inside a function of this header. */
typedef struct hs_fetch_reader {
    /* A piece, borrowed until the return. */
    void (*data)(hs_fetch_res *res, hs_span piece, void *ctx);
    /* The last call: HS_OK, the body is whole; or why it is not: hs_fetch_why. */
    void (*end)(hs_fetch_res *res, hs_err why, void *ctx);
    void *ctx;
} hs_fetch_reader;

/* Hear the body. `reader` is copied. Errors: HS_E_USAGE (it is read already). */
HS_API HS_NODISCARD hs_err hs_fetch_read(hs_fetch_res *res, const hs_fetch_reader *reader);

/* Hear no more of it for now; the peer is slowed down. */
HS_API void hs_fetch_pause(hs_fetch_res *res);

/* Hear it again. */
HS_API void hs_fetch_resume(hs_fetch_res *res);

/* The whole body: fulfilled with a const hs_span *, which stays as long as the response.
 * `bytes_max` 0: the client's body_bytes_max. Errors: as hs_fetch with its detail; HS_E_LIMIT (it
 * is longer, or decoded by far larger than it was), HS_E_CODING, HS_E_USAGE (it is read already).
 * When `res` is freed before: -ECANCELED. */
HS_API hs_promise *hs_fetch_bytes(hs_fetch_res *res, uint64_t bytes_max);

/* The same with a NUL behind it, which the span does not count. */
HS_API hs_promise *hs_fetch_text(hs_fetch_res *res, uint64_t bytes_max);

/* Makes something else of a whole body: a document, a picture. */
typedef struct hs_fetch_maker {
    /* Called once, when all of the body is there; it is borrowed until the return, and has a NUL
     * behind it. Sets *out, the promise's value; or returns why there is none, and may say more in
     * `text`, which has room for HS_FETCH_WHY_BYTES: it goes into the hs_fetch_error. */
    hs_err (*make)(hs_span body, char *text, void **out, void *ctx);
    hs_drop_fn *drop; /* frees a value that nobody received; may be NULL */
    void *ctx;
} hs_fetch_maker;

#define HS_FETCH_WHY_BYTES 160

/* The whole body, made into something else, which does not belong to the response: fulfilled with
 * what maker->make has set. `maker` is copied. Errors: as hs_fetch_bytes, and those of `make`.
 * hs_json.h has one for JSON. */
HS_API hs_promise *hs_fetch_make(hs_fetch_res *res, uint64_t bytes_max,
                                 const hs_fetch_maker *maker);

/* The next piece: fulfilled with a const hs_span *, which stays until the next call, or with NULL
 * at the end. One at a time. Errors: as hs_fetch_bytes. */
HS_API hs_promise *hs_fetch_next(hs_fetch_res *res);

/* What went wrong with the body, in words; NULL: nothing, so far. It stays as long as the response.
 */
HS_API const hs_fetch_error *hs_fetch_why(const hs_fetch_res *res);

/* Free it, from anywhere, its reader's calls included; NULL: nothing. A body that is under way is
 * given up with its connection; the reader is not called any more. */
HS_API void hs_fetch_res_free(void *res);

HS_END_DECLS
