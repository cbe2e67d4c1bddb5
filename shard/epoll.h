/* The epoll backend's state, for the files that make it up.
 *
 * Owns: one epoll set, the queues of ops and the files they wait for. Each file calls only those
 * before it: epoll_file.c what is known of each file and who waits for it, epoll_op.c the system
 * call of each op, epoll.c the seam. Must not know: the loop, protocols. Tested by:
 * tests/unit/shard_io_kernel*.c, shard_io_epoll.c, and everything that runs with HS_IO=epoll. */
#pragma once

#include <sys/epoll.h>

#include "fd_table.h"
#include "hs_err.h"
#include "op_list.h"
#include "rbuf.h"

/* In which queue an op is: op->list. */
enum {
    EPOLL_LIST_STARTED = 1, /* not looked at yet */
    EPOLL_LIST_READY,       /* its system call may do something now */
    EPOLL_LIST_STARVED,     /* receives that wait for a buffer */
    EPOLL_LIST_PARKED,      /* connects that the other side has no room for */
    EPOLL_LIST_WAITING,     /* in fd_slot.waiting */
    EPOLL_LIST_TOLD         /* no list: the last event is with the loop */
};

/* fd_slot.flags. */
enum {
    /* A TCP socket that this backend made. It is in the set for everything from its first op to its
     * close, and what its edges told is kept in the other flags. Any other file is asked about
     * again for each op that waits: it may have been closed in between and its number be
     * another's, and its own edges may come so often that they should not be heard unasked. */
    FILE_TCP = 1,
    FILE_ARMED = 2,  /* it is in the set */
    FILE_OUT = 4,    /* in the set for EPOLLOUT as well; always where FILE_TCP is */
    FILE_IN = 8,     /* FILE_TCP: there may be something to read */
    FILE_FULL = 16,  /* FILE_TCP: there was no room to write; an edge will tell */
    FILE_EAGER = 32, /* FILE_TCP: a short read does not mean that all was read */
};

typedef struct epoll {
    hs_io io; /* first: the seam's view */
    int epfd, eventfd, timerfd;
    bool looked;        /* the last turn asked the kernel what is ready */
    uint32_t lent_now;  /* receive buffers in the events of this turn */
    uint64_t timer_ns;  /* when the timer fires; UINT64_MAX: it is not set */
    uint64_t parked_ns; /* when the parked ops are tried again */
    op_list started, ready, starved, parked;
    fd_table files;
    const hs_mem *mem;
    rbuf rbuf;
    uint32_t bufs_len;
    uint16_t bufs[HS_RBUFS_MAX]; /* in use and free; the last one used is taken first */
    struct epoll_event found[HS_TURN_EVENTS_MAX];
} epoll;

/* hs_io_accept_one. */
static inline bool epoll_accepts_one(const hs_op *op)
{
    return op->kind == HS_OP_ACCEPT && op->events;
}

/* ---- epoll_file.c ---- */

/* A new file of ours: nothing that is known of its number holds. */
void epoll_file_new(epoll *e, int fd, bool tcp);

/* It is closed. */
void epoll_file_gone(epoll *e, int fd);

/* What is known of `fd`; 0: nothing. */
uint32_t epoll_file_flags(const epoll *e, int fd);
void epoll_file_set(epoll *e, int fd, uint32_t set, uint32_t clear);

/* It is to be told of no more. */
void epoll_file_disarm(epoll *e, int fd);

/* An op waits for its file, and what is true of the file already ends the wait as well (but for
 * FILE_TCP, where the flags know). Returns 0, or a negated errno: then it does not wait. */
HS_NODISCARD int epoll_wait_first(epoll *e, hs_op *op);

/* An op that reads, and that waited before, waits again after its system call said EAGAIN. */
void epoll_wait_again(epoll *e, hs_op *op);

/* It waits no more: it is in no list. */
void epoll_wait_end(epoll *e, hs_op *op);

/* The kernel tells `events` of `fd`: ops that wait for one of them are ready. */
void epoll_file_ready(epoll *e, int fd, uint32_t events);

/* ---- epoll_op.c ---- */

/* Do what an op is about, as far as that goes without waiting. `first`: it was just started. The op
 * is in no list, and is put where it belongs. Returns how many of `room` (> 0) events it filled. */
uint32_t epoll_try(epoll *e, hs_op *op, bool first, hs_io_event *events, uint32_t room);

/* A receive buffer is free, and kept or not; an op that waits for one is ready. */
void epoll_buf_put(epoll *e, uint16_t id, bool keep);

/* ---- epoll.c ---- */

/* Make a backend for the calling thread, which alone may use it. Errors: -ENOMEM, -EMFILE, or
 * another negated errno of the call that failed. */
HS_NODISCARD hs_err epoll_io_create(const hs_mem *mem, hs_io **out);
