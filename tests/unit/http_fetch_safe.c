/* Where guarded fetches go, and what becomes of a name and a password in a URL. */
#include "fetch_rig.h"

static hs_guard guard;

static void start(const char *exceptions, const fake_row *rows)
{
    memset(&guard, 0, sizeof guard);
    cr_assert(hs_ok(hs_guard_allow_nets(&guard, hs_span_str(exceptions))));
    rig_prepare(rows, NULL);
    r.options.guard = &guard;
    cr_assert(hs_ok(rig_make()));
}

static void expect_forbidden(const char *url)
{
    got g;
    begin(&g, url, &(hs_fetch_options){.guarded = true});
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_FORBIDDEN, HS_FETCH_CONNECT, "not allowed");
}

Test(http_fetch_safe, guarded_fetches_go_to_public_addresses_alone)
{
    static const fake_row rows[] = {{"inside.test", "10.0.0.1", 0, 1, AF_INET},
                                    {"inside.test", "::1", 0, 1, AF_INET6},
                                    {"outside.test", "10.0.0.1 8.8.8.8", 0, 1, AF_INET},
                                    {"outside.test", NULL, HS_E_NAME_NONE, 1, AF_INET6},
                                    {NULL, NULL, 0, 0, 0}};
    static const char *const urls[] = {
        "http://127.0.0.1/",
        "http://10.1.2.3/",
        "http://169.254.169.254/",
        "http://[::1]/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:192.168.0.1]/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://127.1:443/",
        "http://[fe80::1]/",
        "http://0/",
        "http://inside.test/",
    };
    got g;
    start("", rows);
    for (size_t i = 0; i < HS_ARRAY_LEN(urls); i++)
        expect_forbidden(urls[i]);
    cr_assert_eq(r.accepted, 0);
    /* Of several addresses those that are public are tried. */
    begin(&g, "http://outside.test/", &(hs_fetch_options){.guarded = true});
    bench_run(&r.b, 400);
    expect_hello(&g);
    cr_assert_eq(r.accepted, 1);
    rig_fini();
}

Test(http_fetch_safe, redirections_and_pooled_connections_are_no_way_around)
{
    got g;
    start("", NULL);
    begin(&g, "http://10.0.0.1/", NULL); /* by somebody who may */
    bench_run(&r.b, 50);
    expect_hello(&g);
    expect_forbidden("http://10.0.0.1/");
    r.answer = "HTTP/1.1 302 x\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n";
    expect_forbidden("http://8.8.8.8/");
    cr_assert_eq(r.accepted, 2);
    rig_fini();
}

Test(http_fetch_safe, exceptions)
{
    got g;
    start("10.0.0.0/24", NULL);
    begin(&g, "http://10.0.0.1/", &(hs_fetch_options){.guarded = true});
    bench_run(&r.b, 50);
    expect_hello(&g);
    expect_forbidden("http://10.0.1.1/");
    rig_fini();
}

Test(http_fetch_safe, a_name_and_a_password)
{
    got g;
    rig_init();
    begin(&g, "http://Aladdin:open%20sesame@192.0.2.1/", NULL);
    bench_run(&r.b, 50);
    cr_assert(hs_span_eq(g.res->url, HS_SPAN("http://192.0.2.1/")));
    expect_hello(&g);
    cr_assert(strstr(conn_at(0)->last, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    /* What the caller says goes before. */
    hs_fetch_field field = {HS_SPAN("Authorization"), HS_SPAN("mine")};
    begin(&g, "http://a:b@192.0.2.1/", &(hs_fetch_options){.headers = &field, .headers_len = 1});
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert(strstr(conn_at(0)->last, "Authorization: mine\r\n"));
    cr_assert_null(strstr(conn_at(0)->last, "Basic"));
    begin(&g, "http://a%0d%0ab:c@192.0.2.1/", NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_USAGE, HS_FETCH_START, "cannot be sent");
    /* It is not sent on, and a redirection brings none. */
    r.answer = "HTTP/1.1 302 x\r\nLocation: http://a:b@192.0.2.2/\r\nContent-Length: 0\r\n\r\n";
    begin(&g, "http://a:b@192.0.2.1/", NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_REDIRECT, HS_FETCH_BODY, "with a password");
    rig_fini();
}
