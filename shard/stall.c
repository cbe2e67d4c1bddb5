/* The stall detector's thread. See stall.h.
 *
 * It looks at all shards, at every half limit, for as long as one of them does something; after a
 * while without that it sleeps on a semaphore, which the first loop that goes on posts. The two
 * sides need no fence: between saying that it sleeps and sleeping, the watchdog takes one look
 * more, a period later, and sees whoever did not see it. */
#include "stall.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hs_assert.h"
#include "inside.h"
#include "stall_judge.h"
#include "stall_stack.h"
#include "stall_tell.h"

/* Looks in which nothing moved before the watchdog sleeps: a server that is asked now and then does
 * not have to wake it each time. */
#define QUIET_LOOKS 64

/* What the watchdog has of one shard. */
struct stall_slot {
    __attribute__((aligned(HS_CACHE_PAIR))) stall *st;
    _Atomic(hs_shard *) shard; /* set once its thread has filled in what follows; NULL: not yet */
    pthread_t thread;
    clockid_t cpu_clock;
    int stat; /* -1: there is none */
    uint32_t count_stalls, count_ms, count_preempted;
    stall_judge judge; /* from here on the watchdog's own, but for the stack */
    const char
        *label; /* of the callback that its stack was asked for, as far as it could be read */
    stall_stack stack;
};

struct stall {
    const hs_mem *mem;
    uint32_t shards;
    bool stacks; /* the signal is ours */
    pthread_t thread;
    sem_t wake;
    atomic_bool ending;
    stall_tell tell;
    stall_slot slots[];
};

static size_t stall_bytes(uint32_t shards)
{
    return sizeof(stall) + shards * sizeof(stall_slot);
}

static void free_stall(stall *st)
{
    for (uint32_t i = 0; i < st->shards; i++)
        if (st->slots[i].stat >= 0)
            (void)close(st->slots[i].stat);
    if (st->stacks)
        stall_stack_close();
    (void)sem_destroy(&st->wake);
    hs_mem_give(st->mem, st, stall_bytes(st->shards), HS_CACHE_PAIR);
}

/* ---- a look at one shard ---- */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    /* The clock of a thread that has just ended gives an error, and no more time. */
    if (clock_gettime(clock, &ts) != 0)
        return 0;
    return (uint64_t)ts.tv_sec * HS_SEC_NS + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* Whether the shard's thread waits for anything but a processor: the state that /proc tells, behind
 * the thread's name in brackets. Where there is none, a thread that does not run is taken for one
 * that sleeps, and on a loaded machine that may accuse somebody wrongly. */
static bool asleep(const stall_slot *slot)
{
    char text[64];
    ssize_t n = slot->stat >= 0 ? pread(slot->stat, text, sizeof text - 1, 0) : 0;
    if (n <= 0)
        return true;
    text[n] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end && (strncmp(name_end, ") S", 3) == 0 || strncmp(name_end, ") D", 3) == 0);
}

/* The label is of the callback in question if that goes on after it was read. */
static void ask(stall_slot *slot, const hs_shard *s, uint32_t beat)
{
    const char *label = hs_shard_label(s);
    bool sure = atomic_load_explicit(&s->beat, memory_order_relaxed) == beat;
    slot->label = sure ? label : NULL;
    if (slot->st->stacks)
        stall_stack_ask(&slot->stack, slot->thread, beat);
}

static void tell(stall_slot *slot, const hs_shard *s, bool seen, const stall_held *held,
                 bool goes_on)
{
    const stall_stack *st = &slot->stack;
    stall_report report = {.shard = hs_shard_id(s),
                           .goes_on = goes_on,
                           .label = seen ? st->label : slot->label,
                           .held_ns = held->held_ns,
                           .waited_ns = held->waited_ns,
                           .frames_len = seen ? st->frames_len : 0,
                           .frames = st->frames};
    stall_tell_one(&slot->st->tell, now_ns(), &report);
}

/* Returns whether the shard did anything since the last look. */
static bool look_at(stall_slot *slot)
{
    hs_shard *s = atomic_load_explicit(&slot->shard, memory_order_acquire);
    if (!s)
        return false;
    uint32_t before = slot->judge.beat;
    stall_held held;
    stall_reading r = {.now_ns = now_ns()};
    r.beat = atomic_load_explicit(&s->beat, memory_order_relaxed);
    bool seen = stall_stack_seen(&slot->stack, before);
    if (seen)
        r.turn_ns = slot->stack.turn_ns;
    bool runs = !(r.beat & BEAT_RESTS);
    if (runs) {
        r.cpu_ns = clock_ns(slot->cpu_clock);
        r.asleep = r.beat == before && asleep(slot);
    }
    r.after_ns = now_ns();
    hs_counters *counters = hs_shard_counters(s);
    switch (stall_judge_look(&slot->judge, &r, &held)) {
    case STALL_ASK:
        ask(slot, s, r.beat);
        break;
    case STALL_GOES_ON:
        tell(slot, s, seen, &held, true);
        break;
    case STALL_OVER:
        hs_count(counters, slot->count_stalls, 1);
        hs_count(counters, slot->count_ms, held.held_ns / HS_MSEC_NS);
        tell(slot, s, seen, &held, false);
        break;
    case STALL_PREEMPTED:
        hs_count(counters, slot->count_preempted, 1);
        break;
    case STALL_NONE:
        break;
    }
    return runs || r.beat != before;
}

/* ---- the thread ---- */

static void set_asleep(stall *st, uint32_t asleep)
{
    for (uint32_t i = 0; i < st->shards; i++) {
        hs_shard *s = atomic_load_explicit(&st->slots[i].shard, memory_order_acquire);
        if (s)
            atomic_store_explicit(&s->watch_asleep, asleep, memory_order_relaxed);
    }
}

void stall_wake(stall_slot *slot)
{
    hs_shard *s = atomic_load_explicit(&slot->shard, memory_order_relaxed);
    atomic_store_explicit(&s->watch_asleep, 0, memory_order_relaxed);
    (void)sem_post(&slot->st->wake);
}

/* Sleep until `until_ns` (UINT64_MAX: for ever) or a post. */
static void rest(stall *st, uint64_t until_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(until_ns / HS_SEC_NS),
                          .tv_nsec = (long)(until_ns % HS_SEC_NS)};
    int rc = until_ns == UINT64_MAX ? sem_wait(&st->wake)
                                    : sem_clockwait(&st->wake, CLOCK_MONOTONIC, &ts);
    HS_ASSERT(rc == 0 || errno == ETIMEDOUT || errno == EINTR);
}

/* Returns whether a shard did anything; *next_ns is when to look again. */
static bool look_at_all(stall *st, uint64_t *next_ns)
{
    bool active = false;
    uint64_t wait_ns = UINT64_MAX;
    for (uint32_t i = 0; i < st->shards; i++) {
        active |= look_at(&st->slots[i]);
        wait_ns = HS_MIN(wait_ns, stall_judge_next_ns(&st->slots[i].judge));
    }
    *next_ns = now_ns() + wait_ns;
    return active;
}

static void *stall_main(void *arg)
{
    stall *st = arg;
    uint32_t quiet = 0;
    (void)pthread_setname_np(pthread_self(), "hs-stall");
    while (!atomic_load(&st->ending)) {
        uint64_t next_ns;
        bool active = look_at_all(st, &next_ns);
        uint64_t tell_ns = stall_tell_rest(&st->tell, now_ns(), false);
        if (active) {
            if (quiet >= QUIET_LOOKS)
                set_asleep(st, 0);
            quiet = 0;
        } else if (quiet < QUIET_LOOKS && ++quiet == QUIET_LOOKS) {
            set_asleep(st, 1);
        } else if (quiet == QUIET_LOOKS) {
            next_ns = tell_ns;
        }
        rest(st, next_ns);
    }
    uint64_t ignored;
    (void)look_at_all(st, &ignored);
    (void)stall_tell_rest(&st->tell, now_ns(), true);
    return NULL;
}

/* ---- start and end ---- */

hs_err stall_start(const stall_options *o, stall **out)
{
    HS_ASSERT(o->limit_ms > 0);
    HS_ASSERT(o->shards > 0);
    stall *st = hs_mem_take_zero(o->mem, stall_bytes(o->shards), HS_CACHE_PAIR);
    HS_ENSURE(st, -ENOMEM);
    st->mem = o->mem;
    st->shards = o->shards;
    stall_tell_init(&st->tell, o->log, o->limit_ms);
    for (uint32_t i = 0; i < o->shards; i++) {
        st->slots[i].st = st;
        st->slots[i].stat = -1;
        stall_judge_init(&st->slots[i].judge, o->limit_ms * HS_MSEC_NS);
    }
    int rc = sem_init(&st->wake, 0, 0);
    HS_ASSERT(rc == 0);
    st->stacks = stall_stack_open();
    if (!st->stacks)
        hs_log_write(o->log, HS_LOG_WARN,
                     "the program has a handler for SIGURG: stalls are told without their stack");
    rc = pthread_create(&st->thread, NULL, stall_main, st);
    if (rc != 0) {
        free_stall(st);
        return hs_err_errno(rc);
    }
    *out = st;
    return HS_OK;
}

hs_err stall_enter(stall *st, hs_shard *s)
{
    HS_ASSERT(s == hs_shard_self());
    HS_ASSERT(s->watch == NULL);
    HS_ASSERT(hs_shard_id(s) < st->shards);
    stall_slot *slot = &st->slots[hs_shard_id(s)];
    HS_TRY(hs_counters_register(&s->counters, "stalls", &slot->count_stalls));
    HS_TRY(hs_counters_register(&s->counters, "stall_ms", &slot->count_ms));
    HS_TRY(hs_counters_register(&s->counters, "stalls_preempted", &slot->count_preempted));
    slot->thread = pthread_self();
    slot->stat = open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC);
    int rc = pthread_getcpuclockid(slot->thread, &slot->cpu_clock);
    HS_ASSERT(rc == 0);
    s->watch = slot;
    atomic_store_explicit(&s->beat, BEAT_RESTS, memory_order_relaxed);
    stall_stack_enter(&slot->stack, s);
    atomic_store_explicit(&slot->shard, s, memory_order_release);
    return HS_OK;
}

void stall_begin(hs_shard *s)
{
    HS_ASSERT(s == hs_shard_self());
    if (s->watch)
        beat_turn(&s->beat);
}

void stall_leave(hs_shard *s)
{
    HS_ASSERT(s == hs_shard_self());
    if (!s->watch)
        return;
    beat_turn(&s->beat);
    stall_stack_leave();
}

void stall_stop(stall *st)
{
    if (!st)
        return;
    atomic_store(&st->ending, true);
    (void)sem_post(&st->wake);
    int rc = pthread_join(st->thread, NULL);
    HS_ASSERT(rc == 0);
    free_stall(st);
}
