/* The threads for work that blocks. See blocking_pool.h.
 *
 * Threads are made as they are needed and stay until the end. One that is parked costs a few pages;
 * ending it after a while would save those, and would have a shard pay for its making again and
 * again, and whoever hands in a job could no longer rely on a thread that it saw. */
#include "blocking_pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>

#include "hs_assert.h"
#include "hs_limits.h"

struct blocking_pool {
    const hs_mem *mem;
    uint32_t threads_max, queue_max;
    cpu_set_t cpus; /* where threads may run: not only where the shard is that makes them */
    bool cpus_known;
    pthread_mutex_t grow; /* of the making of threads */
    /* Of those who hand in and of the threads. */
    __attribute__((aligned(HS_CACHE_PAIR))) _Atomic(blocking_job *) inbox; /* the last one first */
    HS_ATOMIC_U32 queued;  /* jobs that have not begun and were not withdrawn */
    HS_ATOMIC_U32 idle;    /* threads without a job */
    HS_ATOMIC_U32 threads; /* made */
    HS_ATOMIC_U32 ending;
    sem_t work; /* one for each job in the queue */
    /* Of the threads. */
    __attribute__((aligned(HS_CACHE_PAIR))) pthread_mutex_t take;
    blocking_job *first; /* taken from the inbox, in order */
    pthread_t handles[];
};

static size_t pool_bytes(uint32_t threads_max)
{
    return sizeof(blocking_pool) + threads_max * sizeof(pthread_t);
}

bool blocking_job_claim(blocking_job *job, blocking_job_state state)
{
    uint32_t queued = BLOCKING_QUEUED;
    return atomic_compare_exchange_strong(&job->state, &queued, state);
}

/* ---- a thread ---- */

/* The next job: there is one for each post. */
static blocking_job *take_job(blocking_pool *p)
{
    pthread_mutex_lock(&p->take);
    if (!p->first)
        p->first = blocking_jobs_take(&p->inbox);
    blocking_job *job = p->first;
    HS_ASSERT(job != NULL);
    p->first = job->next;
    pthread_mutex_unlock(&p->take);
    return job;
}

static void run(blocking_pool *p, blocking_job *job)
{
    if (blocking_job_claim(job, BLOCKING_RUNS)) {
        atomic_fetch_sub(&p->queued, 1);
        job->side->begun(job);
        job->outcome = job->fn(job->arg);
        HS_ASSERT(job->outcome.promise == NULL);
    }
    /* Idle before it is told: whoever asks for more as soon as he knows needs no other thread. */
    atomic_fetch_add(&p->idle, 1);
    job->side->over(job);
}

static void *thread_main(void *arg)
{
    blocking_pool *p = arg;
    (void)pthread_setname_np(pthread_self(), "hs-blocking");
    for (;;) {
        while (sem_wait(&p->work) != 0)
            continue; /* EINTR, by a debugger */
        if (atomic_load(&p->ending))
            return NULL;
        /* Not idle first, and the job begun after that: who looks in between makes a thread too
         * many, not one too few. */
        atomic_fetch_sub(&p->idle, 1);
        run(p, take_job(p));
    }
}

/* ---- handing in ---- */

/* Signals are for the program's other threads; a fault of the work's own is told as usual. */
static void signals_but_faults(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigfillset(set);
    for (size_t i = 0; i < HS_ARRAY_LEN(faults); i++)
        sigdelset(set, faults[i]);
}

static int make_thread(blocking_pool *p, pthread_t *out)
{
    pthread_attr_t attr;
    sigset_t set, before;
    if (pthread_attr_init(&attr) != 0)
        return EAGAIN;
    if (p->cpus_known)
        (void)pthread_attr_setaffinity_np(&attr, sizeof p->cpus, &p->cpus);
    signals_but_faults(&set);
    pthread_sigmask(SIG_SETMASK, &set, &before);
    int rc = pthread_create(out, &attr, thread_main, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

/* One thread more. No error where there is one already: it will come to the job. The new one counts
 * as idle from the start, so that nobody makes another for the same job. */
static hs_err grow(blocking_pool *p)
{
    int rc = 0;
    pthread_mutex_lock(&p->grow);
    uint32_t threads = atomic_load(&p->threads);
    if (threads < p->threads_max) {
        atomic_fetch_add(&p->idle, 1);
        rc = make_thread(p, &p->handles[threads]);
        if (rc == 0)
            atomic_store(&p->threads, threads + 1);
        else
            atomic_fetch_sub(&p->idle, 1);
    }
    pthread_mutex_unlock(&p->grow);
    return threads > 0 ? HS_OK : hs_err_errno(rc);
}

static void push(blocking_pool *p, blocking_job *job)
{
    job->next = atomic_load_explicit(&p->inbox, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&p->inbox, &job->next, job))
        continue;
    int rc = sem_post(&p->work);
    HS_ASSERT(rc == 0);
}

/* With a place in the queue, which is given back on an error. */
static hs_err find_thread(blocking_pool *p, uint32_t queued)
{
    if (queued > atomic_load(&p->idle) && atomic_load(&p->threads) < p->threads_max)
        HS_TRY(grow(p));
    HS_ENSURE(queued <= p->queue_max + atomic_load(&p->idle), HS_E_LIMIT);
    return HS_OK;
}

hs_err blocking_pool_submit(blocking_pool *p, blocking_job *job)
{
    HS_ASSERT(atomic_load(&job->state) == BLOCKING_QUEUED);
    HS_ASSERT(!atomic_load(&p->ending));
    hs_err err = find_thread(p, atomic_fetch_add(&p->queued, 1) + 1);
    if (hs_ok(err))
        push(p, job);
    else
        atomic_fetch_sub(&p->queued, 1);
    return err;
}

bool blocking_pool_withdraw(blocking_pool *p, blocking_job *job)
{
    if (!blocking_job_claim(job, BLOCKING_WITHDRAWN))
        return false;
    atomic_fetch_sub(&p->queued, 1);
    return true;
}

/* ---- begin and end ---- */

hs_err blocking_pool_create(const blocking_pool_options *o, blocking_pool **out)
{
    HS_ASSERT(o->threads_max > 0);
    HS_ASSERT(o->queue_max > 0);
    blocking_pool *p = hs_mem_take_zero(o->mem, pool_bytes(o->threads_max), HS_CACHE_PAIR);
    HS_ENSURE(p, -ENOMEM);
    p->mem = o->mem;
    p->threads_max = o->threads_max;
    p->queue_max = o->queue_max;
    p->cpus_known = pthread_getaffinity_np(pthread_self(), sizeof p->cpus, &p->cpus) == 0;
    int rc = pthread_mutex_init(&p->grow, NULL) || pthread_mutex_init(&p->take, NULL) ||
             sem_init(&p->work, 0, 0);
    HS_ASSERT(rc == 0);
    *out = p;
    return HS_OK;
}

void blocking_pool_destroy(blocking_pool *p)
{
    if (!p)
        return;
    HS_ASSERT(p->first == NULL);
    HS_ASSERT(atomic_load(&p->inbox) == NULL);
    HS_ASSERT(atomic_load(&p->queued) == 0);
    uint32_t threads = atomic_load(&p->threads);
    atomic_store(&p->ending, 1);
    for (uint32_t i = 0; i < threads; i++)
        (void)sem_post(&p->work);
    for (uint32_t i = 0; i < threads; i++) {
        int rc = pthread_join(p->handles[i], NULL);
        HS_ASSERT(rc == 0);
    }
    (void)sem_destroy(&p->work);
    pthread_mutex_destroy(&p->take);
    pthread_mutex_destroy(&p->grow);
    hs_mem_give(p->mem, p, pool_bytes(p->threads_max), HS_CACHE_PAIR);
}
