/* Redirections by fetch's rules, and repetitions. */
#include "fetch_rig.h"

/* What is answered to the how-many-th request; the last for all later ones. */
static const char *const *script;
static char seen[32][512];
static uint64_t seen_ms[32];

static void by_script(conn *c)
{
    uint32_t n = r.requests - 1;
    if (n < HS_ARRAY_LEN(seen)) {
        memcpy(seen[n], c->last, sizeof seen[n] - 1);
        seen_ms[n] = bench_ms(&r.b);
    }
    uint32_t at = 0;
    while (at < n && script[at + 1])
        at++;
    say(c, script[at]);
}

static void script_init(const char *const *answers)
{
    rig_init();
    script = answers;
    r.on_request = by_script;
}

#define TO(status, where)                                                                          \
    "HTTP/1.1 " #status " x\r\nLocation: " where "\r\nContent-Length: 3\r\n\r\nxyz"

static void expect_start(uint32_t n, const char *text)
{
    cr_assert(strncmp(seen[n], text, strlen(text)) == 0, "%s", seen[n]);
}

Test(http_fetch_next, methods_and_bodies_of_redirections)
{
    static const struct {
        const char *answer, *method, *then;
        bool body;
    } cases[] = {
        {TO(301, "/y"), "GET", "GET /y", false},
        {TO(302, "/y"), "HEAD", "HEAD /y", false},
        {TO(301, "/y"), "POST", "GET /y", false},
        {TO(302, "/y"), "POST", "GET /y", false},
        {TO(301, "/y"), "PUT", "PUT /y", true},
        {TO(303, "/y"), "POST", "GET /y", false},
        {TO(303, "/y"), "PUT", "GET /y", false},
        {TO(303, "/y"), "HEAD", "HEAD /y", false},
        {TO(307, "/y"), "POST", "POST /y", true},
        {TO(308, "/y"), "PUT", "PUT /y", true},
        {TO(307, "?y"), "POST", "POST /x?y", true},
        {TO(302, "//192.0.2.2/"), "GET", "GET /", false},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        got g;
        bool head = cases[i].method[0] == 'H';
        const char *answers[] = {head ? "HTTP/1.1 302 x\r\nLocation: /y\r\n\r\n" : cases[i].answer,
                                 head ? OK11 "Content-Length: 5\r\n\r\n" : HELLO, NULL};
        if (head && strstr(cases[i].answer, "303"))
            answers[0] = "HTTP/1.1 303 x\r\nLocation: /y\r\n\r\n";
        script_init(answers);
        hs_fetch_field type = {HS_SPAN("Content-Type"), HS_SPAN("a/b")};
        hs_fetch_options o = {
            .method = hs_span_str(cases[i].method), .headers = &type, .headers_len = 1};
        if (cases[i].method[0] == 'P')
            o.body = HS_SPAN("body");
        begin(&g, URL "#frag", &o);
        bench_run(&r.b, 50);
        cr_assert_eq(g.values, 1, "%zu %s", i, g.text);
        cr_assert(g.res->redirected);
        expect_answer(&g, 200, head ? "" : "hello");
        expect_start(1, cases[i].then);
        cr_assert_eq(strstr(seen[1], "\r\n\r\nbody") != NULL, cases[i].body, "%zu", i);
        if (o.body.ptr)
            cr_assert_eq(strstr(seen[1], "Content-Type") != NULL, cases[i].body, "%zu", i);
        rig_fini();
    }
}

/* What is in Location goes on as browsers send it: bytes stay the same bytes, and a name is a name.
 */
Test(http_fetch_next, locations_as_they_come)
{
    static const struct {
        const char *fields, *then; /* NULL: it is no redirection */
    } cases[] = {
        {"Location: /\xe9?\xff\r\n", "GET /%E9?%FF HTTP"},
        {"Location: /\xc3\xa9?\xe2\x98\x83\r\n", "GET /%C3%A9?%E2%98%83 HTTP"},
        {"Location: /%e9 b|c?{d}\r\n", "GET /%e9%20b|c?{d} HTTP"},
        {"Location: http:\\\\192.0.2.1\\y\r\n", "GET /y HTTP"},
        {"Location:\r\n /y\r\n", "GET /y HTTP"},
        {"Location: ../a/./b/../c\r\n", "GET /a/c HTTP"},
        {"Location: ?q#f\r\n", "GET /x?q HTTP"},
        {"Location: #f\r\n", "GET /x HTTP"},
        {"Location: /y\r\nLocation: /y\r\n", "GET /y HTTP"},
        {"Location:\r\nLocation: /y\r\n", "GET /y HTTP"},
        {"location : /y\r\n", "GET /y HTTP"},
        {"Location:\r\n", NULL},
        {"Location: \t \r\n", NULL},
        {"Content-Location: /y\r\n", NULL},
        {"Refresh: 0; url=/y\r\n", NULL},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        char text[200];
        snprintf(text, sizeof text, "HTTP/1.1 302 x\r\n%sContent-Length: 3\r\n\r\nxyz",
                 cases[i].fields);
        const char *const answers[] = {text, HELLO, NULL};
        got g;
        script_init(answers);
        begin(&g, URL, NULL);
        bench_run(&r.b, 50);
        cr_assert_eq(g.values, 1, "%s: %s", cases[i].fields, g.text);
        if (cases[i].then)
            expect_start(1, cases[i].then);
        expect_answer(&g, cases[i].then ? 200 : 302, cases[i].then ? "hello" : "xyz");
        rig_fini();
    }
}

Test(http_fetch_next, several_locations)
{
    static const char *const answers[] = {
        "HTTP/1.1 302 x\r\nLocation: /y\r\nLocation: /z\r\nContent-Length: 0\r\n\r\n", NULL};
    got g;
    script_init(answers);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_REDIRECT, HS_FETCH_HEAD, "several places");
    rig_fini();
}

/* The server gives up an idle connection as a request comes: it is sent anew, whatever it is, once.
 */
Test(http_fetch_next, a_408_that_crosses_a_request)
{
#define TIMEOUT "HTTP/1.1 408 x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nidle"
    static const char *const once[] = {HELLO, TIMEOUT, HELLO, NULL};
    static const char *const twice[] = {HELLO, TIMEOUT, TIMEOUT, NULL};
    hs_fetch_options post = {.body = HS_SPAN("body")};
    got g;
    script_init(once);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_hello(&g);
    begin(&g, URL, &post);
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert_eq(r.requests, 3);
    cr_assert_eq(r.accepted, 2);
    expect_start(2, "POST /x");
    cr_assert(strstr(seen[2], "\r\n\r\nbody"));
    rig_fini();
    script_init(twice);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_hello(&g);
    begin(&g, URL, &post);
    bench_run(&r.b, 50);
    expect_answer(&g, 408, "idle");
    cr_assert_eq(r.requests, 3);
    /* On a new connection it is an answer, which is repeated only where that was asked for. */
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_answer(&g, 408, "idle");
    cr_assert_eq(r.requests, 4);
    begin(&g, URL, &(hs_fetch_options){.retries = 1});
    bench_run(&r.b, 1000);
    expect_answer(&g, 408, "idle");
    cr_assert_eq(r.requests, 6);
    rig_fini();
}

Test(http_fetch_next, credentials_stay_with_their_origin)
{
    static const char *const answers[] = {TO(302, "/same"), TO(302, "http://192.0.2.1:443/other"),
                                          TO(302, "http://192.0.2.1/back"), HELLO, NULL};
    got g;
    script_init(answers);
    hs_fetch_field fields[] = {{HS_SPAN("authorization"), HS_SPAN("secret")},
                               {HS_SPAN("X"), HS_SPAN("kept")},
                               {HS_SPAN("Cookie"), HS_SPAN("secret")}};
    begin(&g, URL, &(hs_fetch_options){.headers = fields, .headers_len = 3});
    bench_run(&r.b, 50);
    cr_assert(hs_span_eq(g.res->url, HS_SPAN("http://192.0.2.1/back")));
    expect_hello(&g);
    for (int i = 0; i < 4; i++) {
        cr_assert(strstr(seen[i], "X: kept"));
        cr_assert_eq(strstr(seen[i], "secret") != NULL, i < 2, "%d: %s", i, seen[i]);
    }
    cr_assert_eq(r.accepted, 2); /* the redirections' bodies were read over */
    rig_fini();
}

Test(http_fetch_next, modes_and_limits)
{
    static const char *const loop[] = {TO(302, "/x"), NULL};
    got g;
    script_init(loop);
    begin(&g, URL, &(hs_fetch_options){.redirect = HS_FETCH_MANUAL});
    bench_run(&r.b, 50);
    expect_answer(&g, 302, "xyz");
    begin(&g, URL, &(hs_fetch_options){.redirect = HS_FETCH_ERROR});
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_REDIRECT, HS_FETCH_HEAD, "not to be followed");
    r.requests = 0;
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_REDIRECT, HS_FETCH_HEAD, "too many redirections");
    cr_assert_eq(r.requests, 21);
    r.requests = 0;
    begin(&g, URL, &(hs_fetch_options){.redirects_max = 3});
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_REDIRECT, HS_FETCH_HEAD, "too many redirections");
    cr_assert_eq(r.requests, 4);
    rig_fini();
}

Test(http_fetch_next, where_no_redirection_goes)
{
    static const char *const bad[] = {"ftp://192.0.2.1/", "file:///etc/passwd", "data:,x",
                                      "http://[",         "http://a b/",        "javascript:x"};
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        got g;
        char text[200];
        snprintf(text, sizeof text, "HTTP/1.1 302 x\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n",
                 bad[i]);
        const char *answers[] = {text, NULL};
        script_init(answers);
        begin(&g, URL, NULL);
        bench_run(&r.b, 50);
        expect_error(&g, HS_E_REDIRECT, HS_FETCH_BODY, "a redirection to");
        cr_assert_eq(r.requests, 1);
        rig_fini();
    }
    /* Without a place to go it is a response like any other. */
    static const char *const none[] = {"HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n", NULL};
    got g;
    script_init(none);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_answer(&g, 302, "");
    rig_fini();
}

static uint32_t asked;

static hs_err only_first(const hs_addr *addr, void *ctx)
{
    char text[HS_ADDR_TEXT_BYTES];
    (void)ctx;
    asked++;
    hs_addr_format(addr, text);
    return hs_err_of(strcmp(text, "192.0.2.1:80") == 0 ? 0 : HS_E_FORBIDDEN);
}

Test(http_fetch_next, each_redirection_asks_where_it_may_go)
{
    static const char *const answers[] = {TO(302, "http://192.0.2.2/"), HELLO, NULL};
    got g;
    rig_prepare(NULL, NULL);
    r.options.allow = only_first;
    r.on_request = by_script;
    script = answers;
    cr_assert(hs_ok(rig_make()));
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_FORBIDDEN, HS_FETCH_CONNECT, "192.0.2.2: ");
    cr_assert_eq(asked, 2);
    cr_assert_eq(r.requests, 1);
    rig_fini();
}

/* ---- repetitions ---- */

Test(http_fetch_next, repetitions_are_asked_for)
{
    static const char *const busy[] = {"HTTP/1.1 503 x\r\nContent-Length: 4\r\n\r\nbusy",
                                       "HTTP/1.1 429 x\r\nContent-Length: 4\r\n\r\nbusy", HELLO,
                                       NULL};
    got g;
    script_init(busy);
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_answer(&g, 503, "busy");
    r.requests = 0;
    begin(&g, URL, &(hs_fetch_options){.retries = 5});
    bench_run(&r.b, 1000);
    expect_hello(&g);
    cr_assert_eq(r.requests, 3);
    cr_assert_eq(r.accepted, 1);
    r.requests = 0;
    begin(&g, URL, &(hs_fetch_options){.retries = 1});
    bench_run(&r.b, 1000);
    expect_answer(&g, 429, "busy");
    /* What may have had an effect is not repeated. */
    r.requests = 0;
    begin(&g, URL, &(hs_fetch_options){.retries = 5, .method = HS_SPAN("POST")});
    bench_run(&r.b, 1000);
    expect_answer(&g, 503, "busy");
    rig_fini();
}

Test(http_fetch_next, the_server_says_when)
{
    static const char *const later[] = {
        "HTTP/1.1 503 x\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 x\r\nRetry-After: Thu, 01 Jan 1970 00:00:05 GMT\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 x\r\nRetry-After: 31\r\nContent-Length: 4\r\n\r\nbusy", NULL};
    got g;
    script_init(later);
    begin(&g, URL, &(hs_fetch_options){.retries = 5});
    bench_run(&r.b, 20000);
    expect_answer(&g, 503, "busy"); /* too long a wait */
    cr_assert_eq(r.requests, 3);
    cr_assert_geq(seen_ms[1] - seen_ms[0], 3000);
    cr_assert_lt(seen_ms[1] - seen_ms[0], 3100);
    cr_assert_leq(seen_ms[2] - seen_ms[1], 5000);
    rig_fini();
}

/* What is far away is as far away as it says, and what is no date says nothing. */
Test(http_fetch_next, the_server_says_something_odd)
{
    static const struct {
        const char *value;
        bool waits; /* for longer than we do: the response is the answer */
    } cases[] = {
        {"Sat, 22 Jun 2611 00:00:00 GMT", true},
        {"Tue, 06 Aug 2611 07:34:34 GMT", true}, /* its nanoseconds overflow to 0.3 s */
        {"Fri, 31 Dec 9999 23:59:59 GMT", true},
        {"Sunday, 22-Jun-70 00:00:00 GMT", true},
        {"Sat Jun 22 00:00:00 2611", true},
        {"4294967295", true},
        {"4294967296", true},
        {"18446744073", true},
        {"18446744074", true},
        {"99999999999999999999999", true},
        {"Thu, 01 Jan 1970 99:00:05 GMT", false},
        {"Thu, 00 Jan 1970 00:00:05 GMT", false},
        {"Fri, 31 Feb 2611 00:00:00 GMT", false},
        {"Wed, 31 Dec 1969 23:59:59 GMT", false},
        {"Sun Nov  6 08:49:37 0001", false},
        {"-1", false},
        {"1e9", false},
        {"soon", false},
        {"", false},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "HTTP/1.1 503 x\r\nRetry-After: %s\r\nContent-Length: 4\r\n\r\nbusy",
                 cases[i].value);
        const char *const answers[] = {text, HELLO, NULL};
        got g;
        script_init(answers);
        begin(&g, URL, &(hs_fetch_options){.retries = 1});
        bench_run(&r.b, 1000);
        cr_assert_eq(g.values, 1, "%s", cases[i].value);
        cr_assert_eq(r.requests, cases[i].waits ? 1 : 2, "%s", cases[i].value);
        expect_answer(&g, cases[i].waits ? 503 : 200, cases[i].waits ? "busy" : "hello");
        rig_fini();
    }
}

Test(http_fetch_next, failures_to_connect_are_repeated_with_pauses)
{
    got g;
    rig_init();
    reach("192.0.2.1:0", SIM_REACH_REFUSED, 1);
    begin(&g, URL, &(hs_fetch_options){.retries = 3, .retry_ms = 100});
    bench_run(&r.b, 100 + 200 + 400 + 50);
    expect_error(&g, -ECONNREFUSED, HS_FETCH_CONNECT, "refused");
    cr_assert_eq(bench_count(&r.b, "fetch_repeated"), 3);
    begin(&g, URL, &(hs_fetch_options){.retries = 30, .retry_ms = 100});
    bench_run(&r.b, 300);
    cr_assert_eq(g.errors, 0);
    reach("192.0.2.1:0", SIM_REACH_OPEN, 1);
    bench_run(&r.b, 60000);
    expect_hello(&g);
    /* A pause is ended like any other phase. */
    reach("192.0.2.2:0", SIM_REACH_REFUSED, 1);
    hs_cancel *cancel = hs_cancel_create(r.b.shard);
    begin(&g, "http://192.0.2.2/",
          &(hs_fetch_options){.retries = 30, .retry_ms = 20000, .cancel = cancel});
    bench_run(&r.b, 5);
    hs_cancel_fire(cancel, hs_err_of(-ECANCELED));
    bench_run(&r.b, 5);
    cr_assert_eq(g.errors, 1);
    cr_assert_eq(g.err.code, -ECANCELED);
    hs_cancel_unref(cancel);
    rig_fini();
}
