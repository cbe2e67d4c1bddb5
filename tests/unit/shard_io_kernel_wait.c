/* A backend on the kernel over time and over its life: deadlines, wake-ups, making it without
 * memory, and its end. How late a deadline is told is the machine's affair: that it is told, and
 * not before its time, is ours; a wait that forgets it ends at the test's own time limit. */
#include "io_rig.h"

Test(shard_io_kernel_wait, a_wait_ends_at_its_deadline)
{
    hs_io *io = make_io();
    static const uint32_t ms[] = {30, 5, 60, 1, 20, 20};
    for (size_t i = 0; i < HS_ARRAY_LEN(ms); i++) {
        uint64_t start = hs_io_now_ns(io), deadline = start + ms[i] * HS_MSEC_NS;
        while (hs_io_now_ns(io) < deadline) /* it may end early, for nothing */
            cr_assert_eq(turn(io, deadline), 0);
    }
    end_io(io);
}

Test(shard_io_kernel_wait, a_sooner_deadline_counts_while_a_later_one_is_armed)
{
    hs_io *io = make_io();
    for (int i = 0; i < 5; i++) {
        uint64_t start = hs_io_now_ns(io), soon = start + 10 * HS_MSEC_NS;
        hs_io_wake_any(io);
        turn(io, start + 3600 * SECOND_NS); /* arms it, and is woken */
        while (hs_io_now_ns(io) < soon)
            turn(io, soon);
        cr_assert_lt(hs_io_now_ns(io), start + 1800 * SECOND_NS);
    }
    end_io(io);
}

Test(shard_io_kernel_wait, a_wake_up_from_another_backend)
{
    wake_each_way(make_io(), false);
}

Test(shard_io_kernel_wait, a_wake_up_from_a_thread_without_a_backend)
{
    wake_each_way(make_io(), true);
}

/* ---- making and ending ---- */

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

Test(shard_io_kernel_wait, memory_fails)
{
    backend b;
    cr_assert(hs_ok(backend_choose(HS_IO_AUTO, 1, &b)));
    int before = lowest_free_fd();
    for (uint32_t n = 0;; n++) {
        fail_mem f = {.left = n};
        hs_mem mem = {fail_take, fail_give, &f};
        hs_io *io;
        hs_err err = backend_create(&b, &mem, &io);
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

Test(shard_io_kernel_wait, what_was_closed_last_is_closed)
{
    hs_io *io = make_io();
    int fds[2];
    char byte;
    pair_of(fds);
    hs_io_close(io, fds[0]); /* queued; no turn comes after it */
    end_io(io);
    cr_assert_eq(recv(fds[1], &byte, 1, 0), 0);
    close(fds[1]);
}

Test(shard_io_kernel_wait, no_op_may_be_under_way_at_the_end, .signal = SIGABRT)
{
    hs_io *io = make_io();
    int fds[2];
    probe in = {0};
    pair_of(fds);
    hs_io_recv(io, &in.op, fds[0], probe_done);
    end_io(io);
}
