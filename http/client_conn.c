/* One connection of the client: dialled, taken through a proxy, made secure, at work, at rest,
 * gone.
 *
 * Owns: its state, and what it tells of itself. It takes nothing while it rests: bytes that come
 * then are an answer that nobody asked for, and it is cut off. Must not know: HTTP.
 * Tested by: tests/unit/http_fetch_pool.c, tests/unit/http_fetch_cancel.c,
 * tests/unit/http_fetch_proxy.c.
 *
 * The way to a stream on which a request can be sent:
 *
 *   to the host          DIALS                               -> SHAKES if https -> HEARS -> WORKS
 *   any, by SOCKS        DIALS -> TUNNELS -> SHAKES if https                    -> HEARS -> WORKS
 *   http, by a proxy     DIALS -> MEETS if it is https                          -> HEARS -> WORKS
 *   https, by a proxy    DIALS -> MEETS if it is https -> TUNNELS -> SHAKES     -> HEARS -> WORKS
 */
#include "client.h"

/* What is offered to servers of https. */
static const hs_span alpn = {(const uint8_t *)"http/1.1", 8};

static void conn_free(client_conn *c)
{
    hs_client *client = c->client;
    HS_ASSERT(!c->fetch && !c->origin);
    hs_timer_cancel(client->shard, &c->hear_timer);
    hs_cancel_unref(c->cancel);
    c->cancel = NULL;
    c->gone = true;
    if (c->heard.fn)
        return;
    hs_list_remove(&c->link);
    hs_pool_give(&client->conn_slots, c);
}

/* It is nobody's any more: somebody else may go on. */
static void uncount(client_conn *c)
{
    hs_client *client = c->client;
    client_pool_uncount(c);
    if (client->queued > 0 && !client->serve.fn)
        client->events->serve(client);
}

/* It was given up on its way; its fetch is told. */
static void give_up(client_conn *c, hs_err err, const char *text)
{
    hs_client *client = c->client;
    fetch *f = c->fetch;
    HS_ASSERT(f && f->conn == c);
    client_conn_drop(c);
    client->events->failed(f, err, text);
}

/* ---- the stream's events ---- */

static void on_answer(client_conn *c, hs_span bytes);

static void on_data(hs_stream *s, hs_span bytes)
{
    client_conn *c = s->owner;
    HS_ASSERT(c->stream == s);
    if (c->state == CONN_WORKS || c->state == CONN_HEARS)
        c->client->events->data(c->fetch, bytes);
    else if (c->state == CONN_TUNNELS)
        on_answer(c, bytes);
    else if (c->state == CONN_RESTS)
        client_conn_drop(c);
}

static void on_end(hs_stream *s)
{
    client_conn *c = s->owner;
    HS_ASSERT(c->stream == s);
    if (c->state == CONN_WORKS || c->state == CONN_HEARS)
        c->client->events->end(c->fetch);
    else if (c->state == CONN_TUNNELS)
        give_up(c, hs_err_of(HS_E_TRUNCATED), client_tunnel_cut_off(c));
    else if (c->state == CONN_RESTS)
        client_conn_close(c);
}

static void on_drained(hs_stream *s)
{
    client_conn *c = s->owner;
    if (c->state == CONN_WORKS)
        c->client->events->drained(c->fetch);
}

static void on_closed(hs_stream *s, hs_err why)
{
    client_conn *c = s->owner;
    hs_client *client = c->client;
    fetch *f = c->fetch;
    bool sent = hs_stream_sent(s) != c->sent_mark, tunnels = c->state == CONN_TUNNELS;
    const char *cut_off = tunnels ? client_tunnel_cut_off(c) : NULL;
    if (c->state == CONN_RESTS)
        client_pool_unrest(c);
    c->state = CONN_ENDS;
    c->stream = NULL;
    c->fetch = NULL;
    uncount(c);
    conn_free(c);
    if (f && tunnels) {
        f->conn = NULL;
        client->events->failed(f, hs_ok(why) ? hs_err_of(HS_E_TRUNCATED) : why, cut_off);
    } else if (f) {
        f->conn = NULL;
        client->events->closed(f, why, sent);
    } else {
        client_look(client);
    }
}

static const hs_stream_events events = {on_data, on_end, on_drained, on_closed};

/* ---- the way to a stream ---- */

/* It could not be made. */
static void fail(client_conn *c, hs_err err, const char *text)
{
    hs_client *client = c->client;
    fetch *f = c->fetch;
    HS_ASSERT(f && f->conn == c);
    f->conn = NULL;
    c->fetch = NULL;
    uncount(c);
    conn_free(c);
    client->events->failed(f, err, text);
}

/* Two turns have passed: what the server said before we did has been heard. */
static void on_heard(hs_task *task)
{
    client_conn *c = HS_CONTAINER_OF(task, client_conn, heard);
    hs_client *client = c->client;
    if (c->gone) {
        conn_free(c);
        client_look(client);
    } else if (c->state == CONN_HEARS) {
        c->state = CONN_WORKS;
        client->events->ready(c->fetch);
    }
}

static void on_hear_timer(hs_timer *timer)
{
    client_conn *c = HS_CONTAINER_OF(timer, client_conn, hear_timer);
    hs_task_post(c->client->shard, &c->heard, on_heard);
}

/* The stream is the connection's from now on, and hears. */
static void take_stream(client_conn *c, hs_stream *s, conn_state state)
{
    HS_ASSERT(c->fetch && !c->stream);
    c->stream = s;
    c->state = (uint8_t)state;
    s->owner = c;
    s->events = &events;
    c->sent_mark = hs_stream_sent(s);
    hs_stream_resume(s);
}

/* There is a stream. A request that goes out at once could not be told from one that follows a
 * response: the next turn's timer, and the turn's task after it, leave time to hear that. */
static void work(client_conn *c, hs_stream *s)
{
    hs_shard *shard = c->client->shard;
    hs_cancel_unref(c->cancel);
    c->cancel = NULL;
    c->fetch->at_proxy = false;
    c->info = hs_secure_info_of(s);
    /* Nothing else was offered; a response may stay when the stream is gone. */
    if (c->info.alpn.len > 0)
        c->info.alpn = alpn;
    take_stream(c, s, CONN_HEARS);
    if (!hs_ok(hs_timer_set(shard, &c->hear_timer, hs_shard_now_ns(shard), on_hear_timer)))
        on_hear_timer(&c->hear_timer);
}

/* Ask the proxy for a tunnel. */
static void tunnel(client_conn *c, hs_stream *s)
{
    HS_ASSERT(client_tunnel_needed(c->fetch));
    take_stream(c, s, CONN_TUNNELS);
    c->client->events->phase(c->fetch, HS_FETCH_TUNNEL);
    hs_err err = client_tunnel_ask(c);
    /* A stream that takes nothing any more will say why. */
    if (!hs_ok(err) && hs_stream_writable(s))
        give_up(c, err, NULL);
}

static void on_secured(hs_reaction *reaction, hs_outcome o)
{
    client_conn *c = HS_CONTAINER_OF(reaction, client_conn, reaction);
    if (hs_ok(o.err)) {
        bool met = c->state == CONN_MEETS;
        if (met && client_secure(&c->fetch->url))
            tunnel(c, o.value);
        else
            work(c, o.value);
        return;
    }
    hs_secure_error *e = o.value;
    fail(c, o.err, e && e->text[0] ? e->text : NULL);
    hs_secure_error_free(e);
}

/* The handshake with `host`: the proxy, whose certificate is always looked at, or the origin. */
static void secure(client_conn *c, hs_stream *s, hs_span host, conn_state state)
{
    const fetch *f = c->fetch;
    hs_client *client = c->client;
    hs_secure *maker = client->options.secure;
    HS_ASSERT(maker && host.len > 0);
    HS_ASSERT(state == CONN_SHAKES || state == CONN_MEETS);
    if (host.ptr[0] == '[')
        host = hs_span_of(host.ptr + 1, host.len - 2);
    uint32_t port = state == CONN_MEETS ? f->via->port : hs_url_port(&f->url);
    hs_secure_options o = {.host = host,
                           .port = (uint16_t)port,
                           .handshake_ms = f->times.tls_ms,
                           .alpn = &alpn,
                           .alpn_len = 1,
                           .unverified = client->options.unverified && state == CONN_SHAKES,
                           .cancel = c->cancel};
    c->state = (uint8_t)state;
    client->events->phase(c->fetch, HS_FETCH_TLS);
    hs_react(maker->start(maker, s, &o), &c->reaction, on_secured);
}

/* ---- a stream between two users ---- */

static void nobody_data(hs_stream *s, hs_span bytes)
{
    (void)s, (void)bytes;
}

static void nobody_heard(hs_stream *s)
{
    (void)s;
}

static void nobody_closed(hs_stream *s, hs_err why)
{
    (void)s, (void)why;
}

static const hs_stream_events nobody = {nobody_data, nobody_heard, nobody_heard, nobody_closed};

/* A piece of the proxy's answer. With the last one the stream is the host's. */
static void on_answer(client_conn *c, hs_span bytes)
{
    const char *text = NULL;
    hs_err err = client_tunnel_read(c, bytes, &text);
    if (!hs_ok(err)) {
        give_up(c, err, text);
        return;
    }
    if (!client_tunnel_is_open(c))
        return;
    hs_stream *s = c->stream;
    s->events = &nobody;
    c->stream = NULL;
    c->answer = NULL;
    c->socks = NULL;
    c->fetch->at_proxy = false;
    if (client_secure(&c->fetch->url))
        secure(c, s, c->fetch->url.host, CONN_SHAKES);
    else
        work(c, s);
}

static void on_dialled(hs_reaction *reaction, hs_outcome o)
{
    client_conn *c = HS_CONTAINER_OF(reaction, client_conn, reaction);
    if (!hs_ok(o.err)) {
        hs_dial_error_free(o.value);
        fail(c, o.err, NULL);
        return;
    }
    hs_count(hs_shard_counters(c->client->shard), c->client->count_dialled, 1);
    c->born_ns = client_now(c->client);
    const fetch *f = c->fetch;
    bool https = client_secure(&f->url);
    if (f->via && f->via->secure)
        secure(c, o.value, f->via->host, CONN_MEETS);
    else if (client_tunnel_needed(f))
        tunnel(c, o.value);
    else if (https)
        secure(c, o.value, f->url.host, CONN_SHAKES);
    else
        work(c, o.value);
}

/* Asked of each address just before it is tried: the first ends the phase of looking up. */
static hs_err on_allow(const hs_addr *addr, void *ctx)
{
    client_conn *c = ctx;
    const hs_client_options *o = &c->client->options;
    HS_ASSERT(c->fetch != NULL);
    if (!c->tried)
        c->client->events->phase(c->fetch, HS_FETCH_CONNECT);
    c->tried = true;
    if (c->fetch->guarded)
        HS_TRY(hs_guard_check(addr, (void *)o->guard));
    return o->allow ? o->allow(addr, o->ctx) : HS_OK;
}

hs_err client_conn_open(fetch *f, client_origin *o)
{
    hs_client *client = f->client;
    HS_ASSERT(!f->conn && !f->origin);
    hs_span host = f->via ? f->via->host : f->url.host;
    uint16_t port = f->via ? f->via->port : (uint16_t)hs_url_port(&f->url);
    client_route(client, &host, &port);
    if (f->zone > 0 && host.ptr == f->url.host.ptr)
        HS_TRY(fetch_zone_host(f, &host));
    client_conn *c = hs_pool_take(&client->conn_slots);
    hs_cancel *cancel = c ? hs_cancel_create(client->shard) : NULL;
    if (!cancel) {
        if (c)
            hs_pool_give(&client->conn_slots, c);
        return hs_err_of(-ENOMEM);
    }
    *c = (client_conn){.client = client, .fetch = f, .cancel = cancel, .opening = true};
    hs_list_init(&c->link);
    hs_list_init(&c->rest);
    hs_list_init(&c->oldest);
    hs_list_push_back(&client->conns, &c->link);
    client_pool_count(c, o);
    f->conn = c;
    client->events->phase(f, HS_FETCH_RESOLVE);
    hs_dial_options d = {.cancel = cancel,
                         .resolve_ms = f->times.resolve_ms,
                         .connect_ms = f->times.connect_ms,
                         .dns = client->options.dns,
                         .allow = on_allow,
                         .ctx = c};
    f->at_proxy = f->via != NULL;
    const hs_addr *to = client->options.connect_to;
    HS_ASSERT(!(to && f->via));
    hs_promise *dialled =
        to ? hs_dial_addr(client->tcp, to, &d) : hs_dial(client->tcp, host, port, &d);
    c->opening = false;
    if (c->fetch) {
        hs_react(dialled, &c->reaction, on_dialled);
    } else {
        /* Whoever was asked about the address has ended the fetch. */
        hs_promise_ignore(dialled);
        conn_free(c);
    }
    return HS_OK;
}

/* ---- work, rest, ends ---- */

void client_conn_give(client_conn *c, fetch *f)
{
    HS_ASSERT(c->state == CONN_RESTS && !c->fetch);
    HS_ASSERT(!f->conn);
    c->state = CONN_WORKS;
    c->fetch = f;
    c->sent_mark = hs_stream_sent(c->stream);
    f->conn = c;
    c->client->events->ready(f);
}

static bool may_rest(const client_conn *c)
{
    const hs_client *client = c->client;
    uint64_t age_ns = client_now(client) - c->born_ns;
    return !client->draining && hs_stream_writable(c->stream) &&
           age_ns < client->options.age_ms_max * HS_MSEC_NS;
}

/* Close what rests for too long, and look again when the next will. */
static void on_rest_timer(hs_timer *timer)
{
    hs_client *client = HS_CONTAINER_OF(timer, hs_client, rest_timer);
    uint64_t now = client_now(client), rest_ns = client->options.idle_ms_max * HS_MSEC_NS;
    while (!hs_list_empty(&client->resting)) {
        client_conn *c = HS_CONTAINER_OF(client->resting.next, client_conn, oldest);
        bool old = now - c->rest_ns >= rest_ns;
        if (!old && hs_ok(hs_timer_set(client->shard, timer, c->rest_ns + rest_ns, on_rest_timer)))
            return;
        client_conn_close(c);
    }
}

void client_conn_rest(client_conn *c)
{
    HS_ASSERT(c->state == CONN_WORKS && c->fetch);
    hs_client *client = c->client;
    c->fetch->conn = NULL;
    c->fetch = NULL;
    c->uses++;
    if (!may_rest(c)) {
        client_conn_close(c);
        return;
    }
    c->state = CONN_RESTS;
    client_pool_rest(c);
    if (!hs_timer_active(&client->rest_timer)) {
        on_rest_timer(&client->rest_timer);
        if (c->state != CONN_RESTS)
            return; /* no memory for a timer */
    }
    if (client->queued > 0 && !client->serve.fn)
        client->events->serve(client);
}

/* Give up what is not a stream yet. */
static void stop_opening(client_conn *c)
{
    HS_ASSERT(c->state == CONN_DIALS || c->state == CONN_MEETS || c->state == CONN_SHAKES);
    hs_cancel *cancel = c->cancel;
    bool opening = c->opening;
    c->cancel = NULL;
    if (!opening)
        hs_react_cancel(&c->reaction);
    hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
    hs_cancel_unref(cancel);
    uncount(c);
    if (!opening)
        conn_free(c);
}

void client_conn_drop(client_conn *c)
{
    if (c->state == CONN_RESTS)
        client_pool_unrest(c);
    if (c->fetch)
        c->fetch->conn = NULL;
    c->fetch = NULL;
    if (!c->stream) {
        stop_opening(c);
        return;
    }
    c->state = CONN_ENDS;
    uncount(c);
    hs_stream_abort(c->stream);
}

void client_conn_close(client_conn *c)
{
    HS_ASSERT(c->stream != NULL);
    if (c->state == CONN_RESTS && !hs_list_empty(&c->rest))
        client_pool_unrest(c);
    if (c->fetch)
        c->fetch->conn = NULL;
    c->fetch = NULL;
    c->state = CONN_ENDS;
    uncount(c);
    hs_stream_close(c->stream);
}
