/* Deadlines of a fetch, in virtual time: each phase has its own, and says so. */
#include "fetch_rig.h"

static void silent(conn *c)
{
    (void)c;
}

/* It fails at `ms` after its start, not before, and with what it waited for. */
static void expect_timeout(got *g, uint64_t ms, hs_fetch_phase phase, const char *text)
{
    uint64_t start = bench_ms(&r.b);
    bench_run(&r.b, ms - 10);
    cr_assert_eq(g->errors, 0, "%s", g->text);
    bench_run(&r.b, 60);
    expect_error(g, -ETIMEDOUT, phase, text);
    cr_assert_lt(g->done_ms - start, ms + 40);
    cr_assert_eq(hs_client_conns(r.client), 0);
}

Test(http_fetch_time, resolve)
{
    static const fake_row rows[] = {{"never.test", NULL, 0, UINT32_MAX, AF_INET6},
                                    {"never.test", NULL, 0, UINT32_MAX, AF_INET},
                                    {"none.test", NULL, HS_E_NAME_NONE, 5, AF_INET6},
                                    {"none.test", NULL, HS_E_NAME_NONE, 5, AF_INET},
                                    {NULL, NULL, 0, 0, 0}};
    got g;
    rig_prepare(rows, NULL);
    cr_assert(hs_ok(rig_make()));
    begin(&g, "http://never.test/", &(hs_fetch_options){.times = {.resolve_ms = 300}});
    bench_run(&r.b, 290);
    cr_assert_eq(g.errors, 0);
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_NAME_TIMEOUT, HS_FETCH_RESOLVE,
                 "never.test: timed out waiting for the name");
    begin(&g, "http://none.test/", NULL);
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_NAME_NONE, HS_FETCH_RESOLVE, "none.test: no host has this name");
    rig_fini();
}

Test(http_fetch_time, connect)
{
    got g;
    rig_init();
    reach("192.0.2.1:0", SIM_REACH_SILENT, 0);
    begin(&g, URL, &(hs_fetch_options){.times = {.connect_ms = 300}});
    expect_timeout(&g, 300, HS_FETCH_CONNECT, "timed out waiting for a connection");
    rig_fini();
}

Test(http_fetch_time, tls)
{
    got g;
    rig_init();
    r.secure_silent = true;
    begin(&g, "https://192.0.2.1/", &(hs_fetch_options){.times = {.tls_ms = 300}});
    expect_timeout(&g, 300, HS_FETCH_TLS, "timed out waiting for the TLS handshake");
    rig_fini();
}

Test(http_fetch_time, first_byte)
{
    got g;
    rig_init();
    r.on_request = silent;
    begin(&g, URL, &(hs_fetch_options){.times = {.first_byte_ms = 300, .idle_ms = 10}});
    expect_timeout(&g, 300, HS_FETCH_WAIT, "timed out waiting for a response");
    rig_fini();
}

/* A server that takes nothing of a long body. */
static void lazy(conn *c)
{
    c->lazy = true;
}

Test(http_fetch_time, sending)
{
    got g;
    static char body[1 << 20];
    memset(body, 'x', sizeof body);
    rig_init();
    r.on_open = lazy;
    hs_fetch_options o = {
        .method = HS_SPAN("PUT"), .body = hs_span_of(body, sizeof body), .times = {.idle_ms = 300}};
    begin(&g, URL, &o);
    /* That the last bytes were taken at the start is noticed at the first look of four. */
    expect_timeout(&g, 375, HS_FETCH_SEND, "timed out waiting for the request to be taken");
    rig_fini();
}

/* ---- a server that is slow, byte by byte ---- */

static const char *drip_text;
static uint64_t drip_ms, drip_at;
static conn *drip_conn;
static sim_event drip_event;

static void drip(sim_world *w, sim_event *event)
{
    if (!drip_conn->peer || !drip_text[drip_at])
        return;
    say_bytes(drip_conn, drip_text + drip_at++, 1);
    sim_event_set(w, event, drip_ms * HS_MSEC_NS, drip);
}

static void start_drip(conn *c)
{
    drip_conn = c;
    drip_at = 0;
    drip(r.b.w, &drip_event);
}

static void drip_init(const char *text, uint64_t ms)
{
    rig_init();
    drip_text = text;
    drip_ms = ms;
    r.on_request = start_drip;
}

Test(http_fetch_time, slow_is_not_too_slow)
{
    got g;
    drip_init(HELLO, 90);
    begin(&g, URL, &(hs_fetch_options){.times = {.idle_ms = 100}});
    bench_run(&r.b, 90 * (strlen(HELLO) + 2));
    expect_hello(&g);
    rig_fini();
}

Test(http_fetch_time, between_bytes_of_the_head)
{
    got g;
    drip_init("HTTP/1.1 2", 10);
    begin(&g, URL, &(hs_fetch_options){.times = {.idle_ms = 300}});
    expect_timeout(&g, 9 * 10 + 300, HS_FETCH_HEAD, "the response's head");
    rig_fini();
}

/* Each byte comes in time, and the head never ends. */
Test(http_fetch_time, a_head_as_a_whole)
{
    got g;
    drip_init("HTTP/1.1 200 OK\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 20);
    begin(&g, URL, &(hs_fetch_options){.times = {.idle_ms = 100, .first_byte_ms = 500}});
    expect_timeout(&g, 500, HS_FETCH_HEAD, "the response's head");
    rig_fini();
}

Test(http_fetch_time, between_bytes_of_the_body)
{
    got g;
    drip_init(OK11 "Content-Length: 50\r\n\r\nhel", 1);
    begin(&g, URL, &(hs_fetch_options){.times = {.idle_ms = 300}});
    bench_run(&r.b, 1000);
    expect_body_error(&g, -ETIMEDOUT, "192.0.2.1: timed out waiting for the response's body");
    cr_assert_eq(hs_client_conns(r.client), 0);
    rig_fini();
}

Test(http_fetch_time, the_whole)
{
    got g;
    drip_init(OK11 "Content-Length: 50\r\n\r\nhellohellohellohellohellohellohellohello", 20);
    begin(&g, URL, &(hs_fetch_options){.times = {.total_ms = 1000}});
    bench_run(&r.b, 990);
    cr_assert_eq(g.body_errors, 0);
    bench_run(&r.b, 20);
    expect_body_error(&g, -ETIMEDOUT, "");
    /* The head's part of it, too. */
    drip_ms = 300;
    begin(&g, URL, &(hs_fetch_options){.times = {.total_ms = 700}});
    expect_timeout(&g, 700, HS_FETCH_HEAD, "");
    /* And the dial's. */
    reach("192.0.2.1:0", SIM_REACH_SILENT, 0);
    begin(&g, URL, &(hs_fetch_options){.times = {.total_ms = 200}});
    expect_timeout(&g, 200, HS_FETCH_CONNECT, "");
    rig_fini();
}

/* A reader that holds the peer up is not the peer's fault. */
Test(http_fetch_time, not_while_nobody_reads)
{
    got g;
    static char text[300 * 1024];
    int len = snprintf(text, sizeof text, OK11 "Content-Length: 200000\r\n\r\n");
    memset(text + len, 'x', 200000);
    rig_init();
    r.answer = text;
    memset(&g, 0, sizeof g);
    g.by_hand = true;
    begin_kept(&g, URL, &(hs_fetch_options){.times = {.idle_ms = 100}});
    bench_run(&r.b, 5000);
    cr_assert_eq(g.values, 1);
    cr_assert_null(hs_fetch_why(g.res));
    collect(&g);
    bench_run(&r.b, 100);
    cr_assert_eq(g.bodies, 1);
    cr_assert_eq(g.body_len, 200000);
    let_go(&g);
    rig_fini();
}
