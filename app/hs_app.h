/* Applications: routes, and a main function that serves them on every core.
 *
 * Owns: the routing table (built before the start, read by all shards, never changed after), the
 * command line, signals and the drain. Tested by: tests/wire, tests/e2e, tests/package. */
#pragma once

#include "hs_addr.h"
#include "hs_fetch.h"
#include "hs_group.h"
#include "hs_http_async.h"
#include "hs_http_server.h"
#include "hs_tls.h"

HS_BEGIN_DECLS

typedef struct hs_app hs_app;

/* A set of methods: HS_METHODS(HS_METHOD_GET) | ... GET brings HEAD with it. */
#define HS_METHODS(method) (1u << (method))
#define HS_METHODS_ANY 0xffffffffu

/* Make an application. NULL without memory. Owned by the caller until hs_app_destroy.
 * Thread: main, as everything here. */
HS_API hs_app *hs_app_create(void);

/* Free it; not while it serves. */
HS_API void hs_app_destroy(hs_app *app);

/* Answer requests for `path` by one of `methods` with `handler`. `path` is compared as sent,
 * without the query; one that ends in '*' matches every path that begins with what stands before
 * it, and hs_req_tail is the rest. The first route that matches is taken. Another method is
 * answered with 405 (or 501, where it is unknown), another path with 404. Handlers run on every
 * shard at once: what `ctx` points to is shared between them. `path` is borrowed. Errors are kept,
 * and told by hs_app_main and hs_app_start, so that routes can be written one below the other. */
HS_API void hs_app_route(hs_app *app, uint32_t methods, const char *path, hs_http_handler *handler,
                         void *ctx);

/* The same for GET, which brings HEAD with it. */
HS_API void hs_app_get(hs_app *app, const char *path, hs_http_handler *handler, void *ctx);

/* The same for POST. */
HS_API void hs_app_post(hs_app *app, const char *path, hs_http_handler *handler, void *ctx);

/* As hs_app_route, with a handler on a fiber: it may hs_await without holding its shard, and
 * returns when it is done. Its fiber is called `path`. What an error of it is answered with, and
 * how it hears that its client is gone: hs_http_run_async. */
HS_API void hs_app_route_async(hs_app *app, uint32_t methods, const char *path,
                               hs_http_async_fn *handler, void *ctx);

/* The same for GET, which brings HEAD with it. */
HS_API void hs_app_get_async(hs_app *app, const char *path, hs_http_async_fn *handler, void *ctx);

/* The same for POST. */
HS_API void hs_app_post_async(hs_app *app, const char *path, hs_http_async_fn *handler, void *ctx);

/* Limits and timeouts, to be changed before the start. Borrowed from the application. */
HS_API hs_http_options *hs_app_http_options(hs_app *app);

/* Handlers fetch: each shard gets a HTTP client with these options (NULL: all defaults; `tcp`,
 * `dns` and `secure` are left out), that takes part in the drain. Certificates are checked by the
 * system's roots, which are read at the start. */
HS_API void hs_app_use_client(hs_app *app, const hs_client_options *options);

/* The client of the shard that serves `req`, made at the first call; NULL without memory. Only
 * after hs_app_use_client (asserted). Shard: owner only. */
HS_API hs_client *hs_app_client(const hs_req *req);

/* Fetch a URL that came with `req` (in its query, a field, its body): hs_fetch by hs_app_client, to
 * public addresses alone, whatever options->guarded says; exceptions are the client's `guard`.
 * Without an options->cancel it ends as hs_req_cancel says. URLs of the program's own are for
 * hs_fetch. Errors: as hs_fetch. Shard: owner only. */
HS_API hs_promise *hs_app_fetch(hs_req *req, hs_span url, const hs_fetch_options *options);

/* Everything that a server program does: read the command line (--cores, --listen,
 * --unix-mode, --io, --drain, --timeout, --log-level, --stall-ms, --fiber-stack,
 * --blocking-threads, --half-close, --tls-..., --help, --version), serve until SIGINT, SIGTERM or
 * hs_app_stop, drain, and return the process's exit status: 0 after a drain, 1 when it could not
 * start, 2 for a bad command line, 3 when requests were cut off by the end of the drain time or by
 * a second signal, or what the program holds on a shard had to be left (hs_app_join). `app` stays
 * the caller's: hs_app_destroy frees it, and a program that ends right after need not call it. NULL
 * (there was no memory for it) gives 1. */
HS_API int hs_app_main(hs_app *app, int argc, char **argv);

/* The same for an application with a command line of its own. */
typedef struct hs_app_options {
    uint32_t cores;        /* 0: as many as the process may use */
    const hs_addr *listen; /* borrowed; port 0 lets the system choose */
    uint32_t listen_len;   /* at least 1, at most HS_APP_LISTEN_MAX */
    uint32_t unix_mode;    /* who may connect to Unix sockets: hs_unix_options */
    uint32_t drain_ms;     /* how long requests under way may take after a stop */
    hs_log_level log_level;
    hs_io_choice io;   /* as hs_group_options */
    uint32_t stall_ms; /* a handler that holds its shard longer is named in the log; 0: none */
    uint32_t fiber_stack_bytes;                /* as hs_group_options */
    uint32_t blocking_threads, blocking_queue; /* as hs_group_options */
    /* HTTPS on all TCP addresses but those in listen_plain; Unix sockets stay plain. Borrowed until
     * the join, with all that it points to: hs_app_reload reads the files again. NULL: no TLS.
     * `alpn` is set by the application. */
    const hs_tls_options *tls;
    uint32_t listen_plain; /* of listen[i]: bit i */
    uint32_t handshake_ms; /* as hs_tls_shard_options */
} hs_app_options;

#define HS_APP_LISTEN_MAX 16

/* Set every option to its default: all cores, no address yet, 30 s of drain, info lines, stalls of
 * HS_STALL_MS. */
HS_API void hs_app_options_init(hs_app_options *options);

/* Start to serve on threads of their own. Errors: those of hs_group_start, hs_listener_open and
 * hs_unix_open, HS_E_USAGE (no address, or a bad route); each is logged with what can be done. */
HS_API HS_NODISCARD hs_err hs_app_start(hs_app *app, const hs_app_options *options);

/* Where it listens: address `at` (below options->listen_len), with its port. Between start and
 * join. */
HS_API const hs_addr *hs_app_listen_addr(const hs_app *app, uint32_t at);

/* Whether address `at` speaks TLS. Between start and join. */
HS_API bool hs_app_listen_tls(const hs_app *app, uint32_t at);

/* Whether there is anything to read again: certificates, or the files of a client's resolver. */
HS_API bool hs_app_reloads(const hs_app *app);

/* Read certificates and keys again: new connections on all shards get the new ones from the return
 * on, running ones go on with theirs. Where something is wrong with a file the old ones stay. And
 * the hosts file and resolv.conf, at each shard's next lookup. Both are told in the log of the
 * group. Thread: the one that waits for signals. Errors: those of hs_tls_server_ctx, HS_E_USAGE
 * (nothing to read again). Between start and join. */
HS_API HS_NODISCARD hs_err hs_app_reload(hs_app *app);

/* Its group of shards. Between start and join. */
HS_API hs_group *hs_app_group(hs_app *app);

/* Ask it to stop: it drains, and hs_app_main returns. Again: nothing. Before the start has finished
 * (or has begun) it is remembered: the application starts, and drains at once. Thread: any, a
 * handler's as well; the application is not destroyed meanwhile. */
HS_API void hs_app_stop(hs_app *app);

/* End the drain at once. Thread: any. */
HS_API void hs_app_abort(hs_app *app);

/* Wait until it has stopped. Returns how many requests were cut off; UINT64_MAX: the drain and
 * HS_END_MS (5 s) more were over, and the log names what still held the shards, such as a socket or
 * a client of the program's own, or a handler that has not returned. Nothing of it can be used any
 * more: the process should end. */
HS_API uint64_t hs_app_join(hs_app *app);

/* The version of the library, such as "0.1.0". Static storage. Thread: any. */
HS_API const char *hs_version(void);

HS_END_DECLS
