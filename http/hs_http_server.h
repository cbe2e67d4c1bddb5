/* The HTTP server of one shard: connections in, requests to a handler.
 *
 * Owns: options and limits, connections' parking and timeouts, the drain. It serves any hs_stream.
 * Must not know: who carries the streams, what the handler does.
 * Tested by: tests/wire, tests/sim, tests/e2e. */
#pragma once

#include "hs_req.h"
#include "hs_res.h"
#include "hs_stream.h"

HS_BEGIN_DECLS

typedef struct hs_http_server hs_http_server;

/* Called once for each request, when its head is there. Answer now, or later: see hs_req_defer.
 * `req` and `res` are handles, valid until the answer is complete or the request's abort function
 * ran. A later use, or one on another thread, is recognised: the call does nothing, and the log
 * names the route, once. It can never reach another request. */
typedef void hs_http_handler(hs_req *req, hs_res *res, void *ctx);

typedef struct hs_http_options {
    uint32_t head_bytes_max;   /* 16384: request line and fields; past it 431 */
    uint32_t target_bytes_max; /* 8192: past it 414 */
    uint32_t fields_max;       /* 100: past it 431 */
    uint64_t body_bytes_max;   /* 1 MiB: of a body that is collected or discarded; past it 413 */
    uint32_t head_ms_max;    /* 10,000: from a request's first byte to its head's last; then 408 */
    uint32_t idle_ms_max;    /* 60,000: between requests; then the connection is closed */
    uint32_t body_rate_min;  /* 240 bytes a second, over windows of body_ms_window; then 408 */
    uint32_t body_ms_window; /* 10,000 */
    uint32_t send_ms_max;    /* 30,000 without any progress of an answer; then it is cut off */
    /* 60,000: a deferred request that is not answered for so long is named in the log; 0: never */
    uint32_t overdue_ms;
    /* false: when the peer ends its side (FIN, close_notify) while a complete request waits for its
     * answer, and its handler can hear of the end (an abort function, a token, a fiber), that is
     * the request's end: the peer has left. true: peers may half-close, and are answered. Answers
     * that are queued or begun, and those of handlers that hear of no end, go out anyway. */
    bool half_close;
} hs_http_options;

/* Set every option to its default. */
HS_API void hs_http_options_init(hs_http_options *options);

/* Make the server of `shard`. Owned by the caller until hs_http_server_destroy. Shard: owner only.
 * Errors: -ENOMEM, HS_E_LIMIT (counters), HS_E_USAGE (an option out of its range). */
HS_API HS_NODISCARD hs_err hs_http_server_create(hs_shard *shard, const hs_http_options *options,
                                                 hs_http_handler *handler, void *ctx,
                                                 hs_http_server **out);

/* Free it. Every stream it serves must be closed (asserted). Shard: owner only. */
HS_API void hs_http_server_destroy(hs_http_server *server);

/* Memory that a stream must have beside it for its HTTP connection (hs_tcp_options.owner_bytes). */
HS_API size_t hs_http_conn_bytes(void);

/* Serve `stream` from its first byte: sets its events. Shard: owner only. Never fails: a connection
 * that cannot be served is closed. */
HS_API void hs_http_serve(hs_http_server *server, hs_stream *stream);

/* The `ctx` that the server of `req` was made with. Shard: owner only. */
HS_API void *hs_req_server_ctx(const hs_req *req);

/* Stop taking requests: idle connections are closed now, requests under way are answered with
 * `Connection: close`. A connection whose first request has not come has HS_DRAIN_FIRST_MS (1 s)
 * from when it is served, so that none is lost that the client has sent already: those that are
 * served from now on, too. Shard: owner only. */
HS_API void hs_http_server_drain(hs_http_server *server);

/* How many requests are under way. Shard: owner only. */
HS_API uint32_t hs_http_server_active(const hs_http_server *server);

/* End every connection at once: what a drain does when its time is over. Shard: owner only. */
HS_API void hs_http_server_abort(hs_http_server *server);

HS_END_DECLS
