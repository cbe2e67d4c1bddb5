/* A group of shards: the threads of a server, started, stopped and joined in order.
 *
 * Owns: one pinned thread for each shard, the queues between them, the thread that writes log
 * lines, the one that looks for stalls, and the waiting for signals. Must not know: what the shards
 * do. Tested by: tests/plain/shards.c and tests/plain/stall.c (also under TSan). */
#pragma once

#include "hs_shard.h"

HS_BEGIN_DECLS

/* What the shards do their I/O with. */
typedef enum hs_io_choice {
    HS_IO_AUTO, /* what the environment's HS_IO names; else io_uring, or epoll where it is denied */
    HS_IO_URING, /* io_uring, or no start */
    HS_IO_EPOLL
} hs_io_choice;

/* From "auto", "uring" or "epoll". False: none of these, and *out is unchanged. Thread: any. */
HS_API bool hs_io_choice_parse(const char *text, hs_io_choice *out);

typedef struct hs_group_options {
    uint32_t shards;        /* 0: as many as the process may use (affinity and cgroup) */
    bool pin_off;           /* leave the threads to the scheduler */
    hs_log_level log_level; /* 0 is HS_LOG_ERROR: see hs_group_options_init */
    int log_fd;             /* where log lines go; -1: nowhere */
    hs_io_choice io;        /* HS_IO_AUTO falls back to epoll, and logs why and how to mend it */
    uint32_t stall_ms;      /* who holds a shard longer is named in the log; 0: nobody */
    const hs_mem *mem;      /* NULL: the system's */
    /* For hs_blocking: threads, made as they are needed; 0: HS_BLOCKING_THREADS (4), at most
     * HS_BLOCKING_THREADS_MAX. And how much work may wait for one, of all shards together; 0:
     * HS_BLOCKING_QUEUE (1024), at most HS_BLOCKING_QUEUE_MAX. */
    uint32_t blocking_threads, blocking_queue;
    /* Of each fiber's stack, rounded up to pages; 0: HS_FIBER_STACK_BYTES (64 KiB). At least
     * HS_FIBER_STACK_BYTES_MIN (16 KiB), at most 1 GiB. What is not touched costs no memory. */
    size_t fiber_stack_bytes;
    /* From a stop to the end of all loops; 0: as long as it takes. Past it what still holds a shard
     * is named in the log, and the loops end without it: see hs_group_join. */
    uint32_t stop_ms;
    /* Called once on each shard's own thread before its loop runs. An error ends the start of the
     * whole group. May be NULL. */
    hs_err (*start)(hs_shard *shard, void *ctx);
    /* Called once on each shard's own thread when the group is asked to stop; the loop goes on
     * until nothing holds the shard. May be NULL. */
    void (*stop)(hs_shard *shard, void *ctx);
    /* Called once on each shard's own thread after its loop has ended. May be NULL. */
    void (*end)(hs_shard *shard, void *ctx);
    void *ctx;
} hs_group_options;

/* Set every option to its default: as many shards as allowed, pinned, info lines to standard error,
 * stalls of HS_STALL_MS. */
HS_API void hs_group_options_init(hs_group_options *options);

/* How many shards `options.shards` 0 means here: as many processors as the process may use.
 * Errors: -ENOMEM. Thread: any. */
HS_API HS_NODISCARD hs_err hs_group_default_shards(uint32_t *shards);

/* Start the shards. From the first group to the last the process's SIGSEGV and SIGBUS have a
 * handler that names a fiber whose stack overflowed; other faults go where they went before. On
 * return every `start` has succeeded, and loops are running; *group is owned by the caller until
 * hs_group_join. On an error all shards are stopped and joined again. Errors: what `start`
 * returned, -ENOMEM, HS_E_USAGE (bad options, or a bad HS_IO), or why the backend cannot be used
 * (logged with the remedy). Thread: any. */
HS_API HS_NODISCARD hs_err hs_group_start(const hs_group_options *options, hs_group **group);

/* How many shards run. Thread: any. */
HS_API uint32_t hs_group_shards(const hs_group *group);

/* Shard `id`: to read its counters. Thread: any. */
HS_API hs_shard *hs_group_shard(const hs_group *group, uint32_t id);

/* Ask all shards to stop. Returns at once; asking twice is allowed, and hs_group_wait_signals
 * returns once they have ended. Not once hs_group_join was called. Thread: any, a shard's as well;
 * not a signal handler: see hs_group_wait_signals. */
HS_API void hs_group_stop(hs_group *group);

/* The shards have `ms` from now to end, whatever stop_ms says. Thread: any, not once hs_group_join
 * was called. */
HS_API void hs_group_end_within(hs_group *group, uint32_t ms);

/* Wait until every shard has ended, or their time is over (stop_ms). Thread: any but a shard's. */
HS_API void hs_group_wait(hs_group *group);

/* Wait as hs_group_wait, then free the group. False: the time was over, and the log names what held
 * the shards, or the handler that one has not returned from. Their `end` functions are not called
 * then, what they own stays allocated, and a thread that does not return goes on: the process
 * should end. Thread: any but a shard's; once. */
HS_API bool hs_group_join(hs_group *group);

/* Wait for SIGINT or SIGTERM, then hs_group_stop, or for a hs_group_stop. The caller must have
 * blocked them before hs_group_start (hs_group_block_signals), so that no other thread gets
 * them. A second signal is answered by `again` (may be NULL), called on this thread.
 * Returns when the shards have ended; hs_group_join comes next. Thread: any but a shard's. */
HS_API void hs_group_wait_signals(hs_group *group, void (*again)(void *ctx), void *ctx);

/* The same, where SIGHUP means something: it is answered by `hangup`, called on this thread, until
 * the first signal to stop. Without one (hs_group_wait_signals) SIGHUP stops as SIGTERM does.
 * Thread: any but a shard's. */
HS_API void hs_group_wait_signals_hup(hs_group *group, void (*again)(void *ctx),
                                      void (*hangup)(void *ctx), void *ctx);

/* The log of the thread that waits for signals. Thread: that one alone. */
HS_API hs_log *hs_group_log(hs_group *group);

/* Block SIGINT, SIGTERM and SIGHUP in the calling thread and those it makes later, and ignore
 * SIGPIPE. Thread: the main thread, before others exist. */
HS_API void hs_group_block_signals(void);

HS_END_DECLS
