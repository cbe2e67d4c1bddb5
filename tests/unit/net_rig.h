/* What the tests of TCP share: a shard that accepts on port 80, and what each of its connections
 * heard. */
#pragma once

#include "bench.h"

#include "hs_tcp.h"

#define SIDES_MAX 64

typedef struct side side;
typedef void side_fn(side *sd);

/* The server's side of one connection, by the order of acceptance. What it hears is written down
 * here, as the stream's own memory is gone after `closed`. */
struct side {
    hs_stream *s; /* NULL: closed */
    uint32_t data_calls, ends, drains, closes;
    hs_err why;
    size_t in_len;
    uint64_t sum; /* of all bytes that came, by their places */
    side_fn *on_data, *on_end, *on_drained;
};

typedef struct rig {
    bench b;
    hs_tcp *tcp;
    hs_listener *listener;
    side sides[SIDES_MAX];
    uint32_t sides_len;
    bool calling; /* the test is inside a call on a stream: nothing may be heard */
    side_fn *on_accept;
} rig;

static rig r;

static inline uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

static inline void on_data(hs_stream *s, hs_span bytes)
{
    side *sd = *(side **)s->owner;
    cr_assert_eq(sd->s, s);
    cr_assert(!r.calling && sd->closes == 0 && sd->ends == 0);
    cr_assert_gt(bytes.len, 0);
    sd->data_calls++;
    for (size_t i = 0; i < bytes.len; i++)
        sd->sum += (sd->in_len + i + 1) * bytes.ptr[i];
    sd->in_len += bytes.len;
    if (sd->on_data)
        sd->on_data(sd);
}

static inline void on_end(hs_stream *s)
{
    side *sd = *(side **)s->owner;
    cr_assert(!r.calling && sd->closes == 0);
    sd->ends++;
    if (sd->on_end)
        sd->on_end(sd);
}

static inline void on_drained(hs_stream *s)
{
    side *sd = *(side **)s->owner;
    cr_assert(!r.calling && sd->closes == 0);
    sd->drains++;
    if (sd->on_drained)
        sd->on_drained(sd);
}

static inline void on_closed(hs_stream *s, hs_err why)
{
    side *sd = *(side **)s->owner;
    cr_assert(!r.calling);
    cr_assert_eq(sd->s, s);
    sd->closes++;
    sd->why = why;
    sd->s = NULL;
}

static const hs_stream_events events = {on_data, on_end, on_drained, on_closed};

static inline void accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    cr_assert_eq(ctx, &r);
    cr_assert_not_null(listener);
    cr_assert_lt(r.sides_len, SIDES_MAX);
    side *sd = &r.sides[r.sides_len++];
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(((uint8_t *)s->owner)[i], 0); /* zeroed, and ours */
    *(side **)s->owner = sd;
    sd->s = s;
    s->events = &events;
    if (r.on_accept)
        r.on_accept(sd);
}

static inline hs_err open_at(const char *text, hs_listener **out)
{
    hs_addr addr;
    cr_assert(hs_ok(hs_addr_parse(&addr, hs_span_str(text))));
    return hs_listener_open(r.tcp, &addr, false, out);
}

static inline void rig_init(const sim_faults *faults, uint32_t conns_max)
{
    memset(&r, 0, sizeof r);
    bench_init(&r.b, faults);
    hs_tcp_options o = {
        .owner_bytes = 100, .conns_max = conns_max, .accepted = accepted, .ctx = &r};
    cr_assert(hs_ok(hs_tcp_create(r.b.shard, &o, &r.tcp)));
    cr_assert(hs_ok(open_at("127.0.0.1:80", &r.listener)));
}

/* Everything ends: connections that are left are ended by force. */
static inline void rig_fini(void)
{
    if (r.listener)
        hs_listener_close(r.listener);
    bench_run(&r.b, 100);
    for (uint32_t i = 0; i < r.sides_len; i++)
        if (r.sides[i].s)
            hs_stream_abort(r.sides[i].s);
    bench_run(&r.b, HS_LINGER_MS + 1000);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    for (uint32_t i = 0; i < r.sides_len; i++)
        cr_assert_eq(r.sides[i].closes, 1);
    hs_tcp_destroy(r.tcp);
    bench_fini(&r.b);
}

/* A connected client, and the server's side of it. */
static inline side *pair_up(client *c)
{
    uint32_t before = r.sides_len;
    client_open(c, &r.b, 80);
    bench_run(&r.b, 5);
    cr_assert_eq(r.sides_len, before + 1);
    cr_assert(c->told & SIM_PEER_OPEN);
    return &r.sides[before];
}

static inline void say(side *sd, const char *text)
{
    r.calling = true;
    cr_assert(hs_ok(hs_stream_write(sd->s, hs_span_str(text))));
    r.calling = false;
}

static inline void shut(side *sd)
{
    r.calling = true;
    hs_stream_close(sd->s);
    r.calling = false;
}

static inline void cut(side *sd)
{
    r.calling = true;
    hs_stream_abort(sd->s);
    r.calling = false;
}

/* Queue `len` bytes of the pattern, and flush. */
static inline void write_pattern(side *sd, size_t from, size_t len)
{
    uint8_t piece[1000];
    r.calling = true;
    for (size_t at = 0; at < len;) {
        size_t n = HS_MIN(sizeof piece, len - at);
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(from + at + i);
        hs_chain *out = hs_stream_out(sd->s);
        cr_assert_not_null(out);
        cr_assert(hs_ok(hs_chain_append(out, hs_shard_chunks(r.b.shard), hs_span_of(piece, n))));
        at += n;
    }
    hs_stream_flush(sd->s);
    r.calling = false;
}

static inline void assert_pattern(const client *c, size_t len)
{
    cr_assert_eq(c->in_len, len);
    for (size_t i = 0; i < len; i++)
        cr_assert_eq((uint8_t)c->in[i], byte_at(i), "byte %zu", i);
}

static inline const char *make_pattern(size_t len)
{
    char *p = malloc(len);
    cr_assert_not_null(p);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)byte_at(i);
    return p;
}

static inline void assert_received(const side *sd, size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += (i + 1) * byte_at(i);
    cr_assert_eq(sd->in_len, len);
    cr_assert_eq(sd->sum, sum);
}
