/* Blocking work on real threads: each piece runs exactly once and comes back to its shard; limits,
 * cancelling, a stop, and threads that cannot be made.
 *
 * A plain program, so that it runs under ThreadSanitizer too. Work that has to last waits at a gate
 * that the test opens. pthread_create is wrapped by the linker, to fail when it should. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "fiber_rig.h"
#include "hs_blocking.h"

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);

static atomic_uint threads_fail; /* how many are not to be made */
static atomic_uint threads_made;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    if (atomic_load(&threads_fail) > 0) {
        atomic_fetch_sub(&threads_fail, 1);
        return EAGAIN;
    }
    atomic_fetch_add(&threads_made, 1);
    return __real_pthread_create(thread, attr, fn, arg);
}

/* ---- work ---- */

static struct {
    sem_t open;
    atomic_uint begun, ended, dropped;
} gate;

static void gate_close(void)
{
    atomic_store(&gate.begun, 0);
    atomic_store(&gate.ended, 0);
    atomic_store(&gate.dropped, 0);
    CHECK(sem_init(&gate.open, 0, 0) == 0);
}

static void gate_open(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++)
        CHECK(sem_post(&gate.open) == 0);
}

static void drop_value(void *value)
{
    CHECK(hs_shard_self() != NULL);
    CHECK(value != NULL);
    atomic_fetch_add(&gate.dropped, 1);
}

static hs_outcome waits_at_the_gate(void *arg)
{
    atomic_fetch_add(&gate.begun, 1);
    while (sem_wait(&gate.open) != 0)
        CHECK(errno == EINTR);
    atomic_fetch_add(&gate.ended, 1);
    return hs_value_owned(arg, drop_value);
}

static hs_outcome is_quick(void *arg)
{
    sigset_t set;
    CHECK(hs_shard_self() == NULL);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0);
    CHECK(sigismember(&set, SIGTERM) && sigismember(&set, SIGURG));
    return hs_value(arg);
}

static hs_promise *begin(hs_shard *s, hs_cancel *cancel)
{
    return hs_blocking_with(s, waits_at_the_gate, &gate, drop_value, cancel);
}

/* On a fiber: until `n` wait at the gate. */
static void wait_begun(uint32_t n)
{
    while (atomic_load(&gate.begun) < n)
        CHECK(hs_ok(hs_yield()));
}

static uint64_t counted(hs_shard *s, const char *name)
{
    return hs_counters_find(hs_shard_counters(s), name);
}

/* ---- many shards, many pieces ---- */

#define SHARDS 4
#define EACH 3000u
#define WINDOW 64u

typedef struct crowd crowd;

typedef struct piece {
    crowd *crowd;
    hs_reaction reaction;
    atomic_uint runs;
    uint32_t done;
    bool refused;
} piece;

struct crowd {
    uint32_t next, back;
    piece pieces[EACH];
};

static crowd crowds[SHARDS];
static atomic_uint crowds_left;
static uint32_t crowds_stop_at; /* when so many have come back to one shard, all stop */
static hs_group *crowd_group;

static hs_outcome run_piece(void *arg)
{
    piece *p = arg;
    CHECK(atomic_fetch_add(&p->runs, 1) == 0);
    return hs_value(p);
}

static void next_piece(crowd *c);

static void stop_crowds(void)
{
    for (uint32_t i = 0; i < SHARDS; i++)
        shard_stop(hs_shard_peer(hs_shard_self(), i));
}

static void piece_done(hs_reaction *reaction, hs_outcome outcome)
{
    piece *p = HS_CONTAINER_OF(reaction, piece, reaction);
    CHECK(hs_ok(outcome.err) ? outcome.value == p : outcome.err.code == HS_E_CLOSED);
    p->refused = !hs_ok(outcome.err);
    CHECK(p->crowd == &crowds[hs_shard_id(hs_shard_self())]);
    CHECK(p->done++ == 0);
    if (++p->crowd->back == crowds_stop_at)
        stop_crowds();
    if (p->crowd->back < EACH)
        next_piece(p->crowd);
    else if (atomic_fetch_sub(&crowds_left, 1) == 1)
        stop_crowds();
}

static void next_piece(crowd *c)
{
    if (c->next == EACH)
        return;
    piece *p = &c->pieces[c->next++];
    p->crowd = c;
    hs_react(hs_blocking(hs_shard_self(), run_piece, p), &p->reaction, piece_done);
}

static hs_err crowd_start(hs_shard *s, void *ctx)
{
    (void)ctx;
    for (uint32_t i = 0; i < WINDOW; i++)
        next_piece(&crowds[hs_shard_id(s)]);
    return HS_OK;
}

static void run_crowds(uint32_t stop_at)
{
    hs_group_options o = rig_options();
    o.shards = SHARDS;
    o.start = crowd_start;
    memset(crowds, 0, sizeof crowds);
    atomic_store(&crowds_left, SHARDS);
    crowds_stop_at = stop_at;
    CHECK(hs_ok(hs_group_start(&o, &crowd_group)));
    hs_group_join(crowd_group);
    for (uint32_t i = 0; i < SHARDS; i++)
        for (uint32_t k = 0; k < crowds[i].next; k++) {
            const piece *p = &crowds[i].pieces[k];
            CHECK(p->done == 1);
            CHECK(atomic_load(&p->runs) == (p->refused ? 0 : 1));
        }
}

static void each_runs_once_and_comes_back(void)
{
    run_crowds(0);
    for (uint32_t i = 0; i < SHARDS; i++)
        CHECK(crowds[i].next == EACH && !crowds[i].pieces[EACH - 1].refused);
}

/* What was asked for, also while all stop, either runs or is refused. */
static void a_stop_in_the_midst_loses_none(void)
{
    for (uint32_t stop_at = 1; stop_at < EACH; stop_at *= 3)
        run_crowds(stop_at);
}

/* ---- threads ---- */

static hs_err threads_come_as_needed(void *arg)
{
    hs_shard *s = hs_shard_self();
    uint32_t before = atomic_load(&threads_made);
    void *value;
    (void)arg;
    gate_close();
    for (uintptr_t i = 0; i < 100; i++) {
        HS_TRY(hs_await(hs_blocking(s, is_quick, (void *)i), &value));
        CHECK(value == (void *)i);
    }
    CHECK(atomic_load(&threads_made) - before == 1);
    hs_promise *p[3];
    for (int i = 0; i < 3; i++)
        p[i] = begin(s, NULL);
    wait_begun(3);
    CHECK(counted(s, "blocking_running") == 3 && counted(s, "blocking_queued") == 0);
    CHECK(atomic_load(&threads_made) - before == 3);
    hs_promise *waits = begin(s, NULL);
    CHECK(counted(s, "blocking_queued") == 1);
    gate_open(4);
    for (int i = 0; i < 3; i++)
        HS_TRY(hs_await(p[i], &value));
    HS_TRY(hs_await(waits, &value));
    CHECK(counted(s, "blocking_running") == 0 && counted(s, "blocking_queued") == 0);
    CHECK(atomic_load(&threads_made) - before == 3 && atomic_load(&gate.dropped) == 0);
    return HS_OK;
}

static hs_err without_a_thread(void *arg)
{
    hs_shard *s = hs_shard_self();
    void *value;
    (void)arg;
    gate_close();
    atomic_store(&threads_fail, 1);
    CHECK(hs_await(begin(s, NULL), &value).code == -EAGAIN);
    CHECK(atomic_load(&gate.dropped) == 1 && counted(s, "blocking_rejected") == 1);
    hs_promise *first = begin(s, NULL);
    wait_begun(1);
    /* Where there is one, it will come to it. */
    atomic_store(&threads_fail, 1);
    hs_promise *second = begin(s, NULL);
    CHECK(atomic_load(&threads_fail) == 0);
    gate_open(2);
    HS_TRY(hs_await(first, &value));
    HS_TRY(hs_await(second, &value));
    CHECK(atomic_load(&gate.ended) == 2 && atomic_load(&gate.dropped) == 1);
    return HS_OK;
}

static hs_err a_full_queue(void *arg)
{
    hs_shard *s = hs_shard_self();
    hs_promise *p[3];
    void *value;
    (void)arg;
    gate_close();
    p[0] = begin(s, NULL);
    wait_begun(1);
    p[1] = begin(s, NULL);
    p[2] = begin(s, NULL);
    CHECK(hs_await(begin(s, NULL), &value).code == HS_E_LIMIT);
    CHECK(atomic_load(&gate.dropped) == 1 && counted(s, "blocking_rejected") == 1);
    gate_open(3);
    for (int i = 0; i < 3; i++)
        HS_TRY(hs_await(p[i], &value));
    HS_TRY(hs_await(hs_blocking(s, is_quick, NULL), &value));
    return HS_OK;
}

/* ---- cancelling ---- */

static hs_err cancelled(void *arg)
{
    hs_shard *s = hs_shard_self();
    void *value;
    (void)arg;
    gate_close();
    hs_cancel *c = hs_cancel_create(s);
    hs_promise *runs = begin(s, c);
    wait_begun(1);
    hs_promise *queued = begin(s, c), *other = begin(s, NULL);
    hs_cancel_fire(c, hs_err_errno(ETIMEDOUT));
    hs_cancel_unref(c);
    CHECK(atomic_load(&gate.dropped) == 1);
    CHECK(hs_await(queued, &value).code == -ETIMEDOUT);
    CHECK(hs_await(runs, &value).code == -ETIMEDOUT);
    CHECK(atomic_load(&gate.ended) == 0 && atomic_load(&gate.dropped) == 1);
    gate_open(2);
    HS_TRY(hs_await(other, &value));
    CHECK(atomic_load(&gate.begun) == 2 && atomic_load(&gate.ended) == 2);
    CHECK(atomic_load(&gate.dropped) == 2);
    return HS_OK;
}

/* ---- a stop ---- */

#define STOPS 40
static hs_reaction stop_reactions[STOPS];
static atomic_uint stop_fine, stop_closed;

static void stop_seen(hs_reaction *reaction, hs_outcome outcome)
{
    (void)reaction;
    CHECK(hs_ok(outcome.err) || outcome.err.code == HS_E_CLOSED);
    atomic_fetch_add(hs_ok(outcome.err) ? &stop_fine : &stop_closed, 1);
    /* What runs goes on until nothing else is left but this. */
    if (!hs_ok(outcome.err) && atomic_load(&stop_closed) == 1)
        gate_open(2);
}

/* Nothing holds the shard: what runs is waited for, what is queued is rejected. */
static hs_err stop_under_load(void *arg)
{
    hs_shard *s = hs_shard_self();
    (void)arg;
    gate_close();
    for (int i = 0; i < STOPS; i++)
        hs_react(begin(s, NULL), &stop_reactions[i], stop_seen);
    wait_begun(2);
    return HS_OK;
}

static void at_a_stop_what_is_queued_is_rejected(void)
{
    hs_group_options o = rig_options();
    o.blocking_threads = 2;
    rig_run(&o, stop_under_load, NULL);
    CHECK(atomic_load(&stop_fine) == 2 && atomic_load(&stop_closed) == STOPS - 2);
    CHECK(atomic_load(&gate.begun) == 2 && atomic_load(&gate.dropped) == STOPS - 2);
}

static hs_err stop_waits(void *arg)
{
    hs_shard *s = hs_shard_self();
    (void)arg;
    gate_close();
    (void)hs_shard_label_set(s, "/slow");
    hs_promise_drop(begin(s, NULL));
    wait_begun(1);
    return HS_OK;
}

static void who_holds_a_stop_is_told(void)
{
    hs_group_options o = rig_options();
    int log[2];
    char text[1024] = "";
    size_t len = 0;
    CHECK(pipe(log) == 0);
    o.log_fd = log[1];
    o.start = rig_start;
    rig_scene = stop_waits;
    hs_group *group;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    while (!strchr(text, '\n')) {
        ssize_t n = read(log[0], text + len, sizeof text - 1 - len);
        CHECK(n > 0);
        len += (size_t)n;
    }
    CHECK(strstr(text, "stop: waits for blocking work") && strstr(text, "/slow"));
    CHECK(strstr(text, "blocking.c:"));
    gate_open(1);
    hs_group_join(group);
    CHECK(atomic_load(&gate.dropped) == 1);
    CHECK(close(log[0]) == 0 && close(log[1]) == 0);
}

/* ---- all ---- */

static void run_with(hs_fiber_fn *scene, uint32_t threads, uint32_t queue)
{
    hs_group_options o = rig_options();
    o.blocking_threads = threads;
    o.blocking_queue = queue;
    rig_run(&o, scene, NULL);
}

int main(void)
{
    each_runs_once_and_comes_back();
    a_stop_in_the_midst_loses_none();
    run_with(threads_come_as_needed, 3, 0);
    run_with(without_a_thread, 2, 0);
    run_with(a_full_queue, 1, 2);
    run_with(cancelled, 1, 0);
    at_a_stop_what_is_queued_is_rejected();
    who_holds_a_stop_is_told();
    return 0;
}
