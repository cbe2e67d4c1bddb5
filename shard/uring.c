/* The io_uring backend: what runs for each op.
 *
 * Owns: turning ops into submissions and completions into events, one system call a turn. What the
 * kernel asks to have done again (an empty buffer ring, a multishot op that ended while it was
 * fine) is done here and not seen above the seam. Must not know: the loop, protocols. Tested by:
 * tests/unit/shard_io_kernel*.c, shard_io_uring.c and everything that runs on it.
 *
 * The kernel's side is not seen by ThreadSanitizer. A ring belongs to one thread, so what has to be
 * told is the one hand-over between threads: a wake-up (tsan_release before, tsan_acquire after).
 */
#include "uring.h"

#include <errno.h>
#include <unistd.h>

#include "clocks.h"
#include "sock.h"
#include "tsan.h"

#define BUF_GROUP 0

/* ---- submissions ---- */

/* A free submission entry; when there is none, what is queued goes to the kernel first. NULL when
 * the kernel takes nothing now. */
static struct io_uring_sqe *get_sqe(uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (HS_UNLIKELY(!sqe)) {
        io_uring_submit(&u->ring);
        sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

/* Nobody asks how this went; a completion would only end a wait. */
static void ignore_result(struct io_uring_sqe *sqe)
{
    sqe->user_data = URING_TAG_IGNORE;
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void prep_send(struct io_uring_sqe *sqe, hs_op *op)
{
    hs_op_send *send = HS_CONTAINER_OF(op, hs_op_send, op);
    int flags = MSG_NOSIGNAL | MSG_WAITALL;
    if (send->iov_len == 1) {
        io_uring_prep_send(sqe, op->fd, send->iov->iov_base, send->iov->iov_len, flags);
        return;
    }
    send->msg = (struct msghdr){.msg_iov = send->iov, .msg_iovlen = send->iov_len};
    io_uring_prep_sendmsg(sqe, op->fd, &send->msg, (unsigned)flags);
}

static bool submit_op(uring *u, hs_op *op)
{
    struct io_uring_sqe *sqe = get_sqe(u);
    if (HS_UNLIKELY(!sqe))
        return false;
    switch (op->kind) {
    case HS_OP_RECV:
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUF_GROUP;
        break;
    case HS_OP_SEND:
        prep_send(sqe, op);
        break;
    case HS_OP_ACCEPT:
        if (op->events)
            io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
        else
            io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case HS_OP_CONNECT: {
        const hs_op_connect *connect = HS_CONTAINER_OF(op, hs_op_connect, op);
        io_uring_prep_connect(sqe, op->fd, connect->addr, connect->addr_len);
        break;
    }
    default:
        HS_ASSERT(op->kind == HS_OP_POLL);
        io_uring_prep_poll_add(sqe, op->fd, op->events);
        break;
    }
    io_uring_sqe_set_data(sqe, op);
    return true;
}

static void start_op(uring *u, hs_op *op)
{
    if (HS_UNLIKELY(!submit_op(u, op)))
        op_list_push(&u->backlog, op);
}

static void uring_start(hs_io *io, hs_op *op)
{
    start_op((uring *)io, op);
}

static bool submit_cancel(uring *u, hs_op *op)
{
    struct io_uring_sqe *sqe = get_sqe(u);
    if (HS_UNLIKELY(!sqe))
        return false;
    io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)op, 0);
    ignore_result(sqe);
    return true;
}

static void cancel_op(uring *u, hs_op *op)
{
    if (op->list == URING_LIST_TOLD)
        return;
    if (op->list == OP_LIST_NONE) {
        if (HS_UNLIKELY(!submit_cancel(u, op)))
            op_list_push(&u->cancels, op);
        return;
    }
    /* It is not in the kernel: it ends here. */
    HS_ASSERT(op->list == URING_LIST_BACKLOG || op->list == URING_LIST_STARVED);
    op_list_remove(op->list == URING_LIST_BACKLOG ? &u->backlog : &u->starved, op);
    op_list_push(&u->ended, op);
}

static void uring_cancel(hs_io *io, hs_op *op)
{
    cancel_op((uring *)io, op);
}

static void uring_close(hs_io *io, int fd)
{
    struct io_uring_sqe *sqe = get_sqe((uring *)io);
    if (HS_UNLIKELY(!sqe)) {
        (void)close(fd);
        return;
    }
    io_uring_prep_close(sqe, fd);
    ignore_result(sqe);
}

/* ---- receive buffers ---- */

static void buf_add(uring *u, uint16_t id)
{
    io_uring_buf_ring_add(u->bufs, rbuf_at(&u->rbuf, id), HS_RBUF_BYTES, id,
                          io_uring_buf_ring_mask(HS_RBUFS_MAX), 0);
    io_uring_buf_ring_advance(u->bufs, 1);
}

void uring_provide(uring *u)
{
    uint16_t id;
    while (rbuf_next(&u->rbuf, &id))
        buf_add(u, id);
}

static void uring_buf_give(hs_io *io, uint16_t id)
{
    uring *u = (uring *)io;
    if (HS_LIKELY(rbuf_give(&u->rbuf, id)))
        buf_add(u, id);
    /* A receive that ran dry goes on as soon as there is a buffer. */
    hs_op *op;
    if (HS_UNLIKELY((op = op_list_pop(&u->starved)) != NULL))
        start_op(u, op);
}

static bool uring_trim(hs_io *io)
{
    uring *u = (uring *)io;
    /* A completion that was not looked at yet may have data in one of the buffers. */
    return io_uring_cq_ready(&u->ring) ? true : rbuf_trim(&u->rbuf);
}

/* ---- completions ---- */

/* What is to be done with a completion. */
typedef enum verdict {
    TELL,  /* an event for the op's owner */
    AGAIN, /* the op goes on: start it again, no event */
    WAIT   /* the op waits for a buffer, no event */
} verdict;

static verdict judge_recv(uring *u, const struct io_uring_cqe *cqe)
{
    if (cqe->res == -ENOBUFS) {
        /* One shortage ends many receives at once: the first of them grows the pool for all. */
        bool dry = u->rbuf.in_use == u->rbuf.lent;
        if (dry && !rbuf_grow(&u->rbuf))
            return WAIT;
        uring_provide(u);
        return AGAIN;
    }
    return cqe->res == -EINTR || cqe->res == -EAGAIN ? AGAIN : TELL;
}

static verdict judge(uring *u, const hs_op *op, const struct io_uring_cqe *cqe)
{
    if (HS_LIKELY(cqe->res >= 0))
        return TELL;
    switch (op->kind) {
    case HS_OP_RECV:
        return judge_recv(u, cqe);
    case HS_OP_ACCEPT:
        /* The connection was gone before we took it (accept(2)): the next one may be fine. */
        return cqe->res == -ECONNABORTED || cqe->res == -EINTR || cqe->res == -EAGAIN ||
                       cqe->res == -EPROTO
                   ? AGAIN
                   : TELL;
    default:
        return cqe->res == -EINTR || cqe->res == -EAGAIN ? AGAIN : TELL;
    }
}

/* The op's last event goes to the loop, which ends the op when it comes to it. */
static void end_op(uring *u, hs_op *op)
{
    if (HS_UNLIKELY(op->list == URING_LIST_CANCEL))
        op_list_remove(&u->cancels, op);
    HS_ASSERT(op->list == OP_LIST_NONE);
    op->list = URING_LIST_TOLD;
}

/* A multishot op that the kernel ended although all is well: it goes on, unless it was to end. */
static void go_on(uring *u, hs_op *op)
{
    if (op->list == URING_LIST_CANCEL)
        op_list_remove(&u->cancels, op);
    if (op->cancelled)
        op_list_push(&u->ended, op);
    else
        start_op(u, op);
}

/* Turn the completion of an op into an event. Returns whether there is one. */
static bool reap_op(uring *u, hs_op *op, const struct io_uring_cqe *cqe, hs_io_event *ev)
{
    bool more = cqe->flags & IORING_CQE_F_MORE;
    verdict v = judge(u, op, cqe);
    if (HS_UNLIKELY(v != TELL)) {
        HS_ASSERT(!more);
        if (v == AGAIN || op->cancelled)
            go_on(u, op);
        else
            op_list_push(&u->starved, op);
        return false;
    }
    op_event(ev, op, cqe->res, more);
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        ev->buf = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        rbuf_lend(&u->rbuf, ev->buf);
        if (HS_LIKELY(cqe->res > 0))
            ev->data = rbuf_at(&u->rbuf, ev->buf);
        else
            uring_buf_give(&u->io, ev->buf);
    }
    bool multishot =
        (op->kind == HS_OP_ACCEPT && !op->events) || (op->kind == HS_OP_RECV && cqe->res > 0);
    if (HS_LIKELY(more))
        return true;
    if (multishot && cqe->res >= 0) {
        ev->more = true;
        go_on(u, op);
    } else {
        end_op(u, op);
    }
    return true;
}

static void arm_eventfd(uring *u)
{
    struct io_uring_sqe *sqe = u->eventfd_armed ? NULL : get_sqe(u);
    if (!sqe)
        return;
    io_uring_prep_read(sqe, u->eventfd, &u->eventfd_value, sizeof u->eventfd_value, 0);
    sqe->user_data = URING_TAG_EVENTFD;
    u->eventfd_armed = true;
}

static void uring_wake_any(hs_io *io)
{
    uring *u = (uring *)io;
    uint64_t one = 1;
    tsan_release(u);
    /* EAGAIN: the counter is full, so the wake-up is there already. */
    ssize_t ignored = write(u->eventfd, &one, sizeof one);
    (void)ignored;
}

static void reap_own(uring *u, const struct io_uring_cqe *cqe)
{
    switch (cqe->user_data & URING_TAG_MASK) {
    case URING_TAG_EVENTFD:
        u->eventfd_armed = false;
        tsan_acquire(u);
        break;
    case URING_TAG_WOKEN:
        tsan_acquire(u);
        break;
    case URING_TAG_TIMER:
        u->timer_ns = UINT64_MAX;
        break;
    case URING_TAG_WAKING:
        /* The message did not arrive: wake the target in the way that always works. */
        if (cqe->res < 0)
            uring_wake_any((hs_io *)(uintptr_t)(cqe->user_data & ~(uint64_t)URING_TAG_MASK));
        break;
    default:
        HS_ASSERT(cqe->user_data == URING_TAG_IGNORE);
        break;
    }
}

static uint32_t reap(uring *u, hs_io_event *events, uint32_t max)
{
    uint32_t n = 0;
    unsigned seen = 0, head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (n == max)
            break;
        seen++;
        if (HS_LIKELY((cqe->user_data & URING_TAG_MASK) == URING_TAG_OP))
            n += reap_op(u, (hs_op *)(uintptr_t)cqe->user_data, cqe, &events[n]);
        else
            reap_own(u, cqe);
    }
    io_uring_cq_advance(&u->ring, seen);
    return n;
}

/* ---- the turn ---- */

/* Submit what waited for room. */
static void flush_lists(uring *u)
{
    hs_op *op;
    while ((op = u->backlog.first) != NULL && submit_op(u, op))
        op_list_pop(&u->backlog);
    while ((op = u->cancels.first) != NULL && submit_cancel(u, op))
        op_list_pop(&u->cancels);
    arm_eventfd(u);
}

static uint32_t take_ended(uring *u, hs_io_event *events, uint32_t max)
{
    uint32_t n = 0;
    for (hs_op *op; n < max && (op = op_list_pop(&u->ended)) != NULL;) {
        op_event(&events[n++], op, -ECANCELED, false);
        end_op(u, op);
    }
    return n;
}

/* Make sure that a wait ends at `deadline_ns`. One timeout stays armed over many waits, which is
 * cheaper than one for each of them: most deadlines are far away and never reached. It only moves
 * forward; one that fires too early ends a wait for nothing, and the next turn arms it again. */
static bool arm_timer(uring *u, uint64_t deadline_ns)
{
    if (deadline_ns >= u->timer_ns)
        return true;
    struct io_uring_sqe *sqe = get_sqe(u);
    if (!sqe)
        return false;
    u->timer_ts = (struct __kernel_timespec){.tv_sec = (long long)(deadline_ns / 1000000000),
                                             .tv_nsec = (long long)(deadline_ns % 1000000000)};
    if (u->timer_ns == UINT64_MAX) {
        io_uring_prep_timeout(sqe, &u->timer_ts, 0, IORING_TIMEOUT_ABS);
        sqe->user_data = URING_TAG_TIMER;
    } else {
        /* Where it fires at this moment, its completion is on the way and ends the wait. */
        io_uring_prep_timeout_update(sqe, &u->timer_ts, URING_TAG_TIMER, IORING_TIMEOUT_ABS);
        ignore_result(sqe);
    }
    u->timer_ns = deadline_ns;
    return true;
}

static void enter(uring *u, uint64_t deadline_ns)
{
    int rc = deadline_ns == 0 || !arm_timer(u, deadline_ns)
                 ? io_uring_submit_and_get_events(&u->ring)
                 : io_uring_submit_and_wait(&u->ring, 1);
    /* Interrupted, or with completions that wait to be taken (io_uring_enter(2)): nothing is wrong.
     */
    if (HS_LIKELY(rc >= 0) || rc == -EINTR || rc == -EBUSY || io_uring_cq_ready(&u->ring))
        return;
    u->io.wait_call = "io_uring_enter";
    u->io.wait_error = rc;
}

static uint32_t uring_turn(hs_io *io, uint64_t deadline_ns, hs_io_event *events, uint32_t max)
{
    uring *u = (uring *)io;
    flush_lists(u);
    if (u->ended.first || u->backlog.first || u->cancels.first || io_uring_cq_ready(&u->ring))
        deadline_ns = 0;
    enter(u, deadline_ns);
    uint32_t n = take_ended(u, events, max);
    return n + reap(u, events + n, max - n);
}

static void uring_wake(hs_io *io, hs_io *target)
{
    uring *u = (uring *)io, *t = (uring *)target;
    struct io_uring_sqe *sqe = u->caps.msg_ring ? get_sqe(u) : NULL;
    if (!sqe) {
        uring_wake_any(target);
        return;
    }
    tsan_release(t);
    io_uring_prep_msg_ring(sqe, t->ring.ring_fd, 0, URING_TAG_WOKEN, 0);
    sqe->user_data = (uint64_t)(uintptr_t)target | URING_TAG_WAKING;
}

/* ---- the end ---- */

static void uring_destroy(hs_io *io)
{
    uring *u = (uring *)io;
    HS_ASSERT(io->ops_active == 0);
    /* A close may still be queued, and the process may live on. */
    io_uring_submit(&u->ring);
    if (u->bufs)
        io_uring_free_buf_ring(&u->ring, u->bufs, HS_RBUFS_MAX, BUF_GROUP);
    io_uring_queue_exit(&u->ring);
    rbuf_fini(&u->rbuf);
    if (u->eventfd >= 0)
        (void)close(u->eventfd);
    hs_mem_give(u->mem, u, sizeof *u, HS_CACHE_LINE);
}

const hs_io_ops uring_ops = {
    .name = "uring",
    .destroy = uring_destroy,
    .now_ns = clock_now_ns,
    .wall_ns = clock_wall_ns,
    .start = uring_start,
    .cancel = uring_cancel,
    .shutdown = sock_shutdown,
    .reset = sock_reset,
    .close = uring_close,
    .turn = uring_turn,
    .buf_give = uring_buf_give,
    .wake = uring_wake,
    .wake_any = uring_wake_any,
    .trim = uring_trim,
    .listen = sock_listen,
    .sockname = sock_name,
    .socket = sock_make,
    .bind = sock_bind,
    .sockopt = sock_option,
    .sockopt_get = sock_option_get,
    .adopt = sock_adopt,
    .send_msgs = sock_send_msgs,
    .recv_msgs = sock_recv_msgs,
};
