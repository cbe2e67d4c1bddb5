/* The ground of a simulated world: its clock, its random numbers, its events, and what is noted.
 *
 * Owns: virtual time, which stands still while code runs but for a little that each turn spends;
 * the one stream of random numbers; the events in order of time; the hash. Must not know: what an
 * event does. Tested by: tests/unit/shard_io_sim.c. */
#include <inttypes.h>
#include <string.h>

#include "sim_inside.h"

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

/* ---- time ---- */

void sim_spend(sim_world *w)
{
    w->now += 500 + sim_below(w, 20000);
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

uint64_t sim_sum(uint64_t sum, const uint8_t *p, size_t len)
{
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        sum = (sum ^ word) * UINT64_C(0x9fb21c651e98df25);
        sum ^= sum >> 32;
        p += 8;
        len -= 8;
    }
    while (len-- > 0)
        sum = (sum ^ *p++) * UINT64_C(0x100000001b3);
    return sum;
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

bool sim_event_run(sim_world *w)
{
    hs_heap_node *node = hs_heap_pop(&w->events, w->now);
    if (!node)
        return false;
    sim_event *event = HS_CONTAINER_OF(node, sim_event, node);
    event->fn(w, event);
    return true;
}

void sim_world_spend(sim_world *w, uint64_t ns)
{
    w->now += ns;
    while (sim_event_run(w))
        ;
}
