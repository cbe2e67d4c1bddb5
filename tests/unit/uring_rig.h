/* What the tests of the real ring share: a loop of a few lines, and ops that write down what they
 * are told. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "uring.h"

#define SECOND_NS UINT64_C(1000000000)

static inline uring *make_uring(void)
{
    uring_caps caps;
    hs_io *io;
    uring_why why;
    hs_err err = uring_probe(&caps, &why);
    if (!hs_ok(err))
        cr_skip_test("%s", why.cause);
    cr_assert(hs_ok(uring_create(hs_mem_system(), &caps, &io)));
    cr_assert_str_eq(io->ops->name, "uring");
    return (uring *)io;
}

/* The ring never had more to tell than it has room for, and gives everything back. */
static inline void end_uring(uring *u)
{
    rbuf_validate(&u->rbuf);
    cr_assert_eq(u->rbuf.lent, 0);
    cr_assert_eq(*u->ring.cq.koverflow, 0);
    u->io.ops->destroy(&u->io);
}

static bool hold_buffers;
static uint16_t held[HS_RBUFS_MAX];
static uint32_t held_len;

static inline uint32_t turn(uring *u, uint64_t deadline_ns)
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
static inline void turn_until(uring *u, const uint32_t *count, uint32_t want)
{
    uint64_t end = hs_io_now_ns(&u->io) + SECOND_NS;
    while (*count < want && hs_io_now_ns(&u->io) < end)
        if (turn(u, end) > 0)
            end = hs_io_now_ns(&u->io) + SECOND_NS;
    cr_assert_eq(*count, want);
}

static inline void turn_idle(uring *u, int times)
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

static inline void probe_done(hs_op *op, const hs_io_event *ev)
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

static inline void pair_of(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static inline void put(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}
