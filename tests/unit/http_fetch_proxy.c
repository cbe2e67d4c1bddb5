/* Fetches through proxies: in absolute form, through a tunnel, and what becomes of them where the
 * proxy does not want to, is not there, or says nothing. */
#include "fetch_rig.h"

#define OPEN "HTTP/1.1 200 Connection established\r\n\r\n"
#define PROXY "http_proxy=http://me:secret@192.0.2.9:3128"
#define TUNNEL "https_proxy=192.0.2.9:3128"
#define TOLD "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" /* of me:secret */

static const char *connected; /* what CONNECT is answered with */
static char seen[8][512];
static uint32_t tunnels;

/* A proxy, and all the hosts behind it. */
static void by_proxy(conn *c)
{
    if (r.requests <= HS_ARRAY_LEN(seen))
        memcpy(seen[r.requests - 1], c->last, sizeof seen[0] - 1);
    bool connect = strncmp(c->last, "CONNECT ", 8) == 0;
    tunnels += connect;
    say(c, connect ? connected : r.answer);
}

static void prepare(const char *const *env)
{
    rig_prepare(NULL, NULL);
    sim_peer_listen(r.b.w, 3128, false, on_peer, NULL);
    memset(seen, 0, sizeof seen);
    tunnels = 0;
    connected = OPEN;
    r.on_request = by_proxy;
    r.options.proxy_env = env;
}

static void start(const char *const *env)
{
    prepare(env);
    cr_assert(hs_ok(rig_make()));
}

static const char *const both[] = {PROXY, TUNNEL, "no_proxy=192.0.2.4, .inside.test", NULL};

static void fetch_one(const char *url)
{
    got g;
    begin(&g, url, NULL);
    bench_run(&r.b, 50);
    expect_hello(&g);
}

/* ---- in absolute form ---- */

Test(http_fetch_proxy, http_is_asked_of_the_proxy)
{
    start(both); /* and no name is known here */
    fetch_one("http://one.test/a?b");
    cr_assert(strstr(seen[0], "GET http://one.test/a?b HTTP/1.1\r\nHost: one.test\r\n" TOLD), "%s",
              seen[0]);
    /* One connection carries what goes to any host. */
    fetch_one("http://two.test:81/");
    fetch_one("http://u:p@[2001:db8::1]/");
    cr_assert(strstr(seen[1], "GET http://two.test:81/ HTTP/1.1\r\nHost: two.test:81\r\n"));
    cr_assert(strstr(seen[2], "GET http://[2001:db8::1]/ HTTP/1.1\r\nHost: [2001:db8::1]\r\n"));
    cr_assert_eq(r.accepted, 1);
    cr_assert_eq(hs_client_conns(r.client), 1);
    rig_fini();
}

Test(http_fetch_proxy, what_it_answers_is_a_response_like_any_other)
{
    static const char *const no_name[] = {"http_proxy=192.0.2.9:3128", NULL};
    got g;
    start(no_name);
    r.answer = "HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n";
    begin(&g, "http://one.test/", NULL);
    bench_run(&r.b, 50);
    expect_answer(&g, 407, "");
    cr_assert_null(strstr(seen[0], "Proxy-Authorization"));
    rig_fini();
}

/* ---- through a tunnel ---- */

Test(http_fetch_proxy, https_goes_through_a_tunnel)
{
    static const char *const env[] = {"HTTPS_PROXY=http://me:secret@192.0.2.9:3128", NULL};
    got g;
    start(env);
    begin(&g, "https://one.test/a", NULL);
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert_str_eq(seen[0], "CONNECT one.test:443 HTTP/1.1\r\nHost: one.test:443\r\n"
                              "User-Agent: httpshard\r\n" TOLD "\r\n");
    cr_assert(strstr(seen[1], "GET /a HTTP/1.1\r\nHost: one.test\r\n"), "%s", seen[1]);
    cr_assert_null(strstr(seen[1], "Proxy-"));
    cr_assert_str_eq(r.secure_to, "one.test ");
    /* A tunnel leads to one host. */
    fetch_one("https://one.test/b");
    cr_assert_eq(tunnels, 1);
    fetch_one("https://two.test:8443/");
    fetch_one("https://one.test:8443/");
    cr_assert(strstr(seen[3], "CONNECT two.test:8443 HTTP/1.1\r\n"));
    cr_assert_eq(tunnels, 3);
    rig_fini();
}

Test(http_fetch_proxy, a_proxy_that_is_secure_itself)
{
    static const char *const env[] = {"ALL_PROXY=https://[2001:db8::9]:3128", NULL};
    prepare(env);
    r.options.unverified = true; /* which is for hosts */
    cr_assert(hs_ok(rig_make()));
    fetch_one("http://one.test/");
    cr_assert_str_eq(r.secure_to, "2001:db8::9 ");
    cr_assert(strstr(seen[0], "GET http://one.test/ "));
    fetch_one("https://one.test/");
    cr_assert_str_eq(r.secure_to, "2001:db8::9 2001:db8::9 one.test! ");
    cr_assert_eq(tunnels, 1);
    rig_fini();
}

static const struct {
    const char *answer;
    int32_t err;
    const char *text;
} refusals[] = {
    {"HTTP/1.1 407 x\r\n\r\n", -EACCES, "the proxy 192.0.2.9:3128: it wants a name"},
    {"HTTP/1.1 403 x\r\nContent-Length: 3\r\n\r\nabc", -EACCES, "does not let us"},
    {"HTTP/1.1 502 x\r\n\r\n", -ECONNREFUSED, "does not reach the host"},
    {"HTTP/1.1 504 x\r\n\r\n", -ECONNREFUSED, "does not reach the host"},
    {"HTTP/1.1 302 x\r\nLocation: http://192.0.2.1/\r\n\r\n", -ECONNREFUSED, "makes no tunnel"},
    {"HTTP/1.1 101 x\r\n\r\n", HS_E_PROTOCOL, "to CONNECT"},
    {OPEN "HTTP/1.1 200 OK\r\n\r\n", HS_E_PROTOCOL, "sent more than its answer"},
    {OPEN "x", HS_E_PROTOCOL, "sent more than its answer"},
    {"SSH-2.0-x\r\n\r\n", HS_E_PROTOCOL, "is no HTTP"},
    {"HTTP/1.1 2000 OK\r\n\r\n", HS_E_PROTOCOL, "is no HTTP"},
};

Test(http_fetch_proxy, no_tunnel)
{
    got g;
    start(both);
    for (size_t i = 0; i < HS_ARRAY_LEN(refusals); i++) {
        connected = refusals[i].answer;
        begin(&g, "https://one.test/", NULL);
        bench_run(&r.b, 50);
        expect_error(&g, refusals[i].err, HS_FETCH_TUNNEL, refusals[i].text);
        cr_assert(strstr(g.text, "one.test: the proxy "), "%s", g.text);
        cr_assert_eq(hs_client_conns(r.client), 0);
    }
    cr_assert_eq(r.secured, 0);
    rig_fini();
}

Test(http_fetch_proxy, a_name_that_is_not_taken)
{
    static const char *const env[] = {"https_proxy=http://me:no@192.0.2.9:3128", NULL};
    got g;
    start(env);
    connected = "HTTP/1.1 407 x\r\n\r\n";
    begin(&g, "https://one.test/", NULL);
    bench_run(&r.b, 50);
    expect_error(&g, -EACCES, HS_FETCH_TUNNEL, "does not take our name and password (407)");
    cr_assert_null(strstr(g.text, "me:no"));
    rig_fini();
}

/* ---- byte by byte ---- */

#define ANSWER "HTTP/1.1 100 x\r\n\r\nHTTP/1.0 200 x\r\nA: b\r\nContent-Length: 7\r\n\r\n"

static size_t cut_at;
static bool cut_resets;

static void cut(conn *c)
{
    say_bytes(c, ANSWER, cut_at);
    conn_end(c, cut_resets);
}

Test(http_fetch_proxy, the_proxy_ends_at_each_byte_of_its_answer)
{
    for (cut_at = 0; cut_at < sizeof ANSWER - 1; cut_at++) {
        got g;
        start(both);
        r.on_request = cut;
        cut_resets = cut_at & 1;
        begin(&g, "https://one.test/", NULL);
        bench_run(&r.b, 50);
        cr_assert_eq(g.errors, 1);
        cr_assert_eq(g.phase, HS_FETCH_TUNNEL);
        cr_assert(g.err.code == HS_E_TRUNCATED || (cut_resets && g.err.code == -ECONNRESET), "%s",
                  hs_err_name(g.err));
        cr_assert(strstr(g.text, "without an answer to CONNECT"), "%s", g.text);
        cr_assert_eq(hs_client_conns(r.client), 0);
        rig_fini();
    }
}

static sim_event drip_event;
static conn *drip_conn;
static size_t drip_at;

static void drip(sim_world *w, sim_event *event)
{
    if (!drip_conn->peer || !ANSWER[drip_at])
        return;
    say_bytes(drip_conn, &ANSWER[drip_at++], 1);
    sim_event_set(w, event, 1 * HS_MSEC_NS, drip);
}

static void drip_or_answer(conn *c)
{
    if (strncmp(c->last, "CONNECT ", 8) != 0) {
        say(c, HELLO);
        return;
    }
    drip_conn = c;
    drip_at = 0;
    sim_event_set(r.b.w, &drip_event, 5 * HS_MSEC_NS, drip);
}

/* Given up at each step, by the token or by the client's end: dialling, asking, each byte of the
 * answer, the handshake, the response. */
Test(http_fetch_proxy, given_up_at_each_step)
{
    for (uint64_t ms = 0; ms < 2 * (5 + sizeof ANSWER + 30); ms++) {
        got g;
        prepare(both);
        r.on_request = drip_or_answer;
        r.secure_ms = 5;
        cr_assert(hs_ok(rig_make()));
        hs_cancel *cancel = hs_cancel_create(r.b.shard);
        begin(&g, "https://one.test/", &(hs_fetch_options){.cancel = cancel});
        if (ms > 1)
            bench_run(&r.b, ms / 2);
        bool whole = g.bodies > 0;
        if (ms & 1) {
            hs_client_destroy(r.client);
            r.client = NULL;
        } else {
            hs_cancel_fire(cancel, hs_err_of(HS_E_BLOCKED));
        }
        bench_run(&r.b, 5);
        hs_cancel_unref(cancel);
        int32_t why = ms & 1 ? HS_E_CLOSED : HS_E_BLOCKED;
        if (whole)
            expect_hello(&g);
        else
            cr_assert(g.errors == 1 && g.err.code == why, "%u: %s", (unsigned)ms, g.text);
        if (r.client && !whole)
            cr_assert_eq(hs_client_conns(r.client), 0);
        sim_event_cancel(r.b.w, &drip_event);
        bench_run(&r.b, 20); /* the rig's handshake cannot be cancelled */
        rig_fini();
    }
}

/* ---- not there, and silent ---- */

static void silent(conn *c)
{
    (void)c;
}

Test(http_fetch_proxy, one_that_cannot_be_reached)
{
    static const char *const named[] = {"ALL_PROXY=http://proxy.test", NULL};
    got g;
    start(both);
    reach("192.0.2.9:0", SIM_REACH_REFUSED, 1);
    begin(&g, "https://one.test/", NULL);
    bench_run(&r.b, 50);
    expect_error(&g, -ECONNREFUSED, HS_FETCH_CONNECT,
                 "one.test: the proxy 192.0.2.9:3128: Connection refused");
    begin(&g, "http://one.test/", NULL);
    bench_run(&r.b, 50);
    expect_error(&g, -ECONNREFUSED, HS_FETCH_CONNECT, "the proxy 192.0.2.9:3128: ");
    rig_fini();
    static const fake_row rows[] = {{"proxy.test", NULL, HS_E_NAME_NONE, 5, AF_INET6},
                                    {"proxy.test", NULL, HS_E_NAME_NONE, 5, AF_INET},
                                    {NULL, NULL, 0, 0, 0}};
    rig_prepare(rows, NULL);
    r.options.proxy_env = named;
    cr_assert(hs_ok(rig_make()));
    begin(&g, "http://one.test/", NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_NAME_NONE, HS_FETCH_RESOLVE,
                 "one.test: the proxy proxy.test:80: no host has this name");
    rig_fini();
}

Test(http_fetch_proxy, one_that_says_nothing)
{
    got g;
    start(both);
    r.on_request = silent;
    begin(&g, "https://one.test/", &(hs_fetch_options){.times = {.tunnel_ms = 300}});
    bench_run(&r.b, 290);
    cr_assert_eq(g.errors, 0);
    bench_run(&r.b, 20);
    expect_error(&g, -ETIMEDOUT, HS_FETCH_TUNNEL,
                 "one.test: the proxy 192.0.2.9:3128: timed out waiting for a tunnel");
    rig_fini();
    start(both);
    r.secure_silent = true;
    begin(&g, "https://one.test/", &(hs_fetch_options){.times = {.tls_ms = 300}});
    bench_run(&r.b, 310);
    expect_error(&g, -ETIMEDOUT, HS_FETCH_TLS, "one.test: timed out waiting for the TLS handshake");
    rig_fini();
}

static void then_open(conn *c)
{
    if (tunnels == 0)
        connected = "HTTP/1.1 503 x\r\n\r\n";
    by_proxy(c);
    connected = OPEN;
}

Test(http_fetch_proxy, a_tunnel_is_asked_for_again)
{
    got g;
    start(both);
    r.on_request = then_open;
    begin(&g, "https://one.test/", &(hs_fetch_options){.retries = 1, .retry_ms = 10});
    bench_run(&r.b, 100);
    expect_hello(&g);
    cr_assert_eq(tunnels, 2);
    rig_fini();
}

/* ---- who goes through one ---- */

Test(http_fetch_proxy, those_whom_none_is_for)
{
    start(both);
    fetch_one("http://192.0.2.4/a");
    fetch_one("https://192.0.2.4/b");
    cr_assert(strstr(seen[0], "GET /a HTTP/1.1\r\nHost: 192.0.2.4\r\n"), "%s", seen[0]);
    cr_assert_null(strstr(seen[0], "Proxy-"));
    cr_assert(strstr(seen[1], "GET /b HTTP/1.1\r\n"));
    cr_assert_eq(tunnels, 0);
    cr_assert_eq(r.accepted, 2);
    rig_fini();
}

static void redirect(conn *c)
{
    static const char *const to[] = {
        "HTTP/1.1 302 x\r\nLocation: http://192.0.2.4/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 x\r\nLocation: https://three.test/\r\nContent-Length: 0\r\n\r\n"};
    r.answer = strstr(c->last, "one.test") ? to[0] : strstr(c->last, "three.test") ? HELLO : to[1];
    by_proxy(c);
}

Test(http_fetch_proxy, each_redirection_chooses_anew)
{
    start(both);
    r.on_request = redirect;
    fetch_one("http://one.test/");
    cr_assert(strstr(seen[0], "GET http://one.test/ "));
    cr_assert(strstr(seen[1], "GET / HTTP/1.1\r\nHost: 192.0.2.4\r\n"));
    cr_assert_null(strstr(seen[1], "Proxy-"));
    cr_assert(strstr(seen[2], "CONNECT three.test:443 "));
    cr_assert(strstr(seen[3], "GET / HTTP/1.1\r\nHost: three.test\r\n"));
    rig_fini();
}

Test(http_fetch_proxy, one_address_for_all_goes_before_it)
{
    hs_addr to;
    cr_assert(hs_ok(hs_addr_parse(&to, HS_SPAN("192.0.2.7:80"))));
    prepare(both);
    r.options.connect_to = &to;
    cr_assert(hs_ok(rig_make()));
    fetch_one("http://one.test/");
    cr_assert(strstr(seen[0], "GET / HTTP/1.1\r\n"));
    rig_fini();
}

Test(http_fetch_proxy, guarded_fetches_do_not)
{
    static const char *const env[] = {PROXY, TUNNEL, "no_proxy=8.8.8.8", NULL};
    static const char *const urls[] = {"http://one.test/", "https://one.test/", "http://10.0.0.1/",
                                       "https://1.1.1.1/"};
    got g;
    hs_fetch_options guarded = {.guarded = true};
    start(env);
    for (size_t i = 0; i < HS_ARRAY_LEN(urls); i++) {
        begin(&g, urls[i], &guarded);
        bench_run(&r.b, 20);
        expect_error(&g, HS_E_FORBIDDEN, HS_FETCH_QUEUE, "does not go through a proxy");
    }
    cr_assert_eq(r.accepted, 0);
    begin(&g, "http://8.8.8.8/", &guarded);
    bench_run(&r.b, 20);
    expect_hello(&g);
    /* Nor does a redirection lead there. */
    r.answer = "HTTP/1.1 302 x\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n";
    begin(&g, "http://8.8.8.8/", &guarded);
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_FORBIDDEN, HS_FETCH_QUEUE, "does not go through a proxy");
    cr_assert_eq(r.accepted, 1);
    rig_fini();
}

/* ---- what the environment has, and memory ---- */

/* A variable that names no proxy fails those who would go through it, and nobody else. */
Test(http_fetch_proxy, what_is_no_proxy)
{
    static const char *const bad[] = {"all_proxy=gopher://me:secret@x", PROXY, "no_proxy=192.0.2.4",
                                      NULL};
    static const char *const tls[] = {"https_proxy=https://x", NULL};
    static const char *const none[] = {"all_proxy=gopher://x", "NO_PROXY=*", NULL};
    hs_addr to;
    got g;
    start(bad);
    fetch_one("http://one.test/");
    fetch_one("https://192.0.2.4/");
    begin(&g, "https://one.test/", NULL);
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_USAGE, HS_FETCH_QUEUE, "one.test: all_proxy=gopher://*@x: not a proxy");
    begin(&g, "https://one.test/", &(hs_fetch_options){.guarded = true});
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_USAGE, HS_FETCH_QUEUE, "all_proxy=");
    r.answer = "HTTP/1.1 302 x\r\nLocation: https://one.test/\r\nContent-Length: 0\r\n\r\n";
    begin(&g, "http://one.test/", NULL);
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_USAGE, HS_FETCH_QUEUE, "all_proxy=");
    rig_fini();
    prepare(tls);
    r.options.secure = NULL;
    cr_assert(hs_ok(rig_make()));
    fetch_one("http://192.0.2.4/");
    rig_fini();
    start(none);
    fetch_one("https://192.0.2.4/");
    rig_fini();
    cr_assert(hs_ok(hs_addr_parse(&to, HS_SPAN("192.0.2.7:80"))));
    prepare(bad);
    r.options.connect_to = &to;
    cr_assert(hs_ok(rig_make()));
    fetch_one("https://one.test/");
    rig_fini();
}

Test(http_fetch_proxy, each_piece_of_memory_fails_once)
{
    static const char *const env[] = {"all_proxy=https://me:secret@192.0.2.9:3128", NULL};
    for (uint64_t at = 1, met = true; met; at++) {
        static got g[2];
        memset(g, 0, sizeof g);
        prepare(env);
        r.b.fail_at = r.b.takes + at;
        hs_err err = rig_make();
        if (hs_ok(err)) {
            begin(&g[0], "https://one.test/", NULL);
            begin(&g[1], "http://one.test/", NULL);
            bench_run(&r.b, 50);
        }
        met = r.b.fails > 0;
        for (int i = 0; i < 2 && hs_ok(err); i++) {
            cr_assert(met || g[i].bodies == 1, "%s", g[i].text);
            hs_err any = g[i].errors ? g[i].err : g[i].body_err;
            cr_assert(hs_ok(any) || hs_err_class(any) == HS_ERR_LIMIT, "%s", hs_err_name(any));
            if (g[i].res)
                let_go(&g[i]);
        }
        r.b.fail_at = 0;
        rig_fini();
    }
}
