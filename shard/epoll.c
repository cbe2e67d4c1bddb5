/* The epoll backend: the seam on system calls that do not wait.
 *
 * Owns: the turn. What was started is tried when the turn begins, so a send costs one call and no
 * look at the epoll set; receives are tried when an edge says so. The set is asked at most every
 * other turn while there is something to tell, since what is told there is mostly answered by a
 * send. Must not know: the loop, protocols.
 * Tested by: tests/unit/shard_io_kernel*.c, shard_io_epoll.c, and all that runs with HS_IO=epoll.
 */
#include "epoll.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clocks.h"
#include "sock.h"
#include "tsan.h"

/* What the set tells of our own files: no number of a file is negative. */
#define KEY_WOKEN UINT64_MAX
#define KEY_TIMER (UINT64_MAX - 1)

/* ---- ops ---- */

static void epoll_start(hs_io *io, hs_op *op)
{
    op_list_push(&((epoll *)io)->started, op);
}

static void epoll_cancel(hs_io *io, hs_op *op)
{
    epoll *e = (epoll *)io;
    switch (op->list) {
    case EPOLL_LIST_WAITING:
        epoll_wait_end(e, op);
        break;
    case EPOLL_LIST_STARVED:
        op_list_remove(&e->starved, op);
        break;
    case EPOLL_LIST_PARKED:
        op_list_remove(&e->parked, op);
        break;
    default:
        return; /* it is tried soon, and ends there; or it is over */
    }
    op_list_push(&e->ready, op);
}

static void epoll_close(hs_io *io, int fd)
{
    epoll_file_gone((epoll *)io, fd);
    (void)close(fd); /* which takes it out of the set */
}

static bool is_tcp(int family, int type)
{
    return (family == AF_INET || family == AF_INET6) && type == SOCK_STREAM;
}

static int epoll_listen(hs_io *io, const struct sockaddr *addr, socklen_t addr_len, int backlog,
                        bool reuse_port)
{
    int fd = sock_listen(io, addr, addr_len, backlog, reuse_port);
    if (fd >= 0)
        epoll_file_new((epoll *)io, fd, is_tcp(addr->sa_family, SOCK_STREAM));
    return fd;
}

static int epoll_socket(hs_io *io, int family, int type, int protocol)
{
    int fd = sock_make(io, family, type, protocol);
    if (fd >= 0)
        epoll_file_new((epoll *)io, fd, is_tcp(family, type));
    return fd;
}

static int epoll_adopt(hs_io *io, int fd)
{
    epoll_file_new((epoll *)io, fd, false);
    return sock_adopt(io, fd);
}

static void epoll_buf_give(hs_io *io, uint16_t id)
{
    epoll *e = (epoll *)io;
    epoll_buf_put(e, id, rbuf_give(&e->rbuf, id));
}

static bool epoll_trim(hs_io *io)
{
    epoll *e = (epoll *)io;
    bool files = fd_table_trim(&e->files);
    return rbuf_trim(&e->rbuf) || files;
}

/* ---- the turn ---- */

/* Try the ops that are in the queue now: what comes to it meanwhile waits for its next turn. */
static uint32_t run_list(epoll *e, op_list *l, hs_io_event *events, uint32_t room)
{
    uint32_t n = 0;
    const hs_op *op = NULL, *last = l->last;
    while (op != last && n < room) {
        hs_op *next = op_list_pop(l);
        op = next;
        n += epoll_try(e, next, l == &e->started, events + n, room - n);
    }
    return n;
}

static uint32_t run(epoll *e, hs_io_event *events, uint32_t max)
{
    /* Neither queue may keep the other from its turn. */
    uint32_t n = run_list(e, &e->started, events, max - max / 2);
    return n + run_list(e, &e->ready, events + n, max - n);
}

/* Make sure that a wait ends at `deadline_ns`. One timer stays set over many waits, which is
 * cheaper than a time-out for each of them: most deadlines are far away and never reached. It only
 * moves forward; one that fires too early ends a wait for nothing, and the next turn sets it again.
 */
static bool set_timer(epoll *e, uint64_t deadline_ns)
{
    if (deadline_ns >= e->timer_ns)
        return true;
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(deadline_ns / HS_SEC_NS),
                                         .tv_nsec = (long)(deadline_ns % HS_SEC_NS)}};
    if (timerfd_settime(e->timerfd, TFD_TIMER_ABSTIME, &at, NULL) != 0)
        return false; /* a filter denies it */
    e->timer_ns = deadline_ns;
    return true;
}

/* Until `deadline_ns`, for epoll_wait(2) alone: rounded up, so that no turn comes too early. */
static int ms_until(epoll *e, uint64_t deadline_ns)
{
    uint64_t now = hs_io_now_ns(&e->io);
    uint64_t ms = deadline_ns <= now ? 0 : (deadline_ns - now + HS_MSEC_NS - 1) / HS_MSEC_NS;
    return (int)HS_MIN(ms, (uint64_t)INT32_MAX);
}

/* Ask the kernel what is ready, and wait for it until `deadline_ns` (0: do not wait). Our own two
 * files are edge-triggered as well, so they are never read: a counter that has not been read does
 * not hide the next edge. */
static void look(epoll *e, uint64_t deadline_ns)
{
    int wait_ms = deadline_ns > 0 ? -1 : 0;
    if (deadline_ns > 0 && HS_UNLIKELY(!set_timer(e, deadline_ns)))
        wait_ms = ms_until(e, deadline_ns);
    int n = epoll_wait(e->epfd, e->found, HS_ARRAY_LEN(e->found), wait_ms);
    if (HS_UNLIKELY(n < 0) && errno != EINTR) {
        e->io.wait_call = "epoll_wait";
        e->io.wait_error = -errno;
    }
    for (int i = 0; i < n; i++) {
        uint64_t key = e->found[i].data.u64;
        if (key == KEY_WOKEN)
            tsan_acquire(e);
        else if (key == KEY_TIMER)
            e->timer_ns = UINT64_MAX;
        else
            epoll_file_ready(e, (int)key, e->found[i].events);
    }
}

/* Parked ops are tried again when their time has come; until then it bounds the wait. */
static uint64_t unpark(epoll *e, uint64_t deadline_ns)
{
    if (HS_LIKELY(!e->parked.first))
        return deadline_ns;
    if (hs_io_now_ns(&e->io) < e->parked_ns)
        return HS_MIN(deadline_ns, e->parked_ns);
    for (hs_op *op; (op = op_list_pop(&e->parked)) != NULL;)
        op_list_push(&e->started, op);
    return 0;
}

static uint32_t epoll_turn(hs_io *io, uint64_t deadline_ns, hs_io_event *events, uint32_t max)
{
    epoll *e = (epoll *)io;
    HS_ASSERT(max > 1);
    e->lent_now = 0;
    deadline_ns = unpark(e, deadline_ns);
    uint32_t n = run(e, events, max);
    bool skip = n > 0 && e->looked;
    e->looked = !skip;
    if (skip)
        return n;
    if (n > 0 || e->started.first || e->ready.first)
        deadline_ns = 0;
    look(e, deadline_ns);
    return n + run(e, events + n, max - n);
}

static void epoll_wake_any(hs_io *io)
{
    epoll *e = (epoll *)io;
    uint64_t one = 1;
    tsan_release(e);
    ssize_t written = write(e->eventfd, &one, sizeof one);
    (void)written; /* it is full after 2^64 wake-ups */
}

static void epoll_wake(hs_io *io, hs_io *target)
{
    (void)io;
    epoll_wake_any(target);
}

/* ---- making and ending ---- */

static void epoll_destroy(hs_io *io)
{
    epoll *e = (epoll *)io;
    HS_ASSERT(io->ops_active == 0);
    int own[] = {e->epfd, e->eventfd, e->timerfd};
    for (size_t i = 0; i < HS_ARRAY_LEN(own); i++)
        if (own[i] >= 0)
            (void)close(own[i]);
    fd_table_fini(&e->files);
    if (e->rbuf.base)
        rbuf_fini(&e->rbuf);
    hs_mem_give(e->mem, e, sizeof *e, HS_CACHE_LINE);
}

static const hs_io_ops epoll_ops = {
    .name = "epoll",
    .destroy = epoll_destroy,
    .now_ns = clock_now_ns,
    .wall_ns = clock_wall_ns,
    .start = epoll_start,
    .cancel = epoll_cancel,
    .shutdown = sock_shutdown,
    .reset = sock_reset,
    .close = epoll_close,
    .turn = epoll_turn,
    .buf_give = epoll_buf_give,
    .wake = epoll_wake,
    .wake_any = epoll_wake_any,
    .trim = epoll_trim,
    .listen = epoll_listen,
    .sockname = sock_name,
    .socket = epoll_socket,
    .bind = sock_bind,
    .sockopt = sock_option,
    .sockopt_get = sock_option_get,
    .adopt = epoll_adopt,
    .send_msgs = sock_send_msgs,
    .recv_msgs = sock_recv_msgs,
};

static hs_err add_own(epoll *e, int fd, uint64_t key)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = key};
    return epoll_ctl(e->epfd, EPOLL_CTL_ADD, fd, &ev) == 0 ? HS_OK : hs_err_errno(errno);
}

/* On an error the caller undoes everything. */
static hs_err open_own(epoll *e)
{
    e->epfd = epoll_create1(EPOLL_CLOEXEC);
    HS_ENSURE(e->epfd >= 0, -errno);
    e->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    HS_ENSURE(e->eventfd >= 0, -errno);
    e->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    HS_ENSURE(e->timerfd >= 0, -errno);
    HS_TRY(add_own(e, e->eventfd, KEY_WOKEN));
    HS_TRY(add_own(e, e->timerfd, KEY_TIMER));
    return rbuf_init(&e->rbuf, e->mem);
}

hs_err epoll_io_create(const hs_mem *mem, hs_io **out)
{
    HS_ASSERT(out != NULL);
    epoll *e = hs_mem_take_zero(mem, sizeof *e, HS_CACHE_LINE);
    HS_ENSURE(e, -ENOMEM);
    e->io.ops = &epoll_ops;
    e->io.sock_flags = SOCK_NONBLOCK;
    e->mem = mem;
    e->epfd = e->eventfd = e->timerfd = -1;
    e->timer_ns = UINT64_MAX;
    e->started.id = EPOLL_LIST_STARTED;
    e->ready.id = EPOLL_LIST_READY;
    e->starved.id = EPOLL_LIST_STARVED;
    e->parked.id = EPOLL_LIST_PARKED;
    fd_table_init(&e->files, mem);
    hs_err err = open_own(e);
    if (!hs_ok(err)) {
        epoll_destroy(&e->io);
        return err;
    }
    *out = &e->io;
    return HS_OK;
}
