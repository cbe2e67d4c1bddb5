/* A shard: one thread's event loop, with all that belongs to it.
 *
 * Owns: the loop, its tasks, timers, memory pools, counters and log; one I/O backend. Everything in
 * a shard is touched by its own thread alone; other threads reach it through hs_call and
 * hs_group_stop. Must not know: sockets' protocols.
 * Tested by: tests/unit/shard_*.c on the sim backend, tests/plain/shards.c under TSan. */
#pragma once

#include "hs_chain.h"
#include "hs_counters.h"
#include "hs_heap.h"
#include "hs_io.h"
#include "hs_list.h"
#include "hs_log.h"
#include "hs_pool.h"

HS_BEGIN_DECLS

typedef struct hs_shard hs_shard;
typedef struct hs_group hs_group;

/* The shard whose thread this is, or NULL on any other thread. */
HS_API hs_shard *hs_shard_self(void);

/* Its number in its group, from 0. Shard: any. */
HS_API uint32_t hs_shard_id(const hs_shard *shard);

/* How many shards its group has. Shard: any. */
HS_API uint32_t hs_shard_count(const hs_shard *shard);

/* Shard `id` (below hs_shard_count) of the same group: to name it in hs_call, not to touch it.
 * Shard: any. */
HS_API hs_shard *hs_shard_peer(const hs_shard *shard, uint32_t id);

/* Its backend. Shard: owner only. */
HS_API hs_io *hs_shard_io(hs_shard *shard);

/* Nanoseconds of a clock that only goes forward, read once a turn. Shard: owner only. */
HS_API uint64_t hs_shard_now_ns(const hs_shard *shard);

/* Seconds since 1970, UTC, read at most once a turn. Shard: owner only. */
HS_API uint64_t hs_shard_wall_s(hs_shard *shard);

/* Where the shard's memory comes from. Shard: any. */
HS_API const hs_mem *hs_shard_mem(const hs_shard *shard);

/* The pool of chunks (HS_CHUNK_BYTES) for chains and arenas. Shard: owner only. */
HS_API hs_pool *hs_shard_chunks(hs_shard *shard);

/* Its counters. Shard: owner counts, any reads. */
HS_API hs_counters *hs_shard_counters(hs_shard *shard);

/* Its log, for hs_log_write. Shard: owner only. */
HS_API hs_log *hs_shard_log(hs_shard *shard);

/* A random number: from the system's seed, or the simulation's. Shard: owner only. */
HS_API uint64_t hs_shard_random(hs_shard *shard);

/* Say what the shard is about to run, for people: log lines about a stall name it. The route of a
 * request, for example. `label` is NULL (nothing in particular) or lives as long as the group.
 * Returns what was said before, to be put back: whoever leaves for a while, as a fiber does when it
 * awaits, takes its label along and restores the other. Costs a load and a store.
 * Shard: owner only. */
HS_API const char *hs_shard_label_set(hs_shard *shard, const char *label);

/* What it says now; NULL: nothing in particular. Shard: any, for people only. */
HS_API const char *hs_shard_label(const hs_shard *shard);

/* Whether the group was asked to stop. Shard: owner only. */
HS_API bool hs_shard_stopping(const hs_shard *shard);

/* Keep the loop running while stopping, until the same number of releases. A listener or a
 * connection holds its shard, so that a stop waits for it. What merely waits for others does not:
 * stop.c tells how a group ends whose shards wait for each other. Shard: owner only. */
HS_API void hs_shard_hold(hs_shard *shard);

/* The same, and `what` (static text, such as "connection") is named in the log where a stop has to
 * go without it (hs_group_options.stop_ms). Shard: owner only. */
HS_API void hs_shard_hold_as(hs_shard *shard, const char *what);
HS_API void hs_shard_release_as(hs_shard *shard, const char *what);

/* Undo one hs_shard_hold; never more than there were. Shard: owner only. */
HS_API void hs_shard_release(hs_shard *shard);

/* ---- memory that returns ---- */

typedef struct hs_trim hs_trim;

/* Something that can give memory back when it is no longer needed. The caller owns the storage. */
struct hs_trim {
    hs_list link;
    bool (*fn)(hs_trim *trim); /* give some back; true: more could follow */
    bool pending;              /* the shard's own: one of its pools has more to give back */
};

/* Call trim->fn about once a second while the shard is active and for as long after as one of them
 * says that more could follow; never on a shard that rests. Where hs_shard_trim_pool left something
 * over, it is called again some milliseconds later, for that alone. Shard: owner only. */
HS_API void hs_shard_trim_add(hs_shard *shard, hs_trim *trim);

/* Stop calling it. Shard: owner only. */
HS_API void hs_shard_trim_remove(hs_trim *trim);

/* Give back the empty slabs of `pool` that the last second did not need, but for one: what hs_trim
 * functions do with a pool. A turn returns a bounded number of them, so that nobody waits for it.
 * Returns whether more could follow. Shard: owner only, from an hs_trim function. */
HS_API bool hs_shard_trim_pool(hs_pool *pool);

/* ---- shares of the chunks ---- */

/* How many bytes one stream may queue before hs_stream_full says so: HS_SEND_HIGH_BYTES, and less
 * once a quarter of the shard's chunks are in use, down to one chunk where three quarters are.
 * Shard: owner only. */
HS_API size_t hs_shard_send_share(const hs_shard *shard);

/* How many bytes a large piece may still put into chunks. The last eighth of them is for small
 * pieces: an answer of a few kilobytes finds room whatever the others hold. Shard: owner only. */
HS_API size_t hs_shard_chunk_room(const hs_shard *shard);

/* A large piece found no room: those that hold chunks are asked to release some.
 * Shard: owner only. */
HS_API void hs_shard_chunks_ask(hs_shard *shard);

typedef struct hs_chunk_holder hs_chunk_holder;

/* Something that holds chunks, and can give some up. The caller owns the storage. */
struct hs_chunk_holder {
    hs_list link;
    /* Release `bytes`, or as much as there is, those first that hold most; it may come some turns
     * later. Returns how much it will be. */
    size_t (*release)(hs_chunk_holder *holder, size_t bytes);
};

/* Call holder->release at the start of a turn where the chunks' last eighth is in use, or was asked
 * for, or requests hold more than a quarter of the process's memory beside them: at most every 5
 * ms, to have a quarter free again. Shard: owner only. */
HS_API void hs_shard_holder_add(hs_shard *shard, hs_chunk_holder *holder);

/* Stop calling it. Shard: owner only. */
HS_API void hs_shard_holder_remove(hs_chunk_holder *holder);

/* ---- tasks ---- */

typedef struct hs_task hs_task;
typedef void hs_task_fn(hs_task *task);

/* Something to do later in this shard. The caller owns the storage; zeroed storage is idle. */
struct hs_task {
    hs_task *next;
    hs_task_fn *fn; /* NULL: not posted */
};

/* Run `fn(task)` from the loop, after the tasks that were posted before. Posting a task that is
 * posted is an error of the programmer. The task is idle again when `fn` starts.
 * Shard: owner only. Never fails. */
HS_API void hs_task_post(hs_shard *shard, hs_task *task, hs_task_fn *fn);

/* The same, once the loop has asked the system for completions and run them, without waiting for
 * any: for work in portions, so that others have their turn between two of them. */
HS_API void hs_task_post_next_turn(hs_shard *shard, hs_task *task, hs_task_fn *fn);

/* Take it back, if it is posted: its function will not run. Takes time in the number of posted
 * tasks: for ends, not for each request. Shard: owner only. */
HS_API void hs_task_cancel(hs_shard *shard, hs_task *task);

/* ---- microtasks ---- */

typedef struct hs_microtask hs_microtask;
typedef void hs_microtask_fn(hs_microtask *task);

/* Something to do as soon as the callback under way has returned. The caller owns the storage;
 * zeroed storage is idle. Linked both ways, so that one can be taken back at once. */
struct hs_microtask {
    hs_list link;
    hs_microtask_fn *fn; /* NULL: not posted */
};

/* Run `fn(task)` after the callback under way has returned, in the order of posting: all
 * microtasks, and those that they post, before the next task, timer, message or completion. Past
 * HS_TURN_MICROTASKS_MAX in a turn the rest waits for the next turn, with a line in the log, so
 * that a chain without end does not stop the shard. Posting one that is posted is an error of the
 * programmer. It is idle again when `fn` starts. What is posted when the shard ends is not run.
 * Shard: owner only. Never fails. */
HS_API void hs_microtask_post(hs_shard *shard, hs_microtask *task, hs_microtask_fn *fn);

/* Take it back, if it is posted. Its function will not run. Shard: owner only. */
HS_API void hs_microtask_cancel(hs_microtask *task);

/* ---- timers ---- */

typedef struct hs_timer hs_timer;
typedef void hs_timer_fn(hs_timer *timer);

/* Zeroed storage is a timer that is not set. */
struct hs_timer {
    hs_heap_node node;
    hs_timer_fn *fn;
};

/* Run `fn(timer)` once at `deadline_ns` of the shard's clock or soon after (the loop wakes with a
 * resolution of 1 ms or better). A timer that is set moves, and never fails then. It is unset when
 * `fn` starts. Errors: -ENOMEM, HS_E_LIMIT (HS_TIMERS_MAX); the timer is unset then.
 * Shard: owner only. */
HS_API HS_NODISCARD hs_err hs_timer_set(hs_shard *shard, hs_timer *timer, uint64_t deadline_ns,
                                        hs_timer_fn *fn);

/* The same, `after_ms` milliseconds from the turn's time. */
HS_API HS_NODISCARD hs_err hs_timer_after(hs_shard *shard, hs_timer *timer, uint64_t after_ms,
                                          hs_timer_fn *fn);

/* Unset a timer, if it is set. Its function will not run. Shard: owner only. */
HS_API void hs_timer_cancel(hs_shard *shard, hs_timer *timer);

/* Whether it is set. */
static inline bool hs_timer_active(const hs_timer *timer)
{
    return hs_heap_has(&timer->node);
}

/* ---- calls across shards ---- */

typedef struct hs_call_op hs_call_op;
typedef void hs_call_op_fn(hs_call_op *call);

/* A function that runs on another shard, and one that runs here when it has. The storage belongs to
 * the caller; from the start until `done` runs it belongs to the call. `arg` and `result` are
 * handed over with it: only the shard on which a function runs touches them. hs_call.h has the form
 * that gives a promise. */
struct hs_call_op {
    hs_call_op_fn *fn;   /* on the target */
    hs_call_op_fn *done; /* on the origin; must be set */
    void *arg;
    uint64_t result;
    hs_shard *origin, *target;
    hs_list link; /* from here on: the mail's own */
    bool waits;   /* the origin's: in its line for a place in the queue */
    bool told;    /* the target's: the origin knows that the answer comes later */
};

/* Run call->fn on `target`, then call->done here. Calls from one shard to another begin in order;
 * they are done in order too, but for those whose answer was deferred. A shard may call itself. No
 * shard ever waits for another's queue: see mail.c. Shard: any; it becomes the origin. Errors:
 * HS_E_BLOCKED (that target has HS_CALLS_MAX messages to look at, or others stand in line: try
 * again when one is done), HS_E_CLOSED (the group is past stopping); neither function is called
 * then. */
HS_API HS_NODISCARD hs_err hs_call_op_start(hs_shard *target, hs_call_op *call);

/* From call->fn, on the target: do not answer when it returns. The storage stays the target's until
 * it calls hs_call_op_answer, which it must: at a stop, too, no later than anything else that
 * belongs to the target ends. Until then the call takes no place in a queue. */
HS_API void hs_call_op_defer(hs_call_op *call);

/* Answer a call that was deferred: call->done runs on the origin. From call->fn or later, once;
 * answers go out in the order of these calls. Never fails. Shard: the target. */
HS_API void hs_call_op_answer(hs_call_op *call);

HS_END_DECLS
