/* The whole server in the simulator: shards, TCP, HTTP and handlers, against scripted clients,
 * under faults that each seed draws anew.
 *
 * Held to: each request is answered once, in order, with the right bytes, or its connection was
 * harmed; nothing is left (memory, files, ops); all ends within a bounded virtual time.
 *
 *   sim_server --seeds 1-1000 [--seconds 60]   run seeds; stop early when the time is up
 *   sim_server --seed 7                        run one again, telling all that happens
 *   sim_server --twice 1-20                    run each twice: the same must happen */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "client.h"

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

typedef struct totals {
    uint64_t seeds, answers, clients, unharmed, notes, mem_fails, no_start;
} totals;

static uint64_t seed_now; /* for the handler of a failed assertion */

static void tell_replay(int sig)
{
    char line[80] = "replay: sim_server --seed ";
    size_t len = strlen(line);
    char digits[20];
    size_t n = 0;
    for (uint64_t v = seed_now; n == 0 || v > 0; v /= 10)
        digits[n++] = (char)('0' + v % 10);
    while (n > 0)
        line[len++] = digits[--n];
    line[len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

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

/* Run one seed. Exits the process with a message where something was wrong. */
static uint64_t run_seed(uint64_t seed, FILE *trace, totals *t)
{
    static run r;
    seed_now = seed;
    t->seeds++;
    if (!run_init(&r, seed, trace)) {
        t->no_start++;
        return 0;
    }
    const char *fault = run_to_end(&r);
    if (fault) {
        fprintf(stderr, "seed %" PRIu64 ": %s (client %u)\nreplay: sim_server --seed %" PRIu64 "\n",
                seed, fault, r.clients_run.fault_client, seed);
        exit(1);
    }
    uint64_t hash = sim_world_hash(r.c.w);
    t->answers += r.clients_run.answers;
    t->unharmed += r.clients_run.unharmed;
    t->clients += r.clients_len;
    t->mem_fails += r.c.mem.fails;
    for (uint32_t i = 0; i < r.clients_len; i++)
        client_fini(&r.clients[i]);
    cluster_fini(&r.c);
    return hash;
}

/* ---- the program ---- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: sim_server --seeds FROM-TO [--seconds S] | --seed N | --twice FROM-TO\n");
    return 2;
}

static int run_range(uint64_t from, uint64_t to, double seconds_max, bool twice)
{
    totals t = {0};
    uint64_t hash_all = 0;
    double start = seconds();
    for (uint64_t seed = from; seed <= to; seed++) {
        if (seconds_max > 0 && seconds() - start > seconds_max)
            break;
        uint64_t hash = run_seed(seed, NULL, &t);
        if (twice && hash != run_seed(seed, NULL, &t)) {
            fprintf(stderr, "seed %" PRIu64 " did not run the same twice\n", seed);
            return 1;
        }
        hash_all = hash_all * 31 + hash;
    }
    double spent = seconds() - start;
    printf("sim_server: %" PRIu64 " seeds in %.1f s (%.1f ms each): %" PRIu64 " answers to %" PRIu64
           " clients, %" PRIu64 " of them got all; %" PRIu64 " times no memory, %" PRIu64
           " starts without; hash %016" PRIx64 "\n",
           t.seeds, spent, spent * 1e3 / (double)t.seeds, t.answers, t.clients, t.unharmed,
           t.mem_fails, t.no_start, hash_all);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t from = 0, to = 0;
    double seconds_max = 0;
    const char *mode = NULL;
    (void)signal(SIGABRT, tell_replay);
    for (int i = 1; i + 1 < argc; i += 2) {
        char *end;
        if (strcmp(argv[i], "--seconds") == 0) {
            seconds_max = strtod(argv[i + 1], NULL);
            continue;
        }
        mode = argv[i];
        from = to = strtoull(argv[i + 1], &end, 10);
        if (*end == '-')
            to = strtoull(end + 1, &end, 10);
        if (*end != '\0' || to < from)
            return usage();
    }
    if (!mode || argc % 2 == 0)
        return usage();
    if (strcmp(mode, "--seeds") == 0)
        return run_range(from, to, seconds_max, false);
    if (strcmp(mode, "--twice") == 0)
        return run_range(from, to, seconds_max, true);
    if (strcmp(mode, "--seed") != 0)
        return usage();
    totals t = {0};
    printf("seed %" PRIu64 ": fine, hash %016" PRIx64 "\n", from, run_seed(from, stderr, &t));
    return 0;
}
