/* What the tests of the backends on the kernel share: a loop of a few lines, and ops that write
 * down what they are told. HS_IO in the environment says which backend it is. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend.h"
#include "epoll.h"

#define SECOND_NS UINT64_C(1000000000)
/* After which something hangs; far longer than a machine with others on it stands still. */
#define PATIENCE_NS (300 * SECOND_NS)

static inline hs_io *make_backend(hs_io_choice choice)
{
    backend b;
    hs_io *io;
    if (!hs_ok(backend_choose(choice, 1, &b)))
        cr_skip_test("%s", b.why.cause);
    cr_assert(hs_ok(backend_create(&b, hs_mem_system(), &io)));
    cr_assert_str_eq(io->ops->name, b.kind == HS_IO_URING ? "uring" : "epoll");
    return io;
}

static inline hs_io *make_io(void)
{
    return make_backend(HS_IO_AUTO);
}

static inline bool on_epoll(const hs_io *io)
{
    return strcmp(io->ops->name, "epoll") == 0;
}

static inline rbuf *rbuf_of(hs_io *io)
{
    return on_epoll(io) ? &((epoll *)io)->rbuf : &((uring *)io)->rbuf;
}

/* It gives everything back; a ring never had more to tell than it has room for. */
static inline void end_io(hs_io *io)
{
    rbuf_validate(rbuf_of(io));
    cr_assert_eq(rbuf_of(io)->lent, 0);
    if (on_epoll(io))
        fd_table_validate(&((epoll *)io)->files);
    else
        cr_assert_eq(*((uring *)io)->ring.cq.koverflow, 0);
    io->ops->destroy(io);
}

static bool hold_buffers;
static uint16_t held[HS_RBUFS_MAX];
static uint32_t held_len;

static inline uint32_t turn(hs_io *io, uint64_t deadline_ns)
{
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

/* Turn until `*count` is `want`; not for ever without any progress. */
static inline void turn_until(hs_io *io, const uint32_t *count, uint32_t want)
{
    uint64_t end = hs_io_now_ns(io) + PATIENCE_NS;
    while (*count < want && hs_io_now_ns(io) < end)
        if (turn(io, end) > 0)
            end = hs_io_now_ns(io) + PATIENCE_NS;
    cr_assert_eq(*count, want);
}

static inline void turn_idle(hs_io *io, int times)
{
    for (int i = 0; i < times; i++)
        turn(io, 0);
}

/* An op that writes down what it is told. */
typedef struct probe {
    union {
        hs_op op;
        hs_op_send send;
        hs_op_connect connect;
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

/* A listening Unix socket, in the abstract space under a name that the system chooses. */
static inline int listen_unix(struct sockaddr_un *addr, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    *len = sizeof *addr;
    cr_assert_eq(bind(fd, (struct sockaddr *)addr, sizeof(sa_family_t)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)addr, len), 0);
    cr_assert_eq(listen(fd, 64), 0);
    return fd;
}

static inline int connect_unix(const struct sockaddr_un *addr, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)addr, len), 0);
    return fd;
}

/* ---- wake-ups ---- */

typedef struct sleeper {
    pthread_t thread;
    hs_io *_Atomic io;
    HS_ATOMIC_U32 waiting, woken, leave;
} sleeper;

static inline void *sleeper_main(void *arg)
{
    sleeper *s = arg;
    hs_io *io = make_io();
    atomic_store(&s->io, io);
    while (!atomic_load(&s->leave)) {
        atomic_fetch_add(&s->waiting, 1);
        turn(io, hs_io_now_ns(io) + PATIENCE_NS);
        atomic_fetch_add(&s->woken, 1);
    }
    end_io(io);
    return NULL;
}

/* Each wake-up ends a wait. `any`: from a thread that has no backend. */
static inline void wake_each_way(hs_io *io, bool any)
{
    static sleeper s;
    cr_assert_eq(pthread_create(&s.thread, NULL, sleeper_main, &s), 0);
    while (!atomic_load(&s.io))
        usleep(1000);
    for (uint32_t i = 0; i < 200; i++) {
        while (atomic_load(&s.waiting) <= i)
            usleep(100);
        if (i == 199)
            atomic_store(&s.leave, 1);
        if (any) {
            hs_io_wake_any(s.io);
        } else {
            hs_io_wake(io, s.io);
            turn(io, 0);
        }
        for (int ms = 0; atomic_load(&s.woken) <= i; ms++) {
            cr_assert_lt(ms, 50000, "wake-up %u was missed", i);
            usleep(1000);
        }
    }
    cr_assert_eq(pthread_join(s.thread, NULL), 0);
    end_io(io);
}
