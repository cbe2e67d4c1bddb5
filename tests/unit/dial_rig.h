/* What the tests of dialling share: a shard with a TCP module that dials, a resolver whose answers
 * are written down, addresses that answer or do not, and what one dial came to. The addresses that
 * a dial tries are noted with their times: `allow` is asked just before each. */
#pragma once

#include "fake_dns.h"
#include "hs_dial.h"

#define TRIES_MAX 80
#define PORT 80

typedef struct dialled {
    uint32_t values, errors;
    hs_err err;
    bool has_detail;
    hs_dial_phase phase;
    uint32_t tried;
    char addr[HS_ADDR_TEXT_BYTES];
    hs_stream *s; /* NULL: closed */
    uint32_t closes, ends;
    hs_err why;
    char in[64];
    size_t in_len;
} dialled;

static struct {
    bench b;
    fake_dns dns;
    hs_tcp *tcp;
    uint64_t start_ms; /* of the last dial */
    uint32_t tries;
    char tried[TRIES_MAX * 40]; /* "ADDR@MS ADDR@MS" */
    size_t tried_len;
    hs_err (*allow)(const hs_addr *addr);
    /* What the server's side got. */
    uint32_t met, met_ended;
    sim_peer *peer;
} r;

static inline hs_err note_try(const hs_addr *addr, void *ctx)
{
    char text[HS_ADDR_TEXT_BYTES];
    cr_assert_eq(ctx, &r);
    cr_assert_lt(r.tries, TRIES_MAX);
    r.tries++;
    hs_addr_format(addr, text);
    *strrchr(text, ':') = '\0';
    r.tried_len +=
        (size_t)snprintf(r.tried + r.tried_len, sizeof r.tried - r.tried_len, "%s%s@%u",
                         r.tried_len ? " " : "", text, (unsigned)(bench_ms(&r.b) - r.start_ms));
    return r.allow ? r.allow(addr) : HS_OK;
}

static inline void on_peer(sim_peer *peer, uint32_t what)
{
    if (what & SIM_PEER_OPEN) {
        r.met++;
        r.peer = peer;
    }
    if (what & (SIM_PEER_EOF | SIM_PEER_RESET)) {
        r.met_ended++;
        sim_peer_close(peer, false);
        if (r.peer == peer)
            r.peer = NULL;
    }
}

static inline void reach(const char *text, sim_reach how, uint64_t after_ms)
{
    hs_addr a;
    cr_assert(hs_ok(hs_addr_parse(&a, hs_span_str(text))));
    sim_address_set(r.b.w, &a.sa.any, how, after_ms * HS_MSEC_NS);
}

static inline void rig_init(const fake_row *rows, const sim_faults *faults, uint32_t conns_max)
{
    static const fake_row none[] = {{NULL, NULL, 0, 0, 0}};
    memset(&r, 0, sizeof r);
    bench_init(&r.b, faults);
    fake_dns_init(&r.dns, &r.b, rows ? rows : none);
    hs_tcp_options o = {.owner_bytes = 32, .conns_max = conns_max};
    cr_assert(hs_ok(hs_tcp_create(r.b.shard, &o, &r.tcp)));
    sim_peer_listen(r.b.w, PORT, false, on_peer, NULL);
}

/* Everything is gone: streams, attempts, lookups. */
static inline void rig_fini(void)
{
    bench_run(&r.b, HS_LINGER_MS + 1000);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    cr_assert_eq(sim_world_fds(r.b.w), 0);
    cr_assert_eq(r.dns.active, 0);
    hs_tcp_destroy(r.tcp);
    if (r.peer)
        sim_peer_close(r.peer, false);
    bench_fini(&r.b);
}

/* ---- one dial ---- */

static inline dialled *dialled_of(hs_stream *s)
{
    return *(dialled **)s->owner;
}

static inline void got_data(hs_stream *s, hs_span bytes)
{
    dialled *d = dialled_of(s);
    cr_assert_lt(d->in_len + bytes.len, sizeof d->in);
    memcpy(d->in + d->in_len, bytes.ptr, bytes.len);
    d->in_len += bytes.len;
}

static inline void got_end(hs_stream *s)
{
    dialled_of(s)->ends++;
}

static inline void got_drained(hs_stream *s)
{
    (void)s;
}

static inline void got_closed(hs_stream *s, hs_err why)
{
    dialled *d = dialled_of(s);
    d->closes++;
    d->why = why;
    d->s = NULL;
}

static const hs_stream_events dialled_events = {got_data, got_end, got_drained, got_closed};

static inline hs_outcome on_stream(void *ctx, void *value)
{
    dialled *d = ctx;
    d->values++;
    d->s = value;
    for (size_t i = 0; i < 32; i++)
        cr_assert_eq(((uint8_t *)d->s->owner)[i], 0);
    *(dialled **)d->s->owner = d;
    return hs_value(NULL);
}

static inline hs_outcome on_error(void *ctx, hs_err err, void *detail)
{
    dialled *d = ctx;
    const hs_dial_error *e = detail;
    d->errors++;
    d->err = err;
    d->has_detail = e != NULL;
    if (e) {
        cr_assert_eq(e->err.code, err.code);
        d->phase = e->phase;
        d->tried = e->tried;
        if (e->addr.len)
            hs_addr_format(&e->addr, d->addr);
    }
    hs_dial_error_free(detail);
    return hs_value(NULL);
}

static inline void await_dial(dialled *d, hs_promise *promise)
{
    hs_promise_drop(hs_then_catch(promise, on_stream, on_error, d));
}

/* Dial, with the rig's resolver and its noting of what is tried. */
static inline void begin(dialled *d, const char *host, const hs_dial_options *options)
{
    hs_dial_options o = options ? *options : (hs_dial_options){0};
    memset(d, 0, sizeof *d);
    o.dns = &r.dns.dns;
    o.allow = note_try;
    o.ctx = &r;
    r.start_ms = bench_ms(&r.b);
    r.tries = 0;
    r.tried_len = 0;
    r.tried[0] = '\0';
    await_dial(d, hs_dial(r.tcp, hs_span_str(host), PORT, &o));
}

/* Let its stream hear. */
static inline void take(dialled *d)
{
    d->s->events = &dialled_events;
    hs_stream_resume(d->s);
}

/* End its stream. */
static inline void let_go(dialled *d)
{
    cr_assert_eq(d->values, 1);
    take(d);
    hs_stream_abort(d->s);
    bench_run(&r.b, 100);
    cr_assert_eq(d->closes, 1);
}

static inline void assert_failed(const dialled *d, int32_t err, hs_dial_phase phase,
                                 const char *addr)
{
    cr_assert_eq(d->values, 0);
    cr_assert_eq(d->errors, 1);
    cr_assert_eq(d->err.code, err, "%s", hs_err_name(d->err));
    cr_assert(d->has_detail);
    cr_assert_eq(d->phase, phase);
    cr_assert_str_eq(d->addr, addr);
}
