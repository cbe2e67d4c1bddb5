/* The client's pool: which connections there are to whom, and who waits for one.
 *
 * Owns: origins, counts, the order in which resting connections are taken and waiting fetches
 * served. Must not know: what a connection is made of, or how it ends.
 * Tested by: tests/unit/http_fetch_pool.c.
 *
 * Of an origin's resting connections the one that was used last is taken first, so that the others
 * grow old and are closed. Of the fetches that could go on the one that waits for longest does:
 * none can be passed by for ever. */
#include "client.h"

/* Two letters and whom the requests of its connections go to. A client has one proxy for each
 * scheme, for all of its life, so that a letter says which. */
static size_t put_key(uint8_t *key, const fetch *f)
{
    const hs_url *url = &f->url;
    bool secure = client_secure(url), asked = client_tunnel_asks(f);
    hs_span host = asked ? f->via->host : url->host;
    size_t len = 0;
    key[len++] = f->guarded ? 'g' : 'a';
    key[len++] = (uint8_t)(f->via ? (secure ? 't' : 'v') : (secure ? 's' : 'p'));
    memcpy(key + len, host.ptr, host.len);
    len += host.len;
    if (f->zone > 0 && !asked) {
        key[len++] = '%';
        len += hs_fmt_u64((char *)key + len, f->zone);
    }
    key[len++] = ':';
    len += hs_fmt_u64((char *)key + len, asked ? f->via->port : hs_url_port(url));
    return len;
}

client_origin *client_pool_origin(hs_client *client, const fetch *f)
{
    uint8_t key[ORIGIN_KEY_MAX + 20];
    HS_ASSERT(f->url.host.len > 0 && f->url.host.len <= HOST_BYTES_MAX);
    size_t len = put_key(key, f);
    HS_ASSERT(len <= ORIGIN_KEY_MAX);
    client_origin *o = hs_map_get(&client->origins, hs_span_of(key, len));
    if (o)
        return o;
    const hs_mem *mem = hs_shard_mem(client->shard);
    o = hs_mem_take_zero(mem, sizeof *o, 16);
    if (!o)
        return NULL;
    hs_list_init(&o->resting);
    hs_list_init(&o->waiters);
    memcpy(o->key, key, len);
    o->key_len = (uint16_t)len;
    if (hs_ok(hs_map_set(&client->origins, hs_span_of(o->key, len), o, NULL)))
        return o;
    hs_mem_give(mem, o, sizeof *o, 16);
    return NULL;
}

void client_pool_origin_look(hs_client *client, client_origin *o)
{
    if (o->conns > 0 || !hs_list_empty(&o->waiters))
        return;
    HS_ASSERT(hs_list_empty(&o->resting));
    HS_ASSERT(!hs_heap_has(&o->waiting));
    hs_map_remove(&client->origins, hs_span_of(o->key, o->key_len));
    hs_mem_give(hs_shard_mem(client->shard), o, sizeof *o, 16);
}

/* ---- the order of those that wait ----
 *
 * A heap of the origins where fetches wait. An origin is ordered by its first waiter, as long as
 * its own limit lets that go on: there is a resting connection, or room for one more. The client's
 * limit is the same for all of them. */

#define BLOCKED UINT64_MAX

static uint64_t order_of(const hs_client *client, const client_origin *o)
{
    bool open = !hs_list_empty(&o->resting) || o->conns < client->options.conns_per_origin;
    HS_ASSERT(!hs_list_empty(&o->waiters));
    return open ? HS_CONTAINER_OF(o->waiters.next, fetch, wait)->seq : BLOCKED;
}

/* Something of the origin's has changed. */
static void reorder(hs_client *client, client_origin *o)
{
    if (o && hs_heap_has(&o->waiting))
        hs_heap_move(&client->waiting, &o->waiting, order_of(client, o));
}

/* ---- connections ---- */

client_conn *client_pool_take(hs_client *client, client_origin *o)
{
    if (hs_list_empty(&o->resting))
        return NULL;
    client_conn *c = HS_CONTAINER_OF(o->resting.next, client_conn, rest);
    HS_ASSERT(c->client == client);
    HS_ASSERT(c->state == CONN_RESTS);
    client_pool_unrest(c);
    return c;
}

void client_pool_unrest(client_conn *c)
{
    HS_ASSERT(!c->fetch);
    hs_list_remove(&c->rest);
    hs_list_remove(&c->oldest);
    reorder(c->client, c->origin);
}

void client_pool_rest(client_conn *c)
{
    HS_ASSERT(c->origin && !c->fetch);
    c->rest_ns = client_now(c->client);
    /* First in the one list, and last in the other. */
    hs_list_push_back(c->origin->resting.next, &c->rest);
    hs_list_push_back(&c->client->resting, &c->oldest);
    reorder(c->client, c->origin);
}

void client_pool_count(client_conn *c, client_origin *o)
{
    HS_ASSERT(!c->origin);
    c->origin = o;
    o->conns++;
    c->client->counted++;
    reorder(c->client, o);
}

void client_pool_uncount(client_conn *c)
{
    client_origin *o = c->origin;
    if (!o)
        return;
    HS_ASSERT(o->conns > 0 && c->client->counted > 0);
    c->origin = NULL;
    o->conns--;
    c->client->counted--;
    reorder(c->client, o);
    client_pool_origin_look(c->client, o);
}

/* Whether any origin may have another connection, if need be in place of a resting one. */
static bool has_room(const hs_client *client)
{
    return client->counted < client->options.conns_max || !hs_list_empty(&client->resting);
}

bool client_pool_may_open(const hs_client *client, const client_origin *o)
{
    return o->conns < client->options.conns_per_origin && has_room(client);
}

/* ---- who waits ---- */

hs_err client_pool_wait(fetch *f, client_origin *o)
{
    hs_client *client = f->client;
    HS_ASSERT(!f->origin && !f->conn);
    HS_ENSURE(client->queued < client->options.queue_max, HS_E_LIMIT);
    f->seq = client->seq;
    hs_list_push_back(&o->waiters, &f->wait);
    if (!hs_heap_has(&o->waiting)) {
        hs_err err = hs_heap_add(&client->waiting, &o->waiting, order_of(client, o));
        if (!hs_ok(err)) {
            hs_list_remove(&f->wait);
            return err;
        }
    }
    f->origin = o;
    client->seq++;
    client->queued++;
    return HS_OK;
}

void client_pool_unwait(fetch *f)
{
    client_origin *o = f->origin;
    hs_client *client = f->client;
    HS_ASSERT(o != NULL && client->queued > 0);
    f->origin = NULL;
    client->queued--;
    hs_list_remove(&f->wait);
    if (!hs_list_empty(&o->waiters)) {
        reorder(client, o);
        return;
    }
    hs_heap_cancel(&client->waiting, &o->waiting);
    client_pool_origin_look(client, o);
}

fetch *client_pool_next(const hs_client *client)
{
    /* Without room in all nothing rests anywhere. */
    if (!has_room(client) || hs_heap_next(&client->waiting) == BLOCKED)
        return NULL;
    const client_origin *o = HS_CONTAINER_OF(client->waiting.items[0].node, client_origin, waiting);
    fetch *f = HS_CONTAINER_OF(o->waiters.next, fetch, wait);
    HS_ASSERT(f->origin == o && f->seq == hs_heap_next(&client->waiting));
    return f;
}
