/* What the tests of net/ and http/ share: one shard in a simulated world, driven turn by turn from
 * the test, with memory that is counted and fails on purpose; and clients that write down what they
 * see. The test is the shard's thread: it calls what belongs to the shard between two runs. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "hs_limits.h"
#include "shard.h"
#include "sim.h"

#define FAR_MS UINT64_C(1000000000)

typedef struct bench {
    hs_mem mem;
    uint64_t takes, fails;
    uint64_t fail_at; /* the how-many-th take fails, from 1; 0: none */
    bool fail_on;     /* and all later ones */
    size_t pieces_out, bytes_out;
    sim_world *w;
    shard_mail mail;
    hs_shard *shard;
    hs_log log; /* in memory that is not counted */
    hs_timer until;
    bool over;
} bench;

static inline void *bench_take(void *ctx, size_t bytes, size_t align)
{
    bench *b = ctx;
    b->takes++;
    if (b->fail_at && (b->takes == b->fail_at || (b->fail_on && b->takes > b->fail_at))) {
        b->fails++;
        return NULL;
    }
    void *ptr = hs_mem_take(hs_mem_system(), bytes, align);
    cr_assert_not_null(ptr);
    if (bytes <= 65536) /* what is not set must not be relied on */
        memset(ptr, 0xa5, bytes);
    b->pieces_out++;
    b->bytes_out += bytes;
    return ptr;
}

static inline void bench_give(void *ctx, void *ptr, size_t bytes, size_t align)
{
    bench *b = ctx;
    cr_assert(b->pieces_out > 0 && b->bytes_out >= bytes);
    b->pieces_out--;
    b->bytes_out -= bytes;
    hs_mem_give(hs_mem_system(), ptr, bytes, align);
}

static inline uint64_t bench_wall(void *ctx)
{
    (void)ctx;
    return HS_SEC_NS;
}

/* This timer is always set, so that setting it never needs memory. */
static inline void bench_until(hs_timer *timer)
{
    bench *b = HS_CONTAINER_OF(timer, bench, until);
    b->over = true;
    cr_assert(hs_ok(hs_timer_after(b->shard, timer, FAR_MS, bench_until)));
    hs_io_wake_any(hs_shard_io(b->shard)); /* or this turn would wait for whatever comes next */
}

static inline void bench_init(bench *b, const sim_faults *faults)
{
    static sim_faults calm;
    sim_faults_none(&calm);
    memset(b, 0, sizeof *b);
    b->mem = (hs_mem){bench_take, bench_give, b};
    cr_assert(hs_ok(hs_log_init(&b->log, hs_mem_system(), 256, 0, bench_wall, NULL)));
    sim_options so = {.seed = 7, .shards = 1, .mem = &b->mem, .faults = faults ? faults : &calm};
    cr_assert(hs_ok(sim_world_create(&so, &b->w)));
    cr_assert(hs_ok(shard_mail_init(&b->mail, &b->mem, 1)));
    shard_options o = {.mail = &b->mail,
                       .mem = &b->mem,
                       .io = sim_world_io(b->w, 0),
                       .log = &b->log,
                       .seed = sim_random(b->w)};
    cr_assert(hs_ok(shard_create(&o, &b->shard)));
    shard_enter(b->shard);
    cr_assert(hs_ok(hs_timer_after(b->shard, &b->until, FAR_MS, bench_until)));
}

/* Let `ms` of virtual time pass. */
static inline void bench_run(bench *b, uint64_t ms)
{
    b->over = false;
    cr_assert(hs_ok(hs_timer_after(b->shard, &b->until, ms, bench_until)));
    while (!b->over)
        shard_turn(b->shard, true);
}

/* All is gone: no file, no op, no memory. */
static inline void bench_fini(bench *b)
{
    hs_timer_cancel(b->shard, &b->until);
    shard_destroy(b->shard);
    shard_mail_fini(&b->mail);
    sim_world_destroy(b->w);
    hs_log_fini(&b->log);
    shard_enter(NULL);
    cr_assert_eq(b->pieces_out, 0);
    cr_assert_eq(b->bytes_out, 0);
}

static inline uint64_t bench_ms(const bench *b)
{
    return sim_world_now_ns(b->w) / HS_MSEC_NS;
}

/* The value of a counter, by its name. */
static inline uint64_t bench_count(bench *b, const char *name)
{
    return hs_counters_find(hs_shard_counters(b->shard), name);
}

static inline void bench_stirred(hs_op *op, const hs_io_event *event)
{
    (void)event;
    hs_io_close(hs_shard_io(hs_shard_self()), op->fd);
}

/* Let an op complete, so that the shard counts as active and gives memory back. */
static inline void bench_stir(bench *b)
{
    static hs_op op;
    hs_io *io = hs_shard_io(b->shard);
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int fd = hs_io_listen(io, (struct sockaddr *)&addr, sizeof addr, 8, false);
    cr_assert_geq(fd, 0);
    hs_io_poll(io, &op, fd, POLLIN, bench_stirred);
    hs_io_cancel(io, &op);
    bench_run(b, 10);
    cr_assert_not(hs_op_active(&op));
}

/* How many lines of the log, since the last look, have `text` in them. */
static inline uint32_t bench_logged(bench *b, const char *text)
{
    uint32_t found = 0;
    hs_log_line line;
    while (hs_log_read(&b->log, &line)) {
        line.text[line.len - 1] = '\0';
        found += strstr(line.text, text) != NULL;
    }
    return found;
}

/* ---- clients ---- */

#define CLIENT_BYTES (2u * 1024 * 1024)

typedef struct client {
    sim_peer *peer;
    uint32_t told; /* SIM_PEER_... */
    bool lazy;     /* reads nothing */
    bool gone;     /* we closed it */
    char *in;      /* CLIENT_BYTES; a NUL follows what came */
    size_t in_len;
    const char *out; /* what is still to be written: borrowed */
    size_t out_len;
} client;

static inline void client_work(client *c)
{
    if (c->gone)
        return;
    if (!c->lazy)
        c->in_len += sim_peer_read(c->peer, c->in + c->in_len, CLIENT_BYTES - c->in_len);
    c->in[c->in_len] = '\0';
    if (c->out_len > 0 && (c->told & SIM_PEER_OPEN)) {
        size_t n = sim_peer_write(c->peer, c->out, c->out_len);
        c->out += n;
        c->out_len -= n;
    }
}

static inline void client_told(sim_peer *peer, uint32_t what)
{
    client *c = sim_peer_ctx(peer);
    c->told |= what;
    client_work(c);
}

static inline void client_open(client *c, bench *b, uint16_t port)
{
    memset(c, 0, sizeof *c);
    c->in = calloc(1, CLIENT_BYTES + 1);
    cr_assert_not_null(c->in);
    c->peer = sim_peer_connect(b->w, port, false, client_told, c);
}

/* Write `bytes`, which are borrowed until they are out. */
static inline void client_send(client *c, const char *bytes, size_t len)
{
    cr_assert_eq(c->out_len, 0);
    c->out = bytes;
    c->out_len = len;
    client_work(c);
}

static inline void client_say(client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

static inline void client_read(client *c, bool on)
{
    c->lazy = !on;
    client_work(c);
}

/* Let go of it, in order or with a reset. */
static inline void client_close(client *c, bool reset)
{
    if (!c->gone)
        sim_peer_close(c->peer, reset);
    c->gone = true;
}

static inline void client_fini(client *c)
{
    client_close(c, false);
    free(c->in);
    c->in = NULL;
}
