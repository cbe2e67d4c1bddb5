/* The simulated world: its clock, its random numbers, and whose turn it is.
 *
 * Owns: virtual time, which stands still while code runs but for a little that each turn spends,
 * and leaps to the next event when all threads wait; the order in which threads go on, drawn from
 * the seed; the hash. Must not know: what an event does. Tested by: tests/unit/shard_io_sim.c. */
#include <errno.h>
#include <inttypes.h>

#include "sim_inside.h"

#define EVENTS_MAX (1u << 16)

const hs_mem *sim_mem(void)
{
    return hs_mem_system();
}

/* ---- random numbers ---- */

uint64_t sim_random(sim_world *w)
{
    uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t sim_below(sim_world *w, uint64_t n)
{
    HS_ASSERT(n > 0);
    return sim_random(w) % n;
}

uint64_t sim_spread(sim_world *w, uint64_t max)
{
    if (max == 0)
        return 0;
    uint32_t bits = 64 - (uint32_t)__builtin_clzll(max);
    uint64_t mask = (UINT64_C(2) << sim_below(w, bits)) - 1;
    uint64_t value = sim_random(w) & mask;
    return HS_MIN(value, max);
}

bool sim_chance(sim_world *w, uint32_t chance)
{
    return chance > 0 && sim_below(w, 1024) < chance;
}

uint64_t sim_late(sim_world *w, uint32_t chance)
{
    return sim_chance(w, chance) ? sim_spread(w, w->faults.late_us_max) * 1000 : 0;
}

/* ---- what happened ---- */

static void hash_in(sim_world *w, uint64_t value)
{
    w->hash = (w->hash ^ value) * UINT64_C(0x9fb21c651e98df25);
    w->hash ^= w->hash >> 29;
}

void sim_note(sim_world *w, const char *what, int64_t a, int64_t b, uint64_t c)
{
    w->notes++;
    for (const char *p = what; *p; p++)
        hash_in(w, (uint8_t)*p);
    hash_in(w, w->now);
    hash_in(w, (uint64_t)a);
    hash_in(w, (uint64_t)b);
    hash_in(w, c);
    if (w->trace)
        fprintf(w->trace, "%12.6f %-16s %6" PRId64 " %8" PRId64 " %16" PRIx64 "\n",
                (double)w->now / 1e9, what, a, b, c);
}

uint64_t sim_world_hash(const sim_world *w)
{
    return w->hash;
}

/* ---- events ---- */

void sim_event_set(sim_world *w, sim_event *event, uint64_t after_ns, sim_event_fn *fn)
{
    HS_ASSERT(fn != NULL);
    event->fn = fn;
    if (hs_heap_has(&event->node)) {
        hs_heap_move(&w->events, &event->node, w->now + after_ns);
        return;
    }
    hs_err err = hs_heap_add(&w->events, &event->node, w->now + after_ns);
    HS_ASSERT(hs_ok(err));
}

void sim_event_cancel(sim_world *w, sim_event *event)
{
    hs_heap_cancel(&w->events, &event->node);
}

static bool run_one_event(sim_world *w)
{
    hs_heap_node *node = hs_heap_pop(&w->events, w->now);
    if (!node)
        return false;
    sim_event *event = HS_CONTAINER_OF(node, sim_event, node);
    event->fn(w, event);
    return true;
}

/* ---- whose turn it is ---- */

void sim_spend(sim_world *w)
{
    w->now += 500 + sim_below(w, 20000);
}

static bool io_runnable(const sim_io *io)
{
    return io->co && !sim_co_ended(io->co) && (sim_io_ready(io) || io->deadline <= io->w->now);
}

/* A random thread that can go on, or NULL. */
static sim_io *pick_io(sim_world *w)
{
    sim_io *picked = NULL;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < w->ios_len; i++) {
        if (!io_runnable(w->ios[i]))
            continue;
        seen++;
        if (seen == 1 || sim_below(w, seen) == 0)
            picked = w->ios[i];
    }
    return picked;
}

static void run_io(sim_io *io)
{
    sim_world *w = io->w;
    HS_ASSERT(w->running == NULL);
    w->running = io;
    if (io->resumed)
        io->resumed(io->ctx);
    sim_co_resume(io->co);
    w->running = NULL;
}

/* Time passes until the next event or deadline. False: there is none. */
static bool pass_time(sim_world *w, uint64_t deadline)
{
    uint64_t next = HS_MIN(hs_heap_next(&w->events), deadline);
    for (uint32_t i = 0; i < w->ios_len; i++) {
        const sim_io *io = w->ios[i];
        if (io->co && !sim_co_ended(io->co))
            next = HS_MIN(next, io->deadline);
    }
    if (next == UINT64_MAX)
        return false;
    w->now = HS_MAX(w->now, next);
    if (sim_chance(w, w->faults.clock_jump)) {
        uint64_t jump = sim_spread(w, w->faults.jump_ms_max) * HS_MSEC_NS;
        w->now += jump;
        /* Shorter ones end no connection that keeps to its limits. */
        w->harmed |= jump > 100 * HS_MSEC_NS;
        sim_note(w, "clock jump", (int64_t)jump, 0, 0);
    }
    return true;
}

bool sim_world_step(sim_world *w)
{
    HS_ASSERT(w->running == NULL);
    sim_io *io = pick_io(w);
    bool due = hs_heap_next(&w->events) <= w->now;
    if (io && (!due || sim_below(w, 2))) {
        run_io(io);
        return true;
    }
    return due ? run_one_event(w) : pass_time(w, UINT64_MAX);
}

bool sim_wait(sim_io *io, uint64_t deadline)
{
    sim_world *w = io->w;
    if (w->running == io) {
        io->deadline = deadline;
        sim_co_yield(io->co);
        return true;
    }
    /* No thread of its own: a test's only backend, whose turn is all that moves the world. */
    HS_ASSERT(io->co == NULL && w->running == NULL);
    if (run_one_event(w))
        return true;
    return deadline > w->now && pass_time(w, deadline);
}

void sim_world_spawn(sim_world *w, uint32_t i, void (*body)(void *ctx), void (*resumed)(void *ctx),
                     void *ctx)
{
    HS_ASSERT(i < w->ios_len);
    sim_io *io = w->ios[i];
    HS_ASSERT(io->co == NULL);
    io->co = sim_co_create(sim_mem(), body, ctx);
    HS_ASSERT(io->co != NULL);
    io->resumed = resumed;
    io->ctx = ctx;
    io->deadline = 0;
}

bool sim_world_ended(const sim_world *w)
{
    for (uint32_t i = 0; i < w->ios_len; i++)
        if (w->ios[i]->co && !sim_co_ended(w->ios[i]->co))
            return false;
    return true;
}

/* ---- the whole ---- */

hs_err sim_world_create(const sim_options *options, sim_world **out)
{
    HS_ASSERT(options->shards > 0 && options->shards <= HS_SHARDS_MAX);
    sim_world *w = hs_mem_take_zero(sim_mem(), sizeof(*w), _Alignof(sim_world));
    HS_ENSURE(w, -ENOMEM);
    w->seed = options->seed;
    w->random = options->seed * UINT64_C(0xd1342543de82ef95) + 1;
    w->trace = options->trace;
    w->port_next = 40000;
    w->now = HS_SEC_NS + sim_below(w, HS_SEC_NS);
    if (options->faults)
        w->faults = *options->faults;
    else
        sim_faults_draw(&w->faults, options->seed);
    hs_heap_init(&w->events, sim_mem(), EVENTS_MAX);
    hs_list_init(&w->peers);
    w->ios = hs_mem_take_zero(sim_mem(), options->shards * sizeof(sim_io *), _Alignof(sim_io *));
    HS_ASSERT(w->ios != NULL);
    w->ios_len = options->shards;
    const hs_mem *mem = options->mem ? options->mem : sim_mem();
    hs_err err = HS_OK;
    for (uint32_t i = 0; i < w->ios_len && hs_ok(err); i++)
        err = sim_io_create(w, i, mem, &w->ios[i]);
    if (hs_ok(err))
        *out = w;
    else
        sim_world_destroy(w);
    return err;
}

void sim_world_destroy(sim_world *w)
{
    HS_ASSERT(w->running == NULL);
    for (uint32_t i = 0; i < w->ios_len; i++)
        if (w->ios[i])
            sim_io_free(w->ios[i]);
    HS_ASSERT(w->fds_open == 0);
    hs_list *link;
    while ((link = hs_list_pop_front(&w->peers)) != NULL)
        sim_peer_free(HS_CONTAINER_OF(link, sim_peer, link));
    hs_heap_fini(&w->events);
    hs_mem_give(sim_mem(), w->ios, w->ios_len * sizeof(sim_io *), _Alignof(sim_io *));
    hs_mem_give(sim_mem(), w, sizeof(*w), _Alignof(sim_world));
}

hs_io *sim_world_io(sim_world *w, uint32_t i)
{
    HS_ASSERT(i < w->ios_len);
    return &w->ios[i]->io;
}

uint64_t sim_world_now_ns(const sim_world *w)
{
    return w->now;
}

const sim_faults *sim_world_faults(const sim_world *w)
{
    return &w->faults;
}

uint32_t sim_world_fds(const sim_world *w)
{
    return w->fds_open;
}

bool sim_world_harmed(const sim_world *w)
{
    return w->harmed;
}
