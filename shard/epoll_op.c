/* The epoll backend: the system call of each op.
 *
 * Owns: what each result means: an event, wait for an edge, or go on in the next turn, so that one
 * busy file starves nobody. What accept(2), connect(2) and others ask to have done again is done
 * again here, and not seen above the seam. Must not know: how files are waited for.
 * Tested by: tests/unit/shard_io_kernel*.c. */
#include "epoll.h"

#include <errno.h>
#include <poll.h>

/* What one op may take of a turn. */
#define RECV_BATCH 4
#define ACCEPT_BATCH 32
#define PARKED_NS (5 * HS_MSEC_NS)

/* The last event of an op. */
static uint32_t tell(epoll *e, hs_op *op, int32_t res, hs_io_event *ev)
{
    HS_ASSERT(op->list == OP_LIST_NONE);
    if (HS_UNLIKELY(epoll_accepts_one(op)))
        epoll_file_disarm(e, op->fd);
    op->list = EPOLL_LIST_TOLD;
    op_event(ev, op, res, false);
    return 1;
}

/* An op waits for what is told from now on; where it cannot, it ends. */
static uint32_t wait_first(epoll *e, hs_op *op, hs_io_event *ev)
{
    int rc = epoll_wait_first(e, op);
    return rc == 0 ? 0 : tell(e, op, rc, ev);
}

/* Whether an op that reads has to wait for an edge before its first system call. */
static bool waits_first(const epoll *e, const hs_op *op)
{
    uint32_t known = FILE_TCP | FILE_ARMED | FILE_IN;
    return (epoll_file_flags(e, op->fd) & known) != known;
}

/* ---- receive ---- */

typedef enum buf_found { BUF_FOUND, BUF_NEXT_TURN, BUF_NONE } buf_found;

/* A free buffer. More are put to use only when none comes back at the end of this turn: few buffers
 * stay in the cache. */
static buf_found buf_take(epoll *e, uint16_t *id)
{
    if (HS_LIKELY(e->bufs_len > 0)) {
        *id = e->bufs[--e->bufs_len];
        return BUF_FOUND;
    }
    if (rbuf_next(&e->rbuf, id))
        return BUF_FOUND;
    if (e->lent_now > 0)
        return BUF_NEXT_TURN;
    return rbuf_grow(&e->rbuf) && rbuf_next(&e->rbuf, id) ? BUF_FOUND : BUF_NONE;
}

void epoll_buf_put(epoll *e, uint16_t id, bool keep)
{
    HS_ASSERT(e->bufs_len < HS_RBUFS_MAX);
    if (HS_LIKELY(keep))
        e->bufs[e->bufs_len++] = id;
    hs_op *op;
    if (HS_UNLIKELY((op = op_list_pop(&e->starved)) != NULL))
        op_list_push(&e->ready, op);
}

static int32_t recv_some(epoll *e, const hs_op *op, uint16_t buf, hs_io_event *ev)
{
    ssize_t n;
    do
        n = recv(op->fd, rbuf_at(&e->rbuf, buf), HS_RBUF_BYTES, MSG_DONTWAIT);
    while (HS_UNLIKELY(n < 0 && errno == EINTR));
    if (HS_UNLIKELY(n <= 0)) {
        int32_t res = n == 0 ? 0 : -errno;
        epoll_buf_put(e, buf, true);
        return res;
    }
    rbuf_lend(&e->rbuf, buf);
    e->lent_now++;
    ev->data = rbuf_at(&e->rbuf, buf);
    ev->buf = buf;
    return (int32_t)n;
}

/* All was read, or so a short read from a TCP socket says (epoll(7)). */
static bool all_read(const epoll *e, const hs_op *op, int32_t res)
{
    if (res == HS_RBUF_BYTES)
        return false;
    return (epoll_file_flags(e, op->fd) & (FILE_TCP | FILE_EAGER)) == FILE_TCP;
}

static uint32_t try_recv(epoll *e, hs_op *op, bool first, hs_io_event *events, uint32_t room)
{
    if (first && waits_first(e, op))
        return wait_first(e, op, events);
    uint32_t n = 0;
    while (n < HS_MIN(room, RECV_BATCH)) {
        hs_io_event *ev = &events[n];
        uint16_t buf;
        buf_found found = buf_take(e, &buf);
        if (found != BUF_FOUND) {
            op_list_push(found == BUF_NONE ? &e->starved : &e->ready, op);
            return n;
        }
        op_event(ev, op, 0, true);
        ev->res = recv_some(e, op, buf, ev);
        if (ev->res == -EAGAIN || (ev->res > 0 && all_read(e, op, ev->res))) {
            epoll_file_set(e, op->fd, 0, FILE_IN);
            epoll_wait_again(e, op);
            return ev->res > 0 ? n + 1 : n;
        }
        if (ev->res <= 0)
            return n + tell(e, op, ev->res, ev);
        n++;
    }
    op_list_push(&e->ready, op);
    return n;
}

/* ---- send ---- */

static size_t send_bytes(const hs_op_send *send)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < send->iov_len; i++)
        bytes += send->iov[i].iov_len;
    return bytes;
}

static ssize_t send_some(hs_op_send *s)
{
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (s->iov_len == 1)
        return send(s->op.fd, s->iov->iov_base, s->iov->iov_len, flags);
    s->msg = (struct msghdr){.msg_iov = s->iov, .msg_iovlen = s->iov_len};
    return sendmsg(s->op.fd, &s->msg, flags);
}

static uint32_t try_send(epoll *e, hs_op *op, bool first, hs_io_event *ev)
{
    hs_op_send *s = HS_CONTAINER_OF(op, hs_op_send, op);
    if (first && (epoll_file_flags(e, op->fd) & FILE_FULL))
        return wait_first(e, op, ev);
    ssize_t n;
    do
        n = send_some(s);
    while (HS_UNLIKELY(n < 0 && errno == EINTR));
    if (HS_UNLIKELY(n < 0 && errno == EAGAIN)) {
        epoll_file_set(e, op->fd, FILE_FULL, 0);
        return wait_first(e, op, ev);
    }
    /* What did not fit will fit after an edge: trying before it would only tell that again. */
    if (n >= 0 && (size_t)n < send_bytes(s))
        epoll_file_set(e, op->fd, FILE_FULL, 0);
    return tell(e, op, n < 0 ? -errno : (int32_t)n, ev);
}

/* ---- accept, connect, poll ---- */

/* The connection was gone before we took it (accept(2)): the next one may be fine. */
static bool accept_again(int res)
{
    return res == -ECONNABORTED || res == -EPROTO || res == -EINTR;
}

/* Take one connection. Of a listener that is not ours its address tells whether it is TCP. */
static int accept_one(epoll *e, const hs_op *op)
{
    struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof addr;
    bool ours = epoll_file_flags(e, op->fd) & FILE_TCP;
    int fd = accept4(op->fd, ours ? NULL : (struct sockaddr *)&addr, ours ? NULL : &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    epoll_file_new(e, fd, ours || addr.ss_family == AF_INET || addr.ss_family == AF_INET6);
    return fd;
}

static uint32_t try_accept(epoll *e, hs_op *op, bool first, hs_io_event *events, uint32_t room)
{
    if (first && (epoll_accepts_one(op) || waits_first(e, op)))
        return wait_first(e, op, events);
    uint32_t n = 0;
    for (uint32_t tries = 0; n < room && tries < ACCEPT_BATCH; tries++) {
        int res = accept_one(e, op);
        if (res == -EAGAIN) {
            epoll_file_set(e, op->fd, 0, FILE_IN);
            epoll_wait_again(e, op);
            return n;
        }
        if (epoll_accepts_one(op) && !accept_again(res))
            return tell(e, op, res, &events[n]);
        if (res >= 0)
            op_event(&events[n++], op, res, true);
        else if (!accept_again(res))
            return n + tell(e, op, res, &events[n]);
    }
    op_list_push(&e->ready, op);
    return n;
}

static uint32_t try_connect(epoll *e, hs_op *op, bool first, hs_io_event *ev)
{
    const hs_op_connect *c = HS_CONTAINER_OF(op, hs_op_connect, op);
    /* Once more after an edge: it tells how it went, and whether the edge was about that at all. */
    int rc = connect(op->fd, c->addr, c->addr_len) == 0 ? 0 : errno;
    switch (rc) {
    case 0:
    case EISCONN:
        return tell(e, op, first ? -rc : 0, ev);
    case EINPROGRESS:
    case EALREADY:
    case EINTR:
        return wait_first(e, op, ev);
    case EAGAIN:
        if (c->addr->sa_family != AF_UNIX)
            return tell(e, op, -rc, ev);
        /* The listener's queue is full, and no edge will tell when it is not (connect(2)). */
        if (!e->parked.first)
            e->parked_ns = hs_io_now_ns(&e->io) + PARKED_NS;
        op_list_push(&e->parked, op);
        return 0;
    default:
        return tell(e, op, -rc, ev);
    }
}

static uint32_t try_poll(epoll *e, hs_op *op, bool first, hs_io_event *ev)
{
    if (!first)
        return tell(e, op, op->events, ev);
    int rc = epoll_wait_first(e, op);
    if (rc == -EPERM) /* a file that never makes anybody wait */
        return tell(e, op, op->events & (POLLIN | POLLOUT), ev);
    return rc == 0 ? 0 : tell(e, op, rc, ev);
}

uint32_t epoll_try(epoll *e, hs_op *op, bool first, hs_io_event *events, uint32_t room)
{
    HS_ASSERT(op->list == OP_LIST_NONE);
    HS_ASSERT(room > 0);
    if (HS_UNLIKELY(op->cancelled))
        return tell(e, op, -ECANCELED, events);
    switch (op->kind) {
    case HS_OP_RECV:
        return try_recv(e, op, first, events, room);
    case HS_OP_SEND:
        return try_send(e, op, first, events);
    case HS_OP_ACCEPT:
        return try_accept(e, op, first, events, room);
    case HS_OP_CONNECT:
        return try_connect(e, op, first, events);
    default:
        HS_ASSERT(op->kind == HS_OP_POLL);
        return try_poll(e, op, first, events);
    }
}
