/* What the tests of the client share: a simulated shard with a client, a server that is a script,
 * and what a fetch came to, written down. */
#pragma once

/* First: the bench has a type of this name. */
#include "client.h"

#include "fake_dns.h"

#define URL "http://192.0.2.1/x"
#define OK11 "HTTP/1.1 200 OK\r\n"
#define HELLO OK11 "Content-Length: 5\r\n\r\nhello"

/* The server's side of a connection. */
typedef struct conn conn;
struct conn {
    sim_peer *peer;  /* NULL: closed */
    uint32_t number; /* from 0, in the order of acceptance */
    uint32_t requests;
    uint32_t answered; /* of them; kept by tests that answer later */
    char *in; /* what came and was not taken as a request yet */
    size_t in_len, in_cap;
    char last[4096];   /* the last request */
    size_t last_len;   /* of which that may be the begin */
    uint64_t last_sum; /* of its bytes, by their places */
    const char *out;   /* still to be written */
    size_t out_len;
    bool lazy, eof, close_after; /* reads nothing; the client has ended; close when all is out */
    conn *next;
};

typedef struct got got;
struct got {
    uint32_t values, errors;
    hs_err err;
    hs_fetch_phase phase;
    char text[280];
    hs_fetch_res *res;
    bool by_hand; /* do not collect the body at once */
    uint32_t bodies, body_errors;
    hs_err body_err;
    char why[280];
    char body[4096];
    size_t body_len;
    uint64_t done_ms; /* when it came to something */
    uint32_t order;   /* as which of all */
};

static struct {
    bench b;
    fake_dns dns;
    hs_tcp *tcp;
    hs_client *client;
    hs_client_options options;
    conn *conns;
    uint32_t accepted, open, open_max, requests, settled;
    void (*on_open)(conn *c);
    void (*on_request)(conn *c); /* c->last */
    const char *answer;          /* to each request, unless on_request is set */
    hs_secure secure;
    uint32_t secured;
    char secure_to[200]; /* the hosts, each with a space behind it; "!": unverified */
    int32_t secure_err;
    bool secure_silent;
    uint64_t secure_ms; /* how long it takes */
    hs_stream *secure_plain;
} r;

/* ---- the server ---- */

static inline void conn_end(conn *c, bool reset)
{
    if (!c->peer)
        return;
    sim_peer_close(c->peer, reset);
    c->peer = NULL;
    r.open--;
}

static inline void conn_write(conn *c)
{
    if (!c->peer)
        return;
    size_t n = c->out_len ? sim_peer_write(c->peer, c->out, c->out_len) : 0;
    c->out += n;
    c->out_len -= n;
    if (c->out_len == 0 && c->close_after)
        conn_end(c, false);
}

/* Write text that stays as it is. */
static inline void say_bytes(conn *c, const char *text, size_t len)
{
    cr_assert_eq(c->out_len, 0);
    c->out = text;
    c->out_len = len;
    conn_write(c);
}

static inline void say(conn *c, const char *text)
{
    say_bytes(c, text, strlen(text));
}

/* How long the first request in `text` is, with a body of a known length or in chunks; 0: not
 * there. */
static inline size_t request_bytes(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n"), *field;
    if (!end)
        return 0;
    size_t len = (size_t)(end + 4 - text);
    field = strstr(text, "Content-Length: ");
    if (field && field < end)
        len += strtoul(field + 16, NULL, 10);
    field = strstr(text, "Transfer-Encoding: chunked");
    if (field && field < end) {
        const char *last = strstr(end + 2, "\r\n0\r\n\r\n");
        if (!last)
            return 0;
        len = (size_t)(last + 7 - text);
    }
    return strlen(text) >= len ? len : 0;
}

static inline void conn_take_requests(conn *c)
{
    size_t n;
    while (c->peer && c->in && (n = request_bytes(c->in)) > 0) {
        size_t kept = HS_MIN(n, sizeof c->last - 1);
        memcpy(c->last, c->in, kept);
        c->last[kept] = '\0';
        c->last_len = n;
        c->last_sum = 0;
        for (size_t i = 0; i < n; i++)
            c->last_sum += (i + 1) * (uint8_t)c->in[i];
        memmove(c->in, c->in + n, c->in_len - n + 1);
        c->in_len -= n;
        c->requests++;
        r.requests++;
        if (r.on_request)
            r.on_request(c);
        else if (r.answer)
            say(c, r.answer);
    }
}

static inline void conn_read(conn *c)
{
    while (c->peer && !c->lazy) {
        size_t unread = sim_peer_unread(c->peer);
        if (unread == 0)
            break;
        if (c->in_len + unread + 1 > c->in_cap) {
            c->in_cap = 2 * (c->in_len + unread) + 1024;
            c->in = realloc(c->in, c->in_cap);
            cr_assert_not_null(c->in);
        }
        c->in_len += sim_peer_read(c->peer, c->in + c->in_len, unread);
        c->in[c->in_len] = '\0';
    }
    conn_take_requests(c);
}

static inline void on_peer(sim_peer *peer, uint32_t what)
{
    conn *c = sim_peer_ctx(peer);
    if (what & SIM_PEER_OPEN) {
        c = calloc(1, sizeof *c);
        cr_assert_not_null(c);
        c->peer = peer;
        c->number = r.accepted++;
        c->next = r.conns;
        r.conns = c;
        sim_peer_set_ctx(peer, c);
        r.open++;
        r.open_max = HS_MAX(r.open_max, r.open);
        if (r.on_open)
            r.on_open(c);
    }
    if (what & SIM_PEER_RESET) {
        conn_end(c, false);
        return;
    }
    conn_read(c);
    conn_write(c);
    if (what & SIM_PEER_EOF) {
        c->eof = true;
        if (c->out_len == 0)
            conn_end(c, false);
    }
}

static inline conn *conn_at(uint32_t number)
{
    for (conn *c = r.conns; c; c = c->next)
        if (c->number == number)
            return c;
    cr_assert(false, "no connection %u", number);
    return NULL;
}

static inline void reach(const char *text, sim_reach how, uint64_t after_ms)
{
    hs_addr a;
    cr_assert(hs_ok(hs_addr_parse(&a, hs_span_str(text))));
    sim_address_set(r.b.w, &a.sa.any, how, after_ms * HS_MSEC_NS);
}

/* ---- a "secure" layer that passes bytes through, or fails, or says nothing ---- */

static inline void secure_drop(void *value)
{
    hs_stream_abort(value);
}

static inline hs_outcome secure_slept(void *ctx, void *value)
{
    (void)ctx, (void)value;
    return hs_value_owned(r.secure_plain, secure_drop);
}

static inline hs_promise *fake_secure(hs_secure *self, hs_stream *plain, const hs_secure_options *o)
{
    cr_assert_eq(self, &r.secure);
    cr_assert(o->host.len > 0);
    r.secured++;
    size_t at = strlen(r.secure_to);
    snprintf(r.secure_to + at, sizeof r.secure_to - at, "%.*s%s ", (int)o->host.len,
             (const char *)o->host.ptr, o->unverified ? "!" : "");
    if (r.secure_silent) {
        hs_stream_abort(plain);
        return hs_promise_create(r.b.shard);
    }
    if (r.secure_ms) {
        r.secure_plain = plain;
        hs_promise *slept = hs_sleep(r.b.shard, r.secure_ms, NULL);
        return hs_then(slept, secure_slept, NULL);
    }
    if (!r.secure_err)
        return hs_promise_settled(r.b.shard, hs_value_owned(plain, secure_drop));
    hs_stream_abort(plain);
    hs_secure_error *e = hs_mem_take_zero(hs_shard_mem(r.b.shard), sizeof *e, 16);
    if (e) {
        e->shard = r.b.shard;
        e->err = hs_err_of(r.secure_err);
        snprintf(e->text, sizeof e->text, "certificate expired: CN=x");
    }
    hs_outcome outcome = {hs_err_of(r.secure_err), NULL, e, hs_secure_error_free};
    return hs_promise_settled(r.b.shard, outcome);
}

/* ---- begin and end ---- */

static inline hs_err rig_make(void)
{
    hs_tcp_options o = {0};
    HS_TRY(hs_tcp_create(r.b.shard, &o, &r.tcp));
    r.options.tcp = r.tcp;
    return hs_client_create(r.b.shard, &r.options, &r.client);
}

static inline void rig_prepare(const fake_row *rows, const sim_faults *faults)
{
    static const fake_row none[] = {{NULL, NULL, 0, 0, 0}};
    memset(&r, 0, sizeof r);
    bench_init(&r.b, faults);
    fake_dns_init(&r.dns, &r.b, rows ? rows : none);
    r.secure.start = fake_secure;
    r.options = (hs_client_options){.dns = &r.dns.dns, .secure = &r.secure};
    r.answer = HELLO;
    sim_peer_listen(r.b.w, 80, false, on_peer, NULL);
    sim_peer_listen(r.b.w, 443, false, on_peer, NULL);
}

static inline void rig_init(void)
{
    rig_prepare(NULL, NULL);
    cr_assert(hs_ok(rig_make()));
}

/* Everything ends, and nothing is left. */
static inline void rig_fini(void)
{
    hs_client_destroy(r.client);
    bench_run(&r.b, HS_LINGER_MS + 1000);
    if (r.tcp) {
        cr_assert_eq(hs_tcp_conns(r.tcp), 0);
        cr_assert_eq(hs_tcp_dials(r.tcp), 0);
        hs_tcp_destroy(r.tcp);
    }
    cr_assert_eq(sim_world_fds(r.b.w), 0);
    cr_assert_eq(r.dns.active, 0);
    cr_assert_eq(hs_shard_chunks(r.b.shard)->slots_used, 0);
    for (conn *c = r.conns, *next; c; c = next) {
        next = c->next;
        conn_end(c, false);
        free(c->in);
        free(c);
    }
    bench_fini(&r.b);
}

/* ---- fetches ---- */

static inline void note_done(got *g)
{
    g->done_ms = bench_ms(&r.b);
    g->order = ++r.settled;
}

static inline hs_outcome got_bytes(void *ctx, void *value)
{
    got *g = ctx;
    const hs_span *body = value;
    g->bodies++;
    g->body_len = body->len;
    memcpy(g->body, body->ptr, HS_MIN(body->len, sizeof g->body - 1));
    note_done(g);
    return hs_value(NULL);
}

static inline hs_outcome got_no_bytes(void *ctx, hs_err err, void *detail)
{
    got *g = ctx;
    const hs_fetch_error *e = detail;
    g->body_errors++;
    g->body_err = err;
    if (e)
        snprintf(g->why, sizeof g->why, "%s", e->text);
    hs_fetch_error_free(detail);
    note_done(g);
    return hs_value(NULL);
}

static inline void collect(got *g)
{
    hs_promise_drop(hs_then_catch(hs_fetch_bytes(g->res, 0), got_bytes, got_no_bytes, g));
}

static inline hs_outcome got_res(void *ctx, void *value)
{
    got *g = ctx;
    g->values++;
    g->res = value;
    g->res->user = g;
    if (!g->by_hand)
        collect(g);
    return hs_value(NULL);
}

static inline hs_outcome got_error(void *ctx, hs_err err, void *detail)
{
    got *g = ctx;
    const hs_fetch_error *e = detail;
    g->errors++;
    g->err = err;
    if (e) {
        cr_assert_eq(e->err.code, err.code);
        g->phase = e->phase;
        snprintf(g->text, sizeof g->text, "%s", e->text);
    }
    hs_fetch_error_free(detail);
    note_done(g);
    return hs_value(NULL);
}

static inline void begin_kept(got *g, const char *url, const hs_fetch_options *o)
{
    hs_promise *p = hs_fetch(r.client, hs_span_str(url), o);
    hs_promise_drop(hs_then_catch(p, got_res, got_error, g));
}

static inline void begin(got *g, const char *url, const hs_fetch_options *o)
{
    memset(g, 0, sizeof *g);
    begin_kept(g, url, o);
}

static inline void let_go(got *g)
{
    hs_fetch_res_free(g->res);
    g->res = NULL;
}

/* What a fetch that came to nothing does instead. */
static inline const char *rig_where(void)
{
    if (hs_list_empty(&r.client->active))
        return "no fetch is under way";
    const fetch *f = HS_CONTAINER_OF(r.client->active.next, fetch, link);
    return hs_fetch_phase_name((hs_fetch_phase)f->phase);
}

/* It was answered with `status` and `body`. */
static inline void expect_answer(got *g, uint16_t status, const char *body)
{
    cr_assert_eq(g->errors, 0, "%s: %s", hs_err_name(g->err), g->text);
    cr_assert_eq(g->values, 1, "%s", rig_where());
    cr_assert_eq(g->res->status, status);
    cr_assert_eq(g->body_errors, 0, "%s: %s", hs_err_name(g->body_err), g->why);
    cr_assert_eq(g->bodies, 1);
    cr_assert_eq(g->body_len, strlen(body), "%zu: %s", g->body_len, g->body);
    cr_assert(strncmp(g->body, body, sizeof g->body - 1) == 0, "%s", g->body);
    let_go(g);
}

static inline void expect_hello(got *g)
{
    expect_answer(g, 200, "hello");
}

static inline void expect_error(const got *g, int32_t err, hs_fetch_phase phase, const char *text)
{
    cr_assert_eq(g->values, 0);
    cr_assert_eq(g->errors, 1, "%s", rig_where());
    cr_assert_eq(g->err.code, err, "%s: %s", hs_err_name(g->err), g->text);
    cr_assert_eq(g->phase, phase, "%s: %s", hs_fetch_phase_name(g->phase), g->text);
    cr_assert(strstr(g->text, text), "%s", g->text);
}

/* The head came, and the body did not come whole. */
static inline void expect_body_error(got *g, int32_t err, const char *text)
{
    cr_assert_eq(g->values, 1);
    cr_assert_eq(g->bodies, 0);
    cr_assert_eq(g->body_errors, 1);
    cr_assert_eq(g->body_err.code, err, "%s: %s", hs_err_name(g->body_err), g->why);
    cr_assert(strstr(g->why, text), "%s", g->why);
    cr_assert_eq(hs_fetch_why(g->res)->err.code, err);
    let_go(g);
}
