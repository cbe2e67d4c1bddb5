/* An echo server of a few lines on two simulated backends, under drawn faults: bytes come back
 * whole and in order, or the connection is harmed; the same seed gives the same run. */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define PEERS 6
#define BYTES 20000
#define CONNS_MAX 32

typedef struct conn {
    hs_op recv;
    hs_op_send send;
    struct iovec iov;
    struct worker *worker;
    int fd; /* -1: free */
    bool ended;
    uint8_t bytes[2 * BYTES];
    uint32_t len, sent;
} conn;

typedef struct worker {
    hs_io *io;
    hs_op accept;
    int listener;
    bool stopping;
    conn *conns;
    uint64_t deadline; /* to accept again */
} worker;

typedef struct run_state {
    sim_world *w;
    worker workers[2];
    struct client *clients;
    uint32_t clients_left;
    uint64_t bytes_back;
} run_state;

static void accepted(hs_op *op, const hs_io_event *ev);

static void conn_progress(conn *c);

static void sent(hs_op *op, const hs_io_event *ev)
{
    conn *c = HS_CONTAINER_OF(op, conn, send.op);
    if (ev->res < 0)
        c->ended = true, c->sent = c->len;
    else
        c->sent += (uint32_t)ev->res;
    if (c->ended && hs_op_active(&c->recv))
        hs_io_cancel(c->worker->io, &c->recv);
    conn_progress(c);
}

static void received(hs_op *op, const hs_io_event *ev)
{
    conn *c = HS_CONTAINER_OF(op, conn, recv);
    if (ev->data) {
        cr_assert_leq(c->len + (uint32_t)ev->res, sizeof(c->bytes));
        memcpy(c->bytes + c->len, ev->data, (size_t)ev->res);
        c->len += (uint32_t)ev->res;
    }
    c->ended |= !ev->more;
    conn_progress(c);
}

static void conn_progress(conn *c)
{
    if (hs_op_active(&c->send.op))
        return;
    if (c->sent < c->len) {
        c->iov = (struct iovec){c->bytes + c->sent, c->len - c->sent};
        hs_io_send(c->worker->io, &c->send, c->fd, &c->iov, 1, sent);
    } else if (c->ended && !hs_op_active(&c->recv)) {
        hs_io_close(c->worker->io, c->fd);
        c->fd = -1;
    }
}

static void accepted(hs_op *op, const hs_io_event *ev)
{
    worker *k = HS_CONTAINER_OF(op, worker, accept);
    if (ev->res >= 0) {
        conn *c = k->conns;
        while (c->fd >= 0)
            c++;
        cr_assert_lt(c - k->conns, CONNS_MAX);
        memset(c, 0, sizeof(*c));
        c->worker = k;
        c->fd = ev->res;
        hs_io_recv(k->io, &c->recv, c->fd, received);
    }
    if (!ev->more)
        k->deadline = hs_io_now_ns(k->io) + HS_MSEC_NS;
}

static bool worker_done(const worker *k)
{
    if (!k->stopping || hs_op_active(&k->accept))
        return false;
    for (int i = 0; i < CONNS_MAX; i++)
        if (k->conns[i].fd >= 0)
            return false;
    return true;
}

static void worker_body(void *ctx)
{
    worker *k = ctx;
    hs_io_accept(k->io, &k->accept, k->listener, accepted);
    while (!worker_done(k)) {
        bool idle = !hs_op_active(&k->accept) && !k->stopping;
        hs_io_event events[16];
        uint32_t n = k->io->ops->turn(k->io, idle ? k->deadline : UINT64_MAX, events, 16);
        for (uint32_t i = 0; i < n; i++) {
            if (!events[i].more)
                hs_op_end(k->io, events[i].op);
            events[i].op->done(events[i].op, &events[i]);
            if (events[i].data)
                k->io->ops->buf_give(k->io, events[i].buf);
        }
        if (!hs_op_active(&k->accept) && !k->stopping && hs_io_now_ns(k->io) >= k->deadline)
            hs_io_accept(k->io, &k->accept, k->listener, accepted);
        if (k->stopping && hs_op_active(&k->accept))
            hs_io_cancel(k->io, &k->accept);
    }
    hs_io_close(k->io, k->listener);
}

/* ---- clients ---- */

typedef struct client {
    run_state *run;
    sim_peer *peer;
    sim_event next;
    uint32_t number, sent, back;
    bool spared, finished, open;
} client;

static uint8_t byte_at(const client *c, uint32_t i)
{
    return (uint8_t)(c->number * 31 + i * 7 + (i >> 8) * 13);
}

static void client_end(client *c)
{
    sim_event_cancel(c->run->w, &c->next);
    c->run->bytes_back += c->back;
    if (!sim_peer_harmed(c->peer))
        cr_assert_eq(c->back, BYTES, "client %u got %u of %u", c->number, c->back, c->sent);
    sim_peer_close(c->peer, false);
    c->run->clients_left--;
}

static void client_write(sim_world *w, sim_event *event)
{
    client *c = HS_CONTAINER_OF(event, client, next);
    if (c->finished)
        return;
    uint8_t piece[3000];
    uint32_t len = 1 + (uint32_t)sim_spread(w, sizeof(piece) - 1);
    len = HS_MIN(len, BYTES - c->sent);
    for (uint32_t i = 0; i < len; i++)
        piece[i] = byte_at(c, c->sent + i);
    uint32_t n = (uint32_t)sim_peer_write(c->peer, piece, len);
    c->sent += n;
    if (c->sent == BYTES)
        sim_peer_finish(c->peer), c->finished = true;
    else if (n == len)
        sim_event_set(w, &c->next, sim_spread(w, HS_MSEC_NS), client_write);
}

static void client_told(sim_peer *peer, uint32_t what)
{
    client *c = sim_peer_ctx(peer);
    c->open |= what & SIM_PEER_OPEN;
    uint8_t piece[512];
    size_t n;
    while ((n = sim_peer_read(peer, piece, sizeof(piece))) > 0) {
        size_t same = 0;
        while (same < n && piece[same] == byte_at(c, c->back + (uint32_t)same))
            same++;
        c->back += (uint32_t)same;
        cr_assert_eq(same, n, "client %u: byte %u came back changed", c->number, c->back);
    }
    if (what & (SIM_PEER_RESET | SIM_PEER_EOF | SIM_PEER_REFUSED))
        client_end(c);
    else if (what & (SIM_PEER_OPEN | SIM_PEER_WRITE))
        client_write(c->run->w, &c->next);
}

/* ---- a run ---- */

static uint64_t run_seed(uint64_t seed, uint64_t *bytes_back)
{
    run_state r = {.clients_left = PEERS};
    sim_options options = {.seed = seed, .shards = 2};
    cr_assert(hs_ok(sim_world_create(&options, &r.w)));
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(80)};
    for (uint32_t i = 0; i < 2; i++) {
        worker *k = &r.workers[i];
        k->io = sim_world_io(r.w, i);
        k->listener = hs_io_listen(k->io, (struct sockaddr *)&addr, sizeof(addr), 16, true);
        cr_assert_geq(k->listener, 0);
        k->conns = calloc(CONNS_MAX, sizeof(conn));
        for (int c = 0; c < CONNS_MAX; c++)
            k->conns[c].fd = -1;
        sim_world_spawn(r.w, i, worker_body, NULL, k);
    }
    client clients[PEERS];
    memset(clients, 0, sizeof(clients));
    for (uint32_t i = 0; i < PEERS; i++) {
        clients[i] = (client){.run = &r, .number = i};
        clients[i].peer = sim_peer_connect(r.w, 80, i % 2 == 0, client_told, &clients[i]);
    }
    uint64_t end = sim_world_now_ns(r.w) + 3600 * HS_SEC_NS;
    bool stopping = false;
    while (!sim_world_ended(r.w)) {
        cr_assert(sim_world_step(r.w), "seed %llu: nothing will ever happen, %u clients left",
                  (unsigned long long)seed, r.clients_left);
        cr_assert_lt(sim_world_now_ns(r.w), end, "seed %llu hangs", (unsigned long long)seed);
        if (r.clients_left == 0 && !stopping) {
            stopping = true;
            for (int i = 0; i < 2; i++) {
                r.workers[i].stopping = true;
                hs_io_wake_any(r.workers[i].io);
            }
        }
    }
    uint64_t hash = sim_world_hash(r.w);
    *bytes_back = r.bytes_back;
    sim_world_destroy(r.w);
    free(r.workers[0].conns);
    free(r.workers[1].conns);
    return hash;
}

Test(shard_sim_faults, echoes_come_back_whole_or_the_connection_was_harmed, .timeout = 600)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t bytes = 0;
        run_seed(seed, &bytes);
        least = HS_MIN(least, bytes);
        most = HS_MAX(most, bytes);
    }
    /* The faults are worth their name: some run lost connections, and some run lost none. */
    cr_assert_lt(least, PEERS * BYTES);
    cr_assert_eq(most, PEERS * BYTES);
}

Test(shard_sim_faults, the_same_seed_gives_the_same_run)
{
    uint64_t before = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t bytes[2];
        uint64_t first = run_seed(seed, &bytes[0]);
        cr_assert_eq(first, run_seed(seed, &bytes[1]));
        cr_assert_eq(bytes[0], bytes[1]);
        cr_assert_neq(first, before);
        before = first;
    }
}
