/* What only the io_uring backend has: ops that wait outside the kernel, wake-ups in two ways,
 * capabilities. What it shares with epoll is in shard_io_kernel*.c.
 *
 * io_uring_submit is wrapped at link time, so that a test can have the kernel take nothing. */
#include "io_rig.h"

static bool submit_blocked;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
    return submit_blocked ? -EBUSY : __real_io_uring_submit(ring);
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
        u[i] = (uring *)make_backend(HS_IO_URING);
        hs_io_accept_one(&u[i]->io, &accept[i].op, fd, probe_done);
        turn_idle(&u[i]->io, 2);
    }
    for (uint32_t n = 1; n <= CLIENTS; n++) {
        int client = connect_unix(&addr, len);
        while (ends < n)
            for (int i = 0; i < RINGS; i++)
                turn_idle(&u[i]->io, 1);
        for (int i = 0; i < RINGS; i++)
            if (!hs_op_active(&accept[i].op)) {
                hs_io_close(&u[i]->io, accept[i].last);
                hs_io_accept_one(&u[i]->io, &accept[i].op, fd, probe_done);
                turn_idle(&u[i]->io, 1);
            }
        close(client);
    }
    for (int i = 0; i < RINGS; i++) {
        cr_assert_eq(accept[i].told, CLIENTS / RINGS);
        hs_io_cancel(&u[i]->io, &accept[i].op);
        uint32_t before = ends;
        turn_until(&u[i]->io, &ends, before + 1);
        end_io(&u[i]->io);
    }
    close(fd);
}

/* ---- bursts, and a kernel that takes nothing ---- */

#define MANY 2500

static probe many[MANY];

Test(shard_io_uring, what_the_kernel_does_not_take_waits)
{
    uring *u = (uring *)make_backend(HS_IO_URING);
    int fds[2];
    probe early = {0}, late[4] = {0};
    pair_of(fds);
    hs_io_poll(&u->io, &early.op, fds[0], POLLIN, probe_done);
    turn_idle(&u->io, 2);
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
    turn_until(&u->io, &ends, full + 4); /* but for late[1], which waits for what never comes */
    cr_assert_eq(early.last, -ECANCELED);
    cr_assert_eq(late[2].last, -ECANCELED);
    cr_assert_eq(late[0].last, POLLOUT);
    cr_assert_eq(late[3].last, POLLOUT);
    cr_assert_eq(late[1].told, 0);
    hs_io_cancel(&u->io, &late[1].op);
    turn_until(&u->io, &ends, full + 5);
    cr_assert_eq(u->io.ops_active, 0);
    close(fds[0]);
    close(fds[1]);
    end_io(&u->io);
}

Test(shard_io_uring, an_op_ends_while_its_cancel_waits)
{
    uring *u = (uring *)make_backend(HS_IO_URING);
    int fds[2];
    probe early = {0};
    uint32_t full = 0;
    pair_of(fds);
    hs_io_poll(&u->io, &early.op, fds[0], POLLIN, probe_done);
    turn_idle(&u->io, 2);
    submit_blocked = true;
    while (full < MANY && !u->backlog.first)
        hs_io_poll(&u->io, &many[full++].op, fds[0], POLLPRI, probe_done);
    hs_io_cancel(&u->io, &early.op);
    cr_assert_eq(early.op.list, URING_LIST_CANCEL);
    put(fds[1], "too late");
    turn(&u->io,
         0); /* the wait submits what is queued; for the cancel there was no room before it */
    cr_assert_eq(early.last, POLLIN);
    cr_assert_eq(early.told, 1);
    cr_assert_null(u->cancels.first);
    submit_blocked = false;
    turn_idle(&u->io, 2);
    for (uint32_t i = 0; i < full; i++)
        hs_io_cancel(&u->io, &many[i].op);
    turn_until(&u->io, &ends, full + 1);
    cr_assert_eq(early.told, 1);
    close(fds[0]);
    close(fds[1]);
    end_io(&u->io);
}

/* ---- wake-ups and capabilities ---- */

Test(shard_io_uring, a_wake_up_from_another_ring_by_eventfd)
{
    cr_assert_eq(setenv("HS_CAPS_DISABLE", "msg_ring", 1), 0);
    hs_io *io = make_backend(HS_IO_URING);
    cr_assert_not(((uring *)io)->caps.msg_ring);
    wake_each_way(io, false);
}

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
    uring_why why;
    cr_assert_eq(unsetenv("HS_CAPS_DISABLE"), 0);
    if (!hs_ok(uring_probe(1, &all, &why)))
        cr_skip_test("%s", why.cause);
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        cr_assert_eq(setenv("HS_CAPS_DISABLE", rows[i].list, 1), 0);
        cr_assert(hs_ok(uring_probe(1, &caps, &why)));
        cr_assert_eq(caps.msg_ring, all.msg_ring && !rows[i].msg_ring, "%s", rows[i].list);
        cr_assert_eq(caps.ring_fd, all.ring_fd && !rows[i].ring_fd, "%s", rows[i].list);
    }
}
