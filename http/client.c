/* A client: its options, its making and its end. See hs_fetch.h. */
#include "client.h"

static uint32_t or_else(uint32_t value, uint32_t none)
{
    return value ? value : none;
}

/* Fill in what was left out. */
static void set_defaults(hs_client_options *o)
{
    hs_fetch_times *t = &o->times;
    o->conns_per_origin = or_else(o->conns_per_origin, 64);
    o->conns_max = or_else(o->conns_max, 1024);
    o->queue_max = or_else(o->queue_max, 16384);
    o->idle_ms_max = or_else(o->idle_ms_max, 30 * 1000);
    o->age_ms_max = or_else(o->age_ms_max, 600 * 1000);
    o->head_bytes_max = or_else(o->head_bytes_max, 256 * 1024);
    o->fields_max = or_else(o->fields_max, H1_RESPONSE_FIELDS_MAX);
    o->body_bytes_max = o->body_bytes_max ? o->body_bytes_max : 16 * 1024 * 1024;
    o->decoded_bytes_free = o->decoded_bytes_free ? o->decoded_bytes_free : CODING_SLACK_BYTES;
    o->decoded_ratio_max = or_else(o->decoded_ratio_max, CODING_RATIO_MAX);
    t->queue_ms = or_else(t->queue_ms, 30 * 1000);
    t->resolve_ms = or_else(t->resolve_ms, 5 * 1000);
    t->connect_ms = or_else(t->connect_ms, 10 * 1000);
    t->tunnel_ms = or_else(t->tunnel_ms, 10 * 1000);
    t->tls_ms = or_else(t->tls_ms, 10 * 1000);
    t->first_byte_ms = or_else(t->first_byte_ms, 60 * 1000);
    t->idle_ms = or_else(t->idle_ms, 30 * 1000);
    t->total_ms = or_else(t->total_ms, HS_FETCH_NEVER);
}

static bool options_fit(const hs_client_options *o)
{
    return o->conns_max <= HS_CONNS_MAX && o->head_bytes_max >= 64 &&
           o->head_bytes_max <= H1_RESPONSE_BYTES_MAX && o->fields_max <= H1_RESPONSE_FIELDS_MAX &&
           o->body_bytes_max < SIZE_MAX / 4;
}

static bool trim_client(hs_trim *trim)
{
    hs_client *client = HS_CONTAINER_OF(trim, hs_client, trim);
    bool conns = hs_shard_trim_pool(&client->conn_slots);
    bool fetches = hs_shard_trim_pool(&client->fetch_slots);
    return conns || fetches;
}

static hs_err register_counters(hs_client *client)
{
    hs_counters *c = hs_shard_counters(client->shard);
    HS_TRY(hs_counters_register(c, "fetch_started", &client->count_started));
    HS_TRY(hs_counters_register(c, "fetch_failed", &client->count_failed));
    HS_TRY(hs_counters_register(c, "fetch_dialled", &client->count_dialled));
    HS_TRY(hs_counters_register(c, "fetch_reused", &client->count_reused));
    return hs_counters_register(c, "fetch_repeated", &client->count_repeated);
}

/* What can fail. What was made is given back by client_free. */
static hs_err make_parts(hs_client *client)
{
    const hs_mem *mem = hs_shard_mem(client->shard);
    HS_TRY(client_tunnel_proxies(client));
    HS_TRY(client_routes_read(client));
    HS_TRY(register_counters(client));
    HS_TRY(hs_pool_init(&client->conn_slots, mem, sizeof(client_conn), HS_CONNS_MAX));
    HS_TRY(hs_pool_init(&client->fetch_slots, mem, sizeof(fetch), FETCHES_MAX));
    if (client->tcp)
        return HS_OK;
    HS_TRY(hs_tcp_create(client->shard, &(hs_tcp_options){0}, &client->tcp));
    client->own_tcp = true;
    return HS_OK;
}

hs_err hs_client_create(hs_shard *shard, const hs_client_options *options, hs_client **out)
{
    hs_client_options o = options ? *options : (hs_client_options){0};
    HS_ASSERT(shard == hs_shard_self() && out != NULL);
    set_defaults(&o);
    HS_ENSURE(options_fit(&o), HS_E_USAGE);
    hs_client *client = hs_mem_take_zero(hs_shard_mem(shard), sizeof *client, 16);
    HS_ENSURE(client, -ENOMEM);
    uint64_t seed[2] = {hs_shard_random(shard), hs_shard_random(shard)};
    client->shard = shard;
    client->options = o;
    client->limits = (h1_limits){.head_bytes_max = o.head_bytes_max,
                                 .target_bytes_max = o.head_bytes_max,
                                 .fields_max = o.fields_max};
    client->events = &fetch_events;
    client->tcp = o.tcp;
    hs_arena_init(&client->proxy_arena, client_chunks(client), SIZE_MAX / 2);
    hs_map_init(&client->origins, hs_shard_mem(shard), FETCHES_MAX, seed);
    hs_list_init(&client->conns);
    hs_list_init(&client->resting);
    hs_heap_init(&client->waiting, hs_shard_mem(shard), FETCHES_MAX);
    hs_list_init(&client->active);
    hs_list_init(&client->done);
    hs_err err = make_parts(client);
    if (!hs_ok(err)) {
        client_free(client);
        return err;
    }
    client->trim.fn = trim_client;
    hs_shard_trim_add(shard, &client->trim);
    *out = client;
    return HS_OK;
}

void hs_client_drain(hs_client *client)
{
    HS_ASSERT(client->shard == hs_shard_self());
    client->draining = true;
    while (!hs_list_empty(&client->resting))
        client_conn_close(HS_CONTAINER_OF(client->resting.next, client_conn, oldest));
}

void hs_client_destroy(hs_client *client)
{
    if (!client)
        return;
    HS_ASSERT(client->shard == hs_shard_self());
    HS_ASSERT(!client->destroyed);
    hs_client_drain(client);
    while (!hs_list_empty(&client->active)) {
        fetch *f = HS_CONTAINER_OF(client->active.next, fetch, link);
        fetch_enter(f);
        fetch_fail(f, hs_err_of(HS_E_CLOSED), "the client has ended");
        fetch_leave(f);
    }
    hs_list_each (l, &client->conns) {
        client_conn *c = HS_CONTAINER_OF(l, client_conn, link);
        HS_ASSERT(c->state == CONN_ENDS);
        if (c->stream)
            hs_stream_abort(c->stream);
    }
    hs_timer_cancel(client->shard, &client->rest_timer);
    hs_microtask_cancel(&client->serve);
    hs_shard_trim_remove(&client->trim);
    client->destroyed = true;
    client_look(client);
}

uint32_t hs_client_conns(const hs_client *client)
{
    return client->counted;
}

uint32_t hs_client_waiting(const hs_client *client)
{
    return client->queued;
}
