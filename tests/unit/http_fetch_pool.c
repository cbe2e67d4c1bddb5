/* The client's pool on the simulated backend: reuse, limits, the queue, what is not reused. */
#include "fetch_rig.h"

#define MANY 10000

static void fetch_ok(const char *url)
{
    got g;
    begin(&g, url, NULL);
    bench_run(&r.b, 20);
    expect_hello(&g);
}

Test(http_fetch_pool, a_clean_connection_is_used_again)
{
    rig_init();
    for (int i = 0; i < 5; i++)
        fetch_ok(URL);
    cr_assert_eq(r.accepted, 1);
    cr_assert_eq(bench_count(&r.b, "fetch_dialled"), 1);
    cr_assert_eq(bench_count(&r.b, "fetch_reused"), 4);
    cr_assert_eq(hs_client_conns(r.client), 1);
    fetch_ok("http://192.0.2.2/"); /* another host, another connection */
    cr_assert_eq(r.accepted, 2);
    rig_fini();
}

Test(http_fetch_pool, what_is_not_clean_is_not_used_again)
{
    static const char *const answers[] = {
        OK11 "Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        HELLO "x",   /* more than was asked for */
        HELLO HELLO, /* a second response, smuggled in */
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(answers); i++) {
        rig_init();
        r.answer = answers[i];
        fetch_ok(URL);
        cr_assert_eq(hs_client_conns(r.client), 0);
        r.answer = HELLO;
        fetch_ok(URL);
        cr_assert_eq(r.accepted, 2);
        rig_fini();
    }
}

/* A response that nobody asked for must never meet the next request. */
Test(http_fetch_pool, bytes_on_a_resting_connection_end_it)
{
    rig_init();
    fetch_ok(URL);
    say(conn_at(0), OK11 "Content-Length: 4\r\n\r\nevil");
    bench_run(&r.b, 20);
    cr_assert_eq(hs_client_conns(r.client), 0);
    cr_assert_null(conn_at(0)->peer);
    fetch_ok(URL);
    cr_assert_eq(r.accepted, 2);
    rig_fini();
}

Test(http_fetch_pool, rest_and_age_are_bounded)
{
    rig_prepare(NULL, NULL);
    r.options.idle_ms_max = 1000;
    r.options.age_ms_max = 3000;
    cr_assert(hs_ok(rig_make()));
    fetch_ok(URL);
    bench_run(&r.b, 900);
    cr_assert_eq(hs_client_conns(r.client), 1);
    bench_run(&r.b, 200);
    cr_assert_eq(hs_client_conns(r.client), 0);
    for (int i = 0; i < 8; i++) {
        fetch_ok(URL);
        bench_run(&r.b, 500);
    }
    cr_assert_eq(r.accepted, 3);
    rig_fini();
}

Test(http_fetch_pool, a_server_that_ends_a_resting_connection)
{
    rig_init();
    for (int i = 0; i < 2; i++) {
        fetch_ok(URL);
        conn_end(conn_at(r.accepted - 1), i > 0);
        bench_run(&r.b, 20);
        cr_assert_eq(hs_client_conns(r.client), 0);
    }
    rig_fini();
}

/* ---- stale connections ---- */

static void end_it(conn *c)
{
    /* The second request on a connection finds it closed. */
    if (c->requests > 1 || c->number >= 10)
        conn_end(c, c->number & 1);
    else
        say(c, r.answer);
}

Test(http_fetch_pool, a_stale_connection_is_replaced_once)
{
    for (int reset = 0; reset < 2; reset++) {
        got g;
        rig_init();
        r.on_request = end_it;
        if (reset)
            fetch_ok("http://192.0.2.9/"); /* the next one has an odd number */
        fetch_ok(URL);
        fetch_ok(URL);
        cr_assert_eq((int)r.accepted, 2 + reset);
        cr_assert_eq(bench_count(&r.b, "fetch_repeated"), 1);
        /* What may have had an effect is not repeated. */
        begin(&g, URL, &(hs_fetch_options){.method = HS_SPAN("POST"), .body = HS_SPAN("x")});
        bench_run(&r.b, 20);
        cr_assert_eq(g.errors, 1);
        cr_assert(g.err.code == HS_E_TRUNCATED || g.err.code == -ECONNRESET);
        /* Nor is a first request. */
        r.accepted = 10;
        begin(&g, URL, NULL);
        bench_run(&r.b, 20);
        cr_assert_eq(g.errors, 1);
        cr_assert_eq(bench_count(&r.b, "fetch_repeated"), 1);
        rig_fini();
    }
}

/* What takes its place is a new one, since the others may be closed, too. */
Test(http_fetch_pool, a_stale_connection_is_not_replaced_by_another)
{
    for (uint32_t limit = 2; limit <= 3; limit++) {
        got g[2];
        rig_prepare(NULL, NULL);
        r.options.conns_per_origin = limit;
        r.on_request = end_it;
        cr_assert(hs_ok(rig_make()));
        for (int i = 0; i < 2; i++)
            begin(&g[i], URL, NULL);
        bench_run(&r.b, 20);
        cr_assert_eq(hs_client_conns(r.client), 2); /* that end at their second requests */
        fetch_ok(URL);
        cr_assert_eq(r.accepted, 3);
        cr_assert_eq(bench_count(&r.b, "fetch_repeated"), 1);
        cr_assert_eq(hs_client_conns(r.client), 2);
        for (int i = 0; i < 2; i++)
            expect_hello(&g[i]);
        rig_fini();
    }
}

/* And there is room for it, also where all connections but the resting ones are busy. */
Test(http_fetch_pool, a_new_connection_takes_the_place_of_one_that_rests)
{
    got g[4];
    rig_prepare(NULL, NULL);
    r.options.conns_per_origin = 2;
    r.options.conns_max = 2;
    r.on_request = end_it;
    cr_assert(hs_ok(rig_make()));
    for (int i = 0; i < 2; i++)
        begin(&g[i], URL, NULL);
    bench_run(&r.b, 20);
    for (int i = 2; i < 4; i++)
        begin(&g[i], URL, NULL);
    bench_run(&r.b, 20);
    for (int i = 0; i < 4; i++)
        expect_hello(&g[i]);
    cr_assert_eq(bench_count(&r.b, "fetch_repeated"), 2);
    cr_assert_leq(r.open_max, 2);
    rig_fini();
}

/* ---- limits ---- */

static hs_timer later;

static void answer_all(hs_timer *timer)
{
    (void)timer;
    for (conn *c = r.conns; c; c = c->next)
        if (c->peer && c->requests > 0 && c->out_len == 0) {
            c->requests = 0;
            say(c, HELLO);
        }
}

static void no_answer(conn *c)
{
    (void)c;
}

Test(http_fetch_pool, limits_of_an_origin_and_in_all)
{
    static got g[12];
    rig_prepare(NULL, NULL);
    r.options.conns_per_origin = 3;
    r.options.conns_max = 5;
    r.on_request = no_answer;
    cr_assert(hs_ok(rig_make()));
    for (int i = 0; i < 12; i++)
        begin(&g[i], i < 6 ? URL : "http://192.0.2.2/", NULL);
    bench_run(&r.b, 20);
    cr_assert_eq(r.open, 5);
    cr_assert_eq(hs_client_conns(r.client), 5);
    cr_assert_eq(hs_client_waiting(r.client), 7);
    for (int i = 0; i < 4; i++) {
        answer_all(&later);
        bench_run(&r.b, 20);
        cr_assert_leq(r.open, 5);
    }
    for (int i = 0; i < 12; i++)
        expect_hello(&g[i]);
    rig_fini();
}

Test(http_fetch_pool, a_resting_connection_gives_way_to_another_origin)
{
    rig_prepare(NULL, NULL);
    r.options.conns_max = 2;
    cr_assert(hs_ok(rig_make()));
    fetch_ok("http://192.0.2.1/");
    fetch_ok("http://192.0.2.2/");
    fetch_ok("http://192.0.2.3/"); /* in place of the first */
    cr_assert_eq(hs_client_conns(r.client), 2);
    fetch_ok("http://192.0.2.2/");
    cr_assert_eq(r.accepted, 3);
    fetch_ok("http://192.0.2.1/");
    cr_assert_eq(r.accepted, 4);
    rig_fini();
}

Test(http_fetch_pool, the_queue_is_bounded_and_in_order)
{
    static got g[6];
    rig_prepare(NULL, NULL);
    r.options.conns_max = 1;
    r.options.queue_max = 4;
    r.on_request = no_answer;
    cr_assert(hs_ok(rig_make()));
    for (int i = 0; i < 6; i++)
        begin(&g[i], i % 2 ? URL : "http://192.0.2.2/", NULL);
    bench_run(&r.b, 20);
    expect_error(&g[5], HS_E_LIMIT, HS_FETCH_QUEUE, "too many fetches");
    for (int i = 0; i < 5; i++) {
        answer_all(&later);
        bench_run(&r.b, 20);
        cr_assert_eq(g[i].bodies, 1, "%d", i);
        expect_hello(&g[i]);
    }
    cr_assert_leq(r.open_max, 2); /* one may still be closing */
    rig_fini();
}

Test(http_fetch_pool, who_waits_does_so_in_bounded_time)
{
    static got g[3];
    rig_prepare(NULL, NULL);
    r.options.conns_max = 1;
    r.on_request = no_answer;
    cr_assert(hs_ok(rig_make()));
    begin(&g[0], URL, NULL);
    begin(&g[1], URL, &(hs_fetch_options){.times = {.queue_ms = 100}});
    begin(&g[2], URL, NULL);
    bench_run(&r.b, 90);
    cr_assert_eq(g[1].errors, 0);
    bench_run(&r.b, 20);
    expect_error(&g[1], -ETIMEDOUT, HS_FETCH_QUEUE, "timed out waiting for a connection of the");
    for (int i = 0; i < 2; i++) {
        answer_all(&later);
        bench_run(&r.b, 20);
    }
    expect_hello(&g[0]);
    expect_hello(&g[2]);
    rig_fini();
}

/* A connection that fails makes room for the next. */
Test(http_fetch_pool, failures_do_not_take_places)
{
    static got g[5];
    rig_prepare(NULL, NULL);
    r.options.conns_max = 1;
    cr_assert(hs_ok(rig_make()));
    reach("192.0.2.7:0", SIM_REACH_REFUSED, 5);
    for (int i = 0; i < 5; i++)
        begin(&g[i], i < 4 ? "http://192.0.2.7/" : URL, NULL);
    bench_run(&r.b, 100);
    for (int i = 0; i < 4; i++)
        expect_error(&g[i], -ECONNREFUSED, HS_FETCH_CONNECT, "192.0.2.7: Connection refused");
    expect_hello(&g[4]);
    rig_fini();
}

/* ---- crowds ---- */

static void run_crowd(uint32_t len, uint32_t conns)
{
    got *g = calloc(len, sizeof *g);
    cr_assert_not_null(g);
    rig_prepare(NULL, NULL);
    r.options.conns_per_origin = conns;
    r.options.conns_max = conns;
    cr_assert(hs_ok(rig_make()));
    for (uint32_t i = 0; i < len; i++)
        begin_kept(&g[i], URL, NULL);
    for (int i = 0; i < 1000 && r.settled < len; i++)
        bench_run(&r.b, 10);
    cr_assert_eq(r.accepted, conns, "%u", r.accepted);
    cr_assert_eq(r.requests, len);
    for (uint32_t i = 0; i < len; i++)
        expect_hello(&g[i]);
    free(g);
    rig_fini();
}

Test(http_fetch_pool, a_thousand_at_a_time)
{
    run_crowd(1000, 1000);
}

Test(http_fetch_pool, ten_thousand_through_a_pool_of_64)
{
    run_crowd(MANY, 64);
}

/* ---- who is next ---- */

/* By its definition: of all that wait, the first that both limits let go on. */
static const fetch *first_by_looking_at_all(void)
{
    const fetch *best = NULL;
    hs_list_each (l, &r.client->active) {
        const fetch *f = HS_CONTAINER_OF(l, fetch, link);
        const client_origin *o = f->origin;
        if (!o)
            continue;
        bool could = !hs_list_empty(&o->resting) || client_pool_may_open(r.client, o);
        if (could && (!best || f->seq < best->seq))
            best = f;
    }
    return best;
}

static void check_next(void)
{
    hs_heap_validate(&r.client->waiting);
    cr_assert_eq(client_pool_next(r.client), first_by_looking_at_all());
    uint32_t origins = 0, waiting = 0;
    hs_list_each (l, &r.client->active)
        waiting += HS_CONTAINER_OF(l, fetch, link)->origin != NULL;
    for (uint32_t i = 0; i < r.client->waiting.len; i++) {
        const client_origin *o =
            HS_CONTAINER_OF(r.client->waiting.items[i].node, client_origin, waiting);
        origins += !hs_list_empty(&o->waiters);
    }
    cr_assert_eq(waiting, hs_client_waiting(r.client));
    cr_assert_eq(origins, r.client->waiting.len);
}

#define CROWD 400

static uint64_t step_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static sim_event answer_event;

/* The server answers some of its connections, and resets a few. */
static void answer_some(sim_world *w, sim_event *event)
{
    static uint64_t x = 99;
    check_next();
    for (conn *c = r.conns; c; c = c->next) {
        bool asks = c->peer && c->requests > c->answered;
        if (!asks || step_random(&x) % 3 == 0)
            continue;
        c->answered = c->requests;
        if (step_random(&x) % 8 == 0)
            conn_end(c, true);
        else
            say(c, HELLO);
    }
    check_next();
    sim_event_set(w, event, HS_MSEC_NS, answer_some);
}

/* Many origins, few places, and fetches that come, end, fail and are given up. */
Test(http_fetch_pool, the_next_is_the_first_that_may_go_on)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        static got g[CROWD];
        uint64_t x = seed;
        hs_cancel *cancels[CROWD];
        rig_prepare(NULL, NULL);
        r.options.conns_per_origin = (uint32_t)(1 + seed % 3);
        r.options.conns_max = (uint32_t)(2 + seed % 7);
        r.options.age_ms_max = 40;
        r.on_request = no_answer;
        cr_assert(hs_ok(rig_make()));
        reach("192.0.2.7:0", SIM_REACH_REFUSED, 3);
        sim_event_set(r.b.w, &answer_event, HS_MSEC_NS, answer_some);
        for (uint32_t i = 0; i < CROWD; i++) {
            char url[40];
            snprintf(url, sizeof url, "http://192.0.2.%u/", (unsigned)(1 + step_random(&x) % 12));
            cancels[i] = hs_cancel_create(r.b.shard);
            begin(&g[i], url, &(hs_fetch_options){.cancel = cancels[i]});
            if (step_random(&x) % 4 == 0)
                hs_cancel_fire(cancels[step_random(&x) % (i + 1)], hs_err_of(-ECANCELED));
            check_next();
            if (step_random(&x) % 16 == 0)
                bench_run(&r.b, 2);
        }
        for (int i = 0; i < 1000 && r.settled < CROWD; i++)
            bench_run(&r.b, 10);
        cr_assert_eq(r.settled, CROWD);
        cr_assert_eq(r.client->waiting.len, 0);
        for (uint32_t i = 0; i < CROWD; i++) {
            if (g[i].res)
                let_go(&g[i]);
            hs_cancel_unref(cancels[i]);
        }
        sim_event_cancel(r.b.w, &answer_event);
        rig_fini();
    }
}
