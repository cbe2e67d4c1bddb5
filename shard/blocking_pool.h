/* The threads for work that blocks.
 *
 * Owns: the threads, the queue in front of them and its limit. Must not know: shards; a job says
 * whom to tell. Tested by: tests/plain/blocking.c (also under TSan).
 *
 * Who hands in a job never waits for a thread: it pushes onto a list without a lock and posts a
 * semaphore. The threads have a lock among themselves, to take jobs in order. There is one lock
 * for those who hand in, while a thread is being made: as often as there are threads, ever. */
#pragma once

#include "hs_blocking.h"
#include "hs_mem.h"
#include "hs_spsc.h"

typedef struct blocking_pool blocking_pool;
typedef struct blocking_job blocking_job;

typedef enum blocking_job_state {
    BLOCKING_QUEUED,
    BLOCKING_RUNS, /* or has run */
    BLOCKING_WITHDRAWN
} blocking_job_state;

/* Whom to tell, on a thread of the pool. */
typedef struct blocking_side {
    void (*begun)(blocking_job *job);
    void (*over)(blocking_job *job); /* the job is not touched after this has taken it away */
} blocking_side;

struct blocking_job {
    blocking_job *next; /* of whoever has it */
    const blocking_side *side;
    hs_blocking_fn *fn;
    void *arg;
    hs_outcome outcome;
    HS_ATOMIC_U32 state; /* blocking_job_state */
};

/* All jobs of a from onto which several threads push, the first that came first. */
static inline blocking_job *blocking_jobs_take(_Atomic(blocking_job *) *from)
{
    blocking_job *first = NULL, *job = atomic_exchange(from, NULL);
    while (job) {
        blocking_job *next = job->next;
        job->next = first;
        first = job;
        job = next;
    }
    return first;
}

/* Whether the job, which was queued, is in `state` now; false: somebody else was first. */
bool blocking_job_claim(blocking_job *job, blocking_job_state state);

typedef struct blocking_pool_options {
    const hs_mem *mem;    /* borrowed */
    uint32_t threads_max; /* > 0 */
    uint32_t queue_max;   /* jobs that may wait while all threads work; > 0 */
} blocking_pool_options;

/* Make a pool, without any thread yet. Its threads will run where the calling one may.
 * Errors: -ENOMEM. */
HS_NODISCARD hs_err blocking_pool_create(const blocking_pool_options *options, blocking_pool **out);

/* Join its threads and free it; NULL: nothing. Every job has come back (asserted). */
void blocking_pool_destroy(blocking_pool *pool);

/* Hand in a job, whose state is BLOCKING_QUEUED: side->over is called for it, once. Errors:
 * HS_E_LIMIT, -EAGAIN (no thread); the job is the caller's then. Thread: any. */
HS_NODISCARD hs_err blocking_pool_submit(blocking_pool *pool, blocking_job *job);

/* Claim a job for nobody: it comes back, without having run. False: it has begun. Thread: any. */
bool blocking_pool_withdraw(blocking_pool *pool, blocking_job *job);
