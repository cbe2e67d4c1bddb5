/* The HTTP server of a shard: its making, its pools, its drain. See hs_http_server.h. */
#include "session.h"

void hs_http_options_init(hs_http_options *o)
{
    *o = (hs_http_options){
        .head_bytes_max = 16 * 1024,
        .target_bytes_max = 8 * 1024,
        .fields_max = 100,
        .body_bytes_max = 1024 * 1024,
        .head_ms_max = 10 * 1000,
        .idle_ms_max = 60 * 1000,
        .body_rate_min = 240,
        .body_ms_window = 10 * 1000,
        .send_ms_max = 30 * 1000,
        .overdue_ms = 60 * 1000,
    };
}

static bool options_fit(const hs_http_options *o)
{
    bool sizes = o->head_bytes_max >= 256 && o->head_bytes_max <= 32 * 1024 - 64 &&
                 o->target_bytes_max >= 1 && o->target_bytes_max <= o->head_bytes_max &&
                 o->fields_max >= 1 && o->fields_max <= H1_FIELDS_MAX &&
                 o->body_bytes_max <= SIZE_MAX / 4;
    bool times = o->head_ms_max && o->idle_ms_max && o->body_ms_window && o->send_ms_max;
    return sizes && times;
}

static bool trim_server(hs_trim *trim)
{
    hs_http_server *server = HS_CONTAINER_OF(trim, hs_http_server, trim);
    bool more = hs_shard_trim_pool(&server->sessions);
    more |= hs_shard_trim_pool(&server->in_small);
    more |= hs_shard_trim_pool(&server->in_large);
    return more;
}

static hs_err init_pools(hs_http_server *server)
{
    const hs_mem *mem = hs_shard_mem(server->shard);
    HS_TRY(hs_pool_init(&server->sessions, mem, sizeof(h1_session), HS_CONNS_MAX));
    hs_err err = hs_pool_init(&server->in_small, mem, IN_SMALL_BYTES, HS_CONNS_MAX);
    if (hs_ok(err)) {
        err = hs_pool_init(&server->in_large, mem, server->limits.head_bytes_max + 1, HS_CONNS_MAX);
        if (!hs_ok(err))
            hs_pool_fini(&server->in_small);
    }
    if (!hs_ok(err))
        hs_pool_fini(&server->sessions);
    return err;
}

static hs_err register_counters(hs_http_server *server)
{
    hs_counters *c = hs_shard_counters(server->shard);
    HS_TRY(hs_counters_register(c, "http_requests", &server->count_requests));
    HS_TRY(hs_counters_register(c, "http_bad_requests", &server->count_bad));
    HS_TRY(hs_counters_register(c, "http_timeouts", &server->count_timeouts));
    HS_TRY(hs_counters_register(c, "http_evicted", &server->count_evicted));
    return hs_counters_register(c, "http_aborted", &server->count_aborted);
}

hs_err hs_http_server_create(hs_shard *shard, const hs_http_options *options,
                             hs_http_handler *handler, void *ctx, hs_http_server **out)
{
    HS_ASSERT(shard != NULL && options != NULL);
    HS_ASSERT(out != NULL);
    HS_ASSERT(handler != NULL);
    HS_ENSURE(options_fit(options), HS_E_USAGE);
    const hs_mem *mem = hs_shard_mem(shard);
    hs_http_server *server = hs_mem_take_zero(mem, sizeof *server, HS_CACHE_LINE);
    HS_ENSURE(server, -ENOMEM);
    server->shard = shard;
    server->options = *options;
    server->limits = (h1_limits){.head_bytes_max = options->head_bytes_max,
                                 .target_bytes_max = options->target_bytes_max,
                                 .fields_max = options->fields_max};
    server->handler = handler;
    server->ctx = ctx;
    server->on_timer = timeout_look;
    hs_list_init(&server->conns_all);
    hs_list_init(&server->orphans);
    hs_list_init(&server->resuming);
    server->nowhere = (h1_conn){.server = server, .phase = CONN_OVER};
    hs_err err = register_counters(server);
    if (hs_ok(err))
        err = handle_open(mem);
    if (hs_ok(err)) {
        server->handles = handle_here;
        err = init_pools(server);
        if (!hs_ok(err))
            handle_close();
    }
    if (!hs_ok(err)) {
        hs_mem_give(mem, server, sizeof *server, HS_CACHE_LINE);
        return err;
    }
    server->trim.fn = trim_server;
    hs_shard_trim_add(shard, &server->trim);
    server->holder.release = evict_release;
    hs_shard_holder_add(shard, &server->holder);
    *out = server;
    return HS_OK;
}

void hs_http_server_destroy(hs_http_server *server)
{
    HS_ASSERT(hs_list_empty(&server->conns_all));
    HS_ASSERT(server->active == 0);
    hs_shard_trim_remove(&server->trim);
    hs_shard_holder_remove(&server->holder);
    orphan_end_all(server);
    hs_task_cancel(server->shard, &server->resume_task);
    if (server->spare) {
        handle_release(server->spare->handle);
        hs_pool_give(&server->sessions, server->spare);
    }
    handle_close();
    hs_pool_fini(&server->in_large);
    hs_pool_fini(&server->in_small);
    hs_pool_fini(&server->sessions);
    hs_mem_give(hs_shard_mem(server->shard), server, sizeof *server, HS_CACHE_LINE);
}

/* Closing a connection never ends it inside the call, so the list stays as it is. */
void hs_http_server_drain(hs_http_server *server)
{
    HS_ASSERT(server->shard == hs_shard_self());
    server->draining = true;
    hs_list_each (node, &server->conns_all)
        conn_drain(HS_CONTAINER_OF(node, h1_conn, link));
}

void hs_http_server_abort(hs_http_server *server)
{
    HS_ASSERT(server->shard == hs_shard_self());
    server->draining = true;
    hs_list_each (node, &server->conns_all)
        conn_abort(HS_CONTAINER_OF(node, h1_conn, link));
}

uint32_t hs_http_server_active(const hs_http_server *server)
{
    return server->active;
}
