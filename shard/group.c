/* A group of shards: threads, started, stopped and joined in order.
 *
 * Owns: the order of a start (every shard has its ring before any `start` runs; every `start` is
 * done before hs_group_start returns) and of an end (all loops end together, then all are freed).
 * Must not know: what the shards do. Tested by: tests/plain/shards.c. */
#include "hs_group.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"
#include "blocking_pool.h"
#include "hs_limits.h"
#include "hs_topology.h"
#include "logger.h"
#include "overflow.h"
#include "shard.h"
#include "spawn_env.h"
#include "stack.h"
#include "stall.h"

/* How far the threads have come; each step waits for all. */
enum { STEP_MADE, STEP_STARTED, STEP_ENDED, STEPS };

typedef struct member {
    hs_group *group;
    hs_shard *shard;
    hs_io *io;
    pthread_t thread;
    overflow_stack overflow;
    uint32_t id, cpu;
    bool held; /* its loop ended although something held the shard */
} member;

struct hs_group {
    hs_group_options options;
    const hs_mem *mem;
    backend backend;
    shard_mail mail;
    logger *logger;
    stall *stall; /* NULL: off */
    blocking_pool *blocking;
    pthread_mutex_t lock; /* of what follows; start and end only, never while shards serve */
    pthread_cond_t moved;
    uint32_t steps[STEPS]; /* how many threads have taken each step */
    hs_err errs[STEPS];    /* the first error of each step */
    uint32_t threads;      /* that were made */
    uint64_t memory_bytes; /* that the process may use */
    uint64_t deadline_ns;  /* when the loops must have ended; 0: at no time */
    hs_group *abandoned_before;
    HS_ATOMIC_U32 abandon; /* that time is over: the loops end as they are */
    int wake_fd;           /* an eventfd: a stop was asked for, or a shard has ended */
    member members[];
};

void hs_group_options_init(hs_group_options *o)
{
    *o = (hs_group_options){
        .log_level = HS_LOG_INFO, .log_fd = STDERR_FILENO, .stall_ms = HS_STALL_MS};
}

hs_err hs_group_default_shards(uint32_t *shards)
{
    hs_topology topology;
    HS_TRY(hs_topology_read(&topology));
    *shards = HS_MIN(topology.usable, HS_SHARDS_MAX);
    return HS_OK;
}

static size_t group_bytes(uint32_t shards)
{
    return sizeof(hs_group) + shards * sizeof(member);
}

/* Wake the thread that waits for signals. */
static void wake_waiter(const hs_group *g)
{
    uint64_t one = 1;
    ssize_t n = write(g->wake_fd, &one, sizeof one);
    (void)n; /* a full counter wakes as well */
}

/* ---- steps ---- */

static void step_take(hs_group *g, uint32_t step, hs_err err)
{
    pthread_mutex_lock(&g->lock);
    HS_ASSERT(g->steps[step] < g->threads);
    g->steps[step]++;
    if (hs_ok(g->errs[step]))
        g->errs[step] = err;
    pthread_cond_broadcast(&g->moved);
    if (step == STEP_ENDED)
        wake_waiter(g);
    pthread_mutex_unlock(&g->lock);
}

/* Wait until all threads took `step`; its first error. */
static hs_err step_wait(hs_group *g, uint32_t step)
{
    pthread_mutex_lock(&g->lock);
    while (g->steps[step] < g->threads)
        pthread_cond_wait(&g->moved, &g->lock);
    hs_err err = g->errs[step];
    pthread_mutex_unlock(&g->lock);
    return err;
}

/* ---- one shard's thread ---- */

static void pin(const member *m, hs_log *log)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(m->cpu, &set);
    int rc = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    if (rc != 0)
        hs_log_write(log, HS_LOG_WARN, "cannot pin to processor %u: %s; running unpinned", m->cpu,
                     hs_err_name(hs_err_errno(rc)));
}

/* Made on the thread itself: the ring has one issuer, and memory is local to where it is touched.
 */
static hs_err member_make(member *m, hs_log *log)
{
    hs_group *g = m->group;
    char name[16];
    snprintf(name, sizeof name, "hs-shard-%u", m->id % 1000);
    (void)pthread_setname_np(pthread_self(), name);
    if (!g->options.pin_off)
        pin(m, log);
    HS_TRY(overflow_thread_init(&m->overflow, g->mem));
    HS_TRY(backend_create(&g->backend, g->mem, &m->io));
    shard_options o = {.id = m->id,
                       .mail = &g->mail,
                       .mem = g->mem,
                       .io = m->io,
                       .blocking = g->blocking,
                       .log = log,
                       .fiber_stack_bytes = g->options.fiber_stack_bytes,
                       .chunks_max = share_chunks_max(g->memory_bytes, g->mail.shards),
                       .large_max = share_large_max(g->memory_bytes, g->mail.shards),
                       .stop = g->options.stop,
                       .ctx = g->options.ctx};
    if (getrandom(&o.seed, sizeof o.seed, 0) != (ssize_t)sizeof o.seed)
        o.seed = hs_io_wall_ns(m->io) ^ ((uint64_t)m->id << 48);
    return shard_create(&o, &m->shard);
}

static void member_serve(member *m)
{
    hs_group *g = m->group;
    shard_enter(m->shard);
    hs_err err = g->options.start ? g->options.start(m->shard, g->options.ctx) : HS_OK;
    if (hs_ok(err) && g->stall)
        err = stall_enter(g->stall, m->shard);
    step_take(g, STEP_STARTED, err);
    stall_begin(m->shard);
    while (!shard_finished(m->shard) && !atomic_load(&g->abandon))
        shard_turn(m->shard, true);
    stall_leave(m->shard);
    m->held = !shard_finished(m->shard);
    if (m->held) {
        /* Its parts may be in use by what holds it: they stay. */
        shard_report_held(m->shard);
        shard_enter(NULL);
        return;
    }
    if (g->options.end)
        g->options.end(m->shard, g->options.ctx);
    shard_end(m->shard);
    shard_enter(NULL);
}

/* A thread of the pool that has handed its work back may still be about to wake the shard. */
static void end_blocking(hs_group *g)
{
    pthread_mutex_lock(&g->lock);
    blocking_pool_destroy(g->blocking);
    g->blocking = NULL;
    pthread_mutex_unlock(&g->lock);
}

static void *member_main(void *arg)
{
    member *m = arg;
    hs_group *g = m->group;
    step_take(g, STEP_MADE, member_make(m, logger_log(g->logger, m->id)));
    if (hs_ok(step_wait(g, STEP_MADE)))
        member_serve(m);
    /* Others may still wake this shard until all loops have ended: only then may its ring go. The
     * ring goes here, on the thread that issued to it; the shard stays readable until the join. */
    step_take(g, STEP_ENDED, HS_OK);
    (void)step_wait(g, STEP_ENDED);
    if (atomic_load(&g->abandon))
        return NULL;
    end_blocking(g);
    if (m->io)
        m->io->ops->destroy(m->io);
    overflow_thread_fini(&m->overflow, g->mem);
    return NULL;
}

/* ---- start ---- */

static hs_log *main_log(hs_group *g)
{
    return logger_log(g->logger, g->mail.shards);
}

static void log_machine(hs_group *g, const hs_topology *t)
{
    struct utsname u;
    bool known = uname(&u) == 0; /* a filter may deny it */
    char io[96];
    backend_text(&g->backend, io, sizeof io);
    hs_log_write(main_log(g), HS_LOG_INFO,
                 "io=%s kernel=%s guard_madv=%s cpus=%u cores=%u nodes=%u quota=%u shards=%u", io,
                 known ? u.release : "unknown", stack_light_guards() ? "yes" : "no (mprotect)",
                 t->cpus_len, t->cores, t->numa_nodes, t->quota_cpus, g->mail.shards);
}

static hs_err make_threads(hs_group *g, const hs_topology *t)
{
    uint32_t shards = g->mail.shards;
    /* All or none: a thread that cannot be made must not leave the others waiting for it. */
    pthread_mutex_lock(&g->lock);
    g->threads = shards;
    pthread_mutex_unlock(&g->lock);
    for (uint32_t i = 0; i < shards; i++) {
        member *m = &g->members[i];
        m->group = g;
        m->id = i;
        m->cpu = t->cpus[i % t->cpus_len];
        int rc = pthread_create(&m->thread, NULL, member_main, m);
        if (rc == 0)
            continue;
        hs_log_write(main_log(g), HS_LOG_ERROR, THREAD_REFUSED, hs_err_name(hs_err_errno(rc)));
        pthread_mutex_lock(&g->lock);
        g->threads = i;
        g->errs[STEP_MADE] = hs_err_errno(rc);
        pthread_cond_broadcast(&g->moved);
        pthread_mutex_unlock(&g->lock);
        break;
    }
    hs_err err = step_wait(g, STEP_MADE);
    if (!hs_ok(err))
        return err;
    return step_wait(g, STEP_STARTED);
}

static void free_group(hs_group *g)
{
    hs_log *log = g->logger ? logger_log(g->logger, g->mail.shards) : NULL;
    stall_stop(g->stall);
    blocking_pool_destroy(g->blocking);
    hs_log_write(log, HS_LOG_DEBUG, "all shards have ended");
    if (g->logger)
        logger_stop(g->logger);
    overflow_uninstall();
    uint32_t shards = g->mail.shards;
    shard_mail_fini(&g->mail);
    pthread_cond_destroy(&g->moved);
    pthread_mutex_destroy(&g->lock);
    close(g->wake_fd);
    hs_mem_give(g->mem, g, group_bytes(shards), HS_CACHE_PAIR);
}

static hs_err group_create(const hs_group_options *o, uint32_t shards, hs_group **out)
{
    const hs_mem *mem = o->mem ? o->mem : hs_mem_system();
    hs_group *g = hs_mem_take_zero(mem, group_bytes(shards), HS_CACHE_PAIR);
    HS_ENSURE(g, -ENOMEM);
    g->options = *o;
    g->mem = mem;
    int rc = pthread_mutex_init(&g->lock, NULL) || pthread_cond_init(&g->moved, NULL);
    HS_ASSERT(rc == 0);
    g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    hs_err err = g->wake_fd >= 0 ? HS_OK : hs_err_errno(errno);
    if (hs_ok(err))
        err = shard_mail_init(&g->mail, mem, shards);
    if (hs_ok(err))
        err = logger_start(mem, shards, o->log_fd, o->log_level, &g->logger);
    if (hs_ok(err)) {
        blocking_pool_options bo = {
            .mem = mem,
            .threads_max = o->blocking_threads ? o->blocking_threads : HS_BLOCKING_THREADS,
            .queue_max = o->blocking_queue ? o->blocking_queue : HS_BLOCKING_QUEUE};
        err = blocking_pool_create(&bo, &g->blocking);
    }
    if (hs_ok(err) && o->stall_ms > 0) {
        stall_options so = {.mem = mem,
                            .shards = shards,
                            .limit_ms = o->stall_ms,
                            .log = logger_log(g->logger, shards + 1)};
        err = stall_start(&so, &g->stall);
    }
    if (!hs_ok(err)) {
        blocking_pool_destroy(g->blocking);
        if (g->logger)
            logger_stop(g->logger);
        if (g->mail.queues)
            shard_mail_fini(&g->mail);
        if (g->wake_fd >= 0)
            close(g->wake_fd);
        hs_mem_give(mem, g, group_bytes(shards), HS_CACHE_PAIR);
        return err;
    }
    overflow_install();
    *out = g;
    return HS_OK;
}

/* 0 is the default. */
static bool stack_bytes_fit(size_t bytes)
{
    return bytes == 0 || (bytes >= HS_FIBER_STACK_BYTES_MIN && bytes <= HS_FIBER_STACK_BYTES_MAX);
}

/* A group on `b`; NULL: on what is chosen, which `b` tells then. */
static hs_err start_on(const hs_group_options *options, const hs_topology *topology,
                       uint32_t shards, const backend *given, backend *b, hs_group **group)
{
    hs_group *g;
    HS_TRY(group_create(options, shards, &g));
    hs_err err = HS_OK;
    if (given)
        g->backend = *given;
    else
        err = backend_choose(options->io, shards, &g->backend);
    *b = g->backend;
    backend_report(&g->backend, err, main_log(g));
    if (!hs_ok(err)) {
        free_group(g);
        return err;
    }
    g->memory_bytes = topology->memory_bytes;
    log_machine(g, topology);
    err = make_threads(g, topology);
    if (!hs_ok(err)) {
        hs_group_stop(g);
        (void)hs_group_join(g);
        return err;
    }
    *group = g;
    return HS_OK;
}

hs_err hs_group_start(const hs_group_options *options, hs_group **group)
{
    HS_ASSERT(options != NULL);
    HS_ASSERT(group != NULL);
    hs_topology topology;
    spawn_remember();
    HS_TRY(hs_topology_read(&topology));
    uint32_t shards = options->shards ? options->shards : HS_MIN(topology.usable, HS_SHARDS_MAX);
    HS_ENSURE(shards <= HS_SHARDS_MAX, HS_E_USAGE);
    HS_ENSURE(stack_bytes_fit(options->fiber_stack_bytes), HS_E_USAGE);
    HS_ENSURE(options->blocking_threads <= HS_BLOCKING_THREADS_MAX, HS_E_USAGE);
    HS_ENSURE(options->blocking_queue <= HS_BLOCKING_QUEUE_MAX, HS_E_USAGE);
    backend b;
    hs_err err = start_on(options, &topology, shards, NULL, &b, group);
    /* The probe had room for a ring, and the shards' rings had not. */
    if (!hs_ok(err) && backend_fall_back(&b, options->io, err))
        err = start_on(options, &topology, shards, &b, &b, group);
    return err;
}

/* ---- stop ---- */

uint32_t hs_group_shards(const hs_group *g)
{
    return g->mail.shards;
}

hs_shard *hs_group_shard(const hs_group *g, uint32_t id)
{
    HS_ASSERT(id < g->mail.shards);
    return g->members[id].shard;
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * HS_SEC_NS + (uint64_t)ts.tv_nsec;
}

void hs_group_stop(hs_group *g)
{
    pthread_mutex_lock(&g->lock);
    if (g->deadline_ns == 0 && g->options.stop_ms > 0)
        g->deadline_ns = now_ns() + g->options.stop_ms * HS_MSEC_NS;
    bool ended = g->steps[STEP_ENDED] == g->threads;
    for (uint32_t i = 0; i < g->threads && !ended; i++)
        if (g->members[i].shard)
            shard_stop(g->members[i].shard);
    wake_waiter(g);
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
}

void hs_group_end_within(hs_group *g, uint32_t ms)
{
    pthread_mutex_lock(&g->lock);
    g->deadline_ns = now_ns() + ms * HS_MSEC_NS;
    wake_waiter(g);
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
}

/* ---- the end ---- */

/* Until all loops have ended, or the deadline. Called with the lock held. */
static bool await_ended(hs_group *g)
{
    while (g->steps[STEP_ENDED] < g->threads) {
        uint64_t deadline = g->deadline_ns;
        if (deadline == 0) {
            pthread_cond_wait(&g->moved, &g->lock);
            continue;
        }
        if (now_ns() >= deadline)
            return false;
        struct timespec until = {.tv_sec = (time_t)(deadline / HS_SEC_NS),
                                 .tv_nsec = (long)(deadline % HS_SEC_NS)};
        (void)pthread_cond_clockwait(&g->moved, &g->lock, CLOCK_MONOTONIC, &until);
    }
    return true;
}

/* The loops end as they are, but for those that do not come back from what they run. */
static void abandon_shards(hs_group *g)
{
    atomic_store(&g->abandon, 1);
    for (uint32_t i = 0; i < g->threads; i++)
        if (g->members[i].shard)
            hs_io_wake_any(g->members[i].io);
    g->deadline_ns = now_ns() + HS_SEC_NS;
    if (await_ended(g))
        return;
    for (uint32_t i = 0; i < g->threads; i++) {
        const char *label = g->members[i].shard ? hs_shard_label(g->members[i].shard) : NULL;
        if (label)
            hs_log_write(main_log(g), HS_LOG_ERROR,
                         "shard %u has not returned from %s: the stop goes without it", i, label);
    }
}

void hs_group_wait(hs_group *g)
{
    pthread_mutex_lock(&g->lock);
    if (!atomic_load(&g->abandon) && !await_ended(g))
        abandon_shards(g);
    pthread_mutex_unlock(&g->lock);
}

/* What the shards hold stays where it is, and where a leak detector finds it: the process is about
 * to end. */
static bool leave_abandoned(hs_group *g)
{
    static hs_group *volatile abandoned;
    g->abandoned_before = abandoned;
    abandoned = g;
    if (g->steps[STEP_ENDED] == g->threads)
        for (uint32_t i = 0; i < g->threads; i++)
            (void)pthread_join(g->members[i].thread, NULL);
    logger_flush(g->logger);
    return false;
}

bool hs_group_join(hs_group *g)
{
    hs_group_wait(g);
    /* The watchdog sends signals to the threads, so it ends before the first of them is joined. */
    stall_stop(g->stall);
    g->stall = NULL;
    if (atomic_load(&g->abandon))
        return leave_abandoned(g);
    for (uint32_t i = 0; i < g->threads; i++) {
        int rc = pthread_join(g->members[i].thread, NULL);
        HS_ASSERT(rc == 0);
        if (g->members[i].shard)
            shard_destroy(g->members[i].shard);
    }
    free_group(g);
    return true;
}

static bool group_ended(hs_group *g)
{
    pthread_mutex_lock(&g->lock);
    bool ended = g->steps[STEP_ENDED] == g->threads;
    pthread_mutex_unlock(&g->lock);
    return ended;
}

static const char *signal_name(int sig)
{
    if (sig == SIGHUP)
        return "SIGHUP";
    return sig == SIGINT ? "SIGINT" : "SIGTERM";
}

hs_log *hs_group_log(hs_group *g)
{
    return logger_log(g->logger, g->mail.shards);
}

/* Until the deadline, for poll(2). */
static int ms_left(hs_group *g)
{
    pthread_mutex_lock(&g->lock);
    uint64_t deadline = g->deadline_ns, now = now_ns();
    pthread_mutex_unlock(&g->lock);
    if (deadline == 0)
        return -1;
    uint64_t ms = deadline <= now ? 0 : (deadline - now) / HS_MSEC_NS + 1;
    return (int)HS_MIN(ms, (uint64_t)INT32_MAX);
}

/* The next signal of the set; 0: none yet, but a shard may have ended. Without a signalfd (`fd` is
 * -1) it looks again every 20 ms. */
static int next_signal(hs_group *g, const sigset_t *set, int fd)
{
    if (fd < 0) {
        struct timespec tick = {.tv_nsec = 20 * (long)HS_MSEC_NS};
        int sig = sigtimedwait(set, NULL, &tick);
        if (sig < 0 && errno != EAGAIN && errno != EINTR)
            (void)poll(NULL, 0, 20); /* it is denied: at least not at full speed */
        return HS_MAX(sig, 0);
    }
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = g->wake_fd, .events = POLLIN}};
    if (poll(fds, HS_ARRAY_LEN(fds), ms_left(g)) < 0)
        return 0;
    uint64_t wakes;
    ssize_t n = read(g->wake_fd, &wakes, sizeof wakes);
    struct signalfd_siginfo info;
    n = read(fd, &info, sizeof info);
    return n == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void hs_group_wait_signals_hup(hs_group *g, void (*again)(void *ctx), void (*hangup)(void *ctx),
                               void *ctx)
{
    sigset_t set;
    spawn_stop_signals(&set);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    bool stopping = false;
    while (!group_ended(g) && ms_left(g) != 0) {
        int sig = next_signal(g, &set, fd);
        if (sig == 0)
            continue;
        if (sig == SIGHUP && hangup) {
            if (!stopping)
                hangup(ctx);
            continue;
        }
        hs_log_write(hs_group_log(g), HS_LOG_INFO, "signal %s: stopping%s", signal_name(sig),
                     stopping ? " at once" : "");
        if (stopping && again)
            again(ctx);
        stopping = true;
        hs_group_stop(g);
    }
    if (fd >= 0)
        close(fd);
}

void hs_group_wait_signals(hs_group *g, void (*again)(void *ctx), void *ctx)
{
    hs_group_wait_signals_hup(g, again, NULL, ctx);
}
