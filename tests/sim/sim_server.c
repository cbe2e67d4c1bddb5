/* The whole server in the simulator: shards, TCP, HTTP and handlers, against scripted clients,
 * under faults that each seed draws anew.
 *
 * Held to: each request is answered once, in order, with the right bytes, or its connection was
 * harmed; nothing is left (memory, files, ops); all ends within a bounded virtual time.
 * Its command line: seeds.h. */
#include <inttypes.h>
#include <string.h>

#include "app.h"
#include "client.h"
#include "seeds.h"

#define CLIENTS_MAX 8
#define TIME_MAX_NS (3600 * HS_SEC_NS)

typedef struct run {
    cluster c;
    app app;
    client_run clients_run;
    client clients[CLIENTS_MAX];
    uint32_t clients_len;
    sim_event drain, drain_over;
    bool stopped;
} run;

static struct totals {
    uint64_t answers, clients, unharmed, mem_fails, no_start;
} totals;

static void stop(run *r)
{
    if (r->stopped)
        return;
    r->stopped = true;
    r->clients_run.draining = true;
    r->clients_run.drain_ns = sim_world_now_ns(r->c.w);
    cluster_stop(&r->c);
}

static void drain_due(sim_world *w, sim_event *event)
{
    run *r = HS_CONTAINER_OF(event, run, drain);
    /* The shards count from their turn's time, which is a little earlier. */
    uint64_t over_ms = r->app.drain_ms > 0 ? r->app.drain_ms - 1 : 0;
    if (!r->stopped)
        sim_event_set(w, &r->drain_over, over_ms * HS_MSEC_NS, r->drain_over.fn);
    stop(r);
}

static void drain_over(sim_world *w, sim_event *event)
{
    (void)w;
    HS_CONTAINER_OF(event, run, drain_over)->clients_run.aborting = true;
}

static bool run_init(run *r, uint64_t seed, FILE *trace)
{
    memset(r, 0, sizeof(*r));
    cluster_options o = {.sim = {.seed = seed, .trace = trace},
                         .start = app_start,
                         .stop = app_stop,
                         .end = app_end,
                         .ctx = &r->app};
    /* One run in eight has failing memory, every other two shards. */
    o.sim.shards = 1 + seed % 2;
    o.fail_chance = seed % 8 == 0 ? 1u << (seed / 8 % 7) : 0;
    if (!hs_ok(cluster_init(&r->c, &o)))
        return false;
    sim_world *w = r->c.w;
    r->clients_run.w = w;
    r->clients_run.unsure = o.fail_chance > 0;
    r->app.drain_ms = (uint32_t)sim_spread(w, 20000);
    r->drain_over.fn = drain_over;
    if (sim_below(w, 3) == 0)
        sim_event_set(w, &r->drain, sim_spread(w, 3000) * HS_MSEC_NS, drain_due);
    return true;
}

/* The listeners are open before the first client comes, as they are when hs_group_start returns. */
static bool run_step(run *r)
{
    if (r->clients_len == 0 && r->c.started == r->c.options.sim.shards) {
        if (!hs_ok(r->c.start_err))
            r->clients_run.draining = r->stopped = true;
        r->clients_len = 1 + (uint32_t)sim_below(r->c.w, CLIENTS_MAX);
        for (uint32_t i = 0; i < r->clients_len; i++)
            client_start(&r->clients_run, &r->clients[i], i + 1);
    }
    if (r->clients_len > 0 && r->clients_run.left == 0)
        stop(r);
    return sim_world_step(r->c.w);
}

static const char *run_to_end(run *r)
{
    uint64_t end = sim_world_now_ns(r->c.w) + TIME_MAX_NS;
    while (!sim_world_ended(r->c.w) || r->clients_run.left > 0) {
        if (!run_step(r))
            return "stuck: nothing will ever happen";
        if (r->clients_run.fault)
            return r->clients_run.fault;
        if (sim_world_now_ns(r->c.w) > end)
            return "it does not end";
    }
    shard_enter(NULL);
    return r->clients_run.fault;
}

static uint64_t run_seed(uint64_t seed, FILE *trace)
{
    static run r;
    if (!run_init(&r, seed, trace)) {
        totals.no_start++;
        return 0;
    }
    const char *fault = run_to_end(&r);
    if (fault)
        seeds_fail(fault, r.clients_run.fault_client);
    uint64_t hash = sim_world_hash(r.c.w);
    totals.answers += r.clients_run.answers;
    totals.unharmed += r.clients_run.unharmed;
    totals.clients += r.clients_len;
    totals.mem_fails += r.c.mem.fails;
    for (uint32_t i = 0; i < r.clients_len; i++)
        client_fini(&r.clients[i]);
    cluster_fini(&r.c);
    return hash;
}

static void print_totals(void)
{
    printf("%" PRIu64 " answers to %" PRIu64 " clients, %" PRIu64 " of them got all; %" PRIu64
           " times no memory, %" PRIu64 " starts without",
           totals.answers, totals.clients, totals.unharmed, totals.mem_fails, totals.no_start);
}

int main(int argc, char **argv)
{
    static const seeds_program program = {
        .name = "sim_server", .run = run_seed, .print_totals = print_totals};
    return seeds_main(&program, argc, argv);
}
