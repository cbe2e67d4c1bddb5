/* The inside of an application: router.c finds the handler, serve.c runs it on the shards,
 * https.c gives them TLS and client.c a client, main.c is the command line. */
#pragma once

#include <errno.h>

#include "hs_app.h"
#include "hs_tcp.h"
#include "hs_tls.h"

#define APP_ROUTES_MAX 256

typedef struct route {
    hs_span path;      /* without the '*' */
    const char *label; /* as it was given */
    bool prefix;
    uint32_t methods;
    hs_http_handler *handler;
    void *ctx;
    hs_http_async_fn *async; /* NULL: `handler` is the user's */
    void *async_ctx;
} route;

/* What one shard has of an application. */
typedef struct app_shard {
    hs_app *app;
    hs_shard *shard;
    hs_tcp *tcp;     /* of plain connections */
    hs_tcp *tls_tcp; /* of those that carry TLS; NULL: none do */
    hs_tls *tls;
    hs_http_server *server;
    hs_client *client; /* NULL: not needed yet */
    hs_secure *client_secure;
    hs_listener *listeners[HS_APP_LISTEN_MAX];
    uint32_t listeners_len;
    hs_timer drain;
    hs_task closing; /* posted while the listeners' queues may have connections */
    uint32_t closing_turns, conns_seen;
    uint64_t drain_first_ns; /* when handshakes are ended */
    uint64_t drain_end_ns;
    uint64_t cut_off; /* requests */
    bool aborted;
} app_shard;

struct hs_app {
    const hs_mem *mem;
    hs_err err; /* of a route */
    uint32_t routes_len;
    route routes[APP_ROUTES_MAX];
    hs_http_options http;
    hs_app_options options;
    hs_addr listen[HS_APP_LISTEN_MAX];
    hs_unix *unixes[HS_APP_LISTEN_MAX]; /* of those that are Unix sockets, during the start */
    hs_tls_box *tls_box;                /* NULL: no TLS */
    hs_tls_why tls_why;                 /* why there is none, after a failed start */
    hs_client_options client;
    bool uses_client;
    hs_tls_ctx *client_tls; /* NULL: built without TLS, or there are no roots */
    bool client_rootless;   /* the system has no roots, or had none at the start */
    hs_group *group;        /* where another thread may read it: under group_lock */
    app_shard *shards;
    uint32_t shards_len;
    hs_app *left_before;
    bool left; /* the shards did not end in time: they, and this, stay */
    HS_ATOMIC_U32 abort_asked, stop_asked;
    HS_ATOMIC_U32 group_lock; /* held for as long as a stop takes to ask */
    HS_ATOMIC_U32 failed_at;  /* the address that could not be listened on, + 1 */
};

/* router.c: the handler of the http server: finds the route. `ctx` is the hs_app. */
void router_handle(hs_req *req, hs_res *res, void *ctx);

/* https.c: TLS of an application. */

/* Load what options.tls names, before the shards start. Errors: with app->tls_why. */
HS_NODISCARD hs_err app_tls_open(hs_app *app);
void app_tls_close(hs_app *app);
/* A shard's part of it. */
HS_NODISCARD hs_err app_tls_start(app_shard *as);
void app_tls_end(app_shard *as);

/* client.c: the clients of an application. */

/* Read the roots that certificates are checked by, before the shards start. Errors: those of
 * hs_tls_client_ctx, with app->tls_why. */
HS_NODISCARD hs_err app_client_open(hs_app *app);
void app_client_close(hs_app *app);
/* On each shard: whether connections of its client are open, the drain, the end. */
bool app_client_busy(const app_shard *as);
void app_client_drain(app_shard *as);
void app_client_end(app_shard *as);
