/* The I/O seam: every system call that can wait goes through here.
 *
 * Owns: the interface between the loop and its backend. Completion-based: start an op, and its
 * callback runs once it is done; a multishot op's runs for each result until one without `more`.
 * Backends: uring.c (production), epoll.c (where io_uring is denied), sim.c (a seeded fake
 * kernel with a virtual clock). Must not know: any backend's words, any protocol.
 *
 * Rules:
 * 1. A start function never fails and never calls back: what goes wrong arrives as a completion,
 * and there is always exactly one without `more`, also after a cancel and at stop.
 * 2. An op and the memory that it names belong to the backend from its start to that completion.
 *    Just before the callback of that completion runs, and not sooner, the op is idle again: it may
 *    be started anew, or its memory freed. Until then it may be cancelled.
 * 3. Received bytes are borrowed until the callback returns.
 * 4. Callbacks run from the loop, never inside a start function or another callback.
 * 5. Everything here belongs to one shard's thread, except hs_io_wake_any.
 * Tested by: tests/unit/shard_io_sim.c, tests/unit/shard_io_kernel*.c, and by everything above it.
 */
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include "hs_assert.h"
#include "hs_span.h"

HS_BEGIN_DECLS

struct mmsghdr; /* of <sys/socket.h>, which shows it to GNU sources alone */

typedef struct hs_io hs_io;
typedef struct hs_op hs_op;

/* One completion. `res` is 0 or more, or a negated errno. */
typedef struct hs_io_event {
    hs_op *op;
    const uint8_t *data; /* hs_io_recv: `res` bytes, borrowed; NULL otherwise */
    int32_t res;
    uint16_t buf; /* the backend's number of the buffer under `data` */
    bool more;    /* the op goes on: more completions will come */
} hs_io_event;

typedef void hs_op_done(hs_op *op, const hs_io_event *event);

typedef enum hs_op_kind {
    HS_OP_NONE,
    HS_OP_ACCEPT,
    HS_OP_RECV,
    HS_OP_SEND,
    HS_OP_POLL,
    HS_OP_CONNECT,
    HS_OP_KINDS
} hs_op_kind;

/* An op's life: IDLE -> start -> ACTIVE -> last completion -> IDLE. The caller owns the storage;
 * zeroed storage is an idle op. */
struct hs_op {
    hs_op_done *done;
    hs_op *next; /* the backend's: waiting for room, or for a buffer */
    int32_t fd;
    uint8_t kind; /* hs_op_kind; HS_OP_NONE: idle */
    bool cancelled : 1;
    uint8_t list : 7; /* the backend's: which of its lists `next` is in */
    uint16_t events;  /* HS_OP_POLL: poll(2) events; HS_OP_ACCEPT: 1 for one connection alone */
};

/* A send needs its vectors as long as it is under way. */
typedef struct hs_op_send {
    hs_op op;
    struct msghdr msg;
    struct iovec *iov; /* borrowed until done */
    uint32_t iov_len;
} hs_op_send;

/* A connect needs its address as long as it is under way. */
typedef struct hs_op_connect {
    hs_op op;
    const struct sockaddr *addr; /* borrowed until done */
    socklen_t addr_len;
} hs_op_connect;

/* What a backend is. `turn` submits what was started and waits until there is an event, a wake-up
 * or `deadline_ns` (0: do not wait); it fills at most `max` events. */
typedef struct hs_io_ops {
    const char *name;
    void (*destroy)(hs_io *io);
    uint64_t (*now_ns)(hs_io *io);
    uint64_t (*wall_ns)(hs_io *io);
    void (*start)(hs_io *io, hs_op *op);
    void (*cancel)(hs_io *io, hs_op *op);
    void (*shutdown)(hs_io *io, int fd, int how);
    void (*reset)(hs_io *io, int fd);
    void (*close)(hs_io *io, int fd);
    uint32_t (*turn)(hs_io *io, uint64_t deadline_ns, hs_io_event *events, uint32_t max);
    void (*buf_give)(hs_io *io, uint16_t buf);
    void (*wake)(hs_io *io, hs_io *target);
    void (*wake_any)(hs_io *io);
    bool (*trim)(hs_io *io); /* once a second: return unused memory; true: there may be more */
    int (*listen)(hs_io *io, const struct sockaddr *addr, socklen_t addr_len, int backlog,
                  bool reuse_port);
    int (*sockname)(hs_io *io, int fd, struct sockaddr *addr, socklen_t *addr_len);
    int (*socket)(hs_io *io, int family, int type, int protocol);
    int (*bind)(hs_io *io, int fd, const struct sockaddr *addr, socklen_t addr_len);
    int (*sockopt)(hs_io *io, int fd, int level, int name, const void *value, socklen_t bytes);
    int (*sockopt_get)(hs_io *io, int fd, int level, int name, void *value, socklen_t *bytes);
    int (*adopt)(hs_io *io, int fd);
    int (*send_msgs)(hs_io *io, int fd, struct mmsghdr *msgs, uint32_t len);
    int (*recv_msgs)(hs_io *io, int fd, struct mmsghdr *msgs, uint32_t len);
} hs_io_ops;

/* The head of each backend's state. */
struct hs_io {
    const hs_io_ops *ops;
    uint64_t ops_active; /* started and not yet completed for the last time */
    /* SOCK_NONBLOCK, or 0: a ring takes a non-blocking socket as "do not wait", and would end each
     * op with EAGAIN. */
    int sock_flags;
    int32_t
        wait_error; /* a turn: the call that waits failed with this negated errno; 0: it did not */
    const char *wait_call; /* and which that is */
};

/* What every start function does first. */
static inline void hs_op_begin(hs_io *io, hs_op *op, hs_op_kind kind, int fd, hs_op_done *done)
{
    HS_ASSERT(op->kind == HS_OP_NONE);
    HS_ASSERT(fd >= 0);
    HS_ASSERT(done != NULL);
    op->done = done;
    op->next = NULL;
    op->fd = fd;
    op->kind = (uint8_t)kind;
    op->cancelled = false;
    op->list = 0;
    io->ops_active++;
}

/* What the loop does just before it calls `done` with an event without `more`. Not earlier: while
 * the event waits behind others of its turn, their callbacks must see the op as active, or they
 * would free what it is in. */
static inline void hs_op_end(hs_io *io, hs_op *op)
{
    HS_ASSERT(op->kind != HS_OP_NONE);
    HS_ASSERT(io->ops_active > 0);
    op->kind = HS_OP_NONE;
    io->ops_active--;
}

/* Start accepting on listening socket `fd`, multishot: each `res` is a new close-on-exec socket
 * that the callback owns and uses through this seam alone. Ends (no `more`) on an error, such as
 * -EMFILE. */
static inline void hs_io_accept(hs_io *io, hs_op *op, int fd, hs_op_done *done)
{
    hs_op_begin(io, op, HS_OP_ACCEPT, fd, done);
    op->events = 0;
    io->ops->start(io, op);
}

/* Accept one connection, and no more: for a listening socket that several shards share. Those that
 * wait take turns, and a shard that is busy does not take what another could serve. */
static inline void hs_io_accept_one(hs_io *io, hs_op *op, int fd, hs_op_done *done)
{
    hs_op_begin(io, op, HS_OP_ACCEPT, fd, done);
    op->events = 1;
    io->ops->start(io, op);
}

/* Start receiving on the connected socket `fd`, multishot: each event has `data`, in order. `res` 0
 * without `more` is the peer's end of data. When the shard has no buffer left the op waits for one:
 * that is never an error. */
static inline void hs_io_recv(hs_io *io, hs_op *op, int fd, hs_op_done *done)
{
    hs_op_begin(io, op, HS_OP_RECV, fd, done);
    io->ops->start(io, op);
}

/* Send the `iov_len` (1 to HS_SEND_IOV_MAX) vectors at `iov` on `fd`. `res` is how many bytes went,
 * which may be fewer than there are. A reset by the peer is -EPIPE or -ECONNRESET, never a signal.
 */
static inline void hs_io_send(hs_io *io, hs_op_send *send, int fd, struct iovec *iov,
                              uint32_t iov_len, hs_op_done *done)
{
    HS_ASSERT(iov_len > 0);
    hs_op_begin(io, &send->op, HS_OP_SEND, fd, done);
    send->iov = iov;
    send->iov_len = iov_len;
    io->ops->start(io, &send->op);
}

/* Tell once when `fd` has one of the poll(2) `events`; `res` is which. */
static inline void hs_io_poll(hs_io *io, hs_op *op, int fd, uint16_t events, hs_op_done *done)
{
    hs_op_begin(io, op, HS_OP_POLL, fd, done);
    op->events = events;
    io->ops->start(io, op);
}

/* Connect the socket `fd` (of hs_io_socket) to `addr`. `res` is 0, or why not: -ECONNREFUSED,
 * -ETIMEDOUT, -ENETUNREACH and so on; -ECANCELED after a cancel. After an error the socket is good
 * for nothing but hs_io_close. */
static inline void hs_io_connect(hs_io *io, hs_op_connect *connect, int fd,
                                 const struct sockaddr *addr, socklen_t addr_len, hs_op_done *done)
{
    HS_ASSERT(addr != NULL);
    HS_ASSERT(addr_len > 0);
    hs_op_begin(io, &connect->op, HS_OP_CONNECT, fd, done);
    connect->addr = addr;
    connect->addr_len = addr_len;
    io->ops->start(io, &connect->op);
}

/* Whether `op` is under way. */
static inline bool hs_op_active(const hs_op *op)
{
    return op->kind != HS_OP_NONE;
}

/* Ask for an active op to end. Its last completion comes as always: -ECANCELED, or what it had done
 * before. Asking twice is allowed. */
static inline void hs_io_cancel(hs_io *io, hs_op *op)
{
    HS_ASSERT(op->kind != HS_OP_NONE);
    if (op->cancelled)
        return;
    op->cancelled = true;
    io->ops->cancel(io, op);
}

/* shutdown(2) with SHUT_RD, SHUT_WR or SHUT_RDWR, at once. Errors do not matter to anybody: a
 * socket that is no longer connected is told by its next completion. */
static inline void hs_io_shutdown(hs_io *io, int fd, int how)
{
    io->ops->shutdown(io, fd, how);
}

/* Make a listening TCP socket bound to `addr` (IPv4 or IPv6; port 0: the kernel chooses). An IPv6
 * socket takes IPv6 alone. With `reuse_port` several may share one address, and the kernel spreads
 * connections over them. Accepted sockets send at once (no Nagle). Does not wait, so it is a plain
 * call. Returns the socket, which the caller owns, or a negated errno, such as -EADDRINUSE or
 * -EACCES. */
static inline int hs_io_listen(hs_io *io, const struct sockaddr *addr, socklen_t addr_len,
                               int backlog, bool reuse_port)
{
    HS_ASSERT(addr != NULL);
    HS_ASSERT(backlog > 0);
    return io->ops->listen(io, addr, addr_len, backlog, reuse_port);
}

/* Make a close-on-exec socket, as socket(2), for this seam alone: whether it blocks is the
 * backend's business. A TCP socket sends at once (no Nagle). Returns the socket, which the caller
 * owns, or a negated errno. */
static inline int hs_io_socket(hs_io *io, int family, int type, int protocol)
{
    HS_ASSERT(type == SOCK_STREAM || type == SOCK_DGRAM || type == SOCK_SEQPACKET);
    return io->ops->socket(io, family, type, protocol);
}

/* bind(2). Returns 0 or a negated errno. */
static inline int hs_io_bind(hs_io *io, int fd, const struct sockaddr *addr, socklen_t addr_len)
{
    HS_ASSERT(fd >= 0);
    HS_ASSERT(addr != NULL);
    return io->ops->bind(io, fd, addr, addr_len);
}

/* setsockopt(2). Returns 0 or a negated errno. */
static inline int hs_io_sockopt(hs_io *io, int fd, int level, int name, const void *value,
                                socklen_t bytes)
{
    HS_ASSERT(fd >= 0);
    HS_ASSERT(value != NULL);
    return io->ops->sockopt(io, fd, level, name, value, bytes);
}

/* getsockopt(2): at most *bytes at `value`, and *bytes says how many. Returns 0 or a negated errno.
 */
static inline int hs_io_sockopt_get(hs_io *io, int fd, int level, int name, void *value,
                                    socklen_t *bytes)
{
    HS_ASSERT(fd >= 0);
    HS_ASSERT(value != NULL && bytes != NULL);
    return io->ops->sockopt_get(io, fd, level, name, value, bytes);
}

/* Make the socket `fd`, which came from elsewhere, one for this seam: whether it blocks becomes as
 * the backend needs it. Shards that share it must have backends of one kind. Returns 0 or a negated
 * errno. */
static inline int hs_io_adopt(hs_io *io, int fd)
{
    HS_ASSERT(fd >= 0);
    return io->ops->adopt(io, fd);
}

/* Send datagrams as sendmmsg(2), as many as go without waiting. One call for many datagrams is what
 * batching is about, so these two are plain calls: after -EAGAIN, hs_io_poll tells when to go on.
 * Returns how many of `len` (> 0) messages went, or a negated errno. */
static inline int hs_io_send_msgs(hs_io *io, int fd, struct mmsghdr *msgs, uint32_t len)
{
    HS_ASSERT(fd >= 0);
    HS_ASSERT(len > 0);
    return io->ops->send_msgs(io, fd, msgs, len);
}

/* Receive datagrams as recvmmsg(2), as many as are there. Returns how many messages were filled, or
 * a negated errno; -EAGAIN: none is there. */
static inline int hs_io_recv_msgs(hs_io *io, int fd, struct mmsghdr *msgs, uint32_t len)
{
    HS_ASSERT(fd >= 0);
    HS_ASSERT(len > 0);
    return io->ops->recv_msgs(io, fd, msgs, len);
}

/* The address that `fd` is bound to, as getsockname(2). Returns 0 or a negated errno. */
static inline int hs_io_sockname(hs_io *io, int fd, struct sockaddr *addr, socklen_t *addr_len)
{
    HS_ASSERT(fd >= 0);
    HS_ASSERT(addr != NULL && addr_len != NULL);
    return io->ops->sockname(io, fd, addr, addr_len);
}

/* Make the close of the connected socket `fd` a reset (RFC 9293 section 3.10.5): what is unsent is
 * dropped, and the peer cannot take the end for a clean one. Not after hs_io_shutdown of our side.
 */
static inline void hs_io_reset(hs_io *io, int fd)
{
    HS_ASSERT(fd >= 0);
    io->ops->reset(io, fd);
}

/* Close `fd`. No op may be active on it: a socket closed under an armed receive sends no FIN. */
static inline void hs_io_close(hs_io *io, int fd)
{
    HS_ASSERT(fd >= 0);
    io->ops->close(io, fd);
}

/* Nanoseconds of a clock that only goes forward. */
static inline uint64_t hs_io_now_ns(hs_io *io)
{
    return io->ops->now_ns(io);
}

/* Nanoseconds since 1970, UTC. */
static inline uint64_t hs_io_wall_ns(hs_io *io)
{
    return io->ops->wall_ns(io);
}

/* End the wait of another shard's backend of the same kind. Shard: the owner of `io`. */
static inline void hs_io_wake(hs_io *io, hs_io *target)
{
    io->ops->wake(io, target);
}

/* End the wait of `io`. Thread: any; async-signal-safe. */
static inline void hs_io_wake_any(hs_io *io)
{
    io->ops->wake_any(io);
}

HS_END_DECLS
