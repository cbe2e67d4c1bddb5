/* The fields of a shard, for the files of this folder that make it up.
 *
 * Owns: the struct. loop.c turns it, due.c and micro.c run tasks, timers and microtasks, mail.c
 * carries calls, stop.c ends it with the others, life.c makes it. */
#pragma once

#include <errno.h>

#include "block.h"
#include "beat.h"
#include "blocking.h"
#include "call.h"
#include "cancel.h"
#include "fibers.h"
#include "channel.h"
#include "hs_limits.h"
#include "promise.h"
#include "shard.h"

/* What one shard sends to another. */
typedef struct mail_lane {
    hs_list waiting; /* hs_call_op.link: calls and late answers in line for a place */
    uint32_t sent;   /* messages that it has not answered yet: HS_CALLS_MAX at most */
} mail_lane;

typedef struct task_queue {
    hs_task *first, *last;
} task_queue;

struct hs_shard {
    hs_io *io;
    _Atomic(const char *) label; /* of what runs; an atomic so that others may read it */
    HS_ATOMIC_U32 beat;          /* beat.h */
    uint64_t now_ns;
    uint64_t wall_ns_base; /* wall clock minus now_ns, taken once a second */
    uint64_t wall_next_ns;
    hs_list microtasks;
    uint32_t micro_left;      /* microtasks that may still run in this turn */
    uint64_t micro_warned_ns; /* when the log was last told that they were too many; 0: never */
    task_queue tasks;
    task_queue tasks_next; /* of the next turn */
    hs_heap timers;
    hs_pool chunks;
    uint32_t holds;
    struct {
        const char *what;
        uint32_t count;
    } held[12];       /* the holds by what they are for; those that find no place are not named */
    uint32_t passive; /* of the holds: calls whose answer was deferred */
    bool stopping;    /* the stop function was called */
    uint8_t round;    /* of the stop: which one this shard is in */
    bool counted;     /* among those that are ready for its end */
    bool trimming;    /* the trim timer is set */
    hs_list endings;
    uint32_t id;
    shard_mail *mail;
    mail_lane *lanes;    /* by target */
    hs_call_op *serving; /* its function runs, and has not deferred the answer */
    hs_list deferred;    /* calls whose origin has not been told yet that the answer is */
    uint64_t wakes[HS_SHARDS_MAX / 64]; /* who was sent something since the last look */
    const hs_mem *mem;
    hs_log *log;
    void (*stop)(hs_shard *shard, void *ctx);
    void *ctx;
    uint64_t random;
    uint64_t wait_warn_ns; /* when it may be logged again that the backend cannot wait */
    hs_timer trim_timer;
    hs_timer rest_timer; /* what a turn left over goes back */
    uint32_t trim_slabs; /* how many may still go in this turn */
    bool trim_rest, trim_pending;
    hs_list trims;
    hs_list holders;
    uint64_t release_next_ns; /* when they may be asked again */
    uint64_t large_max;       /* of chunks.large_bytes, before they are asked */
    bool release_asked;
    hs_trim trim_own;
    block_state blocks;
    promise_state promises;
    cancel_state cancels;
    call_state calls;
    fiber_set fibers;
    channel_state channels;
    blocking_state blocking;
    hs_counters counters;
    hs_io_event events[HS_TURN_EVENTS_MAX];
    /* What other threads read or write: on lines of their own. */
    __attribute__((aligned(HS_CACHE_PAIR))) HS_ATOMIC_U32 asleep;
    HS_ATOMIC_U32 stop_asked;
    _Atomic(blocking_job *) blocking_done; /* the last one first */
    HS_ATOMIC_U32 watch_asleep;            /* who watches the beat sleeps: the loop wakes it */
    struct stall_slot *watch;              /* stall.h; NULL: nobody watches */
};

/* micro.c: run all microtasks, or as many as the turn has left. */
void microtasks_run(hs_shard *s);

/* After each callback of the loop: it is counted, and its microtasks run. */
static inline void callback_over(hs_shard *s)
{
    beat_step(&s->beat);
    if (HS_UNLIKELY(!hs_list_empty(&s->microtasks)))
        microtasks_run(s);
}

/* wait_fault.c: the backend could not wait: log it, and pause. */
void wait_fault(hs_shard *s);

/* chunk_share.c: those that hold chunks release some. */
void share_release(hs_shard *s);
bool share_is_short(const hs_shard *s);

/* due.c: run the tasks that are ready, and what they make ready; and the timers whose time has
 * come; as many as a turn runs. */
void due_tasks_run(hs_shard *s);
/* What was posted for the next turn, if anything was, runs in this one. */
void due_tasks_next(hs_shard *s);
void due_timers_run(hs_shard *s);

/* stop.c: if a stop was asked for, call the stop function and return true, once. */
bool stop_begins(hs_shard *s);
/* While stopping: see whether the end has come. */
void stop_look(hs_shard *s);
/* This shard is about to do something: it is not ready for the end. False when that has come. */
bool stop_put_off(hs_shard *s);
/* Call ending->fn when the whole group would wait for itself for ever. */
void shard_ending_add(hs_shard *s, shard_ending *ending);
/* Do not. One that is not added, or was called: nothing. */
void shard_ending_remove(shard_ending *ending);
/* Whether all loops have ended, or will in this turn: nothing can be sent. */
bool shard_over(const hs_shard *s);
/* Whether that moment has passed: nothing may begin to wait now. */
static inline bool shard_ending_now(const hs_shard *s)
{
    return s->round > 0;
}

/* mail.c: make the lanes; false without memory. And free them. */
bool mail_lanes_init(hs_shard *s);
void mail_lanes_fini(hs_shard *s);
/* Handle what other shards sent, a bounded number of messages. */
void mail_drain(hs_shard *s);
/* Before a wait: tell and wake those whom this turn's messages are for. */
void mail_flush(hs_shard *s);
/* Whether a message waits. */
bool mail_waits(const hs_shard *s);
/* As hs_call_op_start, but where that is blocked the call stands in line. Errors: HS_E_CLOSED. */
HS_NODISCARD hs_err mail_post(hs_shard *target, hs_call_op *call);
/* Take a call back that stands in line (call->waits): it is as if it had not been started. */
void mail_withdraw(hs_call_op *call);
