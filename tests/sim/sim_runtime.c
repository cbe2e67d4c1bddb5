/* Promises, tokens, timers, fibers, calls and channels of several shards in the simulator: random
 * programs under faults that each seed draws anew.
 *
 * Held to (ledger.h): nothing is lost and nothing happens twice: every value is received or dropped
 * once, every fiber comes to its end, every argument of a call is used or dropped, every token
 * tells whoever listens once. A run that is let come to its end settles every promise, and leaves
 * no slot in use; one that is stopped at a random moment, or has failing memory, still drops every
 * value and leaves no memory behind. Its command line: seeds.h. */
#include <inttypes.h>
#include <string.h>

#include "actor.h"
#include "cluster.h"
#include "inside.h"
#include "seeds.h"

#define TIME_MAX_NS (3600 * HS_SEC_NS)

typedef struct run {
    cluster c;
    runtime rt;
    sim_event stop;
    bool stopped;
} run;

static struct totals {
    uint64_t things, sent, received, whole, mem_fails, virtual_ms;
} totals;

/* ---- on each shard ---- */

static hs_err start(hs_shard *shard, void *ctx)
{
    runtime *rt = ctx;
    actor *a = &rt->actors[hs_shard_id(shard)];
    actor_start(a, shard);
    actor_roots(a, 1 + actor_below(a, ACTOR_ROOTS));
    return HS_OK;
}

static void stop(hs_shard *shard, void *ctx)
{
    runtime *rt = ctx;
    actor_stop(&rt->actors[hs_shard_id(shard)]);
}

static void end(hs_shard *shard, void *ctx)
{
    runtime *rt = ctx;
    actor_end(&rt->actors[hs_shard_id(shard)]);
    HS_ASSERT(hs_fibers(shard) == 0);
    HS_ASSERT(!shard->tasks.first && !shard->tasks_next.first && shard->holds == 0);
    if (!rt->whole)
        return;
    HS_ASSERT(shard->promises.pool.slots_used == 0);
    HS_ASSERT(shard->cancels.pool.slots_used == 0);
    HS_ASSERT(shard->calls.pool.slots_used == 0);
    HS_ASSERT(!shard->channels.waits.slabs || shard->channels.waits.slots_used == 0);
    HS_ASSERT(hs_list_empty(&shard->channels.sides) && hs_list_empty(&shard->channels.ended));
}

/* ---- a run ---- */

static void stop_now(run *r)
{
    if (r->stopped)
        return;
    r->stopped = true;
    cluster_stop(&r->c);
}

static void stop_due(sim_world *w, sim_event *event)
{
    (void)w;
    stop_now(HS_CONTAINER_OF(event, run, stop));
}

static void run_init(run *r, uint64_t seed, FILE *trace)
{
    memset(r, 0, sizeof *r);
    cluster_options o = {.sim = {.seed = seed, .trace = trace, .shards = 1 + seed % ACTORS_MAX},
                         .start = start,
                         .stop = stop,
                         .end = end,
                         .ctx = &r->rt};
    hs_err err = cluster_init(&r->c, &o);
    HS_ASSERT(hs_ok(err));
    /* One run in four has failing memory, once its shards are made. Pools ask for much at a time,
     * so it fails often. */
    bool fails = seed % 4 == 0;
    r->c.mem.fail_chance = fails ? 1u << (seed / 4 % 11) : 0;
    sim_world *w = r->c.w;
    ledger_reset(w);
    r->rt.w = w;
    r->rt.actors_len = o.sim.shards;
    r->rt.sleep_ms_max = 1 + (uint32_t)sim_spread(w, 2000);
    for (uint32_t i = 0; i < o.sim.shards; i++) {
        actor *a = &r->rt.actors[i];
        a->rt = &r->rt;
        a->number = i;
        a->fuel = (uint32_t)sim_below(w, 1500);
    }
    r->rt.whole = !fails && sim_below(w, 3) > 0;
    if (!r->rt.whole)
        sim_event_set(w, &r->stop, sim_spread(w, 4000) * HS_MSEC_NS, stop_due);
}

/* Everything that was begun has ended, but for who listens to a token; nor is any promise left that
 * nobody waits for. */
static bool at_rest(const run *r)
{
    if (ledger_open_all() > ledger_open(LEDGER_HOOK))
        return false;
    for (uint32_t i = 0; i < r->rt.actors_len; i++) {
        const actor *a = &r->rt.actors[i];
        if (!a->shard || a->roots_left > 0 || a->shard->promises.pool.slots_used > 0)
            return false;
    }
    return true;
}

static const char *run_to_end(run *r)
{
    uint64_t over = sim_world_now_ns(r->c.w) + TIME_MAX_NS;
    while (!sim_world_ended(r->c.w)) {
        if (r->rt.whole && !r->stopped && at_rest(r))
            stop_now(r);
        if (!sim_world_step(r->c.w))
            return "stuck: nothing will ever happen";
        if (sim_world_now_ns(r->c.w) > over)
            return "it does not end";
    }
    shard_enter(NULL);
    return NULL;
}

/* What was lost. A reaction to what is pending at a stop is never called, and so is one that there
 * was no memory for. */
static const char *look_at_ledger(void)
{
    for (int kind = 0; kind < LEDGER_KINDS; kind++)
        if (kind != LEDGER_REACTION && ledger_open((ledger_kind)kind) > 0)
            return ledger_name((ledger_kind)kind);
    return NULL;
}

static uint64_t run_seed(uint64_t seed, FILE *trace)
{
    static run r;
    run_init(&r, seed, trace);
    uint64_t begin_ns = sim_world_now_ns(r.c.w);
    const char *fault = run_to_end(&r);
    if (fault)
        seeds_fail(fault, ledger_open_all());
    fault = look_at_ledger();
    if (fault)
        seeds_fail(fault, ledger_open_all());
    uint64_t hash = sim_world_hash(r.c.w);
    totals.things += ledger_made();
    totals.sent += r.rt.messages_sent;
    totals.received += r.rt.messages_received;
    totals.whole += r.rt.whole;
    totals.mem_fails += r.c.mem.fails;
    totals.virtual_ms += (sim_world_now_ns(r.c.w) - begin_ns) / HS_MSEC_NS;
    cluster_fini(&r.c);
    return hash;
}

static void print_totals(void)
{
    printf("%" PRIu64 " things began and ended in %" PRIu64 " virtual seconds, %" PRIu64
           " runs to their end; %" PRIu64 " messages sent, %" PRIu64 " received at once; %" PRIu64
           " times no memory",
           totals.things, totals.virtual_ms / 1000, totals.whole, totals.sent, totals.received,
           totals.mem_fails);
}

int main(int argc, char **argv)
{
    static const seeds_program program = {
        .name = "sim_runtime", .run = run_seed, .print_totals = print_totals};
    return seeds_main(&program, argc, argv);
}
