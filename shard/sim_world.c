/* The simulated world as a whole, put together from its parts.
 *
 * Owns: what a world begins with and what must be gone at its end; who hears what the wires tell.
 * Must not know: how a part works. Tested by: tests/unit/shard_io_sim.c. */
#include <errno.h>

#include "sim_inside.h"

#define EVENTS_MAX (1u << 16)

hs_err sim_world_create(const sim_options *options, sim_world **out)
{
    HS_ASSERT(options->shards > 0 && options->shards <= HS_SHARDS_MAX);
    sim_world *w = hs_mem_take_zero(sim_mem(), sizeof(*w), _Alignof(sim_world));
    HS_ENSURE(w, -ENOMEM);
    w->seed = options->seed;
    w->random = options->seed * UINT64_C(0xd1342543de82ef95) + 1;
    w->trace = options->trace;
    w->port_next = SIM_PORT_FIRST;
    w->kick = sim_kick;
    w->now = HS_SEC_NS + sim_below(w, HS_SEC_NS);
    if (options->faults)
        w->faults = *options->faults;
    else
        sim_faults_draw(&w->faults, options->seed);
    hs_heap_init(&w->events, sim_mem(), EVENTS_MAX);
    hs_list_init(&w->wires);
    hs_list_init(&w->doors);
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
    while ((link = hs_list_pop_front(&w->wires)) != NULL)
        sim_wire_free(HS_CONTAINER_OF(link, sim_wire, link));
    sim_doors_free(w);
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
