/* Fetches with a jar for cookies, and those that go to one address whatever their URL says. */
#include "fetch_rig.h"

static const char *const *script;
static char seen[8][512];

static void by_script(conn *c)
{
    uint32_t n = r.requests - 1;
    cr_assert_lt(n, HS_ARRAY_LEN(seen));
    memcpy(seen[n], c->last, sizeof seen[n] - 1);
    say(c, script[n]);
}

static hs_cookies *jar_init(const char *const *answers)
{
    hs_cookies *jar;
    rig_prepare(NULL, NULL);
    cr_assert(hs_ok(hs_cookies_create(&jar, hs_mem_system())));
    script = answers;
    r.on_request = by_script;
    r.options.cookies = jar;
    cr_assert(hs_ok(rig_make()));
    return jar;
}

#define TO_Y "HTTP/1.1 302 x\r\nLocation: /y\r\nContent-Length: 0\r\n"

Test(http_fetch_jar, what_a_redirection_sets_is_sent_with_the_next_request)
{
    static const char *const answers[] = {TO_Y "Set-Cookie: a=1; Path=/\r\n"
                                               "set-cookie: b=2; Path=/elsewhere\r\n"
                                               "Set-Cookie: c=3; Domain=other.test\r\n\r\n",
                                          HELLO, HELLO};
    got g[2];
    hs_cookies *jar = jar_init(answers);
    begin(&g[0], URL, NULL);
    bench_run(&r.b, 20);
    expect_hello(&g[0]);
    cr_assert_null(strstr(seen[0], "Cookie"));
    cr_assert(strstr(seen[1], "\r\nCookie: a=1\r\n"), "%s", seen[1]);
    cr_assert_eq(hs_cookies_len(jar), 2); /* the third is not this host's to set */
    /* A field of the caller's own goes before the jar's. */
    hs_fetch_field own = {HS_SPAN("cookie"), HS_SPAN("mine")};
    begin(&g[1], URL, &(hs_fetch_options){.headers = &own, .headers_len = 1});
    bench_run(&r.b, 20);
    expect_hello(&g[1]);
    cr_assert(strstr(seen[2], "\r\ncookie: mine\r\n"), "%s", seen[2]);
    cr_assert_null(strstr(seen[2], "a=1"));
    rig_fini();
    hs_cookies_destroy(jar);
}

Test(http_fetch_jar, another_host_gets_nothing_of_it)
{
    static const char *const answers[] = {
        "HTTP/1.1 302 x\r\nLocation: http://192.0.2.2/\r\nContent-Length: 0\r\n"
        "Set-Cookie: a=1; Path=/\r\n\r\n",
        HELLO};
    got g;
    hs_cookies *jar = jar_init(answers);
    begin(&g, URL, NULL);
    bench_run(&r.b, 20);
    expect_hello(&g);
    cr_assert_null(strstr(seen[1], "Cookie"), "%s", seen[1]);
    rig_fini();
    hs_cookies_destroy(jar);
}

Test(http_fetch_jar, one_address_for_all_hosts)
{
    static const char *const answers[] = {HELLO, HELLO};
    hs_addr to;
    got g[2];
    cr_assert(hs_ok(hs_addr_parse(&to, HS_SPAN("192.0.2.7:80"))));
    rig_prepare(NULL, NULL); /* and no name is known */
    script = answers;
    r.on_request = by_script;
    r.options.connect_to = &to;
    cr_assert(hs_ok(rig_make()));
    begin(&g[0], "http://unknown.test:81/x", NULL);
    bench_run(&r.b, 20);
    expect_hello(&g[0]);
    begin(&g[1], "http://192.0.2.1/y", NULL);
    bench_run(&r.b, 20);
    expect_hello(&g[1]);
    cr_assert(strstr(seen[0], "\r\nHost: unknown.test:81\r\n"), "%s", seen[0]);
    cr_assert_eq(hs_client_conns(r.client), 2); /* of two origins: none serves the other */
    rig_fini();
}
