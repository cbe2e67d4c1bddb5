/* The seam on the kernel against peers: TCP that is reset, half closed, never read, urgent; files
 * that run out; connecting; datagrams. Each test runs on io_uring and on epoll (HS_IO). */
#include <fcntl.h>

#include "io_rig.h"
#include "udp_queue.h"

/* ---- helpers ---- */

static int listen_tcp(hs_io *io, struct sockaddr_in *addr, int backlog)
{
    socklen_t len = sizeof *addr;
    *addr = (struct sockaddr_in){.sin_family = AF_INET};
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = hs_io_listen(io, (struct sockaddr *)addr, sizeof *addr, backlog, false);
    cr_assert_geq(fd, 0);
    cr_assert_eq(hs_io_sockname(io, fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

static int dial(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)addr, sizeof *addr), 0);
    return fd;
}

static void cancel_and_wait(hs_io *io, probe *p)
{
    if (!hs_op_active(&p->op))
        return;
    uint32_t before = p->ends;
    hs_io_cancel(io, &p->op);
    turn_until(io, &p->ends, before + 1);
}

/* A connection: fds[0] is the seam's side, fds[1] the peer's, a plain socket. */
static void tcp_pair(hs_io *io, int fds[2])
{
    struct sockaddr_in addr;
    int listener = listen_tcp(io, &addr, 8);
    probe accept = {0};
    hs_io_accept(io, &accept.op, listener, probe_done);
    fds[1] = dial(&addr);
    turn_until(io, &accept.told, 1);
    fds[0] = accept.last;
    cr_assert_geq(fds[0], 0);
    cancel_and_wait(io, &accept);
    hs_io_close(io, listener);
    turn_idle(io, 2);
    told = ends = bytes = 0;
}

static void reset(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
}

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 7 + (at >> 11));
}

/* As probe_done sums up. */
static uint64_t pattern_sum(size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += (uint32_t)(i + 1) * (uint64_t)pattern(i);
    return sum;
}

/* ---- the end of a connection ---- */

Test(shard_io_kernel_peer, a_reset_ends_what_is_under_way)
{
    hs_io *io = make_io();
    static char much[8 << 20];
    struct iovec iov = {much, sizeof much};
    int fds[2];
    probe in = {0}, out = {0};
    tcp_pair(io, fds);
    hs_io_recv(io, &in.op, fds[0], probe_done);
    turn_idle(io, 2);
    hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done);
    turn_idle(io, 2);
    while (out.ends > 0 && out.last > 0) { /* until it waits for room */
        out.ends = 0;
        hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done);
        turn_idle(io, 2);
    }
    reset(fds[1]);
    turn_until(io, &in.ends, 1);
    turn_until(io, &out.ends, 1);
    /* One of them is told of the reset, the other of the end, in either order. */
    cr_assert(in.last == -ECONNRESET || in.last == 0, "%d", in.last);
    cr_assert(out.last == -ECONNRESET || out.last == -EPIPE || out.last > 0, "%d", out.last);
    hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done);
    turn_until(io, &out.ends, 2);
    cr_assert(out.last == -ECONNRESET || out.last == -EPIPE, "%d", out.last);
    hs_io_recv(io, &in.op, fds[0], probe_done);
    turn_until(io, &in.ends, 2);
    cr_assert_leq(in.last, 0);
    hs_io_close(io, fds[0]);
    end_io(io);
}

Test(shard_io_kernel_peer, bytes_before_a_half_close_all_come_and_answers_still_go)
{
    enum { LEN = 300000 };
    hs_io *io = make_io();
    static char sent[LEN];
    for (size_t i = 0; i < LEN; i++)
        sent[i] = (char)pattern(i);
    for (int round = 0; round < 6; round++) {
        /* Few bytes, so that the end comes in the same edge; and many. */
        size_t len = round % 2 ? LEN : 5;
        int fds[2];
        probe in = {0}, out = {0};
        tcp_pair(io, fds);
        hs_io_recv(io, &in.op, fds[0], probe_done);
        if (round >= 2)
            turn_idle(io, 2);
        for (size_t at = 0; at < len;) {
            ssize_t n = send(fds[1], sent + at, len - at, MSG_DONTWAIT);
            at += n > 0 ? (size_t)n : 0;
            if (round >= 4 || n < 0)
                turn(io, 0);
        }
        cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
        turn_until(io, &in.ends, 1);
        cr_assert_eq(in.last, 0);
        cr_assert_eq(in.bytes, len);
        cr_assert_eq(in.sum, pattern_sum(len));
        char answer[] = "answer", got[16] = "";
        struct iovec iov = {answer, 6};
        hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done);
        turn_until(io, &out.ends, 1);
        cr_assert_eq(out.last, 6);
        cr_assert_eq(recv(fds[1], got, sizeof got, 0), 6);
        hs_io_shutdown(io, fds[0], SHUT_WR);
        cr_assert_eq(recv(fds[1], got, sizeof got, 0), 0);
        hs_io_close(io, fds[0]);
        close(fds[1]);
    }
    turn_idle(io, 2);
    end_io(io);
}

Test(shard_io_kernel_peer, our_reset_is_a_reset_there)
{
    hs_io *io = make_io();
    int fds[2];
    char byte;
    tcp_pair(io, fds);
    hs_io_reset(io, fds[0]);
    hs_io_close(io, fds[0]);
    turn_idle(io, 2);
    cr_assert_eq(recv(fds[1], &byte, 1, 0), -1);
    cr_assert_eq(errno, ECONNRESET);
    close(fds[1]);
    end_io(io);
}

/* Urgent data cuts a read short of what is there. */
Test(shard_io_kernel_peer, urgent_data_hides_nothing_behind_it)
{
    hs_io *io = make_io();
    for (int round = 0; round < 3; round++) {
        int fds[2];
        probe in = {0};
        tcp_pair(io, fds);
        hs_io_recv(io, &in.op, fds[0], probe_done);
        if (round > 0)
            turn_idle(io, 2);
        put(fds[1], "before");
        if (round > 1)
            turn_until(io, &in.bytes, 6);
        cr_assert_eq(send(fds[1], "!", 1, MSG_OOB), 1);
        put(fds[1], "behind");
        turn_until(io, &in.bytes, 12);
        put(fds[1], "later");
        turn_until(io, &in.bytes, 17);
        cancel_and_wait(io, &in);
        hs_io_close(io, fds[0]);
        close(fds[1]);
    }
    turn_idle(io, 2);
    end_io(io);
}

/* ---- a peer that does not read ---- */

Test(shard_io_kernel_peer, what_does_not_fit_waits_until_the_peer_reads)
{
    enum { LEN = 12 << 20, VECTORS = 16 };
    hs_io *io = make_io();
    uint8_t *sent = malloc(LEN), *got = malloc(LEN);
    cr_assert(sent && got);
    for (size_t i = 0; i < LEN; i++)
        sent[i] = pattern(i);
    int fds[2];
    probe out = {0};
    size_t done = 0, read = 0;
    tcp_pair(io, fds);
    uint32_t stalls = 0;
    while (read < LEN) {
        struct iovec iov[VECTORS];
        uint32_t vectors = 0;
        for (size_t at = done; at < LEN && vectors < VECTORS; at += 50000)
            iov[vectors++] = (struct iovec){sent + at, HS_MIN(50000, LEN - at)};
        if (!hs_op_active(&out.op) && vectors > 0)
            hs_io_send(io, &out.send, fds[0], iov, vectors, probe_done);
        uint32_t before = out.ends;
        for (int i = 0; i < 3 && out.ends == before && hs_op_active(&out.op); i++)
            turn(io, 0);
        if (out.ends > before) {
            cr_assert_gt(out.last, 0);
            done += (size_t)out.last;
            continue;
        }
        stalls += done < LEN;
        /* Nothing goes any more: the peer reads some, or the rest. */
        ssize_t n = recv(fds[1], got + read, done < LEN ? 400000 : LEN - read, MSG_DONTWAIT);
        cr_assert(n > 0 || errno == EAGAIN);
        read += n > 0 ? (size_t)n : 0;
        /* The vectors are borrowed: the send must be over before they go out of scope. */
        while (hs_op_active(&out.op)) {
            if (turn(io, hs_io_now_ns(io) + HS_MSEC_NS) > 0)
                done += (size_t)out.last;
            n = recv(fds[1], got + read, LEN - read, MSG_DONTWAIT);
            read += n > 0 ? (size_t)n : 0;
        }
    }
    cr_assert_gt(stalls, 0);
    cr_assert_eq(done, LEN);
    cr_assert_eq(memcmp(sent, got, LEN), 0);
    hs_io_close(io, fds[0]);
    close(fds[1]);
    free(sent);
    free(got);
    turn_idle(io, 2);
    end_io(io);
}

Test(shard_io_kernel_peer, a_send_that_waits_is_cancelled_or_cut_off)
{
    static char much[16 << 20];
    for (int how = 0; how < 2; how++) {
        hs_io *io = make_io();
        int fds[2];
        probe out = {0};
        struct iovec iov = {much, sizeof much};
        tcp_pair(io, fds);
        do {
            hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done);
            turn_idle(io, 3);
        } while (!hs_op_active(&out.op));
        uint32_t before = out.ends;
        if (how == 0)
            hs_io_cancel(io, &out.op);
        else
            hs_io_shutdown(io, fds[0], SHUT_RDWR);
        turn_until(io, &out.ends, before + 1);
        cr_assert(out.last == (how == 0 ? -ECANCELED : -EPIPE) || out.last > 0, "%d", out.last);
        hs_io_close(io, fds[0]);
        close(fds[1]);
        turn_idle(io, 2);
        end_io(io);
    }
}

/* ---- fairness ---- */

Test(shard_io_kernel_peer, a_flood_does_not_keep_others_waiting)
{
    hs_io *io = make_io();
    static char much[1 << 20];
    int flood[2], quiet[2];
    probe loud = {0}, soft = {0};
    tcp_pair(io, flood);
    tcp_pair(io, quiet);
    hs_io_recv(io, &loud.op, flood[0], probe_done);
    hs_io_recv(io, &soft.op, quiet[0], probe_done);
    turn_idle(io, 2);
    for (uint32_t round = 1; round <= 20; round++) {
        while (send(flood[1], much, sizeof much, MSG_DONTWAIT) > 0)
            ;
        put(quiet[1], "x");
        uint32_t before = loud.bytes;
        turn_until(io, &soft.bytes, round);
        cr_assert_leq(loud.bytes - before, 16u << 20);
    }
    cancel_and_wait(io, &loud);
    cancel_and_wait(io, &soft);
    hs_io_close(io, flood[0]);
    hs_io_close(io, quiet[0]);
    close(flood[1]);
    close(quiet[1]);
    turn_idle(io, 2);
    end_io(io);
}

/* ---- accepting ---- */

static int burst_fds[200];
static uint32_t burst_len;

static void burst_done(hs_op *op, const hs_io_event *ev)
{
    if (ev->res >= 0)
        burst_fds[burst_len++] = ev->res;
    probe_done(op, ev);
}

Test(shard_io_kernel_peer, accepting_without_files_ends_and_goes_on_later)
{
    enum { CLIENTS = 5 };
    hs_io *io = make_io();
    struct sockaddr_in addr;
    int listener = listen_tcp(io, &addr, 16), clients[CLIENTS];
    probe accept = {0};
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = dial(&addr);
    struct rlimit limit, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){(rlim_t)clients[CLIENTS - 1] + 1, limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    hs_io_accept(io, &accept.op, listener, burst_done);
    turn_until(io, &ends, 1);
    cr_assert_eq(accept.last, -EMFILE);
    cr_assert_eq(accept.told, 1);
    hs_io_accept(io, &accept.op, listener, burst_done); /* still none */
    turn_until(io, &ends, 2);
    cr_assert_eq(accept.last, -EMFILE);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    hs_io_accept(io, &accept.op, listener, burst_done);
    turn_until(io, &burst_len, CLIENTS); /* those that waited are there */
    for (uint32_t i = 0; i < CLIENTS; i++)
        hs_io_close(io, burst_fds[i]);
    cancel_and_wait(io, &accept);
    hs_io_close(io, listener);
    turn_idle(io, 2);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    end_io(io);
}

Test(shard_io_kernel_peer, a_burst_of_connections_is_accepted_and_each_is_heard)
{
    hs_io *io = make_io();
    struct sockaddr_in addr;
    int clients[HS_ARRAY_LEN(burst_fds)], listener = listen_tcp(io, &addr, 400);
    static probe in[HS_ARRAY_LEN(burst_fds)];
    probe accept = {0};
    hs_io_accept(io, &accept.op, listener, burst_done);
    for (size_t i = 0; i < HS_ARRAY_LEN(clients); i++) {
        clients[i] = dial(&addr);
        put(clients[i], "first");
    }
    turn_until(io, &burst_len, HS_ARRAY_LEN(burst_fds));
    for (size_t i = 0; i < HS_ARRAY_LEN(clients); i++)
        hs_io_recv(io, &in[i].op, burst_fds[i], probe_done);
    turn_until(io, &bytes, 5 * HS_ARRAY_LEN(clients));
    for (size_t i = 0; i < HS_ARRAY_LEN(clients); i++)
        close(clients[i]);
    turn_until(io, &ends, HS_ARRAY_LEN(clients));
    for (size_t i = 0; i < HS_ARRAY_LEN(clients); i++) {
        cr_assert_eq(in[i].bytes, 5);
        hs_io_close(io, burst_fds[i]);
    }
    cancel_and_wait(io, &accept);
    hs_io_close(io, listener);
    turn_idle(io, 2);
    end_io(io);
}

/* ---- connecting ---- */

static void connect_tcp(hs_io *io, probe *p, int fd, const struct sockaddr_in *addr)
{
    hs_io_connect(io, &p->connect, fd, (const struct sockaddr *)addr, sizeof *addr, probe_done);
}

Test(shard_io_kernel_peer, connecting_tells_how_it_went)
{
    hs_io *io = make_io();
    struct sockaddr_in addr;
    int listener = listen_tcp(io, &addr, 8);
    probe p = {0}, accept = {0}, in = {0};
    int fd = hs_io_socket(io, AF_INET, SOCK_STREAM, 0);
    cr_assert_geq(fd, 0);
    connect_tcp(io, &p, fd, &addr);
    turn_until(io, &p.ends, 1);
    cr_assert_eq(p.last, 0);
    hs_io_accept(io, &accept.op, listener, probe_done);
    turn_until(io, &accept.told, 1);
    put(accept.last, "hello");
    hs_io_recv(io, &in.op, fd, probe_done);
    turn_until(io, &in.bytes, 5);
    hs_io_close(io, accept.last);
    turn_until(io, &in.ends, 1);
    hs_io_close(io, fd);
    cancel_and_wait(io, &accept);
    hs_io_close(io, listener);
    turn_idle(io, 3);
    fd = hs_io_socket(io, AF_INET, SOCK_STREAM, 0);
    connect_tcp(io, &p, fd, &addr); /* nobody listens there any more */
    turn_until(io, &p.ends, 2);
    cr_assert_eq(p.last, -ECONNREFUSED);
    hs_io_close(io, fd);
    turn_idle(io, 2);
    end_io(io);
}

Test(shard_io_kernel_peer, connecting_to_a_full_queue_waits_and_can_be_cancelled)
{
    enum { DIALS = 8 };
    hs_io *io = make_io();
    struct sockaddr_un addr;
    socklen_t len;
    int listener = listen_unix(&addr, &len), fds[DIALS];
    probe p[DIALS] = {0};
    cr_assert_eq(listen(listener, 1), 0);
    for (int i = 0; i < DIALS; i++) {
        fds[i] = hs_io_socket(io, AF_UNIX, SOCK_STREAM, 0);
        cr_assert_geq(fds[i], 0);
        hs_io_connect(io, &p[i].connect, fds[i], (struct sockaddr *)&addr, len, probe_done);
    }
    turn_until(io, &ends, 2); /* the queue holds one more than it is told */
    for (int i = 0; i < 20; i++)
        turn(io, hs_io_now_ns(io) + HS_MSEC_NS);
    cr_assert_eq(ends, 2);
    for (int i = DIALS - 2; i < DIALS; i++)
        hs_io_cancel(io, &p[i].op);
    turn_until(io, &ends, 4);
    cr_assert_eq(p[DIALS - 1].last, -ECANCELED);
    int served[DIALS];
    for (uint32_t n = 5; n <= DIALS; n++) {
        served[n - 5] = accept(listener, NULL, NULL);
        cr_assert_geq(served[n - 5], 0);
        turn_until(io, &ends, n);
    }
    for (int i = 0; i < DIALS - 2; i++)
        cr_assert_eq(p[i].last, 0);
    for (int i = 0; i < DIALS; i++)
        hs_io_close(io, fds[i]);
    for (int i = 0; i < DIALS - 4; i++)
        close(served[i]);
    turn_idle(io, 2);
    close(listener);
    end_io(io);
}

/* ---- polling, and datagrams ---- */

Test(shard_io_kernel_peer, a_poll_tells_what_is_true_each_time)
{
    hs_io *io = make_io();
    int fds[2];
    probe p = {0}, q = {0};
    tcp_pair(io, fds);
    for (uint32_t i = 1; i <= 3; i++) { /* nobody reads, so it stays true */
        if (i == 1)
            put(fds[1], "x");
        hs_io_poll(io, &p.op, fds[0], POLLIN, probe_done);
        turn_until(io, &p.ends, i);
        cr_assert_eq(p.last, POLLIN);
    }
    char byte;
    cr_assert_eq(recv(fds[0], &byte, 1, 0), 1);
    hs_io_poll(io, &p.op, fds[0], POLLIN | POLLRDHUP, probe_done);
    hs_io_poll(io, &q.op, fds[0], POLLOUT, probe_done);
    turn_until(io, &q.ends, 1);
    cr_assert_eq(q.last, POLLOUT);
    turn_idle(io, 3);
    cr_assert_eq(p.ends, 3);
    cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
    turn_until(io, &p.ends, 4);
    cr_assert(p.last & POLLRDHUP);
    hs_io_close(io, fds[0]);
    close(fds[1]);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* it never makes anybody wait */
    hs_io_poll(io, &p.op, file, POLLIN, probe_done);
    turn_until(io, &p.ends, 5);
    cr_assert_eq(p.last, POLLIN);
    close(file);
    turn_idle(io, 2);
    end_io(io);
}

Test(shard_io_kernel_peer, each_message_of_a_packet_socket_is_received)
{
    hs_io *io = make_io();
    int fds[2];
    probe in = {0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    hs_io_recv(io, &in.op, fds[0], probe_done);
    for (uint32_t round = 1; round <= 3; round++) {
        for (int i = 0; i < 20; i++) /* all there before the first look */
            put(fds[1], "message");
        turn_until(io, &in.told, round * 20);
        cr_assert_eq(in.bytes, round * 140);
    }
    cancel_and_wait(io, &in);
    hs_io_close(io, fds[0]);
    close(fds[1]);
    turn_idle(io, 2);
    end_io(io);
}

Test(shard_io_kernel_peer, datagrams_go_in_batches_and_a_poll_tells_of_more)
{
    hs_io *io = make_io();
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof addr;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int in = hs_io_socket(io, AF_INET, SOCK_DGRAM, 0),
        out = hs_io_socket(io, AF_INET, SOCK_DGRAM, 0);
    cr_assert(in >= 0 && out >= 0);
    cr_assert_eq(hs_io_bind(io, in, (struct sockaddr *)&addr, sizeof addr), 0);
    cr_assert_eq(hs_io_sockname(io, in, (struct sockaddr *)&addr, &len), 0);
    char text[4][8] = {"one", "two", "three", "four"}, got[8][8];
    struct iovec from[4], to[8];
    struct mmsghdr msgs[8] = {0};
    probe p = {0};
    cr_assert_eq(hs_io_recv_msgs(io, in, msgs, 1), -EAGAIN);
    cr_assert_eq(sendto(out, "x", 1, 0, (struct sockaddr *)&addr, sizeof addr), 1);
    uint32_t each = until_queued_over(in, 0);
    cr_assert_eq(recv(in, got[0], sizeof got[0], 0), 1);
    for (uint32_t round = 1; round <= 3; round++) {
        hs_io_poll(io, &p.op, in, POLLIN, probe_done);
        turn_idle(io, 2);
        cr_assert_eq(p.ends, round - 1);
        memset(msgs, 0, sizeof msgs);
        for (int i = 0; i < 4; i++) {
            from[i] = (struct iovec){text[i], strlen(text[i])};
            msgs[i].msg_hdr = (struct msghdr){&addr, sizeof addr, &from[i], 1, NULL, 0, 0};
        }
        cr_assert_eq(hs_io_send_msgs(io, out, msgs, 4), 4);
        until_queued(in, 4 * each);
        turn_until(io, &p.ends, round);
        cr_assert_eq(p.last, POLLIN);
        memset(msgs, 0, sizeof msgs);
        for (int i = 0; i < 8; i++) {
            to[i] = (struct iovec){got[i], sizeof got[i]};
            msgs[i].msg_hdr = (struct msghdr){NULL, 0, &to[i], 1, NULL, 0, 0};
        }
        cr_assert_eq(hs_io_recv_msgs(io, in, msgs, 8), 4);
        for (int i = 0; i < 4; i++) {
            cr_assert_eq(msgs[i].msg_len, strlen(text[i]));
            cr_assert_eq(memcmp(got[i], text[i], msgs[i].msg_len), 0);
        }
        cr_assert_eq(hs_io_recv_msgs(io, in, msgs, 8), -EAGAIN);
    }
    hs_io_close(io, in);
    hs_io_close(io, out);
    turn_idle(io, 2);
    end_io(io);
}
