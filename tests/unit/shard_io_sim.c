/* The seam on the simulated backend, and the simulator itself: what it promises, and that it finds
 * what a caller does wrong. */
#include <poll.h>
#include <signal.h>

#include "sim_rig.h"

/* A listener, a client connected to it, and the server's end. */
typedef struct pair {
    bench b;
    int listener, fd;
    probe accept;
    client client;
} pair;

static void pair_up(pair *p)
{
    memset(p, 0, sizeof(*p));
    p->b = bench_calm();
    p->listener = listen_on(p->b.io, 0, false);
    cr_assert_geq(p->listener, 0);
    p->client.peer =
        sim_peer_connect(p->b.w, port_of(p->b.io, p->listener), false, client_told, &p->client);
    hs_io_accept(p->b.io, &p->accept.op, p->listener, probe_done);
    run_for(&p->b, HS_MSEC_NS);
    cr_assert_eq(p->accept.told, 1);
    cr_assert_eq(p->client.told, SIM_PEER_OPEN);
    p->fd = p->accept.last;
    cr_assert_geq(p->fd, 0);
}

static void pair_down(pair *p)
{
    hs_io_cancel(p->b.io, &p->accept.op);
    run_for(&p->b, 10 * HS_MSEC_NS);
    cr_assert_eq(p->accept.ends, 1);
    cr_assert_eq(p->accept.last, -ECANCELED);
    hs_io_close(p->b.io, p->listener);
    sim_world_destroy(p->b.w);
}

static void send_text(pair *p, probe *s, struct iovec *iov, const char *text)
{
    *iov = (struct iovec){.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    hs_io_send(p->b.io, &s->send, p->fd, iov, 1, probe_done);
}

/* ---- what it promises ---- */

Test(shard_io_sim, bytes_go_both_ways_and_end)
{
    pair p;
    pair_up(&p);
    probe recv = {0}, send = {0};
    struct iovec iov;
    hs_io_recv(p.b.io, &recv.op, p.fd, probe_done);
    cr_assert_eq(sim_peer_write(p.client.peer, "question", 8), 8);
    send_text(&p, &send, &iov, "answer");
    run_for(&p.b, HS_MSEC_NS);
    cr_assert_eq(recv.bytes_len, 8);
    cr_assert_eq(memcmp(recv.bytes, "question", 8), 0);
    cr_assert_eq(send.last, 6);
    cr_assert_eq(p.client.bytes_len, 6);
    cr_assert_eq(memcmp(p.client.bytes, "answer", 6), 0);

    hs_io_shutdown(p.b.io, p.fd, SHUT_WR);
    run_for(&p.b, HS_MSEC_NS);
    cr_assert(p.client.told & SIM_PEER_EOF);
    cr_assert(hs_op_active(&recv.op));
    sim_peer_finish(p.client.peer);
    run_for(&p.b, HS_MSEC_NS);
    cr_assert_eq(recv.ends, 1);
    cr_assert_eq(recv.last, 0);
    hs_io_close(p.b.io, p.fd);
    pair_down(&p);
    cr_assert_not(p.client.told & SIM_PEER_RESET);
}

Test(shard_io_sim, a_cancel_ends_an_op_once)
{
    pair p;
    pair_up(&p);
    probe recv = {0}, polled = {0};
    hs_io_recv(p.b.io, &recv.op, p.fd, probe_done);
    hs_io_poll(p.b.io, &polled.op, p.fd, POLLIN, probe_done);
    run_for(&p.b, HS_MSEC_NS);
    cr_assert_eq(recv.told + polled.told, 0);
    for (int i = 0; i < 2; i++) {
        hs_io_cancel(p.b.io, &recv.op);
        hs_io_cancel(p.b.io, &polled.op);
    }
    run_for(&p.b, HS_MSEC_NS);
    cr_assert_eq(recv.told, 1);
    cr_assert_eq(recv.last, -ECANCELED);
    cr_assert_eq(polled.told, 1);
    cr_assert_eq(polled.last, -ECANCELED);
    /* The op can be used again. */
    hs_io_poll(p.b.io, &polled.op, p.fd, POLLIN | POLLOUT, probe_done);
    run_for(&p.b, HS_MSEC_NS);
    cr_assert_eq(polled.last, POLLOUT);
    hs_io_close(p.b.io, p.fd);
    pair_down(&p);
}

Test(shard_io_sim, a_close_over_unread_bytes_is_a_reset)
{
    pair p;
    pair_up(&p);
    sim_peer_write(p.client.peer, "unread", 6);
    run_for(&p.b, HS_MSEC_NS);
    hs_io_close(p.b.io, p.fd);
    run_for(&p.b, HS_MSEC_NS);
    cr_assert(p.client.told & SIM_PEER_RESET);
    pair_down(&p);
}

Test(shard_io_sim, bytes_to_a_closed_socket_are_a_reset)
{
    pair p;
    pair_up(&p);
    hs_io_close(p.b.io, p.fd);
    run_for(&p.b, HS_MSEC_NS);
    cr_assert(p.client.told & SIM_PEER_EOF);
    cr_assert_not(p.client.told & SIM_PEER_RESET);
    sim_peer_write(p.client.peer, "late", 4);
    run_for(&p.b, HS_MSEC_NS);
    cr_assert(p.client.told & SIM_PEER_RESET);
    pair_down(&p);
}

Test(shard_io_sim, a_reset_ends_ops_with_errors)
{
    pair p;
    pair_up(&p);
    probe recv = {0}, send = {0};
    struct iovec iov;
    hs_io_recv(p.b.io, &recv.op, p.fd, probe_done);
    sim_peer_close(p.client.peer, true);
    run_for(&p.b, HS_MSEC_NS);
    cr_assert_eq(recv.last, -ECONNRESET);
    cr_assert_eq(recv.ends, 1);
    send_text(&p, &send, &iov, "to nobody");
    run_for(&p.b, HS_MSEC_NS);
    cr_assert_eq(send.last, -EPIPE);
    hs_io_close(p.b.io, p.fd);
    pair_down(&p);
}

Test(shard_io_sim, a_send_waits_for_room)
{
    pair p;
    pair_up(&p);
    static char big[1 << 20];
    probe send = {0};
    uint64_t sent = 0;
    struct iovec iov; /* the last send has it until it is done, long after the loop */
    for (int i = 0; i < 3; i++) {
        iov = (struct iovec){big, sizeof(big)};
        send.told = 0;
        hs_io_send(p.b.io, &send.send, p.fd, &iov, 1, probe_done);
        run_for(&p.b, HS_MSEC_NS);
        if (!send.told)
            break; /* the client's function reads 256 bytes, no more */
        sent += (uint64_t)send.last;
    }
    cr_assert(hs_op_active(&send.op));
    cr_assert_gt(sent, 0);
    cr_assert_leq(sent, 65536 + sizeof(p.client.bytes));
    char out[100];
    cr_assert_eq(sim_peer_read(p.client.peer, out, sizeof(out)), sizeof(out));
    run_for(&p.b, HS_MSEC_NS);
    cr_assert_not(hs_op_active(&send.op));
    hs_io_close(p.b.io, p.fd);
    pair_down(&p);
}

Test(shard_io_sim, ports_and_files_have_limits)
{
    sim_faults calm;
    sim_faults_none(&calm);
    calm.fds_max = 3;
    bench b = bench_of(1, &calm);
    int first = listen_on(b.io, 80, true);
    cr_assert_geq(first, 0);
    cr_assert_eq(listen_on(b.io, 80, false), -EADDRINUSE);
    int second = listen_on(b.io, 80, true);
    cr_assert_geq(second, 0);
    int third = listen_on(b.io, 0, false);
    cr_assert_geq(third, 0);
    cr_assert_eq(listen_on(b.io, 0, false), -EMFILE);

    client c = {0};
    c.peer = sim_peer_connect(b.w, port_of(b.io, third), false, client_told, &c);
    probe accept = {0};
    hs_io_accept(b.io, &accept.op, third, probe_done);
    run_for(&b, HS_MSEC_NS);
    cr_assert_eq(accept.last, -EMFILE);
    cr_assert_eq(accept.ends, 1);
    hs_io_close(b.io, third);
    run_for(&b, HS_MSEC_NS);
    cr_assert(c.told & SIM_PEER_RESET);

    client d = {0};
    d.peer = sim_peer_connect(b.w, 81, false, client_told, &d);
    run_for(&b, HS_MSEC_NS);
    cr_assert_eq(d.told, SIM_PEER_REFUSED);
    hs_io_close(b.io, first);
    hs_io_close(b.io, second);
    sim_world_destroy(b.w);
}

/* ---- threads and time ---- */

typedef struct sleeper {
    sim_world *w;
    hs_io *io, *other;
    uint64_t deadline, woke_at;
    uint32_t resumed;
} sleeper;

static void sleeper_body(void *ctx)
{
    sleeper *s = ctx;
    hs_io_event event;
    if (s->other)
        hs_io_wake(s->io, s->other);
    cr_assert_eq(s->io->ops->turn(s->io, s->deadline, &event, 1), 0);
    s->woke_at = hs_io_now_ns(s->io);
}

static void sleeper_resumed(void *ctx)
{
    ((sleeper *)ctx)->resumed++;
}

Test(shard_io_sim, time_leaps_when_all_wait)
{
    sim_faults calm;
    sim_faults_none(&calm);
    sim_options options = {.seed = 7, .shards = 3, .faults = &calm};
    sim_world *w;
    cr_assert(hs_ok(sim_world_create(&options, &w)));
    sleeper s[3];
    uint64_t start = sim_world_now_ns(w);
    for (uint32_t i = 0; i < 3; i++)
        s[i] = (sleeper){.w = w, .io = sim_world_io(w, i), .deadline = start + i * HS_SEC_NS};
    s[2].deadline = UINT64_MAX; /* only the wake-up ends its wait */
    s[1].other = s[2].io;
    s[0].deadline = start + 5000 * HS_SEC_NS;
    for (uint32_t i = 0; i < 3; i++)
        sim_world_spawn(w, i, sleeper_body, sleeper_resumed, &s[i]);
    while (!sim_world_ended(w))
        cr_assert(sim_world_step(w));
    cr_assert_eq(s[0].woke_at, start + 5000 * HS_SEC_NS);
    cr_assert_eq(s[1].woke_at, start + HS_SEC_NS);
    cr_assert_lt(s[2].woke_at, start + HS_MSEC_NS);
    cr_assert_gt(s[0].resumed, 1);
    cr_assert_not(sim_world_step(w)); /* nothing will ever happen again */
    sim_world_destroy(w);
}

/* ---- what it finds ---- */

Test(shard_io_sim, finds_an_op_started_twice_on_a_file, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    probe a = {0}, b = {0};
    hs_io_recv(p.b.io, &a.op, p.fd, probe_done);
    hs_io_recv(p.b.io, &b.op, p.fd, probe_done);
}

Test(shard_io_sim, finds_a_close_under_an_op, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    probe recv = {0};
    hs_io_recv(p.b.io, &recv.op, p.fd, probe_done);
    hs_io_close(p.b.io, p.fd);
}

Test(shard_io_sim, finds_a_use_after_close, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    hs_io_close(p.b.io, p.fd);
    hs_io_shutdown(p.b.io, p.fd, SHUT_RDWR);
}

Test(shard_io_sim, finds_memory_that_changed_under_a_send, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    probe send = {0};
    char text[] = "before";
    struct iovec iov;
    send_text(&p, &send, &iov, text);
    text[0] = 'B';
    run_for(&p.b, HS_MSEC_NS);
}

Test(shard_io_sim, finds_vectors_that_changed_under_a_send, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    probe send = {0};
    struct iovec iov;
    send_text(&p, &send, &iov, "before");
    iov.iov_len = 3;
    run_for(&p.b, HS_MSEC_NS);
}

Test(shard_io_sim, finds_an_op_that_changed_under_way, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    probe recv = {0};
    hs_io_recv(p.b.io, &recv.op, p.fd, probe_done);
    recv.op = (hs_op){0};
    sim_peer_write(p.client.peer, "x", 1);
    run_for(&p.b, HS_MSEC_NS);
}

static void keep_done(hs_op *op, const hs_io_event *ev)
{
    (void)op, (void)ev;
}

Test(shard_io_sim, finds_a_buffer_given_back_twice, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    probe recv = {0};
    hs_io_recv(p.b.io, &recv.op, p.fd, keep_done);
    sim_peer_write(p.client.peer, "x", 1);
    hs_io_event ev = {0};
    while (!ev.data)
        p.b.io->ops->turn(p.b.io, UINT64_MAX, &ev, 1);
    p.b.io->ops->buf_give(p.b.io, ev.buf);
    p.b.io->ops->buf_give(p.b.io, ev.buf);
}

Test(shard_io_sim, finds_an_op_left_behind, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    hs_io_close(p.b.io, p.fd);
    sim_world_destroy(p.b.w);
}

Test(shard_io_sim, finds_a_file_left_open, .signal = SIGABRT)
{
    pair p;
    pair_up(&p);
    pair_down(&p); /* closes the listener, not the stream */
}
