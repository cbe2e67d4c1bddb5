/* The seam on the real ring, with sockets of this machine: buffers that run out and grow, ops that
 * wait outside the kernel, bursts beyond the ring's size, wake-ups, deadlines, ends.
 *
 * io_uring_submit is wrapped at link time, so that a test can have the kernel take nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "uring.h"

#define SECOND_NS UINT64_C(1000000000)

static bool submit_blocked;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
    return submit_blocked ? -EBUSY : __real_io_uring_submit(ring);
}

/* ---- a loop of a few lines ---- */

static uring *make_uring(void)
{
    uring_caps caps;
    hs_io *io;
    char why[256];
    hs_err err = uring_probe(&caps, why, sizeof why);
    if (!hs_ok(err))
        cr_skip_test("%s", why);
    cr_assert(hs_ok(uring_create(hs_mem_system(), &caps, &io)));
    cr_assert_str_eq(io->ops->name, "uring");
    return (uring *)io;
}

/* The ring never had more to tell than it has room for, and gives everything back. */
static void end_uring(uring *u)
{
    rbuf_validate(&u->rbuf);
    cr_assert_eq(u->rbuf.lent, 0);
    cr_assert_eq(*u->ring.cq.koverflow, 0);
    u->io.ops->destroy(&u->io);
}

static bool hold_buffers;
static uint16_t held[HS_RBUFS_MAX];
static uint32_t held_len;

static uint32_t turn(uring *u, uint64_t deadline_ns)
{
    hs_io *io = &u->io;
    hs_io_event events[256];
    uint32_t n = io->ops->turn(io, deadline_ns, events, HS_ARRAY_LEN(events));
    for (uint32_t i = 0; i < n; i++) {
        const hs_io_event *ev = &events[i];
        if (!ev->more)
            hs_op_end(io, ev->op);
        ev->op->done(ev->op, ev);
        if (!ev->data)
            continue;
        if (hold_buffers)
            held[held_len++] = ev->buf;
        else
            io->ops->buf_give(io, ev->buf);
    }
    return n;
}

/* Turn until `*count` is `want`; a second at most without any progress. */
static void turn_until(uring *u, const uint32_t *count, uint32_t want)
{
    uint64_t end = hs_io_now_ns(&u->io) + SECOND_NS;
    while (*count < want && hs_io_now_ns(&u->io) < end)
        if (turn(u, end) > 0)
            end = hs_io_now_ns(&u->io) + SECOND_NS;
    cr_assert_eq(*count, want);
}

static void turn_idle(uring *u, int times)
{
    for (int i = 0; i < times; i++)
        turn(u, 0);
}

/* An op that writes down what it is told. */
typedef struct probe {
    union {
        hs_op op;
        hs_op_send send;
    };
    uint32_t told, ends;
    int32_t last;
    uint32_t bytes;
    uint64_t sum;
} probe;

static uint32_t ends, told, bytes;

static void probe_done(hs_op *op, const hs_io_event *ev)
{
    probe *p = (probe *)op;
    cr_assert_eq(hs_op_active(op), ev->more);
    cr_assert_eq(ev->data != NULL, op->kind == HS_OP_RECV && ev->res > 0 && ev->more);
    p->told++;
    p->ends += !ev->more;
    p->last = ev->res;
    told++;
    ends += !ev->more;
    if (!ev->data)
        return;
    for (int32_t i = 0; i < ev->res; i++)
        p->sum += (p->bytes + (uint32_t)i + 1) * ev->data[i];
    p->bytes += (uint32_t)ev->res;
    bytes += (uint32_t)ev->res;
}

static void pair_of(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void put(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
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

/* ---- waits ---- */

Test(shard_io_uring, a_wait_ends_at_its_deadline)
{
    uring *u = make_uring();
    static const uint32_t ms[] = {30, 5, 60, 1, 20, 20};
    for (size_t i = 0; i < HS_ARRAY_LEN(ms); i++) {
        uint64_t start = hs_io_now_ns(&u->io), deadline = start + ms[i] * HS_MSEC_NS;
        while (hs_io_now_ns(&u->io) < deadline) /* it may end early, for nothing */
            cr_assert_eq(turn(u, deadline), 0);
        cr_assert_lt(hs_io_now_ns(&u->io), deadline + SECOND_NS);
    }
    end_uring(u);
}

Test(shard_io_uring, a_sooner_deadline_counts_while_a_later_one_is_armed)
{
    uring *u = make_uring();
    for (int i = 0; i < 5; i++) {
        uint64_t start = hs_io_now_ns(&u->io), soon = start + 10 * HS_MSEC_NS;
        hs_io_wake_any(&u->io);
        turn(u, start + 3600 * SECOND_NS); /* arms it, and is woken */
        while (hs_io_now_ns(&u->io) < soon)
            turn(u, soon);
        cr_assert_lt(hs_io_now_ns(&u->io), start + 10 * SECOND_NS);
    }
    end_uring(u);
}

typedef struct sleeper {
    pthread_t thread;
    uring *_Atomic u;
    HS_ATOMIC_U32 waiting, woken, leave;
} sleeper;

static void *sleeper_main(void *arg)
{
    sleeper *s = arg;
    uring *u = make_uring();
    atomic_store(&s->u, u);
    while (!atomic_load(&s->leave)) {
        atomic_fetch_add(&s->waiting, 1);
        turn(u, hs_io_now_ns(&u->io) + 100 * SECOND_NS);
        atomic_fetch_add(&s->woken, 1);
    }
    end_uring(u);
    return NULL;
}

/* Each wake-up ends a wait. `any`: from a thread that has no ring. */
static void wake_each_way(bool any, bool msg_ring)
{
    static sleeper s;
    uring *u = make_uring();
    cr_assert(!u->caps.msg_ring || msg_ring);
    cr_assert_eq(pthread_create(&s.thread, NULL, sleeper_main, &s), 0);
    while (!atomic_load(&s.u))
        usleep(1000);
    for (uint32_t i = 0; i < 200; i++) {
        while (atomic_load(&s.waiting) <= i)
            usleep(100);
        if (i == 199)
            atomic_store(&s.leave, 1);
        if (any) {
            hs_io_wake_any(&s.u->io);
        } else {
            hs_io_wake(&u->io, &s.u->io);
            turn(u, 0);
        }
        for (int ms = 0; atomic_load(&s.woken) <= i; ms++) {
            cr_assert_lt(ms, 10000, "wake-up %u was missed", i);
            usleep(1000);
        }
    }
    cr_assert_eq(pthread_join(s.thread, NULL), 0);
    end_uring(u);
}

Test(shard_io_uring, a_wake_up_from_another_ring)
{
    wake_each_way(false, true);
}

Test(shard_io_uring, a_wake_up_from_another_ring_by_eventfd)
{
    cr_assert_eq(setenv("HS_CAPS_DISABLE", "msg_ring", 1), 0);
    wake_each_way(false, false);
}

Test(shard_io_uring, a_wake_up_from_a_thread_without_a_ring)
{
    wake_each_way(true, true);
}

/* ---- making and ending ---- */

Test(shard_io_uring, capabilities_are_switched_off_by_name)
{
    static const struct {
        const char *list;
        bool msg_ring, ring_fd; /* switched off */
    } rows[] = {
        {"", false, false},
        {"msg_ring", true, false},
        {"ring_fd", false, true},
        {"ring_fd,msg_ring", true, true},
        {"msg_ringx,xring_fd", false, false},
        {"msg", false, false},
        {",,ring_fd,", false, true},
        {"x,msg_ring,y", true, false},
    };
    uring_caps all, caps;
    char why[256];
    cr_assert_eq(unsetenv("HS_CAPS_DISABLE"), 0);
    if (!hs_ok(uring_probe(&all, why, sizeof why)))
        cr_skip_test("%s", why);
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        cr_assert_eq(setenv("HS_CAPS_DISABLE", rows[i].list, 1), 0);
        cr_assert(hs_ok(uring_probe(&caps, why, sizeof why)));
        cr_assert_eq(caps.msg_ring, all.msg_ring && !rows[i].msg_ring, "%s", rows[i].list);
        cr_assert_eq(caps.ring_fd, all.ring_fd && !rows[i].ring_fd, "%s", rows[i].list);
    }
}

typedef struct fail_mem {
    uint32_t left, out;
} fail_mem;

static void *fail_take(void *ctx, size_t size, size_t align)
{
    fail_mem *f = ctx;
    if (f->left == 0)
        return NULL;
    f->left--;
    f->out++;
    return hs_mem_take(hs_mem_system(), size, align);
}

static void fail_give(void *ctx, void *ptr, size_t size, size_t align)
{
    ((fail_mem *)ctx)->out--;
    hs_mem_give(hs_mem_system(), ptr, size, align);
}

static int lowest_free_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

Test(shard_io_uring, memory_fails)
{
    uring_caps caps;
    char why[256];
    if (!hs_ok(uring_probe(&caps, why, sizeof why)))
        cr_skip_test("%s", why);
    int before = lowest_free_fd();
    for (uint32_t n = 0;; n++) {
        fail_mem f = {.left = n};
        hs_mem mem = {fail_take, fail_give, &f};
        hs_io *io;
        hs_err err = uring_create(&mem, &caps, &io);
        if (hs_ok(err)) {
            cr_assert_geq(n, 2);
            io->ops->destroy(io);
            cr_assert_eq(f.out, 0);
            break;
        }
        cr_assert_eq(err.code, -ENOMEM);
        cr_assert_eq(f.out, 0);
    }
    cr_assert_eq(lowest_free_fd(), before);
}

Test(shard_io_uring, what_was_closed_last_is_closed)
{
    uring *u = make_uring();
    int fds[2];
    char byte;
    pair_of(fds);
    hs_io_close(&u->io, fds[0]); /* queued; no turn comes after it */
    end_uring(u);
    cr_assert_eq(recv(fds[1], &byte, 1, 0), 0);
    close(fds[1]);
}

Test(shard_io_uring, no_op_may_be_under_way_at_the_end, .signal = SIGABRT)
{
    uring *u = make_uring();
    int fds[2];
    probe in = {0};
    pair_of(fds);
    hs_io_recv(&u->io, &in.op, fds[0], probe_done);
    end_uring(u);
}
