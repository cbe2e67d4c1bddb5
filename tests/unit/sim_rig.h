/* For the tests of the seam on a simulated backend.
 *
 * Owns: a loop of a few lines over one backend, ops and peers that write down what they are told.
 * Must not know: shards. Tested by: the tests that use it. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "sim.h"

typedef struct bench {
    sim_world *w;
    hs_io *io;
} bench;

static inline bench bench_of(uint64_t seed, const sim_faults *faults)
{
    bench b = {0};
    sim_options options = {.seed = seed, .shards = 1, .faults = faults};
    cr_assert(hs_ok(sim_world_create(&options, &b.w)));
    b.io = sim_world_io(b.w, 0);
    return b;
}

static inline bench bench_calm(void)
{
    sim_faults calm;
    sim_faults_none(&calm);
    return bench_of(1, &calm);
}

static inline void dispatch(hs_io *io, const hs_io_event *ev)
{
    if (!ev->more)
        hs_op_end(io, ev->op);
    ev->op->done(ev->op, ev);
    if (ev->data)
        io->ops->buf_give(io, ev->buf);
}

/* Turn until `ns` have passed. */
static inline void run_for(bench *b, uint64_t ns)
{
    uint64_t end = hs_io_now_ns(b->io) + ns;
    while (hs_io_now_ns(b->io) < end) {
        hs_io_event events[64];
        uint32_t n = b->io->ops->turn(b->io, end, events, HS_ARRAY_LEN(events));
        for (uint32_t i = 0; i < n; i++)
            dispatch(b->io, &events[i]);
    }
}

static inline int listen_on(hs_io *io, uint16_t port, bool reuse_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    return hs_io_listen(io, (struct sockaddr *)&addr, sizeof(addr), 16, reuse_port);
}

static inline uint16_t port_of(hs_io *io, int fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    cr_assert_eq(hs_io_sockname(io, fd, (struct sockaddr *)&addr, &len), 0);
    return ntohs(addr.sin_port);
}

/* An op that writes down what it is told. */
typedef struct probe {
    union {
        hs_op op;
        hs_op_send send;
    };
    uint32_t told, ends;
    int32_t last;
    uint8_t bytes[256];
    uint32_t bytes_len;
} probe;

static inline void probe_done(hs_op *op, const hs_io_event *ev)
{
    probe *p = (probe *)op;
    p->told++;
    p->ends += !ev->more;
    p->last = ev->res;
    cr_assert_eq(hs_op_active(op), ev->more);
    if (ev->data) {
        cr_assert_leq(p->bytes_len + (uint32_t)ev->res, sizeof(p->bytes));
        memcpy(p->bytes + p->bytes_len, ev->data, (size_t)ev->res);
        p->bytes_len += (uint32_t)ev->res;
    }
}

/* A peer that writes down what it is told. */
typedef struct client {
    sim_peer *peer;
    uint32_t told;
    char bytes[256];
    size_t bytes_len;
} client;

static inline void client_told(sim_peer *peer, uint32_t what)
{
    client *c = sim_peer_ctx(peer);
    c->told |= what;
    c->bytes_len += sim_peer_read(peer, c->bytes + c->bytes_len, sizeof(c->bytes) - c->bytes_len);
}
