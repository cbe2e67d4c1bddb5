/* The real ring over time and over its life: deadlines, wake-ups in all ways, capabilities that are
 * switched off, making it without memory, and its end. */
#include "uring_rig.h"

Test(shard_io_uring_wait, a_wait_ends_at_its_deadline)
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

Test(shard_io_uring_wait, a_sooner_deadline_counts_while_a_later_one_is_armed)
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

Test(shard_io_uring_wait, a_wake_up_from_another_ring)
{
    wake_each_way(false, true);
}

Test(shard_io_uring_wait, a_wake_up_from_another_ring_by_eventfd)
{
    cr_assert_eq(setenv("HS_CAPS_DISABLE", "msg_ring", 1), 0);
    wake_each_way(false, false);
}

Test(shard_io_uring_wait, a_wake_up_from_a_thread_without_a_ring)
{
    wake_each_way(true, true);
}

/* ---- making and ending ---- */

Test(shard_io_uring_wait, capabilities_are_switched_off_by_name)
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
    if (!hs_ok(uring_probe(&all, &why)))
        cr_skip_test("%s", why.cause);
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        cr_assert_eq(setenv("HS_CAPS_DISABLE", rows[i].list, 1), 0);
        cr_assert(hs_ok(uring_probe(&caps, &why)));
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

Test(shard_io_uring_wait, memory_fails)
{
    uring_caps caps;
    uring_why why;
    if (!hs_ok(uring_probe(&caps, &why)))
        cr_skip_test("%s", why.cause);
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

Test(shard_io_uring_wait, what_was_closed_last_is_closed)
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

Test(shard_io_uring_wait, no_op_may_be_under_way_at_the_end, .signal = SIGABRT)
{
    uring *u = make_uring();
    int fds[2];
    probe in = {0};
    pair_of(fds);
    hs_io_recv(&u->io, &in.op, fds[0], probe_done);
    end_uring(u);
}
