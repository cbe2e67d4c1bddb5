/* The seam on the kernel, with sockets of this machine: what every backend promises. Each test runs
 * on io_uring and on epoll (HS_IO). Waits and ends are in shard_io_kernel_wait.c, what goes wrong
 * with peers in shard_io_kernel_peer.c, what only one of them has in shard_io_uring.c and
 * shard_io_epoll.c. */
#include "io_rig.h"

/* ---- what it promises ---- */

Test(shard_io_kernel, bytes_go_both_ways_and_end)
{
    hs_io *io = make_io();
    int fds[2];
    probe in = {0}, out = {0};
    char a[] = "first ", b[] = "second ", c[] = "third", got[32] = "";
    struct iovec iov[] = {{a, 6}, {b, 7}, {c, 5}};
    pair_of(fds);
    hs_io_recv(io, &in.op, fds[0], probe_done);
    put(fds[1], "question");
    hs_io_send(io, &out.send, fds[0], iov, 3, probe_done);
    turn_until(io, &told, 2);
    cr_assert_eq(in.bytes, 8);
    cr_assert_eq(out.last, 18);
    cr_assert_eq(recv(fds[1], got, sizeof got, 0), 18);
    cr_assert_str_eq(got, "first second third");
    hs_io_send(io, &out.send, fds[0], iov, 1, probe_done);
    turn_until(io, &told, 3);
    cr_assert_eq(out.last, 6);
    cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
    turn_until(io, &told, 4);
    cr_assert_eq(in.ends, 1);
    cr_assert_eq(in.last, 0);
    hs_io_close(io, fds[0]);
    turn_idle(io, 2);
    cr_assert_eq(recv(fds[1], got, sizeof got, 0), 6);
    cr_assert_eq(recv(fds[1], got, sizeof got, 0), 0);
    close(fds[1]);
    end_io(io);
}

Test(shard_io_kernel, a_send_to_nobody_is_an_error_and_no_signal)
{
    hs_io *io = make_io();
    int fds[2];
    probe out = {0};
    char text[] = "text";
    struct iovec iov = {text, 4};
    pair_of(fds);
    close(fds[1]);
    hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done);
    turn_until(io, &ends, 1);
    cr_assert_eq(out.last, -EPIPE);
    hs_io_close(io, fds[0]);
    end_io(io);
}

Test(shard_io_kernel, accepting_goes_on_until_it_is_cancelled)
{
    enum { CLIENTS = 20 };
    hs_io *io = make_io();
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int clients[CLIENTS], client_len = 0;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = hs_io_listen(io, (struct sockaddr *)&addr, sizeof addr, 64, false);
    cr_assert_geq(fd, 0);
    cr_assert_eq(hs_io_sockname(io, fd, (struct sockaddr *)&addr, &len), 0);
    probe accept = {0};
    hs_io_accept(io, &accept.op, fd, probe_done);
    for (; client_len < CLIENTS; client_len++) {
        clients[client_len] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(clients[client_len], (struct sockaddr *)&addr, len), 0);
        uint32_t before = told;
        turn_until(io, &told, before + 1);
        cr_assert(accept.last > 0 && accept.ends == 0);
        hs_io_close(io, accept.last);
    }
    hs_io_cancel(io, &accept.op);
    turn_until(io, &ends, 1);
    cr_assert_eq(accept.last, -ECANCELED);
    hs_io_close(io, fd);
    turn_idle(io, 2);
    while (client_len > 0) {
        char byte;
        cr_assert_eq(recv(clients[--client_len], &byte, 1, 0), 0); /* closed in order */
        close(clients[client_len]);
    }
    end_io(io);
}

Test(shard_io_kernel, accepting_one_ends_after_one)
{
    hs_io *io = make_io();
    struct sockaddr_un addr;
    socklen_t len;
    int fd = listen_unix(&addr, &len), clients[3];
    cr_assert_eq(hs_io_adopt(io, fd), 0);
    probe accept = {0};
    for (uint32_t i = 0; i < 2; i++) {
        hs_io_accept_one(io, &accept.op, fd, probe_done);
        turn_idle(io, 2);
        cr_assert(hs_op_active(&accept.op));
        clients[i] = connect_unix(&addr, len);
        turn_until(io, &ends, i + 1);
        cr_assert_eq(accept.told, i + 1);
        cr_assert_gt(accept.last, 0);
        hs_io_close(io, accept.last);
    }
    clients[2] = connect_unix(&addr, len); /* waits: nobody asked for it */
    turn_idle(io, 3);
    cr_assert_eq(accept.told, 2);
    hs_io_accept_one(io, &accept.op, fd, probe_done);
    turn_until(io, &ends, 3);
    hs_io_close(io, accept.last);
    hs_io_accept_one(io, &accept.op, fd, probe_done);
    turn_idle(io, 2);
    hs_io_cancel(io, &accept.op);
    turn_until(io, &ends, 4);
    cr_assert_eq(accept.last, -ECANCELED);
    hs_io_close(io, fd);
    turn_idle(io, 2);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    end_io(io);
}
/* ---- receive buffers ---- */

#define SOCKETS 300

Test(shard_io_kernel, more_ready_sockets_than_buffers)
{
    static probe in[SOCKETS];
    static int fds[SOCKETS][2];
    hs_io *io = make_io();
    cr_assert_eq(rbuf_of(io)->target, HS_RBUFS_MIN);
    for (int i = 0; i < SOCKETS; i++) {
        pair_of(fds[i]);
        hs_io_recv(io, &in[i].op, fds[i][0], probe_done);
    }
    turn_idle(io, 2);
    uint64_t sum = 0;
    for (uint32_t round = 0; round < 5; round++) {
        char text[] = {(char)('a' + round), 'x', 0};
        sum += (2 * round + 1) * (uint8_t)text[0] + (2 * round + 2) * (uint8_t)'x';
        for (int i = 0; i < SOCKETS; i++)
            put(fds[i][1], text);
        turn_until(io, &bytes, (round + 1) * SOCKETS * 2);
        rbuf_validate(rbuf_of(io));
    }
    cr_assert_eq(ends, 0); /* that there was no buffer is nobody's business */
    for (int i = 0; i < SOCKETS; i++) {
        cr_assert_eq(in[i].bytes, 10);
        cr_assert_eq(in[i].sum, sum); /* in order */
    }
    uint32_t grown = rbuf_of(io)->target;
    /* epoll reads as many as there are buffers, and then the rest. */
    cr_assert(on_epoll(io) ? grown == HS_RBUFS_MIN : grown > HS_RBUFS_MIN);
    while (io->ops->trim(io) && rbuf_of(io)->target > HS_RBUFS_MIN)
        turn_idle(io, 1);
    cr_assert_eq(rbuf_of(io)->target, HS_RBUFS_MIN);
    for (int i = 0; i < SOCKETS; i++) /* buffers that come back are out of use now */
        put(fds[i][1], "y");
    turn_until(io, &bytes, 11 * SOCKETS);
    for (int i = 0; i < SOCKETS; i++)
        hs_io_cancel(io, &in[i].op);
    turn_until(io, &ends, SOCKETS);
    for (int i = 0; i < SOCKETS; i++) {
        hs_io_close(io, fds[i][0]);
        close(fds[i][1]);
    }
    end_io(io);
}

/* Take every buffer there may be, and hold them. */
static void take_all_buffers(hs_io *io, int fds[2], probe *in)
{
    pair_of(fds);
    hold_buffers = true;
    hs_io_recv(io, &in->op, fds[0], probe_done);
    for (uint32_t i = 0; i < HS_RBUFS_MAX; i++) {
        put(fds[1], "z");
        turn_until(io, &bytes, i + 1);
    }
    cr_assert_eq(held_len, HS_RBUFS_MAX);
    cr_assert_eq(rbuf_of(io)->lent, HS_RBUFS_MAX);
    hold_buffers = false;
}

static void give_one(hs_io *io)
{
    io->ops->buf_give(io, held[--held_len]);
}

Test(shard_io_kernel, starved_receives_wait_for_buffers)
{
    hs_io *io = make_io();
    int fds[4][2];
    probe in[4] = {0};
    take_all_buffers(io, fds[0], &in[0]);
    for (int i = 1; i < 4; i++) {
        pair_of(fds[i]);
        hs_io_recv(io, &in[i].op, fds[i][0], probe_done);
        put(fds[i][1], "patience");
    }
    for (int i = 0; i < 50; i++)
        turn(io, hs_io_now_ns(io) + SECOND_NS / 1000);
    cr_assert_eq(bytes, HS_RBUFS_MAX); /* it neither fails nor burns */
    /* A starved one ends when it is asked to, although the kernel knows nothing of it. */
    cr_assert_eq(in[1].op.list, on_epoll(io) ? EPOLL_LIST_STARVED : URING_LIST_STARVED);
    hs_io_cancel(io, &in[1].op);
    hs_io_cancel(io, &in[1].op);
    turn_until(io, &ends, 1);
    cr_assert_eq(in[1].last, -ECANCELED);
    cr_assert_eq(in[1].told, 1);
    give_one(io);
    turn_until(io, &bytes, HS_RBUFS_MAX + 8);
    give_one(io);
    turn_until(io, &bytes, HS_RBUFS_MAX + 16);
    cr_assert_eq(in[2].bytes + in[3].bytes, 16);
    while (held_len > 0)
        give_one(io);
    hs_io_recv(io, &in[1].op, fds[1][0], probe_done); /* what it did not take is still there */
    turn_until(io, &bytes, HS_RBUFS_MAX + 24);
    for (int i = 0; i < 4; i++)
        hs_io_cancel(io, &in[i].op);
    turn_until(io, &ends, 5);
    for (int i = 0; i < 4; i++) {
        hs_io_close(io, fds[i][0]);
        close(fds[i][1]);
    }
    end_io(io);
}

/* ---- cancels ---- */

Test(shard_io_kernel, each_kind_of_op_is_cancelled_once)
{
    hs_io *io = make_io();
    static char much[4 * 1024 * 1024];
    int fds[2];
    probe in = {0}, polled = {0}, out = {0};
    struct iovec iov = {much, sizeof much};
    pair_of(fds);
    hs_io_recv(io, &in.op, fds[0], probe_done);
    hs_io_poll(io, &polled.op, fds[0], POLLIN, probe_done);
    do { /* nobody reads: one of them stays */
        hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done);
        turn_idle(io, 3);
    } while (!hs_op_active(&out.op));
    cr_assert_eq(in.told + polled.told, 0);
    out.told = told = ends = 0;
    probe *all[] = {&in, &polled, &out};
    for (int i = 0; i < 3; i++) {
        hs_io_cancel(io, &all[i]->op);
        hs_io_cancel(io, &all[i]->op);
    }
    turn_until(io, &ends, 3);
    turn_idle(io, 3);
    cr_assert_eq(told, 3);
    cr_assert_eq(in.last, -ECANCELED);
    cr_assert_eq(polled.last, -ECANCELED);
    cr_assert(out.last == -ECANCELED || (out.last > 0 && out.last < (int32_t)sizeof much));
    hs_io_recv(io, &in.op, fds[0], probe_done); /* idle: it may be started anew */
    put(fds[1], "again");
    turn_until(io, &bytes, 5);
    /* Before the kernel has seen it. */
    hs_io_poll(io, &polled.op, fds[1], POLLERR, probe_done);
    hs_io_cancel(io, &polled.op);
    hs_io_cancel(io, &in.op);
    turn_until(io, &ends, 5);
    hs_io_close(io, fds[0]);
    close(fds[1]);
    end_io(io);
}

static probe polls[2];
static hs_io *polls_io;

/* The other one's last event may be waiting behind this one. */
static void cancel_the_other(hs_op *op, const hs_io_event *ev)
{
    hs_op *other = op == &polls[0].op ? &polls[1].op : &polls[0].op;
    if (hs_op_active(other))
        hs_io_cancel(polls_io, other);
    probe_done(op, ev);
}

Test(shard_io_kernel, a_cancel_of_what_is_over_already)
{
    hs_io *io = polls_io = make_io();
    int fds[2];
    pair_of(fds);
    for (int i = 0; i < 2; i++)
        hs_io_poll(io, &polls[i].op, fds[0], POLLOUT, cancel_the_other);
    turn_until(io, &ends, 2);
    turn_idle(io, 2);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(polls[i].told, 1);
        cr_assert_eq(polls[i].last, POLLOUT);
    }
    close(fds[0]);
    close(fds[1]);
    end_io(io);
}

/* ---- bursts ---- */

#define MANY 2500

static probe many[MANY];

Test(shard_io_kernel, more_starts_in_a_turn_than_entries)
{
    hs_io *io = make_io();
    int fds[2];
    HS_STATIC_ASSERT(MANY > 2 * HS_SQ_ENTRIES, "the queue fills more than once");
    pair_of(fds);
    for (uint32_t round = 1; round <= 3; round++) { /* all done at once */
        for (int i = 0; i < MANY; i++)
            hs_io_poll(io, &many[i].op, fds[0], POLLOUT, probe_done);
        turn_until(io, &ends, round * MANY);
        cr_assert_eq(told, ends);
    }
    for (int i = 0; i < MANY; i++) /* and all at one moment later */
        hs_io_poll(io, &many[i].op, fds[0], POLLIN, probe_done);
    turn_idle(io, 3);
    cr_assert_eq(ends, 3 * MANY);
    put(fds[1], "now");
    turn_until(io, &ends, 4 * MANY);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(many[i].ends, 4);
        cr_assert_eq(many[i].last, POLLIN);
    }
    for (int i = 0; i < MANY; i++)
        hs_io_poll(io, &many[i].op, fds[0], POLLPRI, probe_done);
    turn_idle(io, 3);
    for (int i = 0; i < MANY; i++)
        hs_io_cancel(io, &many[i].op);
    turn_until(io, &ends, 5 * MANY);
    close(fds[0]);
    close(fds[1]);
    end_io(io);
}
