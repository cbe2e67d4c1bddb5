/* The io_uring backend's state, for the files that make it up.
 *
 * Owns: one ring, its buffer ring and the lists of ops that wait. uring.c is what runs for each op,
 * uring_setup.c makes rings and looks at what the kernel can do. Must not know: the loop,
 * protocols. Tested by: tests/unit/shard_io_uring.c and all that runs on it. */
#pragma once

#include <liburing.h>

#include "hs_err.h"
#include "hs_io.h"
#include "hs_log.h"
#include "op_list.h"
#include "rbuf.h"
#include "uring_why.h"

/* What was found of the kernel once per process. */
typedef struct uring_caps {
    bool msg_ring;    /* wake by a message between rings; otherwise by eventfd */
    bool ring_fd;     /* the ring's own file can be registered: a cheaper io_uring_enter */
    uint32_t entries; /* of each ring, so that all of the process may be locked */
} uring_caps;

/* In which queue an op is: op->list. */
enum {
    URING_LIST_BACKLOG = 1, /* to be submitted when there is room */
    URING_LIST_STARVED,     /* receives that wait for a buffer */
    URING_LIST_CANCEL,      /* in the kernel; their cancel is to be submitted when there is room */
    URING_LIST_ENDED,       /* over without the kernel: their last completion is -ECANCELED */
    URING_LIST_TOLD         /* no list: the last event is with the loop */
};

/* user_data of a submission: an op's address, or one of these in the lowest bits. */
enum {
    URING_TAG_MASK = 7,
    URING_TAG_OP = 0,
    URING_TAG_IGNORE = 1, /* cancel and close: their results say nothing new */
    URING_TAG_EVENTFD = 2,
    URING_TAG_WOKEN = 3, /* a message from another ring */
    URING_TAG_TIMER = 5,
    URING_TAG_WAKING = 4 /* our message to another ring; the rest is the target's address */
};

typedef struct uring {
    hs_io io; /* first: the seam's view */
    struct io_uring ring;
    struct io_uring_buf_ring *bufs;
    rbuf rbuf;
    op_list backlog, starved, cancels, ended;
    uring_caps caps;
    const hs_mem *mem;
    int eventfd;
    uint64_t eventfd_value; /* where the read of the eventfd puts it */
    bool eventfd_armed;
    uint64_t timer_ns; /* when the armed timeout fires; UINT64_MAX: none is armed */
    struct __kernel_timespec timer_ts;
} uring;

/* Look at what the kernel can do for so many rings, and whether it lets us, less what
 * HS_CAPS_DISABLE names: io_uring (all of it), msg_ring, ring_fd. On an error `why` tells the cause
 * and the remedy. Thread: any. Errors: a negated errno of the first call that failed. */
HS_NODISCARD hs_err uring_probe(uint32_t rings, uring_caps *caps, uring_why *why);

/* How many bytes a ring counts against RLIMIT_MEMLOCK, as it is by default, or at its smallest. */
uint64_t uring_locked_bytes(bool smallest);

/* Make a ring for the calling thread, which alone may use it. Errors as uring_probe. */
HS_NODISCARD hs_err uring_create(const hs_mem *mem, const uring_caps *caps, hs_io **out);

/* uring.c: the table of the seam. */
extern const hs_io_ops uring_ops;
/* uring.c: give the buffer ring all buffers that it should have. */
void uring_provide(uring *u);
