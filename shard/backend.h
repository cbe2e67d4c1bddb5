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
HS_NODISCARD hs_err backend_choose(hs_io_choice wanted, uint32_t shards, backend *out);

/* Log what was chosen, where it is not what was hoped for; `err` is backend_choose's. */
void backend_report(const backend *b, hs_err err, hs_log *log);

/* The shards could not be made on `b`, for `err`: whether epoll may take its place, which `b` is
 * then, with the cause. */
bool backend_fall_back(backend *b, hs_io_choice wanted, hs_err err);

/* Make one for the calling thread, which alone may use it. Errors: those of the backend. */
HS_NODISCARD hs_err backend_create(const backend *b, const hs_mem *mem, hs_io **out);

/* Its name and features for one line: "uring msg_ring=yes ring_fd=yes". */
void backend_text(const backend *b, char *text, size_t bytes);
