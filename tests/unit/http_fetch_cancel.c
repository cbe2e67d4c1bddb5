/* Fetches that are given up, at each step: nothing is left of them, and the others go on. */
#include "fetch_rig.h"

static const fake_row rows[] = {{"a.test", "192.0.2.1", 0, 10, AF_INET},
                                {"a.test", NULL, HS_E_NAME_NONE, 10, AF_INET6},
                                {NULL, NULL, 0, 0, 0}};

static sim_event drip_event;
static conn *drip_conn;
static size_t drip_at;

static void drip(sim_world *w, sim_event *event)
{
    if (!drip_conn->peer || !HELLO[drip_at])
        return;
    say_bytes(drip_conn, &HELLO[drip_at++], 1);
    sim_event_set(w, event, 1 * HS_MSEC_NS, drip);
}

static void start_drip(conn *c)
{
    drip_conn = c;
    drip_at = 0;
    sim_event_set(r.b.w, &drip_event, 5 * HS_MSEC_NS, drip);
}

/* 10 ms to find the name, 10 to connect, 5 to the first byte, then a byte each. */
static void begin_slow(got *g, const char *url, const hs_fetch_options *o)
{
    rig_prepare(rows, NULL);
    r.on_request = start_drip;
    cr_assert(hs_ok(rig_make()));
    reach("192.0.2.1:0", SIM_REACH_OPEN, 10);
    begin(g, url, o);
}

#define STEPS (10 + 10 + 5 + sizeof(HELLO) + 5)

Test(http_fetch_cancel, by_its_token_at_each_step)
{
    for (uint64_t ms = 0; ms < STEPS; ms++) {
        got g;
        rig_prepare(rows, NULL);
        r.on_request = start_drip;
        cr_assert(hs_ok(rig_make()));
        reach("192.0.2.1:0", SIM_REACH_OPEN, 10);
        hs_cancel *cancel = hs_cancel_create(r.b.shard);
        begin(&g, "http://a.test/", &(hs_fetch_options){.cancel = cancel});
        if (ms > 0)
            bench_run(&r.b, ms);
        bool whole = g.bodies > 0;
        hs_cancel_fire(cancel, hs_err_of(HS_E_BLOCKED));
        bench_run(&r.b, 5);
        hs_cancel_unref(cancel);
        if (whole) {
            expect_hello(&g);
        } else if (g.values) {
            expect_body_error(&g, HS_E_BLOCKED, "not ready");
            cr_assert_eq(hs_client_conns(r.client), 0);
        } else {
            cr_assert_eq(g.errors, 1, "%u", (unsigned)ms);
            cr_assert_eq(g.err.code, HS_E_BLOCKED);
            cr_assert_eq(hs_client_conns(r.client), 0);
        }
        sim_event_cancel(r.b.w, &drip_event);
        rig_fini();
    }
}

Test(http_fetch_cancel, a_token_that_has_fired)
{
    got g;
    rig_init();
    hs_cancel *cancel = hs_cancel_create(r.b.shard);
    hs_cancel_fire(cancel, hs_err_of(-ETIMEDOUT));
    begin(&g, URL, &(hs_fetch_options){.cancel = cancel});
    bench_run(&r.b, 5);
    expect_error(&g, -ETIMEDOUT, HS_FETCH_START, "");
    hs_cancel_unref(cancel);
    cr_assert_eq(r.accepted, 0);
    rig_fini();
}

static hs_cancel *inside;

static hs_err fire_it(const hs_addr *addr, void *ctx)
{
    (void)addr, (void)ctx;
    hs_cancel_fire(inside, hs_err_of(HS_E_BLOCKED));
    return HS_OK;
}

Test(http_fetch_cancel, from_inside_allow)
{
    for (int name = 0; name < 2; name++) {
        got g;
        rig_prepare(rows, NULL);
        r.options.allow = fire_it;
        cr_assert(hs_ok(rig_make()));
        inside = hs_cancel_create(r.b.shard);
        begin(&g, name ? "http://a.test/" : URL, &(hs_fetch_options){.cancel = inside});
        bench_run(&r.b, 50);
        expect_error(&g, HS_E_BLOCKED, HS_FETCH_CONNECT, "");
        hs_cancel_unref(inside);
        cr_assert_eq(hs_client_conns(r.client), 0);
        rig_fini();
    }
}

/* One that waits gives up its place, not somebody else's. */
Test(http_fetch_cancel, in_the_queue)
{
    static got g[3];
    rig_prepare(NULL, NULL);
    r.options.conns_max = 1;
    r.on_request = start_drip;
    cr_assert(hs_ok(rig_make()));
    hs_cancel *cancel = hs_cancel_create(r.b.shard);
    for (int i = 0; i < 3; i++)
        begin(&g[i], i ? URL : "http://192.0.2.2/",
              &(hs_fetch_options){.cancel = i == 1 ? cancel : NULL});
    bench_run(&r.b, 20);
    hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
    bench_run(&r.b, 300);
    expect_hello(&g[0]);
    expect_error(&g[1], -ECANCELED, HS_FETCH_QUEUE, "");
    expect_hello(&g[2]);
    hs_cancel_unref(cancel);
    rig_fini();
}

/* ---- the end of the client ---- */

Test(http_fetch_cancel, the_client_ends_at_each_step)
{
    for (uint64_t ms = 0; ms < STEPS; ms++) {
        got g;
        begin_slow(&g, "http://a.test/", NULL);
        if (ms > 0)
            bench_run(&r.b, ms);
        hs_client_destroy(r.client);
        bench_run(&r.b, 5);
        cr_assert_eq(g.errors + g.bodies + g.body_errors, 1);
        if (g.errors)
            cr_assert_eq(g.err.code, HS_E_CLOSED);
        if (g.body_errors)
            cr_assert_eq(g.body_err.code, HS_E_CLOSED);
        if (g.res)
            let_go(&g);
        r.client = NULL;
        sim_event_cancel(r.b.w, &drip_event);
        rig_fini();
    }
}

/* With a TCP module of its own, which goes after the last socket. */
Test(http_fetch_cancel, the_client_ends_with_its_own_tcp)
{
    for (uint64_t ms = 0; ms < STEPS; ms += 3) {
        got g;
        rig_prepare(rows, NULL);
        r.on_request = start_drip;
        cr_assert(hs_ok(hs_client_create(r.b.shard, &r.options, &r.client)));
        reach("192.0.2.1:0", SIM_REACH_OPEN, 10);
        begin(&g, "http://a.test/", NULL);
        if (ms > 0)
            bench_run(&r.b, ms);
        hs_client_destroy(r.client);
        bench_run(&r.b, 50);
        if (g.res)
            let_go(&g);
        r.client = NULL;
        sim_event_cancel(r.b.w, &drip_event);
        rig_fini();
    }
}

Test(http_fetch_cancel, a_drain_lets_fetches_go_on_and_keeps_no_connection)
{
    static got g[3];
    rig_prepare(NULL, NULL);
    r.on_request = start_drip;
    cr_assert(hs_ok(rig_make()));
    begin(&g[0], "http://192.0.2.2/", NULL);
    bench_run(&r.b, 100);
    expect_hello(&g[0]);
    cr_assert_eq(hs_client_conns(r.client), 1);
    begin(&g[1], URL, NULL);
    bench_run(&r.b, 10);
    hs_client_drain(r.client);
    cr_assert_eq(hs_client_conns(r.client), 1);
    bench_run(&r.b, 100);
    expect_hello(&g[1]);
    cr_assert_eq(hs_client_conns(r.client), 0);
    begin(&g[2], URL, NULL); /* a request that is under way may need it */
    bench_run(&r.b, 100);
    expect_hello(&g[2]);
    cr_assert_eq(hs_client_conns(r.client), 0);
    rig_fini();
}

/* ---- responses that are freed early ---- */

Test(http_fetch_cancel, a_response_freed_at_each_step)
{
    for (uint64_t ms = 25; ms < STEPS + 20; ms++) {
        got g;
        memset(&g, 0, sizeof g);
        rig_prepare(rows, NULL);
        r.on_request = start_drip;
        cr_assert(hs_ok(rig_make()));
        g.by_hand = ms & 1;
        begin_kept(&g, URL, NULL);
        bench_run(&r.b, ms);
        if (g.res)
            let_go(&g);
        bench_run(&r.b, 5);
        cr_assert_leq(hs_client_conns(r.client), 1);
        if (g.res)
            let_go(&g);
        sim_event_cancel(r.b.w, &drip_event);
        rig_fini();
    }
}
