/* Fetches that go elsewhere than their URL says, to a virtual host, and to an address with a zone.
 */
#include "fetch_rig.h"

static hs_addr to[8]; /* where connections went */
static uint32_t to_len;

static hs_err note_address(const hs_addr *addr, void *ctx)
{
    (void)ctx;
    to[to_len++ % HS_ARRAY_LEN(to)] = *addr;
    return HS_OK;
}

static void prepare(void)
{
    rig_prepare(NULL, NULL);
    to_len = 0;
    r.options.allow = note_address;
}

static void start(const hs_fetch_route *routes, uint32_t len)
{
    prepare();
    r.options.routes = routes;
    r.options.routes_len = len;
    cr_assert(hs_ok(rig_make()));
}

static void fetch_to(const char *url, const hs_fetch_options *o, const char *want)
{
    char text[HS_ADDR_TEXT_BYTES];
    got g;
    to_len = 0;
    begin(&g, url, o);
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert_eq(to_len, 1, "%s: %u", url, to_len);
    cr_assert_str_eq(hs_addr_format(&to[0], text), want, "%s", url);
}

static bool asked(uint32_t number, const char *text)
{
    return strstr(conn_at(number)->last, text) != NULL;
}

/* ---- routes ---- */

#define S(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)text, sizeof text - 1                                                     \
    }

static const hs_fetch_route routes[] = {
    {S("One.Test"), S("192.0.2.5"), 80, 0},
    {S("one.test"), S("192.0.2.6"), 443, 80},
    {S("b\xc3\xbc"
       "cher.test."),
     S("[2001:db8::1]"), 0, 0},
    {S("[::0:1]"), S("192.0.2.7"), 0, 0},
    {S("192.0.2.1"), {NULL, 0}, 81, 80},
    {{NULL, 0}, S("192.0.2.8"), 8080, 80},
};

Test(http_fetch_route, the_first_that_fits_counts)
{
    start(routes, HS_ARRAY_LEN(routes));
    fetch_to("http://one.test/a", NULL, "192.0.2.5:80");
    cr_assert(asked(0, "GET /a HTTP/1.1\r\nHost: one.test\r\n"));
    fetch_to("https://ONE.test./", NULL, "192.0.2.6:80");
    cr_assert(asked(1, "Host: one.test.\r\n"));
    cr_assert_str_eq(r.secure_to, "one.test. ");
    fetch_to("http://xn--bcher-kva.test/", NULL, "[2001:db8::1]:80");
    fetch_to("http://[::1]/", NULL, "192.0.2.7:80");
    fetch_to("http://192.0.2.1:81/", NULL, "192.0.2.1:80");
    cr_assert(asked(4, "Host: 192.0.2.1:81\r\n"));
    fetch_to("http://any.test:8080/", NULL, "192.0.2.8:80");
    fetch_to("http://192.0.2.1/", NULL, "192.0.2.1:80");
    rig_fini();
}

Test(http_fetch_route, a_proxy_has_its_own)
{
    static const char *const env[] = {"all_proxy=proxy.test:3128", NULL};
    static const hs_fetch_route one[] = {{S("proxy.test"), S("192.0.2.9"), 3128, 80}};
    prepare();
    r.options.proxy_env = env;
    r.options.routes = one;
    r.options.routes_len = 1;
    cr_assert(hs_ok(rig_make()));
    fetch_to("http://one.test/", NULL, "192.0.2.9:80");
    cr_assert(asked(0, "GET http://one.test/ HTTP/1.1\r\n"));
    rig_fini();
}

/* The guard sees where it really goes. */
Test(http_fetch_route, a_guarded_fetch_is_not_led_inside)
{
    static const hs_fetch_route one[] = {{S("8.8.8.8"), S("10.0.0.1"), 0, 0}};
    got g;
    start(one, 1);
    begin(&g, "http://8.8.8.8/", &(hs_fetch_options){.guarded = true});
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_FORBIDDEN, HS_FETCH_CONNECT, "");
    rig_fini();
}

Test(http_fetch_route, what_is_no_host)
{
    static const char *const bad[] = {"a b", "a/b",  "a/",  "a:80", "a:",        "u@a",      "a?",
                                      "a#b", "[::1", "::1", "%",    "1.2.3.256", "[::1]:80", "a\\"};
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        for (int side = 0; side < 2; side++) {
            hs_fetch_route one = {.host = hs_span_str(side ? "a" : bad[i]),
                                  .to_host = hs_span_str(side ? bad[i] : "a")};
            prepare();
            r.options.routes = &one;
            r.options.routes_len = 1;
            cr_assert_eq(rig_make().code, HS_E_USAGE, "%s", bad[i]);
            hs_tcp_destroy(r.tcp);
            r.options.routes = NULL;
            r.options.routes_len = 0;
            cr_assert(hs_ok(rig_make()));
            rig_fini();
        }
    }
}

/* ---- Host ---- */

static void redirect(conn *c)
{
    bool first = strstr(c->last, "GET /1 ");
    bool second = strstr(c->last, "GET /2 ");
    say(c, first    ? "HTTP/1.1 302 x\r\nLocation: /2\r\nContent-Length: 0\r\n\r\n"
           : second ? "HTTP/1.1 302 x\r\nLocation: http://192.0.2.2/3\r\nContent-Length: 0\r\n\r\n"
                    : HELLO);
}

Test(http_fetch_route, a_virtual_host)
{
    static const char *const fine[] = {"virtual.test", "Virtual.Test:8080", "[::1]:80", "a_b"};
    start(NULL, 0);
    for (size_t i = 0; i < HS_ARRAY_LEN(fine); i++) {
        char text[64];
        got g;
        begin(&g, URL, &(hs_fetch_options){.host = hs_span_str(fine[i])});
        bench_run(&r.b, 20);
        expect_hello(&g);
        snprintf(text, sizeof text, "GET /x HTTP/1.1\r\nHost: %s\r\n", fine[i]);
        cr_assert(asked(0, text), "%s", conn_at(0)->last);
    }
    rig_fini();
}

/* It goes with a redirection inside of the origin, and no further. */
Test(http_fetch_route, a_virtual_host_is_of_one_origin)
{
    got g;
    start(NULL, 0);
    r.on_request = redirect;
    begin(&g, "http://192.0.2.1/1", &(hs_fetch_options){.host = HS_SPAN("virtual.test")});
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert(asked(0, "GET /2 HTTP/1.1\r\nHost: virtual.test\r\n"));
    cr_assert(asked(1, "GET /3 HTTP/1.1\r\nHost: 192.0.2.2\r\n"));
    rig_fini();
}

Test(http_fetch_route, what_is_no_value_of_host)
{
    static const char *const bad[] = {"a b", "a\r\nX: y", "a/b",   "u@a",
                                      "a?b", "a,b",       "a\x80", "\t"};
    got g;
    start(NULL, 0);
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        begin(&g, URL, &(hs_fetch_options){.host = hs_span_str(bad[i])});
        bench_run(&r.b, 10);
        expect_error(&g, HS_E_USAGE, HS_FETCH_START, "what is to be Host is no host");
    }
    cr_assert_eq(r.accepted, 0);
    rig_fini();
}

/* ---- zones ---- */

Test(http_fetch_route, a_zone_is_of_the_connection_alone)
{
    start(NULL, 0);
    fetch_to("http://[fe80::1%253]/a%25b", NULL, "[fe80::1%3]:80");
    cr_assert(asked(0, "GET /a%25b HTTP/1.1\r\nHost: [fe80::1]\r\n"), "%s", conn_at(0)->last);
    fetch_to("http://u:p@[fe80::1%4]:80/", NULL, "[fe80::1%4]:80"); /* as people write it */
    cr_assert_eq(hs_client_conns(r.client), 2);
    fetch_to("https://[FE80:0::1%25lo]", NULL, "[fe80::1%1]:443");
    cr_assert_str_eq(r.secure_to, "fe80::1 ");
    fetch_to("http://[fe80::1]/", NULL, "[fe80::1]:80");
    rig_fini();
}

static void redirect_zone(conn *c)
{
    bool first = strstr(c->last, "GET /1 ");
    bool second = strstr(c->last, "GET /2 ");
    say(c, first    ? "HTTP/1.1 302 x\r\nLocation: /2\r\nContent-Length: 0\r\n\r\n"
           : second ? "HTTP/1.1 302 x\r\nLocation: http://[fe80::2]/3\r\nContent-Length: 0\r\n\r\n"
                    : HELLO);
}

Test(http_fetch_route, a_zone_goes_with_its_address)
{
    char text[HS_ADDR_TEXT_BYTES];
    got g;
    start(NULL, 0);
    r.on_request = redirect_zone;
    begin(&g, "http://[fe80::1%253]/1", NULL);
    bench_run(&r.b, 50);
    cr_assert(strstr((const char *)g.res->url.ptr, "http://[fe80::2]/3") != NULL);
    expect_hello(&g);
    cr_assert_eq(to_len, 2);
    cr_assert_str_eq(hs_addr_format(&to[1], text), "[fe80::2]:80");
    rig_fini();
}

Test(http_fetch_route, what_is_no_zone)
{
    static const char *const bad[] = {"http://[fe80::1%25nosuchinterface0]/",
                                      "http://[fe80::1%25]/",
                                      "http://[fe80::1%]/",
                                      "http://[fe80::1%250]/",
                                      "http://[fe80::1%25lo%25lo]/",
                                      "http://[fe80::1%254294967296]/",
                                      "http://[fe80::1%25a b]/"};
    static const char *const none[] = {"http://fe80::1%25lo/", "http://[fe80::1/%25lo]",
                                       "http://a%25lo/", "http://[v1.a%25lo]/"};
    got g;
    start(NULL, 0);
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        begin(&g, bad[i], NULL);
        bench_run(&r.b, 10);
        expect_error(&g, HS_E_USAGE, HS_FETCH_START, "no interface of this host");
    }
    for (size_t i = 0; i < HS_ARRAY_LEN(none); i++) {
        begin(&g, none[i], NULL);
        bench_run(&r.b, 10);
        expect_error(&g, HS_E_USAGE, HS_FETCH_START, "not a URL");
    }
    rig_fini();
}

/* ---- memory ---- */

Test(http_fetch_route, each_piece_of_memory_fails_once)
{
    for (uint64_t at = 1, met = true; met; at++) {
        static got g[2];
        memset(g, 0, sizeof g);
        prepare();
        r.options.routes = routes;
        r.options.routes_len = HS_ARRAY_LEN(routes);
        r.b.fail_at = r.b.takes + at;
        hs_err err = rig_make();
        if (hs_ok(err)) {
            begin(&g[0], "http://one.test/", &(hs_fetch_options){.host = HS_SPAN("x")});
            begin(&g[1], "http://[fe80::1%253]/", NULL);
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
