/* An application on its shards: start, drain, end.
 *
 * Owns: the order of a drain: accept what the system has queued, then no more; close what is idle;
 * give new connections the time for a first request; answer what is under way with `Connection:
 * close`; and when the time is over cut off the rest. Tested by: tests/e2e. */
#include "app.h"

#include <stdio.h>

#include "hs_limits.h"

#define DRAIN_TICK_MS 50
#define CLOSING_TURNS_MAX 64 /* of 256 connections each: a full queue */

hs_app *hs_app_create(void)
{
    const hs_mem *mem = hs_mem_system();
    hs_app *app = hs_mem_take_zero(mem, sizeof *app, HS_CACHE_LINE);
    if (!app)
        return NULL;
    app->mem = mem;
    hs_http_options_init(&app->http);
    return app;
}

void hs_app_destroy(hs_app *app)
{
    if (app->left)
        return;
    HS_ASSERT(app->group == NULL);
    HS_ASSERT(!app->shards && !app->tls_box);
    hs_mem_give(app->mem, app, sizeof *app, HS_CACHE_LINE);
}

hs_http_options *hs_app_http_options(hs_app *app)
{
    return &app->http;
}

void hs_app_options_init(hs_app_options *o)
{
    *o = (hs_app_options){.drain_ms = 30 * 1000, .log_level = HS_LOG_INFO, .stall_ms = HS_STALL_MS};
}

/* ---- on each shard ---- */

static void accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    const app_shard *as = ctx;
    (void)listener;
    HS_ASSERT(as->shard == hs_shard_self());
    hs_http_serve(as->server, s);
}

static void free_shard(app_shard *as)
{
    app_client_end(as);
    app_tls_end(as);
    if (as->server)
        hs_http_server_destroy(as->server);
    if (as->tcp)
        hs_tcp_destroy(as->tcp);
    as->server = NULL;
    as->tcp = NULL;
}

static hs_err listen_at(app_shard *as, uint32_t i, hs_listener **out)
{
    hs_app *app = as->app;
    if (app->unixes[i])
        return hs_listener_open_unix(as->tcp, app->unixes[i], out);
    hs_tcp *tcp = hs_app_listen_tls(app, i) ? as->tls_tcp : as->tcp;
    return hs_listener_open(tcp, &app->listen[i], true, out);
}

static hs_err listen_all(app_shard *as)
{
    HS_ASSERT(as->listeners_len == 0);
    hs_app *app = as->app;
    for (uint32_t i = 0; i < app->options.listen_len; i++) {
        hs_err err = listen_at(as, i, &as->listeners[i]);
        if (!hs_ok(err)) {
            atomic_store(&app->failed_at, i + 1);
            return err;
        }
        as->listeners_len++;
    }
    return HS_OK;
}

static void close_listeners(app_shard *as)
{
    HS_ASSERT(as->shard == hs_shard_self());
    while (as->listeners_len > 0)
        hs_listener_close(as->listeners[--as->listeners_len]);
}

static hs_err shard_start(hs_shard *shard, void *ctx)
{
    hs_app *app = ctx;
    HS_ASSERT(hs_shard_id(shard) < app->shards_len);
    app_shard *as = &app->shards[hs_shard_id(shard)];
    HS_ASSERT(!as->app && !as->server);
    as->app = app;
    as->shard = shard;
    hs_tcp_options o = {
        .owner_bytes = (uint32_t)hs_http_conn_bytes(), .accepted = accepted, .ctx = as};
    HS_TRY(hs_http_server_create(shard, &app->http, router_handle, app, &as->server));
    HS_TRY(hs_tcp_create(shard, &o, &as->tcp));
    HS_TRY(app_tls_start(as));
    return listen_all(as);
}

static void abort_rest(app_shard *as)
{
    HS_ASSERT(!as->aborted);
    as->aborted = true;
    hs_task_cancel(as->shard, &as->closing);
    close_listeners(as);
    as->cut_off = hs_http_server_active(as->server);
    hs_http_server_abort(as->server);
    app_client_end(as);
}

static uint32_t conns(const app_shard *as)
{
    return hs_tcp_conns(as->tcp) + (as->tls_tcp ? hs_tcp_conns(as->tls_tcp) : 0);
}

static void drain_tick(hs_timer *timer)
{
    app_shard *as = HS_CONTAINER_OF(timer, app_shard, drain);
    uint64_t now = hs_shard_now_ns(as->shard);
    bool over = now >= as->drain_end_ns || atomic_load(&as->app->abort_asked);
    if (as->tls && (over || now >= as->drain_first_ns))
        hs_tls_abort_handshakes(as->tls);
    if ((conns(as) == 0 && as->listeners_len == 0 && !app_client_busy(as)) || as->aborted)
        return;
    if (over || !hs_ok(hs_timer_after(as->shard, timer, DRAIN_TICK_MS, drain_tick)))
        abort_rest(as);
}

/* A turn brings what the system has queued for the listeners: they close once one brought nothing.
 */
static void close_when_empty(hs_task *task)
{
    app_shard *as = HS_CONTAINER_OF(task, app_shard, closing);
    uint32_t conns_now = conns(as);
    bool more = conns_now > as->conns_seen || as->closing_turns == 0;
    as->conns_seen = conns_now;
    if (more && ++as->closing_turns < CLOSING_TURNS_MAX)
        hs_task_post_next_turn(as->shard, task, close_when_empty);
    else
        close_listeners(as);
}

static void shard_stop(hs_shard *shard, void *ctx)
{
    hs_app *app = ctx;
    app_shard *as = &app->shards[hs_shard_id(shard)];
    uint64_t now = hs_shard_now_ns(shard);
    if (!as->tcp)
        return;
    as->conns_seen = conns(as);
    hs_task_post_next_turn(shard, &as->closing, close_when_empty);
    hs_http_server_drain(as->server);
    app_client_drain(as);
    as->drain_first_ns = now + HS_DRAIN_FIRST_MS * HS_MSEC_NS;
    as->drain_end_ns = now + app->options.drain_ms * HS_MSEC_NS;
    drain_tick(&as->drain);
}

static void shard_end(hs_shard *shard, void *ctx)
{
    hs_app *app = ctx;
    app_shard *as = &app->shards[hs_shard_id(shard)];
    HS_ASSERT(shard == hs_shard_self());
    hs_timer_cancel(shard, &as->drain);
    free_shard(as);
}

/* ---- from the main thread ---- */

/* Shards share a Unix socket, so it is made here; of a TCP address we see whether it is free. */
static hs_err open_addr(hs_app *app, uint32_t i)
{
    if (!hs_addr_is_unix(&app->listen[i]))
        return hs_listen_check(&app->listen[i]);
    hs_unix_options o = {.mode = app->options.unix_mode};
    return hs_unix_open(app->mem, &app->listen[i], &o, &app->unixes[i]);
}

/* The shards' listeners keep what they need: the last of them that closes removes the name. */
static void leave_unixes(hs_app *app)
{
    for (uint32_t i = 0; i < HS_APP_LISTEN_MAX; i++) {
        if (app->unixes[i])
            hs_unix_unref(app->unixes[i]);
        app->unixes[i] = NULL;
    }
}

/* How long another server's start is waited for. Who holds the lock for longer (which any user may)
 * keeps nobody from starting. */
#define START_WAIT_MS 5000

/* In the order of ports, so that no two servers wait for each other. */
static void lock_ports(hs_app *app, int *locks)
{
    uint32_t before = 0;
    for (uint32_t n = 0; n < HS_APP_LISTEN_MAX; n++)
        locks[n] = -1;
    for (uint32_t n = 0; n < app->options.listen_len; n++) {
        uint32_t next = UINT32_MAX;
        for (uint32_t i = 0; i < app->options.listen_len; i++) {
            uint32_t port = hs_addr_port(&app->options.listen[i]);
            if (port > before && port < next)
                next = port;
        }
        if (next == UINT32_MAX)
            return;
        before = next;
        hs_err err = hs_start_lock((uint16_t)next, START_WAIT_MS, &locks[n]);
        (void)err;
    }
}

static void unlock_ports(const int *locks)
{
    for (uint32_t n = 0; n < HS_APP_LISTEN_MAX; n++)
        hs_start_unlock(locks[n]);
}

static hs_err open_addrs(hs_app *app)
{
    for (uint32_t i = 0; i < app->options.listen_len; i++) {
        app->listen[i] = app->options.listen[i];
        hs_err err = open_addr(app, i);
        if (!hs_ok(err)) {
            app->failed_at = i + 1;
            return err;
        }
    }
    return HS_OK;
}

/* Handlers and other threads may ask for a stop while the group comes and goes. */
static void lock_group(hs_app *app)
{
    while (atomic_exchange_explicit(&app->group_lock, 1, memory_order_acquire))
        continue;
}

static void unlock_group(hs_app *app)
{
    atomic_store_explicit(&app->group_lock, 0, memory_order_release);
}

/* The group has started, or will be gone (NULL). A stop that was asked for before is done now. */
static void group_set(hs_app *app, hs_group *group)
{
    lock_group(app);
    app->group = group;
    if (group && atomic_load(&app->stop_asked))
        hs_group_stop(group);
    if (group && atomic_load(&app->abort_asked))
        hs_group_end_within(group, HS_END_MS);
    unlock_group(app);
}

static size_t shards_bytes(const hs_app *app)
{
    return app->shards_len * sizeof(app_shard);
}

static hs_err start_group(hs_app *app)
{
    const hs_app_options *options = &app->options;
    hs_group_options o;
    hs_group_options_init(&o);
    HS_TRY(hs_group_default_shards(&app->shards_len));
    if (options->cores > 0)
        app->shards_len = options->cores;
    o.shards = app->shards_len;
    o.log_level = options->log_level;
    o.io = options->io;
    o.stall_ms = options->stall_ms;
    o.fiber_stack_bytes = options->fiber_stack_bytes;
    o.blocking_threads = options->blocking_threads;
    o.blocking_queue = options->blocking_queue;
    o.stop_ms = options->drain_ms + HS_END_MS;
    o.start = shard_start;
    o.stop = shard_stop;
    o.end = shard_end;
    o.ctx = app;
    app->shards = hs_mem_take_zero(app->mem, shards_bytes(app), HS_CACHE_LINE);
    HS_ENSURE(app->shards, -ENOMEM);
    hs_group *group;
    hs_err err = hs_group_start(&o, &group);
    if (!hs_ok(err)) {
        hs_mem_give(app->mem, app->shards, shards_bytes(app), HS_CACHE_LINE);
        app->shards = NULL;
        return err;
    }
    group_set(app, group);
    return HS_OK;
}

hs_err hs_app_start(hs_app *app, const hs_app_options *options)
{
    HS_ASSERT(options != NULL);
    HS_ASSERT(app->group == NULL);
    HS_ASSERT(!app->shards && !app->tls_box);
    HS_TRY(app->err);
    HS_ENSURE(options->listen_len >= 1 && options->listen_len <= HS_APP_LISTEN_MAX, HS_E_USAGE);
    app->options = *options;
    int locks[HS_APP_LISTEN_MAX];
    hs_err err = app_tls_open(app);
    if (hs_ok(err))
        err = app_client_open(app);
    lock_ports(app, locks);
    if (hs_ok(err))
        err = open_addrs(app);
    if (hs_ok(err))
        err = start_group(app);
    unlock_ports(locks);
    leave_unixes(app);
    if (!hs_ok(err)) {
        app_client_close(app);
        app_tls_close(app);
    }
    return err;
}

const hs_addr *hs_app_listen_addr(const hs_app *app, uint32_t at)
{
    HS_ASSERT(at < app->options.listen_len);
    return &app->listen[at];
}

hs_group *hs_app_group(hs_app *app)
{
    return app->group;
}

void hs_app_stop(hs_app *app)
{
    atomic_store(&app->stop_asked, 1);
    lock_group(app);
    if (app->group)
        hs_group_stop(app->group);
    unlock_group(app);
}

void hs_app_abort(hs_app *app)
{
    atomic_store(&app->abort_asked, 1);
    lock_group(app);
    if (app->group)
        hs_group_end_within(app->group, HS_END_MS);
    unlock_group(app);
}

/* What the shards hold stays, and so does the application, to which it refers; where a leak
 * detector finds it. */
static uint64_t leave_shards(hs_app *app)
{
    static hs_app *volatile left;
    app->left_before = left;
    left = app;
    app->left = true;
    return UINT64_MAX;
}

uint64_t hs_app_join(hs_app *app)
{
    HS_ASSERT(app->group != NULL);
    uint64_t cut_off = 0;
    hs_group *group = app->group;
    hs_group_wait(group);
    group_set(app, NULL);
    if (!hs_group_join(group))
        return leave_shards(app);
    atomic_store(&app->stop_asked, 0);
    atomic_store(&app->abort_asked, 0);
    for (uint32_t i = 0; i < app->shards_len; i++)
        cut_off += app->shards[i].cut_off;
    hs_mem_give(app->mem, app->shards, shards_bytes(app), HS_CACHE_LINE);
    app->shards = NULL;
    app_client_close(app);
    app_tls_close(app);
    return cut_off;
}
