/* Which backend a group runs on.
 *
 * Owns: the choice, made once before the shards are. Must not know: how a backend works. Tested by:
 * tests/unit/shard_backend.c, tests/e2e/backends.py (under filters that deny io_uring). */
#pragma once

#include "hs_group.h"
#include "uring.h"

typedef struct backend {
    hs_io_choice kind; /* HS_IO_URING or HS_IO_EPOLL */
    uring_caps uring;
    /* HS_IO_EPOLL: io_uring was preferred, and cannot be used: see `why`. */
    bool fallback;
    uring_why why;
} backend;

/* Find out which backend to use. HS_IO_AUTO: what the environment's HS_IO says; where it says
 * nothing or "auto", io_uring if that can be used, and epoll if not. Thread: any.
 * Errors: HS_E_USAGE (HS_IO is none of auto, uring, epoll); with HS_IO_URING why it cannot be used,
 * as out->why tells. */
HS_NODISCARD hs_err backend_choose(hs_io_choice wanted, backend *out);

/* Make one for the calling thread, which alone may use it. Errors: those of the backend. */
HS_NODISCARD hs_err backend_create(const backend *b, const hs_mem *mem, hs_io **out);

/* Its name and features for one line: "uring msg_ring=yes ring_fd=yes". */
void backend_text(const backend *b, char *text, size_t bytes);
