/* Whose turn it is in a simulated world.
 *
 * Owns: the threads of the backends, the order in which they go on, drawn from the seed, and the
 * leap of the clock to the next event when all of them wait. Must not know: what a thread runs,
 * what an event does. Tested by: tests/unit/shard_io_sim.c. */
#include "sim_inside.h"

/* Whether its thread would do something: its turn has something to tell, or has waited enough. */
static bool io_runnable(const sim_io *io)
{
    bool ready = io->woken || sim_cq_ready(io);
    return io->co && !sim_co_ended(io->co) && (ready || io->deadline <= io->w->now);
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
    return due ? sim_event_run(w) : pass_time(w, UINT64_MAX);
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
    if (sim_event_run(w))
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
