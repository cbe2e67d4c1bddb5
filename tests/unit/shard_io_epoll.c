/* What only the epoll backend has: a set that files fall out of when another closes them, and
 * listening sockets that several backends share. What it shares with io_uring is in
 * shard_io_kernel*.c. */
#include <fcntl.h>
#include <stdio.h>

#include "io_rig.h"

static hs_io *make_epoll(void)
{
    return make_backend(HS_IO_EPOLL);
}

Test(shard_io_epoll, sockets_do_not_block)
{
    hs_io *io = make_epoll();
    cr_assert_eq(io->sock_flags, SOCK_NONBLOCK);
    end_io(io);
}

/* Files that are not of the seam, such as a resolver's, are closed by their owner. */
Test(shard_io_epoll, a_number_that_another_closed_and_took_again)
{
    hs_io *io = make_epoll();
    probe p = {0};
    for (uint32_t round = 1; round <= 4; round++) {
        int fds[2], number = dup(0);
        close(number);
        pair_of(fds);
        cr_assert_eq(fds[0], number); /* the same as in the last round */
        hs_io_poll(io, &p.op, fds[0], POLLIN, probe_done);
        turn_idle(io, 3);
        cr_assert_eq(ends, round - 1);
        put(fds[1], "x");
        turn_until(io, &ends, round);
        cr_assert_eq(p.last, POLLIN);
        close(fds[0]);
        close(fds[1]);
    }
    end_io(io);
}

/* Of a file that nobody waits for, edges may still come. */
Test(shard_io_epoll, an_edge_that_nobody_waits_for_ends_no_wait_twice)
{
    hs_io *io = make_epoll();
    int fds[2];
    probe out = {0}, in = {0};
    static char much[1 << 20];
    struct iovec iov = {much, sizeof much};
    pair_of(fds);
    hs_io_recv(io, &in.op, fds[0], probe_done);
    hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done);
    turn_until(io, &ends, 1);
    cr_assert(out.last > 0 && out.last < (int32_t)sizeof much);
    hs_io_send(io, &out.send, fds[0], &iov, 1, probe_done); /* waits for room */
    turn_idle(io, 2);
    cr_assert_eq(ends, 1);
    while (ends < 2) {
        cr_assert_gt(recv(fds[1], much, sizeof much, 0), 0);
        turn(io, 0);
    }
    /* The receive still waits; room to send is nobody's business any more. */
    while (recv(fds[1], much, sizeof much, MSG_DONTWAIT) > 0)
        turn_idle(io, 2);
    const fd_slot *slot = fd_table_find(&((epoll *)io)->files, fds[0]);
    cr_assert_not_null(slot);
    cr_assert_not(slot->flags & FILE_OUT);
    put(fds[1], "in");
    turn_until(io, &bytes, 2);
    hs_io_cancel(io, &in.op);
    turn_until(io, &ends, 3);
    hs_io_close(io, fds[0]);
    close(fds[1]);
    end_io(io);
}

/* ---- shared listeners ---- */

#define SHARERS 3
#define CLIENTS 30

typedef struct sharer {
    pthread_t thread;
    hs_io *_Atomic io;
    _Atomic(pid_t) waits; /* its thread, while it does; 0: it does not */
    probe accept;
    int fd;
} sharer;

static HS_ATOMIC_U32 accepted, leave;

static void *sharer_main(void *arg)
{
    sharer *s = arg;
    hs_io *io = make_epoll();
    hs_io_accept_one(io, &s->accept.op, s->fd, probe_done);
    turn(io, 0);
    atomic_store(&s->io, io);
    while (!atomic_load(&leave)) {
        atomic_store(&s->waits, gettid());
        turn(io, hs_io_now_ns(io) + PATIENCE_NS);
        atomic_store(&s->waits, 0);
        if (hs_op_active(&s->accept.op))
            continue;
        cr_assert_gt(s->accept.last, 0);
        hs_io_close(io, s->accept.last);
        hs_io_accept_one(io, &s->accept.op, s->fd, probe_done);
        turn(io, 0);
        atomic_fetch_add(&accepted, 1);
    }
    hs_io_cancel(io, &s->accept.op);
    while (hs_op_active(&s->accept.op))
        turn(io, 0);
    end_io(io);
    return NULL;
}

/* Until it sleeps in its wait: who comes late finds that the others were there first (proc(5)). */
static void until_it_waits(const sharer *s)
{
    char path[64], text[256], state = '?';
    while (state != 'S') {
        pid_t thread = atomic_load(&s->waits);
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        text[HS_MAX(n, 0)] = '\0';
        const char *name_end = strrchr(text, ')');
        state = thread != 0 && name_end && atomic_load(&s->waits) == thread ? name_end[2] : '?';
        if (fd >= 0)
            close(fd);
        if (state != 'S')
            usleep(100);
    }
}

Test(shard_io_epoll, backends_that_share_a_listener_take_turns)
{
    static sharer s[SHARERS];
    struct sockaddr_un addr;
    socklen_t len;
    int fd = listen_unix(&addr, &len);
    hs_io *io = make_epoll();
    cr_assert_eq(hs_io_adopt(io, fd), 0);
    end_io(io);
    for (int i = 0; i < SHARERS; i++) {
        s[i].fd = fd;
        cr_assert_eq(pthread_create(&s[i].thread, NULL, sharer_main, &s[i]), 0);
        while (!atomic_load(&s[i].io))
            usleep(1000);
    }
    for (uint32_t n = 1; n <= CLIENTS; n++) {
        for (int i = 0; i < SHARERS; i++)
            until_it_waits(&s[i]);
        int client = connect_unix(&addr, len);
        while (atomic_load(&accepted) < n)
            usleep(100);
        close(client);
    }
    atomic_store(&leave, 1);
    for (int i = 0; i < SHARERS; i++) {
        hs_io_wake_any(s[i].io);
        cr_assert_eq(pthread_join(s[i].thread, NULL), 0);
        cr_assert_eq(s[i].accept.told, CLIENTS / SHARERS + 1); /* and the cancel */
    }
    close(fd);
}

/* ---- making it fails ---- */

/* Takes every descriptor that is still to be had; how many they were. */
static int take_all(void)
{
    int taken = 0;
    while (dup(STDERR_FILENO) >= 0)
        taken++;
    return taken;
}

Test(shard_io_epoll, no_files_left)
{
    backend b;
    cr_assert(hs_ok(backend_choose(HS_IO_EPOLL, 1, &b)));
    const rlim_t most = 64;
    struct rlimit limit = {most, most};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    take_all();
    for (int left = 3; left >= 0; left--) {
        for (int n = 1; n <= left; n++)
            close((int)most - n);
        hs_io *io;
        hs_err err = backend_create(&b, hs_mem_system(), &io);
        cr_assert_eq(hs_ok(err), left == 3); /* it needs three */
        if (hs_ok(err))
            io->ops->destroy(io);
        else
            cr_assert_eq(err.code, -EMFILE);
        cr_assert_eq(take_all(), left); /* nothing was left open */
    }
}
