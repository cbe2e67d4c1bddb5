/* The thread that writes log lines out, so that no shard ever waits for a slow terminal or pipe.
 *
 * Owns: one log for each shard, one for the main thread and one for the stall detector's, and the
 * thread that reads them all.
 * Must not know: what is logged. Tested by: tests/plain/logger.c. */
#pragma once

#include <pthread.h>

#include "hs_log.h"

/* Said where pthread_create fails; %s is the error's name. */
#define THREAD_REFUSED                                                                             \
    "cannot make a thread: %s (clone3); to allow: a seccomp profile with clone3, or one that "     \
    "answers ENOSYS to it; or more processes (ulimit -u, pids.max), or memory"

typedef struct logger logger;

/* Start the thread. Lines go to `fd`; -1: nowhere. Errors: -ENOMEM, -EAGAIN (no thread). */
HS_NODISCARD hs_err logger_start(const hs_mem *mem, uint32_t shards, int fd, hs_log_level level,
                                 logger **out);

/* The log of shard `id`; `shards` is the main thread's, `shards + 1` the stall detector's. */
hs_log *logger_log(logger *l, uint32_t id);

/* Write what is still there, then end the thread. No log may be used any more. */
void logger_stop(logger *l);

/* The first half of a stop: all lines are out, and the memory stays. */
void logger_flush(logger *l);
