/* The io_uring backend: making rings, and finding out what the kernel can do.
 *
 * Owns: the ring's flags and sizes, and the probes. Features are found by trying, never by a
 * version number. Must not know: the loop. Tested by: tests/unit/shard_io_uring.c. */
#include "uring.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hs_caps.h"

/* SINGLE_ISSUER and DEFER_TASKRUN: completions are worked on only when this thread waits, in one
 * piece, with no interrupts in between. SUBMIT_ALL: one bad entry does not hold up the rest.
 * CQSIZE: multishot ops complete more often than they are submitted. CLAMP: take less where less is
 * allowed. */
#define RING_FLAGS                                                                                 \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |           \
     IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP)
#define SQ_ENTRIES_MIN 64
#define CQ_PER_SQ (HS_CQ_ENTRIES / HS_SQ_ENTRIES)

static int make_ring(struct io_uring *ring, unsigned entries)
{
    struct io_uring_params params = {.flags = RING_FLAGS, .cq_entries = CQ_PER_SQ * entries};
    return io_uring_queue_init_params(entries, ring, &params);
}

/* ---- memory that is locked ---- */

/* What a ring and its buffers count against RLIMIT_MEMLOCK, in whole pages: entries, completions,
 * heads and the index, and the ring of buffers. */
static uint64_t locked_bytes(unsigned entries)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t sqes = entries * sizeof(struct io_uring_sqe);
    uint64_t rings = CQ_PER_SQ * entries * sizeof(struct io_uring_cqe) + entries * 4 + 256;
    uint64_t bufs = HS_RBUFS_MAX * sizeof(struct io_uring_buf);
    return (sqes + page - 1) / page * page + (rings + page - 1) / page * page +
           (bufs + page - 1) / page * page;
}

uint64_t uring_locked_bytes(bool smallest)
{
    return locked_bytes(smallest ? SQ_ENTRIES_MIN : HS_SQ_ENTRIES);
}

/* CAP_IPC_LOCK lifts the limit. */
static bool may_lock_all(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective >> CAP_IPC_LOCK & 1);
}

/* The rings of a process share what it may lock: the largest size that all of them can have. */
static unsigned entries_of(uint32_t rings)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || may_lock_all())
        return HS_SQ_ENTRIES;
    unsigned entries = HS_SQ_ENTRIES;
    while (entries > SQ_ENTRIES_MIN && locked_bytes(entries) > limit.rlim_cur / rings)
        entries /= 2;
    return entries;
}

/* ---- probes ---- */

/* Send a message from one ring to another and see that it arrives. */
static bool try_msg_ring(struct io_uring *from)
{
    struct io_uring to;
    if (make_ring(&to, 2) != 0)
        return false;
    bool arrived = false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(from);
    HS_ASSERT(sqe != NULL);
    io_uring_prep_msg_ring(sqe, to.ring_fd, 0, URING_TAG_WOKEN, 0);
    sqe->user_data = URING_TAG_IGNORE;
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts = {.tv_sec = 1};
    if (io_uring_submit_and_wait_timeout(from, &cqe, 1, &ts, NULL) >= 0 && cqe->res >= 0) {
        io_uring_cqe_seen(from, cqe);
        if (io_uring_wait_cqe_timeout(&to, &cqe, &ts) == 0)
            arrived = cqe->user_data == URING_TAG_WOKEN;
    }
    io_uring_queue_exit(&to);
    return arrived;
}

/* Wait for the next completion of the probe's receive: its flags, or a negated errno. */
static int probe_cqe(struct io_uring *ring, int res_wanted)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts = {.tv_sec = 10}; /* it is there at once, even on a busy machine */
    int rc = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &ts, NULL);
    if (rc < 0)
        return rc;
    rc = cqe->res == res_wanted ? (int)(cqe->flags & IORING_CQE_F_MORE) : cqe->res;
    bool odd = cqe->res != res_wanted && cqe->res >= 0;
    io_uring_cqe_seen(ring, cqe);
    return odd ? -EINVAL : rc;
}

/* A byte through a multishot receive, and the end after it. */
static int probe_recv(struct io_uring *ring, int in, int out)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    HS_ASSERT(sqe != NULL);
    io_uring_prep_recv_multishot(sqe, in, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    if (write(out, "", 1) != 1)
        return -errno;
    int rc = probe_cqe(ring, 1);
    if (rc < 0)
        return rc;
    if (shutdown(out, SHUT_WR) != 0)
        return -errno;
    rc = rc ? probe_cqe(ring, 0) : -EINVAL; /* it ended after one: it is not multishot */
    return rc < 0 ? rc : 0;
}

/* A ring of buffers and a receive into it: what every connection lives on. A filter may allow a
 * ring and deny its use, which only a trial tells. *call is the system call that failed. */
static int try_recv(struct io_uring *ring, const char **call)
{
    static uint8_t byte[1]; /* of the probe alone; written by no other ring */
    int rc = 0, fds[2];
    *call = "socketpair";
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return -errno;
    *call = "io_uring_register";
    struct io_uring_buf_ring *bufs = io_uring_setup_buf_ring(ring, 2, 0, 0, &rc);
    if (bufs) {
        *call = "io_uring_enter";
        for (uint16_t id = 0; id < 2; id++) /* the end wants one as well */
            io_uring_buf_ring_add(bufs, byte, sizeof byte, id, io_uring_buf_ring_mask(2), id);
        io_uring_buf_ring_advance(bufs, 2);
        rc = probe_recv(ring, fds[0], fds[1]);
        io_uring_free_buf_ring(ring, bufs, 2, 0);
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
    return rc;
}

hs_err uring_probe(uint32_t rings, uring_caps *caps, uring_why *why)
{
    HS_ASSERT(rings > 0);
    struct io_uring ring;
    const char *call = "io_uring_setup";
    *caps = (uring_caps){.entries = entries_of(rings)};
    bool off = hs_caps_off("io_uring");
    int rc = off ? -EOPNOTSUPP : make_ring(&ring, 4);
    if (rc != 0) {
        uring_explain(why, call, rc);
        return hs_err_of(rc);
    }
    rc = try_recv(&ring, &call);
    if (rc == 0) {
        caps->ring_fd = !hs_caps_off("ring_fd") && io_uring_register_ring_fd(&ring) == 1;
        caps->msg_ring = !hs_caps_off("msg_ring") && try_msg_ring(&ring);
    } else {
        uring_explain(why, call, rc);
    }
    io_uring_queue_exit(&ring);
    return hs_err_of(rc);
}

static void init_lists(uring *u)
{
    u->backlog.id = URING_LIST_BACKLOG;
    u->starved.id = URING_LIST_STARVED;
    u->cancels.id = URING_LIST_CANCEL;
    u->ended.id = URING_LIST_ENDED;
}

/* A ring and its buffers of this size, or nothing. */
static int fill_ring(uring *u, unsigned entries)
{
    int rc = make_ring(&u->ring, entries);
    if (rc != 0)
        return rc;
    u->bufs = io_uring_setup_buf_ring(&u->ring, HS_RBUFS_MAX, 0, 0, &rc);
    if (!u->bufs) {
        io_uring_queue_exit(&u->ring);
        return rc;
    }
    if (u->caps.ring_fd && io_uring_register_ring_fd(&u->ring) != 1)
        u->caps.ring_fd = false;
    uring_provide(u);
    return 0;
}

hs_err uring_create(const hs_mem *mem, const uring_caps *caps, hs_io **out)
{
    uring *u = hs_mem_take_zero(mem, sizeof *u, HS_CACHE_LINE);
    HS_ENSURE(u, -ENOMEM);
    u->io.ops = &uring_ops;
    u->caps = *caps;
    u->timer_ns = UINT64_MAX;
    u->mem = mem;
    init_lists(u);
    u->eventfd = eventfd(0, EFD_CLOEXEC);
    hs_err err = u->eventfd < 0 ? hs_err_errno(errno) : rbuf_init(&u->rbuf, mem);
    if (!hs_ok(err)) {
        if (u->eventfd >= 0)
            (void)close(u->eventfd);
        hs_mem_give(mem, u, sizeof *u, HS_CACHE_LINE);
        return err;
    }
    /* Other processes of the user lock memory, too: a smaller ring may still fit. */
    unsigned entries = u->caps.entries;
    int rc = fill_ring(u, entries);
    while (rc == -ENOMEM && (entries /= 2) >= SQ_ENTRIES_MIN)
        rc = fill_ring(u, entries);
    if (rc != 0) {
        rbuf_fini(&u->rbuf);
        (void)close(u->eventfd);
        hs_mem_give(mem, u, sizeof *u, HS_CACHE_LINE);
        return hs_err_of(rc);
    }
    *out = &u->io;
    return HS_OK;
}
