/* The seam on the real ring, with sockets of this machine: buffers that run out and grow, ops that
 * wait outside the kernel, bursts beyond the ring's size. Waits and ends are in
 * shard_io_uring_wait.c.
 *
 * io_uring_submit is wrapped at link time, so that a test can have the kernel take nothing. */
#include "uring_rig.h"

static bool submit_blocked;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
    return submit_blocked ? -EBUSY : __real_io_uring_submit(ring);
}

/* ---- what it promises ---- */

Test(shard_io_uring, bytes_go_both_ways_and_end)
{
    uring *u = make_uring();
    int fds[2];
    probe in = {0}, out = {0};
    char a[] = "first ", b[] = "second ", c[] = "third", got[32] = "";
    struct iovec iov[] = {{a, 6}, {b, 7}, {c, 5}};
    pair_of(fds);
    hs_io_recv(&u->io, &in.op, fds[0], probe_done);
    put(fds[1], "question");
    hs_io_send(&u->io, &out.send, fds[0], iov, 3, probe_done);
    turn_until(u, &told, 2);
    cr_assert_eq(in.bytes, 8);
    cr_assert_eq(out.last, 18);
    cr_assert_eq(recv(fds[1], got, sizeof got, 0), 18);
    cr_assert_str_eq(got, "first second third");
    hs_io_send(&u->io, &out.send, fds[0], iov, 1, probe_done);
    turn_until(u, &told, 3);
    cr_assert_eq(out.last, 6);
    cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
    turn_until(u, &told, 4);
    cr_assert_eq(in.ends, 1);
    cr_assert_eq(in.last, 0);
    hs_io_close(&u->io, fds[0]);
    turn_idle(u, 2);
    cr_assert_eq(recv(fds[1], got, sizeof got, 0), 6);
    cr_assert_eq(recv(fds[1], got, sizeof got, 0), 0);
    close(fds[1]);
    end_uring(u);
}

Test(shard_io_uring, a_send_to_nobody_is_an_error_and_no_signal)
{
    uring *u = make_uring();
    int fds[2];
    probe out = {0};
    char text[] = "text";
    struct iovec iov = {text, 4};
    pair_of(fds);
    close(fds[1]);
    hs_io_send(&u->io, &out.send, fds[0], &iov, 1, probe_done);
    turn_until(u, &ends, 1);
    cr_assert_eq(out.last, -EPIPE);
    hs_io_close(&u->io, fds[0]);
    end_uring(u);
}

Test(shard_io_uring, accepting_goes_on_until_it_is_cancelled)
{
    enum { CLIENTS = 20 };
    uring *u = make_uring();
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    int clients[CLIENTS], client_len = 0;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = hs_io_listen(&u->io, (struct sockaddr *)&addr, sizeof addr, 64, false);
    cr_assert_geq(fd, 0);
    cr_assert_eq(hs_io_sockname(&u->io, fd, (struct sockaddr *)&addr, &len), 0);
    probe accept = {0};
    hs_io_accept(&u->io, &accept.op, fd, probe_done);
    for (; client_len < CLIENTS; client_len++) {
        clients[client_len] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(clients[client_len], (struct sockaddr *)&addr, len), 0);
        uint32_t before = told;
        turn_until(u, &told, before + 1);
        cr_assert(accept.last > 0 && accept.ends == 0);
        hs_io_close(&u->io, accept.last);
    }
    hs_io_cancel(&u->io, &accept.op);
    turn_until(u, &ends, 1);
    cr_assert_eq(accept.last, -ECANCELED);
    hs_io_close(&u->io, fd);
    turn_idle(u, 2);
    while (client_len > 0) {
        char byte;
        cr_assert_eq(recv(clients[--client_len], &byte, 1, 0), 0); /* closed in order */
        close(clients[client_len]);
    }
    end_uring(u);
}

/* A listening Unix socket, in the abstract space under a name that the system chooses. */
static int listen_unix(struct sockaddr_un *addr, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    *len = sizeof *addr;
    cr_assert_eq(bind(fd, (struct sockaddr *)addr, sizeof(sa_family_t)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)addr, len), 0);
    cr_assert_eq(listen(fd, 64), 0);
    return fd;
}

static int connect_unix(const struct sockaddr_un *addr, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)addr, len), 0);
    return fd;
}

Test(shard_io_uring, accepting_one_ends_after_one)
{
    uring *u = make_uring();
    struct sockaddr_un addr;
    socklen_t len;
    int fd = listen_unix(&addr, &len), clients[3];
    cr_assert_eq(hs_io_adopt(&u->io, fd), 0);
    probe accept = {0};
    for (uint32_t i = 0; i < 2; i++) {
        hs_io_accept_one(&u->io, &accept.op, fd, probe_done);
        turn_idle(u, 2);
        cr_assert(hs_op_active(&accept.op));
        clients[i] = connect_unix(&addr, len);
        turn_until(u, &ends, i + 1);
        cr_assert_eq(accept.told, i + 1);
        cr_assert_gt(accept.last, 0);
        hs_io_close(&u->io, accept.last);
    }
    clients[2] = connect_unix(&addr, len); /* waits: nobody asked for it */
    turn_idle(u, 3);
    cr_assert_eq(accept.told, 2);
    hs_io_accept_one(&u->io, &accept.op, fd, probe_done);
    turn_until(u, &ends, 3);
    hs_io_close(&u->io, accept.last);
    hs_io_accept_one(&u->io, &accept.op, fd, probe_done);
    turn_idle(u, 2);
    hs_io_cancel(&u->io, &accept.op);
    turn_until(u, &ends, 4);
    cr_assert_eq(accept.last, -ECANCELED);
    hs_io_close(&u->io, fd);
    turn_idle(u, 2);
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    end_uring(u);
}

Test(shard_io_uring, rings_that_share_a_listener_take_turns)
{
    enum { RINGS = 3, CLIENTS = 30 };
    uring *u[RINGS];
    probe accept[RINGS] = {0};
    struct sockaddr_un addr;
    socklen_t len;
    int fd = listen_unix(&addr, &len);
    for (int i = 0; i < RINGS; i++) {
        u[i] = make_uring();
        hs_io_accept_one(&u[i]->io, &accept[i].op, fd, probe_done);
        turn_idle(u[i], 2);
    }
    for (uint32_t n = 1; n <= CLIENTS; n++) {
        int client = connect_unix(&addr, len);
        while (ends < n)
            for (int i = 0; i < RINGS; i++)
                turn_idle(u[i], 1);
        for (int i = 0; i < RINGS; i++)
            if (!hs_op_active(&accept[i].op)) {
                hs_io_close(&u[i]->io, accept[i].last);
                hs_io_accept_one(&u[i]->io, &accept[i].op, fd, probe_done);
                turn_idle(u[i], 1);
            }
        close(client);
    }
    for (int i = 0; i < RINGS; i++) {
        cr_assert_eq(accept[i].told, CLIENTS / RINGS);
        hs_io_cancel(&u[i]->io, &accept[i].op);
        uint32_t before = ends;
        turn_until(u[i], &ends, before + 1);
        end_uring(u[i]);
    }
    close(fd);
}

/* ---- receive buffers ---- */

#define SOCKETS 300

Test(shard_io_uring, more_ready_sockets_than_buffers)
{
    static probe in[SOCKETS];
    static int fds[SOCKETS][2];
    uring *u = make_uring();
    cr_assert_eq(u->rbuf.target, HS_RBUFS_MIN);
    for (int i = 0; i < SOCKETS; i++) {
        pair_of(fds[i]);
        hs_io_recv(&u->io, &in[i].op, fds[i][0], probe_done);
    }
    turn_idle(u, 2);
    uint64_t sum = 0;
    for (uint32_t round = 0; round < 5; round++) {
        char text[] = {(char)('a' + round), 'x', 0};
        sum += (2 * round + 1) * (uint8_t)text[0] + (2 * round + 2) * (uint8_t)'x';
        for (int i = 0; i < SOCKETS; i++)
            put(fds[i][1], text);
        turn_until(u, &bytes, (round + 1) * SOCKETS * 2);
        rbuf_validate(&u->rbuf);
    }
    cr_assert_eq(ends, 0); /* that there was no buffer is nobody's business */
    for (int i = 0; i < SOCKETS; i++) {
        cr_assert_eq(in[i].bytes, 10);
        cr_assert_eq(in[i].sum, sum); /* in order */
    }
    cr_assert_gt(u->rbuf.target, HS_RBUFS_MIN);
    uint32_t grown = u->rbuf.target;
    while (u->io.ops->trim(&u->io) && u->rbuf.target > HS_RBUFS_MIN)
        turn_idle(u, 1);
    cr_assert_lt(u->rbuf.target, grown);
    cr_assert_eq(u->rbuf.target, HS_RBUFS_MIN);
    for (int i = 0; i < SOCKETS; i++) /* buffers that come back are out of use now */
        put(fds[i][1], "y");
    turn_until(u, &bytes, 11 * SOCKETS);
    for (int i = 0; i < SOCKETS; i++)
        hs_io_cancel(&u->io, &in[i].op);
    turn_until(u, &ends, SOCKETS);
    for (int i = 0; i < SOCKETS; i++) {
        hs_io_close(&u->io, fds[i][0]);
        close(fds[i][1]);
    }
    end_uring(u);
}

/* Take every buffer there may be, and hold them. */
static void take_all_buffers(uring *u, int fds[2], probe *in)
{
    pair_of(fds);
    hold_buffers = true;
    hs_io_recv(&u->io, &in->op, fds[0], probe_done);
    for (uint32_t i = 0; i < HS_RBUFS_MAX; i++) {
        put(fds[1], "z");
        turn_until(u, &bytes, i + 1);
    }
    cr_assert_eq(held_len, HS_RBUFS_MAX);
    cr_assert_eq(u->rbuf.lent, HS_RBUFS_MAX);
    hold_buffers = false;
}

static void give_one(uring *u)
{
    u->io.ops->buf_give(&u->io, held[--held_len]);
}

Test(shard_io_uring, starved_receives_wait_for_buffers)
{
    uring *u = make_uring();
    int fds[4][2];
    probe in[4] = {0};
    take_all_buffers(u, fds[0], &in[0]);
    for (int i = 1; i < 4; i++) {
        pair_of(fds[i]);
        hs_io_recv(&u->io, &in[i].op, fds[i][0], probe_done);
        put(fds[i][1], "patience");
    }
    for (int i = 0; i < 50; i++)
        turn(u, hs_io_now_ns(&u->io) + SECOND_NS / 1000);
    cr_assert_eq(bytes, HS_RBUFS_MAX); /* it neither fails nor burns */
    cr_assert_not_null(u->starved.first);
    /* A starved one ends when it is asked to, although the kernel knows nothing of it. */
    cr_assert_eq(in[1].op.list, URING_LIST_STARVED);
    hs_io_cancel(&u->io, &in[1].op);
    hs_io_cancel(&u->io, &in[1].op);
    turn_until(u, &ends, 1);
    cr_assert_eq(in[1].last, -ECANCELED);
    cr_assert_eq(in[1].told, 1);
    give_one(u);
    turn_until(u, &bytes, HS_RBUFS_MAX + 8);
    give_one(u);
    turn_until(u, &bytes, HS_RBUFS_MAX + 16);
    cr_assert_eq(in[2].bytes + in[3].bytes, 16);
    while (held_len > 0)
        give_one(u);
    hs_io_recv(&u->io, &in[1].op, fds[1][0], probe_done); /* what it did not take is still there */
    turn_until(u, &bytes, HS_RBUFS_MAX + 24);
    for (int i = 0; i < 4; i++)
        hs_io_cancel(&u->io, &in[i].op);
    turn_until(u, &ends, 5);
    for (int i = 0; i < 4; i++) {
        hs_io_close(&u->io, fds[i][0]);
        close(fds[i][1]);
    }
    end_uring(u);
}

/* ---- cancels ---- */

Test(shard_io_uring, each_kind_of_op_is_cancelled_once)
{
    uring *u = make_uring();
    static char much[4 * 1024 * 1024];
    int fds[2];
    probe in = {0}, polled = {0}, out = {0};
    struct iovec iov = {much, sizeof much};
    pair_of(fds);
    hs_io_recv(&u->io, &in.op, fds[0], probe_done);
    hs_io_poll(&u->io, &polled.op, fds[0], POLLIN, probe_done);
    hs_io_send(&u->io, &out.send, fds[0], &iov, 1, probe_done); /* nobody reads: it stays */
    turn_idle(u, 3);
    cr_assert_eq(told, 0);
    probe *all[] = {&in, &polled, &out};
    for (int i = 0; i < 3; i++) {
        hs_io_cancel(&u->io, &all[i]->op);
        hs_io_cancel(&u->io, &all[i]->op);
    }
    turn_until(u, &ends, 3);
    turn_idle(u, 3);
    cr_assert_eq(told, 3);
    cr_assert_eq(in.last, -ECANCELED);
    cr_assert_eq(polled.last, -ECANCELED);
    cr_assert(out.last == -ECANCELED || (out.last > 0 && out.last < (int32_t)sizeof much));
    hs_io_recv(&u->io, &in.op, fds[0], probe_done); /* idle: it may be started anew */
    put(fds[1], "again");
    turn_until(u, &bytes, 5);
    /* Before the kernel has seen it. */
    hs_io_poll(&u->io, &polled.op, fds[1], POLLERR, probe_done);
    hs_io_cancel(&u->io, &polled.op);
    hs_io_cancel(&u->io, &in.op);
    turn_until(u, &ends, 5);
    hs_io_close(&u->io, fds[0]);
    close(fds[1]);
    end_uring(u);
}

static probe polls[2];
static uring *polls_ring;

/* The other one's last event may be waiting behind this one. */
static void cancel_the_other(hs_op *op, const hs_io_event *ev)
{
    hs_op *other = op == &polls[0].op ? &polls[1].op : &polls[0].op;
    if (hs_op_active(other))
        hs_io_cancel(&polls_ring->io, other);
    probe_done(op, ev);
}

Test(shard_io_uring, a_cancel_of_what_is_over_already)
{
    uring *u = polls_ring = make_uring();
    int fds[2];
    pair_of(fds);
    for (int i = 0; i < 2; i++)
        hs_io_poll(&u->io, &polls[i].op, fds[0], POLLOUT, cancel_the_other);
    turn_until(u, &ends, 2);
    turn_idle(u, 2);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(polls[i].told, 1);
        cr_assert_eq(polls[i].last, POLLOUT);
    }
    close(fds[0]);
    close(fds[1]);
    end_uring(u);
}

/* ---- bursts, and a kernel that takes nothing ---- */

#define MANY 2500

static probe many[MANY];

Test(shard_io_uring, more_starts_in_a_turn_than_entries)
{
    uring *u = make_uring();
    int fds[2];
    HS_STATIC_ASSERT(MANY > 2 * HS_SQ_ENTRIES, "the queue fills more than once");
    pair_of(fds);
    for (uint32_t round = 1; round <= 3; round++) { /* all done at once */
        for (int i = 0; i < MANY; i++)
            hs_io_poll(&u->io, &many[i].op, fds[0], POLLOUT, probe_done);
        turn_until(u, &ends, round * MANY);
        cr_assert_eq(told, ends);
    }
    for (int i = 0; i < MANY; i++) /* and all at one moment later */
        hs_io_poll(&u->io, &many[i].op, fds[0], POLLIN, probe_done);
    turn_idle(u, 3);
    cr_assert_eq(ends, 3 * MANY);
    put(fds[1], "now");
    turn_until(u, &ends, 4 * MANY);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(many[i].ends, 4);
        cr_assert_eq(many[i].last, POLLIN);
    }
    for (int i = 0; i < MANY; i++)
        hs_io_poll(&u->io, &many[i].op, fds[0], POLLPRI, probe_done);
    turn_idle(u, 3);
    for (int i = 0; i < MANY; i++)
        hs_io_cancel(&u->io, &many[i].op);
    turn_until(u, &ends, 5 * MANY);
    close(fds[0]);
    close(fds[1]);
    end_uring(u);
}

Test(shard_io_uring, what_the_kernel_does_not_take_waits)
{
    uring *u = make_uring();
    int fds[2];
    probe early = {0}, late[4] = {0};
    pair_of(fds);
    hs_io_poll(&u->io, &early.op, fds[0], POLLIN, probe_done);
    turn_idle(u, 2);
    submit_blocked = true;
    uint32_t full = 0;
    while (full < MANY && !u->backlog.first)
        hs_io_poll(&u->io, &many[full++].op, fds[0], POLLOUT, probe_done);
    cr_assert_eq(u->backlog.first, &many[full - 1].op);
    for (int i = 0; i < 4; i++)
        hs_io_poll(&u->io, &late[i].op, fds[0], i == 1 ? POLLPRI : POLLOUT, probe_done);
    /* One that the kernel does not know ends here; one that it knows, when it can be told. */
    hs_io_cancel(&u->io, &late[2].op);
    cr_assert_eq(late[2].op.list, URING_LIST_ENDED);
    hs_io_cancel(&u->io, &early.op);
    cr_assert_eq(early.op.list, URING_LIST_CANCEL);
    submit_blocked = false;
    turn_until(u, &ends, full + 4); /* but for late[1], which waits for what never comes */
    cr_assert_eq(early.last, -ECANCELED);
    cr_assert_eq(late[2].last, -ECANCELED);
    cr_assert_eq(late[0].last, POLLOUT);
    cr_assert_eq(late[3].last, POLLOUT);
    cr_assert_eq(late[1].told, 0);
    hs_io_cancel(&u->io, &late[1].op);
    turn_until(u, &ends, full + 5);
    cr_assert_eq(u->io.ops_active, 0);
    close(fds[0]);
    close(fds[1]);
    end_uring(u);
}

Test(shard_io_uring, an_op_ends_while_its_cancel_waits)
{
    uring *u = make_uring();
    int fds[2];
    probe early = {0};
    uint32_t full = 0;
    pair_of(fds);
    hs_io_poll(&u->io, &early.op, fds[0], POLLIN, probe_done);
    turn_idle(u, 2);
    submit_blocked = true;
    while (full < MANY && !u->backlog.first)
        hs_io_poll(&u->io, &many[full++].op, fds[0], POLLPRI, probe_done);
    hs_io_cancel(&u->io, &early.op);
    cr_assert_eq(early.op.list, URING_LIST_CANCEL);
    put(fds[1], "too late");
    turn(u, 0); /* the wait submits what is queued; for the cancel there was no room before it */
    cr_assert_eq(early.last, POLLIN);
    cr_assert_eq(early.told, 1);
    cr_assert_null(u->cancels.first);
    submit_blocked = false;
    turn_idle(u, 2);
    for (uint32_t i = 0; i < full; i++)
        hs_io_cancel(&u->io, &many[i].op);
    turn_until(u, &ends, full + 1);
    cr_assert_eq(early.told, 1);
    close(fds[0]);
    close(fds[1]);
    end_uring(u);
}
