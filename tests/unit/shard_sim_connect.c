/* Sockets that connect in the simulator: to listeners and to scripts, in vain, late, and cancelled
 * at any moment. */
#include <arpa/inet.h>
#include <signal.h>

#include "sim_rig.h"

/* A socket that connects and writes down what came of it. */
typedef struct dialler {
    hs_op_connect connect;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } addr;
    int fd;
    uint32_t told;
    int32_t res;
} dialler;

static void dialled(hs_op *op, const hs_io_event *ev)
{
    dialler *d = HS_CONTAINER_OF(op, dialler, connect.op);
    cr_assert_not(ev->more);
    cr_assert_null(ev->data);
    d->told++;
    d->res = ev->res;
}

static void dial(bench *b, dialler *d, const char *host, uint16_t port)
{
    memset(d, 0, sizeof(*d));
    d->addr.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    cr_assert_eq(inet_pton(AF_INET, host, &d->addr.in.sin_addr), 1);
    d->fd = hs_io_socket(b->io, AF_INET, SOCK_STREAM, 0);
    cr_assert_geq(d->fd, 0);
    hs_io_connect(b->io, &d->connect, d->fd, &d->addr.any, sizeof(d->addr.in), dialled);
}

static void hang_up(bench *b, dialler *d)
{
    hs_io_close(b->io, d->fd);
    run_for(b, HS_SEC_NS);
}

/* Dial until it is settled; the result. */
static int32_t dial_out(bench *b, const char *host, uint16_t port)
{
    dialler d;
    dial(b, &d, host, port);
    run_for(b, 200 * HS_SEC_NS);
    cr_assert_eq(d.told, 1);
    hang_up(b, &d);
    return d.res;
}

static void send_text(bench *b, probe *s, int fd, struct iovec *iov, const char *text)
{
    *iov = (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    hs_io_send(b->io, &s->send, fd, iov, 1, probe_done);
}

/* ---- who answers ---- */

Test(shard_sim_connect, two_files_of_a_world_are_the_ends_of_a_connection)
{
    bench b = bench_calm();
    int listener = listen_on(b.io, 80, false);
    probe accept = {0}, there = {0}, back = {0}, send = {0}, answer = {0};
    hs_io_accept(b.io, &accept.op, listener, probe_done);
    dialler d;
    dial(&b, &d, "127.0.0.1", 80);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(d.told, 1);
    cr_assert_eq(d.res, 0);
    int fd = accept.last;
    cr_assert_geq(fd, 0);
    cr_assert_eq(port_of(b.io, fd), 80);
    cr_assert_geq(port_of(b.io, d.fd), 40000);

    struct iovec iov[2];
    hs_io_recv(b.io, &there.op, fd, probe_done);
    hs_io_recv(b.io, &back.op, d.fd, probe_done);
    send_text(&b, &send, d.fd, &iov[0], "question");
    send_text(&b, &answer, fd, &iov[1], "answer");
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(send.last, 8);
    cr_assert_eq(answer.last, 6);
    cr_assert(there.bytes_len == 8 && memcmp(there.bytes, "question", 8) == 0);
    cr_assert(back.bytes_len == 6 && memcmp(back.bytes, "answer", 6) == 0);

    hs_io_shutdown(b.io, d.fd, SHUT_WR);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(there.ends, 1);
    cr_assert_eq(there.last, 0);
    hs_io_close(b.io, fd);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(back.ends, 1);
    cr_assert_eq(back.last, 0);
    hs_io_close(b.io, d.fd);
    hs_io_cancel(b.io, &accept.op);
    run_for(&b, HS_SEC_NS);
    hs_io_close(b.io, listener);
    sim_world_destroy(b.w);
}

static void count_done(hs_op *op, const hs_io_event *ev)
{
    ((probe *)op)->told += ev->data ? (uint32_t)ev->res : 0;
}

Test(shard_sim_connect, a_send_between_files_waits_for_the_reader)
{
    bench b = bench_calm();
    int listener = listen_on(b.io, 80, false);
    probe accept = {0}, send = {0}, recv = {0};
    hs_io_accept(b.io, &accept.op, listener, probe_done);
    dialler d;
    dial(&b, &d, "127.0.0.1", 80);
    run_for(&b, HS_SEC_NS);
    static char big[65536];
    uint32_t sends = 0, sent = 0;
    struct iovec iov;
    while (!hs_op_active(&send.op)) {
        iov = (struct iovec){big, 100};
        hs_io_send(b.io, &send.send, d.fd, &iov, 1, probe_done);
        run_for(&b, HS_MSEC_NS);
        cr_assert_lt(++sends, 1000);
        sent += hs_op_active(&send.op) ? 0 : (uint32_t)send.last;
    }
    hs_io_recv(b.io, &recv.op, accept.last, count_done);
    run_for(&b, HS_SEC_NS);
    cr_assert_not(hs_op_active(&send.op));
    cr_assert_eq(recv.told, sent + (uint32_t)send.last);
    hs_io_cancel(b.io, &recv.op);
    run_for(&b, HS_SEC_NS);
    hs_io_close(b.io, accept.last);
    hang_up(&b, &d);
    hs_io_cancel(b.io, &accept.op);
    run_for(&b, HS_SEC_NS);
    hs_io_close(b.io, listener);
    sim_world_destroy(b.w);
}

/* A script that answers what it reads with "pong". */
static void pong(sim_peer *peer, uint32_t what)
{
    client *c = sim_peer_ctx(peer);
    c->peer = peer;
    client_told(peer, what);
    if (what & SIM_PEER_READ)
        sim_peer_write(peer, "pong", 4);
    if (what & (SIM_PEER_EOF | SIM_PEER_RESET))
        sim_peer_close(peer, false);
}

Test(shard_sim_connect, a_script_answers_on_its_port)
{
    bench b = bench_calm();
    client c = {0};
    sim_peer_listen(b.w, 53, true, pong, &c);
    dialler d;
    dial(&b, &d, "10.1.2.3", 53);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(d.res, 0);
    cr_assert_eq(c.told, SIM_PEER_OPEN);
    probe recv = {0}, send = {0};
    struct iovec iov;
    hs_io_recv(b.io, &recv.op, d.fd, probe_done);
    send_text(&b, &send, d.fd, &iov, "ping");
    run_for(&b, HS_SEC_NS);
    cr_assert(c.bytes_len == 4 && memcmp(c.bytes, "ping", 4) == 0);
    cr_assert(recv.bytes_len == 4 && memcmp(recv.bytes, "pong", 4) == 0);
    hs_io_shutdown(b.io, d.fd, SHUT_WR);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(recv.ends, 1);
    cr_assert_eq(recv.last, 0);
    hang_up(&b, &d);

    sim_peer_unlisten(b.w, 53);
    cr_assert_eq(dial_out(&b, "10.1.2.3", 53), -ECONNREFUSED);
    sim_world_destroy(b.w);
}

Test(shard_sim_connect, a_listener_answers_its_own_family_alone)
{
    bench b = bench_calm();
    int listener = listen_on(b.io, 80, false);
    dialler d = {.fd = hs_io_socket(b.io, AF_INET6, SOCK_STREAM, 0)};
    d.addr.in6 = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_addr = in6addr_loopback};
    hs_io_connect(b.io, &d.connect, d.fd, &d.addr.any, sizeof(d.addr.in6), dialled);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(d.res, -ECONNREFUSED);
    hang_up(&b, &d);

    d = (dialler){.fd = hs_io_socket(b.io, AF_INET6, SOCK_STREAM, 0)};
    d.addr.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(80)};
    hs_io_connect(b.io, &d.connect, d.fd, &d.addr.any, sizeof(d.addr.in), dialled);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(d.res, -EAFNOSUPPORT);
    hang_up(&b, &d);
    hs_io_close(b.io, listener);
    sim_world_destroy(b.w);
}

Test(shard_sim_connect, a_full_backlog_is_waited_for_two_minutes)
{
    bench b = bench_calm();
    int listener = listen_on(b.io, 80, false); /* 16, and nobody accepts */
    dialler d[17];
    for (int i = 0; i < 17; i++) {
        dial(&b, &d[i], "127.0.0.1", 80);
        run_for(&b, HS_SEC_NS);
        cr_assert_eq(d[i].told, i < 16);
    }
    run_for(&b, 120 * HS_SEC_NS);
    cr_assert_eq(d[16].told, 0);
    run_for(&b, 10 * HS_SEC_NS);
    cr_assert_eq(d[16].res, -ETIMEDOUT);
    hs_io_close(b.io, listener);
    for (int i = 0; i < 17; i++)
        hang_up(&b, &d[i]);
    sim_world_destroy(b.w);
}

Test(shard_sim_connect, sockets_are_made_bound_and_set)
{
    bench b = bench_calm();
    cr_assert_eq(hs_io_socket(b.io, AF_UNIX, SOCK_STREAM, 0), -EAFNOSUPPORT);
    int listener = listen_on(b.io, 80, false);
    int fd = hs_io_socket(b.io, AF_INET, SOCK_STREAM, IPPROTO_TCP);
    cr_assert_geq(fd, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr *any = (struct sockaddr *)&addr;
    cr_assert_eq(hs_io_bind(b.io, fd, any, sizeof(addr)), -EADDRINUSE);
    addr.sin_port = htons(1234);
    cr_assert_eq(hs_io_bind(b.io, fd, any, sizeof(addr)), 0);
    cr_assert_eq(hs_io_bind(b.io, fd, any, sizeof(addr)), -EINVAL);
    cr_assert_eq(port_of(b.io, fd), 1234);
    int on = 1;
    cr_assert_eq(hs_io_sockopt(b.io, fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), 0);
    hs_io_close(b.io, fd);
    hs_io_close(b.io, listener);
    run_for(&b, HS_SEC_NS);
    sim_world_destroy(b.w);
}

/* ---- in vain, or late ---- */

static void say(bench *b, const char *host, uint16_t port, sim_reach reach, uint64_t after_ns)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    cr_assert_eq(inet_pton(AF_INET, host, &addr.sin_addr), 1);
    sim_address_set(b->w, (struct sockaddr *)&addr, reach, after_ns);
}

Test(shard_sim_connect, an_address_comes_to_what_a_test_says)
{
    bench b = bench_calm();
    client c = {0};
    sim_peer_listen(b.w, 80, false, pong, &c);
    say(&b, "10.0.0.1", 0, SIM_REACH_REFUSED, 0);
    say(&b, "10.0.0.2", 80, SIM_REACH_UNREACHABLE, 0);
    say(&b, "10.0.0.3", 80, SIM_REACH_SILENT, 0);
    say(&b, "10.0.0.4", 80, SIM_REACH_OPEN, 300 * HS_MSEC_NS);
    cr_assert_eq(dial_out(&b, "10.0.0.1", 80), -ECONNREFUSED);
    cr_assert_eq(dial_out(&b, "10.0.0.2", 80), -ENETUNREACH);
    cr_assert_eq(dial_out(&b, "10.0.0.2", 81), -ECONNREFUSED); /* nobody listens there */
    cr_assert_eq(dial_out(&b, "10.0.0.3", 80), -ETIMEDOUT);
    cr_assert_eq(dial_out(&b, "10.0.0.5", 80), 0);
    dialler d;
    dial(&b, &d, "10.0.0.4", 80);
    run_for(&b, 299 * HS_MSEC_NS);
    cr_assert_eq(d.told, 0);
    run_for(&b, 2 * HS_MSEC_NS);
    cr_assert_eq(d.told, 1);
    cr_assert_eq(d.res, 0);
    hang_up(&b, &d);
    say(&b, "10.0.0.1", 0, SIM_REACH_OPEN, 0);
    cr_assert_eq(dial_out(&b, "10.0.0.1", 80), 0);
    sim_world_destroy(b.w);
}

static int32_t dial_with(const sim_faults *faults, bool spared)
{
    bench b = bench_of(1, faults);
    client c = {0};
    sim_peer_listen(b.w, 80, spared, pong, &c);
    int32_t res = dial_out(&b, "127.0.0.1", 80);
    sim_world_destroy(b.w);
    return res;
}

Test(shard_sim_connect, faults_end_a_connect_unless_it_is_spared)
{
    sim_faults f;
    uint32_t *const chances[] = {&f.connect_refused, &f.connect_unreachable, &f.connect_silent,
                                 &f.connect_stall};
    const int32_t results[] = {-ECONNREFUSED, -ENETUNREACH, -ETIMEDOUT, 0};
    for (size_t i = 0; i < HS_ARRAY_LEN(chances); i++) {
        sim_faults_none(&f);
        *chances[i] = 1024;
        cr_assert_eq(dial_with(&f, false), results[i], "%zu", i);
        cr_assert_eq(dial_with(&f, true), 0, "%zu", i);
    }
}

Test(shard_sim_connect, a_connection_may_be_reset_as_soon_as_it_is_made)
{
    sim_faults f;
    sim_faults_none(&f);
    f.connect_reset = 1024;
    bench b = bench_of(1, &f);
    client c = {0};
    sim_peer_listen(b.w, 80, false, pong, &c);
    dialler d;
    dial(&b, &d, "127.0.0.1", 80);
    while (!d.told) {
        hs_io_event ev;
        if (b.io->ops->turn(b.io, UINT64_MAX, &ev, 1))
            dispatch(b.io, &ev);
    }
    cr_assert_eq(d.res, 0);
    probe recv = {0};
    hs_io_recv(b.io, &recv.op, d.fd, probe_done);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(recv.ends, 1);
    cr_assert_eq(recv.last, -ECONNRESET);
    cr_assert(sim_fd_harmed(b.w, d.fd));
    cr_assert(c.told & SIM_PEER_RESET);
    hang_up(&b, &d);
    sim_world_destroy(b.w);
}

/* ---- cancelled ---- */

Test(shard_sim_connect, a_cancel_ends_a_connect_once)
{
    bench b = bench_calm();
    say(&b, "10.0.0.3", 80, SIM_REACH_SILENT, 0);
    dialler d;
    dial(&b, &d, "10.0.0.3", 80); /* before the kernel saw it */
    hs_io_cancel(b.io, &d.connect.op);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(d.told, 1);
    cr_assert_eq(d.res, -ECANCELED);
    hang_up(&b, &d);
    dial(&b, &d, "10.0.0.3", 80); /* while nobody answers */
    run_for(&b, 5 * HS_SEC_NS);
    hs_io_cancel(b.io, &d.connect.op);
    hs_io_cancel(b.io, &d.connect.op);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(d.told, 1);
    cr_assert_eq(d.res, -ECANCELED);
    hang_up(&b, &d);
    cr_assert_eq(sim_world_fds(b.w), 0);
    sim_world_destroy(b.w);
}

/* An accept that closes what comes, and goes on until it is cancelled. */
typedef struct door {
    hs_op accept;
    bench *b;
    int listener;
    bool stopping;
} door;

static void door_accepted(hs_op *op, const hs_io_event *ev)
{
    door *d = HS_CONTAINER_OF(op, door, accept);
    if (ev->res >= 0)
        hs_io_close(d->b->io, ev->res);
    if (!ev->more && !d->stopping)
        hs_io_accept(d->b->io, &d->accept, d->listener, door_accepted);
}

/* Under drawn faults every connect ends once, whenever it is cancelled, and nothing is left.
 * Returns how many connected. */
static uint32_t run_seed(uint64_t seed)
{
    bench b = bench_of(seed, NULL);
    client c = {0};
    sim_peer_listen(b.w, 81, false, pong, &c);
    door in = {.b = &b, .listener = listen_on(b.io, 80, false)};
    hs_io_accept(b.io, &in.accept, in.listener, door_accepted);
    uint32_t connected = 0;
    for (int round = 0; round < 20; round++) {
        dialler d;
        dial(&b, &d, "127.0.0.1", sim_below(b.w, 2) ? 80 : 81);
        if (sim_below(b.w, 2))
            run_for(&b, sim_spread(b.w, HS_SEC_NS) + 1);
        if (!d.told && sim_below(b.w, 2))
            hs_io_cancel(b.io, &d.connect.op);
        for (int i = 0; i < 200 && !d.told; i++)
            run_for(&b, HS_SEC_NS);
        cr_assert_eq(d.told, 1, "seed %llu", (unsigned long long)seed);
        connected += d.res == 0;
        hang_up(&b, &d);
    }
    in.stopping = true;
    if (hs_op_active(&in.accept))
        hs_io_cancel(b.io, &in.accept);
    run_for(&b, HS_SEC_NS);
    hs_io_close(b.io, in.listener);
    cr_assert_eq(sim_world_fds(b.w), 0);
    sim_world_destroy(b.w);
    return connected;
}

Test(shard_sim_connect, every_connect_ends_once_under_drawn_faults, .timeout = 600)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint32_t connected = run_seed(seed);
        least = HS_MIN(least, connected);
        most = HS_MAX(most, connected);
    }
    /* The faults are worth their name, and so is the rest. */
    cr_assert_lt(least, 10);
    cr_assert_gt(most, 15);
}

/* ---- what the simulator finds ---- */

Test(shard_sim_connect, finds_a_receive_on_a_socket_that_is_not_connected, .signal = SIGABRT)
{
    bench b = bench_calm();
    probe recv = {0};
    hs_io_recv(b.io, &recv.op, hs_io_socket(b.io, AF_INET, SOCK_STREAM, 0), probe_done);
}

Test(shard_sim_connect, finds_a_second_connect, .signal = SIGABRT)
{
    bench b = bench_calm();
    dialler d;
    dial(&b, &d, "127.0.0.1", 80);
    run_for(&b, HS_SEC_NS);
    cr_assert_eq(d.res, -ECONNREFUSED);
    hs_io_connect(b.io, &d.connect, d.fd, &d.addr.any, sizeof(d.addr.in), dialled);
}

Test(shard_sim_connect, finds_an_address_that_changed_under_way, .signal = SIGABRT)
{
    bench b = bench_calm();
    dialler d;
    dial(&b, &d, "127.0.0.1", 80);
    d.addr.in.sin_port = 0;
    run_for(&b, HS_SEC_NS);
}
