/* The io_uring backend: making rings, and finding out what the kernel can do.
 *
 * Owns: the ring's flags and sizes, the probes and the texts of what to do when io_uring is denied.
 * Features are found by trying, never by a version number. Must not know: the loop.
 * Tested by: tests/unit/shard_io_uring.c. */
#include "uring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "caps.h"

/* SINGLE_ISSUER and DEFER_TASKRUN: completions are worked on only when this thread waits, in one
 * piece, with no interrupts in between. SUBMIT_ALL: one bad entry does not hold up the rest.
 * CQSIZE: multishot ops complete more often than they are submitted. CLAMP: take less where less is
 * allowed. */
#define RING_FLAGS                                                                                 \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |           \
     IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP)
#define SQ_ENTRIES_MIN 64

/* Older kernels count the ring to RLIMIT_MEMLOCK: a smaller one may still fit. */
static int make_ring(struct io_uring *ring, unsigned entries, unsigned entries_min)
{
    int rc;
    do {
        struct io_uring_params params = {.flags = RING_FLAGS,
                                         .cq_entries = HS_CQ_ENTRIES / HS_SQ_ENTRIES * entries};
        rc = io_uring_queue_init_params(entries, ring, &params);
        entries /= 2;
    } while (rc == -ENOMEM && entries >= entries_min);
    return rc;
}

static long sysctl_io_uring_disabled(void)
{
    char text[16] = "";
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (f) {
        size_t n = fread(text, 1, sizeof text - 1, f);
        text[n] = '\0';
        (void)fclose(f);
    }
    return strtol(text, NULL, 10);
}

/* The cause and the remedy, in one line. */
static void explain(int rc, char *why, size_t why_bytes)
{
    const char *name = hs_err_name(hs_err_of(rc));
    long disabled = rc == -EPERM ? sysctl_io_uring_disabled() : 0;
    if (disabled)
        snprintf(why, why_bytes,
                 "io_uring_setup: %s: kernel.io_uring_disabled is %ld; set it to 0 (sysctl -w "
                 "kernel.io_uring_disabled=0)",
                 name, disabled);
    else if (rc == -EPERM || rc == -EACCES)
        snprintf(why, why_bytes,
                 "io_uring_setup: %s: a seccomp filter or security module denies it; run the "
                 "container with a profile that allows io_uring_setup, io_uring_enter and "
                 "io_uring_register",
                 name);
    else if (rc == -ENOSYS || rc == -EINVAL)
        snprintf(
            why, why_bytes,
            "io_uring_setup: %s: this kernel has no io_uring as of Linux 6.1 (or a filter hides "
            "it); use a newer kernel",
            name);
    else if (rc == -ENOMEM)
        snprintf(
            why, why_bytes,
            "io_uring_setup: %s: raise the limit of locked memory (ulimit -l, or LimitMEMLOCK= "
            "of the service)",
            name);
    else if (rc == -EMFILE || rc == -ENFILE)
        snprintf(why, why_bytes, "io_uring_setup: %s: raise the limit of open files (ulimit -n)",
                 name);
    else
        snprintf(why, why_bytes, "io_uring_setup: %s: %s", name, hs_err_text(hs_err_of(rc)));
}

/* Send a message from one ring to another and see that it arrives. */
static bool try_msg_ring(struct io_uring *from)
{
    struct io_uring to;
    if (make_ring(&to, 2, 2) != 0)
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

/* Buffer rings came with 5.19, multishot receive with 6.0: what a ring of these flags (6.1) has.
 * Only the trial tells whether a filter leaves io_uring_register to us. */
static int try_buf_ring(struct io_uring *ring)
{
    int rc = 0;
    struct io_uring_buf_ring *bufs = io_uring_setup_buf_ring(ring, 2, 0, 0, &rc);
    if (bufs)
        io_uring_free_buf_ring(ring, bufs, 2, 0);
    return bufs ? 0 : rc;
}

hs_err uring_probe(uring_caps *caps, char *why, size_t why_bytes)
{
    struct io_uring ring;
    *caps = (uring_caps){0};
    int rc = make_ring(&ring, 4, 4);
    if (rc != 0) {
        explain(rc, why, why_bytes);
        return hs_err_of(rc);
    }
    rc = try_buf_ring(&ring);
    if (rc == 0) {
        caps->ring_fd = !caps_off("ring_fd") && io_uring_register_ring_fd(&ring) == 1;
        caps->msg_ring = !caps_off("msg_ring") && try_msg_ring(&ring);
    } else {
        snprintf(why, why_bytes,
                 "io_uring_register: no buffer ring: %s; Linux 6.1 or newer, and a "
                 "filter that allows io_uring_register, are needed",
                 hs_err_name(hs_err_of(rc)));
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

/* The parts that need the ring; on an error the caller undoes everything. */
static int fill_ring(uring *u)
{
    int rc = 0;
    if (u->caps.ring_fd && io_uring_register_ring_fd(&u->ring) != 1)
        u->caps.ring_fd = false;
    u->bufs = io_uring_setup_buf_ring(&u->ring, HS_RBUFS_MAX, 0, 0, &rc);
    if (!u->bufs)
        return rc;
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
    int rc = make_ring(&u->ring, HS_SQ_ENTRIES, SQ_ENTRIES_MIN);
    if (rc != 0) {
        rbuf_fini(&u->rbuf);
        (void)close(u->eventfd);
        hs_mem_give(mem, u, sizeof *u, HS_CACHE_LINE);
        return hs_err_of(rc);
    }
    rc = fill_ring(u);
    if (rc != 0) {
        uring_ops.destroy(&u->io);
        return hs_err_of(rc);
    }
    *out = &u->io;
    return HS_OK;
}
