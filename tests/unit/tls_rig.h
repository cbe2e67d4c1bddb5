/* What the tests of TLS share: one simulated shard with both ends of each connection, a server that
 * accepts on port 443 and a client that dials it; what each end heard. Certificates are made by
 * tests/certs.py in the build tree, the first time that one is asked for. */
#pragma once

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#include "hs_dial.h"
#include "hs_secure.h"
#include "hs_tls.h"

#define ENDS_MAX 64
#define PORT 443

typedef struct end end;
typedef void end_fn(end *e);

/* One end of a connection. What it hears is written down here. */
struct end {
    hs_stream *s; /* NULL: closed, or not there yet */
    hs_stream *got;
    uint32_t opens, data_calls, ends, drains, closes, errors;
    hs_err why, err;
    char text[200];
    size_t in_len;
    uint64_t sum;
    char in[256];     /* the first bytes, with a NUL */
    bool resumed_off; /* the test resumes it */
    uint32_t sent;    /* hs_stream_sent within `closed` */
    end_fn *on_open, *on_data, *on_end, *on_drained;
    hs_secure_options secure;
    hs_tls_info info;
    char alpn[32], sni[64], cipher[64];
};

typedef struct rig_options {
    const sim_faults *faults;
    const char *certs[4]; /* names; none: "server" */
    hs_tls_options server, client;
    hs_tls_shard_options shard;
    const char *client_cert; /* a name */
    const char *ocsp;        /* the name of what the first certificate's server staples */
} rig_options;

static struct {
    bench b;
    hs_tcp *tcp;
    hs_listener *listener;
    hs_tls *tls;
    hs_tls_box *box;
    hs_tls_ctx *server_ctx, *client_ctx;
    hs_secure *secure;
    end server[ENDS_MAX];
    uint32_t servers;
    end_fn *on_accept; /* of the next server's end */
    end_fn *on_server_data;
} r;

/* ---- certificates ---- */

static inline const char *cert_path(const char *name, const char *suffix)
{
    static char paths[16][512];
    static uint32_t next;
    char *path = paths[next++ % 16];
    struct stat st;
    if (stat(HS_TEST_CERTS, &st) != 0) {
        char command[1200];
        snprintf(command, sizeof command, "python3 -B '%s' '%s'", HS_TEST_CERTS_SCRIPT,
                 HS_TEST_CERTS);
        int status = system(command);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            cr_skip("SKIP: no openssl command");
        cr_assert_eq(status, 0);
    }
    snprintf(path, 512, "%s/%s%s", HS_TEST_CERTS, name, suffix);
    return path;
}

static inline hs_tls_cert cert_of(const char *name)
{
    return (hs_tls_cert){
        .cert_file = cert_path(name, ".pem"),
        .key_file = cert_path(name, ".key"),
    };
}

/* ---- memory for contexts ---- */

/* Memory that fails at the nth piece, for whatever that is. */
typedef struct tight {
    hs_mem mem;
    uint64_t takes, fail_at;
    size_t out;
} tight;

static inline void *tight_take(void *ctx, size_t bytes, size_t align)
{
    tight *t = ctx;
    if (++t->takes == t->fail_at)
        return NULL;
    t->out++;
    return hs_mem_take(hs_mem_system(), bytes, align);
}

static inline void tight_give(void *ctx, void *ptr, size_t bytes, size_t align)
{
    tight *t = ctx;
    cr_assert_gt(t->out, 0);
    t->out--;
    hs_mem_give(hs_mem_system(), ptr, bytes, align);
}

/* ---- what the ends hear ---- */

static inline end *end_of(hs_stream *s)
{
    return *(end **)s->owner;
}

static inline void on_data(hs_stream *s, hs_span bytes)
{
    end *e = end_of(s);
    cr_assert(e->s == s && e->closes == 0 && e->ends == 0);
    cr_assert_gt(bytes.len, 0);
    e->data_calls++;
    for (size_t i = 0; i < bytes.len; i++) {
        if (e->in_len + i + 1 < sizeof e->in)
            e->in[e->in_len + i] = (char)bytes.ptr[i];
        e->sum += (e->in_len + i + 1) * bytes.ptr[i];
    }
    e->in_len += bytes.len;
    if (e->on_data)
        e->on_data(e);
}

static inline void on_end(hs_stream *s)
{
    end *e = end_of(s);
    cr_assert(e->s == s && e->closes == 0);
    e->ends++;
    if (e->on_end)
        e->on_end(e);
}

static inline void on_drained(hs_stream *s)
{
    end *e = end_of(s);
    cr_assert(e->s == s && e->closes == 0);
    e->drains++;
    if (e->on_drained)
        e->on_drained(e);
}

static inline void on_closed(hs_stream *s, hs_err why)
{
    end *e = end_of(s);
    cr_assert_eq(e->s, s);
    e->closes++;
    e->sent = hs_stream_sent(s);
    e->why = why;
    e->s = NULL;
}

static const hs_stream_events end_events = {on_data, on_end, on_drained, on_closed};

static inline void begin_end(end *e, hs_stream *s)
{
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(((uint8_t *)s->owner)[i], 0);
    cr_assert_eq((uintptr_t)s->owner % 16, 0);
    *(end **)s->owner = e;
    e->opens++;
    e->s = s;
    s->events = &end_events;
}

static inline void on_ready(hs_stream *s, const hs_tls_info *info, void *ctx)
{
    cr_assert_eq(ctx, &r);
    cr_assert_lt(r.servers, ENDS_MAX);
    end *e = &r.server[r.servers++];
    e->info = *info;
    snprintf(e->alpn, sizeof e->alpn, "%.*s", (int)info->alpn.len, (const char *)info->alpn.ptr);
    snprintf(e->sni, sizeof e->sni, "%.*s", (int)info->sni.len, (const char *)info->sni.ptr);
    snprintf(e->cipher, sizeof e->cipher, "%s", info->cipher);
    e->on_data = r.on_server_data;
    begin_end(e, s);
    if (r.on_accept)
        r.on_accept(e);
}

static inline void on_accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    (void)listener, (void)ctx;
    hs_tls_accept(r.tls, s);
}

/* ---- the client's end ---- */

static inline hs_outcome on_secured(void *ctx, void *value)
{
    end *e = ctx;
    begin_end(e, value);
    if (e->on_open)
        e->on_open(e);
    if (e->s && !e->resumed_off)
        hs_stream_resume(e->s);
    return hs_value(NULL);
}

static inline hs_outcome on_dialled(void *ctx, void *value)
{
    end *e = ctx;
    return hs_adopt(r.secure->start(r.secure, value, &e->secure));
}

static inline hs_outcome on_undialled(void *ctx, hs_err err, void *detail)
{
    (void)ctx;
    hs_dial_error_free(detail);
    return hs_error(err);
}

static inline hs_outcome on_failed(void *ctx, hs_err err, void *detail)
{
    end *e = ctx;
    const hs_secure_error *s = detail;
    e->errors++;
    e->err = err;
    if (s) {
        cr_assert_eq(s->err.code, err.code);
        snprintf(e->text, sizeof e->text, "%s", s->text);
    }
    hs_secure_error_free(detail);
    return hs_value(NULL);
}

static inline void dial(end *e, const char *host)
{
    hs_addr addr;
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:443"))));
    e->secure.host = hs_span_str(host);
    e->secure.owner_bytes = 100;
    hs_promise *stream = hs_dial_addr(r.tcp, &addr, NULL);
    hs_promise *secured = hs_then_catch(stream, on_dialled, on_undialled, e);
    hs_promise_drop(hs_then_catch(secured, on_secured, on_failed, e));
}

/* ---- the whole ---- */

static inline hs_tls_ctx *server_ctx_of(const rig_options *o)
{
    hs_tls_options t = o->server;
    hs_tls_cert certs[4];
    hs_tls_why why;
    hs_tls_ctx *ctx;
    for (; t.certs_len < 4 && o->certs[t.certs_len]; t.certs_len++)
        certs[t.certs_len] = cert_of(o->certs[t.certs_len]);
    if (t.certs_len == 0)
        certs[t.certs_len++] = cert_of("server");
    if (o->ocsp)
        certs[0].ocsp_file = cert_path(o->ocsp, ".ocsp");
    t.certs = certs;
    hs_err err = hs_tls_server_ctx(&t, &ctx, &why);
    cr_assert(hs_ok(err), "%s", why.text);
    return ctx;
}

static inline hs_tls_ctx *client_ctx_of(const rig_options *o)
{
    hs_tls_options t = o->client;
    hs_tls_cert cert;
    hs_tls_why why;
    hs_tls_ctx *ctx;
    if (o->client_cert) {
        cert = cert_of(o->client_cert);
        t.certs = &cert;
        t.certs_len = 1;
    }
    if (!t.ca_file)
        t.ca_file = cert_path("ca", ".pem");
    hs_err err = hs_tls_client_ctx(&t, &ctx, &why);
    cr_assert(hs_ok(err), "%s", why.text);
    return ctx;
}

static inline void rig_init(const rig_options *options)
{
    static const rig_options none;
    const rig_options *o = options ? options : &none;
    hs_addr addr;
    memset(&r, 0, sizeof r);
    (void)cert_path("ca", ".pem");
    bench_init(&r.b, o->faults);
    r.server_ctx = server_ctx_of(o);
    r.client_ctx = client_ctx_of(o);
    r.box = hs_tls_box_create(NULL, r.server_ctx);
    cr_assert_not_null(r.box);
    hs_tcp_options tcp = {.accepted = on_accepted, .ctx = &r};
    cr_assert(hs_ok(hs_tcp_create(r.b.shard, &tcp, &r.tcp)));
    hs_tls_shard_options shard = o->shard;
    shard.owner_bytes = 100;
    shard.ready = on_ready;
    shard.ctx = &r;
    cr_assert(hs_ok(hs_tls_create(r.b.shard, r.box, &shard, &r.tls)));
    cr_assert(hs_ok(hs_tls_secure_create(r.b.shard, r.client_ctx, &r.secure)));
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:443"))));
    cr_assert(hs_ok(hs_listener_open(r.tcp, &addr, false, &r.listener)));
}

/* Everything ends: what is left is ended by force. */
static inline void rig_fini(end *clients, uint32_t len)
{
    r.b.fail_at = 0;
    hs_listener_close(r.listener);
    bench_run(&r.b, 100);
    hs_tls_abort_handshakes(r.tls);
    for (uint32_t i = 0; i < r.servers; i++)
        if (r.server[i].s)
            hs_stream_abort(r.server[i].s);
    for (uint32_t i = 0; i < len; i++)
        if (clients[i].s)
            hs_stream_abort(clients[i].s);
    bench_run(&r.b, HS_LINGER_MS + 20000);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    cr_assert_eq(hs_tls_conns(r.tls), 0);
    for (uint32_t i = 0; i < r.servers; i++)
        cr_assert_eq(r.server[i].closes, 1);
    for (uint32_t i = 0; i < len; i++)
        cr_assert(clients[i].closes + clients[i].errors == 1 || r.b.fails > 0);
    hs_tls_secure_destroy(r.secure);
    hs_tls_destroy(r.tls);
    hs_tcp_destroy(r.tcp);
    hs_tls_box_destroy(r.box);
    hs_tls_ctx_unref(r.server_ctx);
    hs_tls_ctx_unref(r.client_ctx);
    bench_fini(&r.b);
}

/* ---- what tests do with an end ---- */

static inline uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

/* Queue `len` bytes of the pattern, from place `from`. */
static inline void write_pattern(end *e, size_t from, size_t len)
{
    uint8_t piece[1000];
    for (size_t at = 0; at < len;) {
        size_t n = HS_MIN(sizeof piece, len - at);
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(from + at + i);
        hs_chain *out = hs_stream_out(e->s);
        cr_assert_not_null(out);
        cr_assert(hs_ok(hs_chain_append(out, hs_shard_chunks(r.b.shard), hs_span_of(piece, n))));
        at += n;
    }
    hs_stream_flush(e->s);
}

static inline uint64_t pattern_sum(size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += (i + 1) * byte_at(i);
    return sum;
}

static inline void say(end *e, const char *text)
{
    cr_assert(hs_ok(hs_stream_write(e->s, hs_span_str(text))));
}

/* A connection whose handshake is over. */
static inline end *connect_ends(end *e)
{
    uint32_t before = r.servers;
    dial(e, "server.test");
    bench_run(&r.b, 2000);
    cr_assert_eq(e->opens, 1, "%s: %s", hs_err_name(e->err), e->text);
    cr_assert_eq(r.servers, before + 1);
    return &r.server[before];
}
