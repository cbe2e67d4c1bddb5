/* Fetches while everything goes wrong that the simulated kernel and network can do: each comes to
 * an end, a body that is said to be whole is right, and nothing is left. */
#include "fetch_rig.h"

#define SEEDS 120
#define FETCHES 40

static const char *const answers[] = {
    HELLO,
    OK11 "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    OK11 "Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 302 x\r\nLocation: /y\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n",
    HELLO HELLO,
};

static void answer_any(conn *c)
{
    if (c->out_len == 0)
        say(c, answers[sim_below(r.b.w, HS_ARRAY_LEN(answers))]);
}

static uint32_t whole, failed;

static void run_seed(uint64_t seed)
{
    static got g[FETCHES];
    sim_faults faults;
    sim_faults_draw(&faults, seed);
    rig_prepare(NULL, &faults);
    r.options.conns_max = 8;
    r.options.conns_per_origin = 5;
    r.options.idle_ms_max = 500;
    r.on_request = answer_any;
    cr_assert(hs_ok(rig_make()));
    hs_cancel *cancel = hs_cancel_create(r.b.shard);
    hs_fetch_options o = {.retries = 2, .retry_ms = 10, .times = {.total_ms = 20000}};
    for (int i = 0; i < FETCHES; i++) {
        o.cancel = i % 7 == 3 ? cancel : NULL;
        o.body = i % 5 == 4 ? HS_SPAN("body") : hs_span_of(NULL, 0);
        begin(&g[i], i % 3 ? URL : i % 2 ? "http://192.0.2.2/" : "https://192.0.2.3/", &o);
        if (i % 4 == 0)
            bench_run(&r.b, 1 + sim_below(r.b.w, 20));
    }
    hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
    hs_cancel_unref(cancel);
    bench_run(&r.b, 120000);
    for (int i = 0; i < FETCHES; i++) {
        cr_assert_eq(g[i].errors + g[i].bodies + g[i].body_errors, 1, "seed %u, fetch %d: %s",
                     (unsigned)seed, i, rig_where());
        whole += g[i].bodies;
        failed += !g[i].bodies;
        if (g[i].bodies && g[i].res->status == 200)
            cr_assert_str_eq(g[i].body, "hello");
        if (g[i].res)
            let_go(&g[i]);
    }
    cr_assert_eq(hs_client_waiting(r.client), 0);
    hs_client_destroy(r.client);
    bench_run(&r.b, 200000);
    r.client = NULL;
    rig_fini();
}

Test(http_fetch_faults, each_fetch_comes_to_an_end)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
    cr_assert(whole > SEEDS && failed > SEEDS, "%u whole, %u failed", whole, failed);
}
