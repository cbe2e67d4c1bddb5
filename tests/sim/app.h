/* The server under simulation: the HTTP server with handlers of every kind, on each shard. */
#pragma once

#include "cluster.h"
#include "hs_http_server.h"
#include "hs_tcp.h"

typedef struct app_shard {
    hs_shard *shard;
    hs_tcp *tcp;
    hs_http_server *http;
    hs_listener *listener;
    hs_timer drain;
} app_shard;

typedef struct app {
    app_shard shards[CLUSTER_SHARDS_MAX];
    uint32_t drain_ms;
    uint64_t answered, aborted;
} app;

/* The functions of cluster_options; `ctx` is the app. */
hs_err app_start(hs_shard *shard, void *ctx);
void app_stop(hs_shard *shard, void *ctx);
void app_end(hs_shard *shard, void *ctx);
