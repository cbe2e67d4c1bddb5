/* The state machine of a fetch: from a request to a connection, through the response, to what comes
 * of it.
 *
 * Owns: the phases and their order. It hears the connection (client_events), and decides; the
 * pieces of work are other files'. Must not know: how bytes travel, or what a URL is.
 * Tested by: tests/unit/http_fetch*.c.
 *
 *   QUEUE -> RESOLVE -> CONNECT -> TUNNEL -> TLS -> SEND -> WAIT -> HEAD -> BODY -> DONE
 *     ^                                                              |
 *     +------------- PAUSE <------- repeated, redirected ------------+ */
#include <inttypes.h>
#include <stdio.h>

#include "client.h"

/* A phase begins; the one before it took so long. */
static void go(fetch *f, hs_fetch_phase phase)
{
    hs_fetch_timing *t = &f->res.timing;
    uint64_t took = client_now(f->client) - f->since_ns;
    HS_ASSERT(f->phase != HS_FETCH_DONE);
    if (f->phase == HS_FETCH_QUEUE)
        t->queue_ns = took;
    else if (f->phase == HS_FETCH_RESOLVE)
        t->resolve_ns = took;
    else if (f->phase == HS_FETCH_CONNECT)
        t->connect_ns = took;
    else if (f->phase == HS_FETCH_TUNNEL)
        t->tunnel_ns = took;
    else if (f->phase == HS_FETCH_TLS)
        t->tls_ns += took; /* of the proxy, too */
    fetch_time_phase(f, phase);
}

/* ---- to a connection ---- */

/* `f` goes on with a new connection, since others that rest may be closed already, too: one of them
 * makes room for it, where there is none. */
static void make_room(hs_client *client, const client_origin *o)
{
    if (o->conns >= client->options.conns_per_origin && !hs_list_empty(&o->resting))
        client_conn_close(HS_CONTAINER_OF(o->resting.prev, client_conn, rest));
}

/* `f` goes on: there is a connection for it, or may be. */
static void hand(fetch *f)
{
    hs_client *client = f->client;
    client_origin *o = client_pool_origin(client, f);
    client_conn *c = o && !f->stale_once ? client_pool_take(client, o) : NULL;
    if (c) {
        f->res.reused = true;
        hs_count(hs_shard_counters(client->shard), client->count_reused, 1);
        client_conn_give(c, f);
        return;
    }
    if (o && f->stale_once) {
        make_room(client, o);
        o = client_pool_origin(client, f); /* it may have gone with its last connection */
    }
    if (o && client->counted >= client->options.conns_max) {
        HS_ASSERT(!hs_list_empty(&client->resting));
        client_conn_close(HS_CONTAINER_OF(client->resting.next, client_conn, oldest));
        o = client_pool_origin(client, f); /* as above */
    }
    hs_err err = o ? client_conn_open(f, o) : hs_err_of(-ENOMEM);
    if (hs_ok(err))
        return;
    if (o)
        client_pool_origin_look(client, o);
    fetch_fail(f, err, NULL);
}

static void on_serve(hs_microtask *task)
{
    hs_client *client = HS_CONTAINER_OF(task, hs_client, serve);
    fetch *f;
    while ((f = client_pool_next(client))) {
        fetch_enter(f);
        client_pool_unwait(f);
        hand(f);
        fetch_leave(f);
    }
}

static void ev_serve(hs_client *client)
{
    if (!client->serve.fn)
        hs_microtask_post(client->shard, &client->serve, on_serve);
}

/* Wait behind the others, who are looked at soon. */
static void stand_in_line(fetch *f)
{
    client_origin *o = client_pool_origin(f->client, f);
    hs_err err = o ? client_pool_wait(f, o) : hs_err_of(-ENOMEM);
    if (hs_ok(err)) {
        ev_serve(f->client);
        return;
    }
    if (o)
        client_pool_origin_look(f->client, o);
    fetch_fail(f, err, err.code == HS_E_LIMIT ? "too many fetches wait for a connection" : NULL);
}

void fetch_run(fetch *f)
{
    hs_client *client = f->client;
    HS_ASSERT(f->depth > 0);
    HS_ASSERT(!f->conn && !f->origin);
    bool redirected = f->res.redirected;
    f->res = (hs_fetch_res){.redirected = redirected};
    f->then = THEN_TELL;
    f->mode = BODY_KEPT;
    f->discarded = 0;
    f->reply.begun = false;
    f->sink.left = f->sink.source.length;
    if (f->sink.ours)
        fetch_file_rewind(&f->sink);
    f->via = client_tunnel_via(f);
    f->at_proxy = false;
    fetch_time_phase(f, HS_FETCH_QUEUE);
    if (f->via && f->via->fault) {
        fetch_fail(f, hs_err_of(HS_E_USAGE), f->via->fault);
        return;
    }
    if (f->via && f->guarded) {
        /* What it looks up, and where it goes, nobody here can see. */
        fetch_fail(f, hs_err_of(HS_E_FORBIDDEN), "a guarded fetch does not go through a proxy");
        return;
    }
    client_origin *o = client_pool_origin(client, f);
    if (!o) {
        fetch_fail(f, hs_err_of(-ENOMEM), NULL);
        return;
    }
    bool now = !hs_list_empty(&o->resting) || client_pool_may_open(client, o);
    if (now && client->queued == 0)
        hand(f);
    else
        stand_in_line(f);
}

/* Once more, after a while. */
static void run_again(fetch *f)
{
    hs_count(hs_shard_counters(f->client->shard), f->client->count_repeated, 1);
    go(f, HS_FETCH_PAUSE);
}

/* ---- the request ---- */

static uint32_t stream_sent(const fetch *f)
{
    return hs_stream_sent(f->conn->stream);
}

/* Whether all of it is out: then the response is waited for. */
static void look_sent(fetch *f)
{
    if (f->phase == HS_FETCH_SEND && f->sent_all && hs_stream_unsent(f->conn->stream) == 0)
        go(f, HS_FETCH_WAIT);
}

/* After a step of sending. A stream that takes nothing any more will say why. */
static void sent_step(fetch *f, hs_err err)
{
    if (f->phase == HS_FETCH_DONE || !f->conn)
        return;
    if (!hs_ok(err) && hs_stream_writable(f->conn->stream))
        fetch_fail(f, err, NULL);
    else
        look_sent(f);
}

static void ev_ready(fetch *f)
{
    fetch_enter(f);
    go(f, HS_FETCH_SEND);
    f->ready_ns = f->since_ns;
    f->sent_seen = stream_sent(f);
    f->res.secure = f->conn->info;
    f->held = false;
    reply_init(&f->reply, &f->arena, (hs_method)f->method, &f->client->limits);
    sent_step(f, fetch_send_start(f));
    fetch_leave(f);
}

static void ev_drained(fetch *f)
{
    fetch_enter(f);
    sent_step(f, f->sent_all ? HS_OK : fetch_send_more(f));
    fetch_leave(f);
}

void hs_fetch_end(hs_fetch_sink *sink, hs_err why)
{
    static const char no_body[] = "the request's body could not be made";
    fetch *f = HS_CONTAINER_OF(sink, fetch, sink);
    HS_ASSERT(f->client->shard == hs_shard_self());
    fetch_enter(f);
    hs_err err = fetch_send_end(f, why);
    if (f->phase != HS_FETCH_DONE && !hs_ok(err))
        fetch_fail(f, err, hs_ok(why) || f->sink.text ? f->sink.text : no_body);
    else
        sent_step(f, HS_OK);
    fetch_leave(f);
}

/* ---- the response ---- */

static hs_err copy_fields(fetch *f)
{
    const h1_response *h = &f->reply.head;
    hs_fetch_res *res = &f->res;
    res->status = h->status;
    res->minor = h->minor;
    res->reason = h->reason;
    if (h->fields_len == 0)
        return HS_OK;
    hs_fetch_field *fields = hs_arena_take(&f->arena, h->fields_len * sizeof *fields);
    HS_ENSURE(fields, -ENOMEM);
    for (uint32_t i = 0; i < h->fields_len; i++)
        fields[i] = (hs_fetch_field){.name = h->fields[i].name, .value = h->fields[i].value};
    res->fields = fields;
    res->fields_len = h->fields_len;
    return HS_OK;
}

/* It is the response that was asked for. */
static void tell(fetch *f)
{
    hs_promise *promise = f->promise;
    f->promise = NULL;
    f->res.timing.total_ns = client_now(f->client) - f->start_ns;
    hs_promise_settle(promise, hs_value_owned(&f->res, hs_fetch_res_free));
}

static void on_head(fetch *f)
{
    const char *text = NULL;
    hs_err err = copy_fields(f);
    fetch_cookie_take(f);
    if (hs_ok(err))
        err = fetch_next_look(f, &text);
    if (hs_ok(err) && f->then == THEN_TELL)
        err = hs_url_text(&f->url, &f->arena, false, &f->res.url);
    if (hs_ok(err) && f->then == THEN_TELL)
        err = fetch_body_begin(f, &text);
    if (!hs_ok(err)) {
        fetch_fail(f, err, err.code == -ENOMEM ? NULL : text);
        return;
    }
    go(f, HS_FETCH_BODY);
    if (f->then == THEN_TELL)
        tell(f);
    else
        f->mode = BODY_DROPPED;
}

/* The exchange is over, and its connection is somebody else's. */
static void go_on(fetch *f)
{
    const char *text = NULL;
    HS_ASSERT(!f->conn);
    if (f->then == THEN_TELL) {
        fetch_whole(f);
        return;
    }
    if (f->then == THEN_REPEAT) {
        run_again(f);
        return;
    }
    hs_err err = fetch_next_redirect(f, &text);
    if (hs_ok(err))
        fetch_run(f);
    else
        fetch_fail(f, err, err.code == -ENOMEM ? NULL : text);
}

/* `more`: bytes came behind it, which nobody asked for. */
static void on_end_of_reply(fetch *f, bool more)
{
    client_conn *c = f->conn;
    bool sent = f->sent_all && hs_stream_unsent(c->stream) == 0;
    if (f->held)
        hs_stream_resume(c->stream);
    f->held = false;
    if (more || !sent)
        client_conn_drop(c);
    else if (reply_keeps(&f->reply))
        client_conn_rest(c);
    else
        client_conn_close(c);
    go_on(f);
}

#define BODY_TEXT_BYTES 160

/* What is wrong with the body, in words; `room` has BODY_TEXT_BYTES. NULL: the error's own. */
static const char *body_text(const fetch *f, hs_err err, char *room)
{
    if (err.code == HS_E_TRUNCATED)
        return "the body ended inside of its coding";
    if (err.code != HS_E_LIMIT)
        return NULL;
    if (f->over_ratio)
        snprintf(room, BODY_TEXT_BYTES,
                 "the body decodes to more than %" PRIu64 " bytes and than %u times its coded size"
                 " (decoded_bytes_free, decoded_ratio_max)",
                 f->decoded.slack, f->decoded.ratio_max);
    else
        snprintf(room, BODY_TEXT_BYTES, "the body is longer than its limit of %" PRIu64 " bytes",
                 f->whole_max);
    return room;
}

static void on_piece(fetch *f, hs_span piece)
{
    hs_err err = fetch_body_feed(f, piece);
    if (f->phase == HS_FETCH_DONE)
        return;
    char room[BODY_TEXT_BYTES];
    if (!hs_ok(err)) {
        fetch_fail(f, err, body_text(f, err, room));
    } else if (f->discarded > DISCARD_BYTES_MAX) {
        client_conn_drop(f->conn);
        go_on(f);
    }
}

static void read_input(fetch *f, hs_span in)
{
    const client_conn *c = f->conn;
    /* Until it is over, or another exchange has begun. */
    while (f->conn == c && f->phase != HS_FETCH_DONE) {
        size_t used;
        hs_span data;
        reply_event ev = reply_feed(&f->reply, in, &used, &data);
        in = hs_span_from(in, used);
        switch (ev) {
        case REPLY_MORE:
            return;
        case REPLY_HEAD:
            on_head(f);
            break;
        case REPLY_DATA:
            on_piece(f, data);
            break;
        case REPLY_END:
            on_end_of_reply(f, in.len > 0);
            return;
        case REPLY_BAD:
            fetch_fail(f, f->reply.err, f->reply.fault);
            return;
        }
    }
}

static void ev_data(fetch *f, hs_span bytes)
{
    fetch_enter(f);
    f->last_ns = client_now(f->client);
    bool early = f->conn->state == CONN_HEARS;
    if (f->phase < HS_FETCH_HEAD) {
        f->res.timing.first_byte_ns = early ? 0 : f->last_ns - f->ready_ns;
        go(f, HS_FETCH_HEAD);
    }
    if (early)
        fetch_fail(f, hs_err_of(HS_E_PROTOCOL), "a response before the request");
    else
        read_input(f, bytes);
    fetch_leave(f);
}

/* ---- the end of a connection ---- */

/* It ended before the response began. A pooled one may have been about to end for long. */
static void lost(fetch *f, hs_err err, bool sent)
{
    hs_client *client = f->client;
    HS_ASSERT(!f->conn);
    bool again = f->res.reused && !f->stale_once && fetch_next_has_body(f);
    if (again && (!sent || fetch_next_repeatable(f))) {
        f->stale_once = true;
        hs_count(hs_shard_counters(client->shard), client->count_repeated, 1);
        fetch_run(f);
    } else if (fetch_next_repeats(f, err)) {
        run_again(f);
    } else {
        const char *text = "the connection ended without a response";
        fetch_fail(f, err, err.code == HS_E_TRUNCATED ? text : NULL);
    }
}

static void ended(fetch *f)
{
    if (reply_close(&f->reply) == REPLY_END)
        on_end_of_reply(f, false);
    else
        fetch_fail(f, f->reply.err, f->reply.fault);
}

static void ev_end(fetch *f)
{
    fetch_enter(f);
    if (f->reply.begun) {
        ended(f);
    } else {
        bool sent = stream_sent(f) != f->conn->sent_mark;
        client_conn_drop(f->conn);
        lost(f, hs_err_of(HS_E_TRUNCATED), sent);
    }
    fetch_leave(f);
}

static void ev_closed(fetch *f, hs_err why, bool sent)
{
    hs_err err = hs_ok(why) ? hs_err_of(HS_E_TRUNCATED) : why;
    fetch_enter(f);
    if (f->reply.begun)
        fetch_fail(f, err, NULL);
    else
        lost(f, err, sent);
    fetch_leave(f);
}

static void ev_failed(fetch *f, hs_err err, const char *text)
{
    fetch_enter(f);
    if (fetch_next_repeats(f, err))
        run_again(f);
    else
        fetch_fail(f, err, text);
    fetch_leave(f);
}

/* ---- time, and readers ---- */

/* Whether bytes of the request went out since the last look. */
static void look_progress(fetch *f)
{
    if (f->phase != HS_FETCH_SEND || stream_sent(f) == f->sent_seen)
        return;
    f->sent_seen = stream_sent(f);
    f->last_ns = client_now(f->client);
}

static void ev_due(fetch *f)
{
    fetch_enter(f);
    look_progress(f);
    uint64_t now = client_now(f->client);
    bool whole =
        f->times.total_ms != HS_FETCH_NEVER && now >= f->start_ns + f->times.total_ms * HS_MSEC_NS;
    if (fetch_time_due(f) <= now) {
        if (f->phase == HS_FETCH_PAUSE && !whole)
            fetch_run(f);
        else
            fetch_fail(f, hs_err_of(-ETIMEDOUT), NULL);
    }
    if (f->phase != HS_FETCH_DONE) {
        hs_err err = fetch_time_look(f);
        if (!hs_ok(err))
            fetch_fail(f, err, NULL);
    }
    fetch_leave(f);
}

static void ev_pump(fetch *f)
{
    fetch_enter(f);
    char room[BODY_TEXT_BYTES];
    hs_err err = fetch_body_pump(f);
    if (!hs_ok(err)) {
        fetch_body_forget(f);
        if (f->phase != HS_FETCH_DONE)
            fetch_fail(f, err, body_text(f, err, room));
        else if (hs_ok(f->err))
            fetch_spoil(f, err, body_text(f, err, room));
        else
            fetch_body_over(f); /* it has failed for another reason already */
    }
    fetch_leave(f);
}

static void ev_phase(fetch *f, hs_fetch_phase phase)
{
    go(f, phase);
}

const client_events fetch_events = {
    .phase = ev_phase,
    .ready = ev_ready,
    .failed = ev_failed,
    .data = ev_data,
    .end = ev_end,
    .drained = ev_drained,
    .closed = ev_closed,
    .serve = ev_serve,
    .due = ev_due,
    .pump = ev_pump,
};
