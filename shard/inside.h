/* The fields of a shard, for the files of this folder that make it up.
 *
 * Owns: the struct. loop.c turns it, micro.c runs microtasks, mail.c carries calls, stop.c ends it
 * with the others, life.c makes it. */
#pragma once

#include <errno.h>

#include "hs_limits.h"
#include "shard.h"

struct hs_shard {
    hs_io *io;
    _Atomic(const char *) label; /* of what runs; an atomic so that others may read it */
    uint64_t now_ns;
    uint64_t wall_ns_base; /* wall clock minus now_ns, taken once a second */
    uint64_t wall_next_ns;
    hs_list microtasks;
    uint32_t micro_left;      /* microtasks that may still run in this turn */
    uint64_t micro_warned_ns; /* when the log was last told that they were too many; 0: never */
    hs_task *tasks, *tasks_last;
    hs_heap timers;
    hs_pool chunks;
    uint32_t holds;
    bool stopping; /* the stop function was called */
    bool idle;     /* counted in mail->idle */
    bool trimming; /* the trim timer is set */
    uint32_t id;
    shard_mail *mail;
    uint16_t *calls_out; /* by target: calls under way */
    const hs_mem *mem;
    hs_log *log;
    void (*stop)(hs_shard *shard, void *ctx);
    void *ctx;
    uint64_t random;
    hs_timer trim_timer;
    hs_list trims;
    hs_trim trim_own;
    hs_counters counters;
    hs_io_event events[HS_TURN_EVENTS_MAX];
    /* What other threads read or write: on lines of their own. */
    __attribute__((aligned(HS_CACHE_PAIR))) HS_ATOMIC_U32 asleep;
    HS_ATOMIC_U32 stop_asked;
};

/* micro.c: run all microtasks, or as many as the turn has left. */
void microtasks_run(hs_shard *s);

/* The same, where there are any: after each callback of the loop. */
static inline void microtasks_look(hs_shard *s)
{
    if (HS_UNLIKELY(!hs_list_empty(&s->microtasks)))
        microtasks_run(s);
}

/* stop.c: call the stop function if a stop was asked for, and see whether the end has come. */
void stop_look(hs_shard *s);
/* mail.c: handle what other shards sent, a bounded number of messages. */
void mail_drain(hs_shard *s);
/* Whether a message waits. */
bool mail_waits(const hs_shard *s);
/* Wake `target` if it sleeps; called after a push. */
void mail_wake(hs_shard *from, hs_shard *target);
