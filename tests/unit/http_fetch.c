/* Fetches on the simulated backend: requests as they are sent, responses as they are given. */
#include "fetch_rig.h"

static void expect_request(const char *text)
{
    cr_assert_str_eq(conn_at(r.accepted - 1)->last, text);
}

Test(http_fetch, a_get)
{
    got g;
    rig_init();
    begin(&g, "http://192.0.2.1/a%20b?c=d#e", NULL);
    cr_assert_eq(g.values, 0);
    bench_run(&r.b, 50);
    expect_request("GET /a%20b?c=d HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: httpshard\r\n"
                   "Accept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n");
    cr_assert_eq(g.values, 1);
    cr_assert(hs_span_eq(g.res->url, HS_SPAN("http://192.0.2.1/a%20b?c=d")));
    cr_assert(hs_span_eq(g.res->reason, HS_SPAN("OK")));
    cr_assert_eq(g.res->minor, 1);
    cr_assert_not(g.res->redirected || g.res->reused);
    cr_assert_eq(g.res->fields_len, 1);
    cr_assert(hs_span_eq(hs_fetch_header(g.res, HS_SPAN("content-LENGTH")), HS_SPAN("5")));
    cr_assert_null(hs_fetch_header(g.res, HS_SPAN("content")).ptr);
    cr_assert_null(hs_fetch_why(g.res));
    expect_hello(&g);
    cr_assert_eq(bench_count(&r.b, "fetch_started"), 1);
    cr_assert_eq(bench_count(&r.b, "fetch_failed"), 0);
    rig_fini();
}

Test(http_fetch, ports_and_addresses_are_named)
{
    got g;
    rig_init();
    sim_peer_listen(r.b.w, 8080, false, on_peer, NULL);
    begin(&g, "http://[2001:db8::1]:8080", NULL);
    bench_run(&r.b, 50);
    expect_hello(&g);
    expect_request("GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\nUser-Agent: httpshard\r\n"
                   "Accept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n");
    rig_fini();
}

Test(http_fetch, fields_and_bodies)
{
    got g;
    rig_init();
    hs_fetch_field fields[] = {{HS_SPAN("user-agent"), HS_SPAN("me")},
                               {HS_SPAN("X-Empty"), HS_SPAN("")},
                               {HS_SPAN("Accept"), HS_SPAN("a/b")}};
    hs_fetch_options o = {
        .method = HS_SPAN("put"), .headers = fields, .headers_len = 3, .body = HS_SPAN("body")};
    begin(&g, URL, &o);
    bench_run(&r.b, 50);
    expect_hello(&g);
    expect_request(
        "PUT /x HTTP/1.1\r\nHost: 192.0.2.1\r\nuser-agent: me\r\nX-Empty: \r\n"
        "Accept: a/b\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nContent-Length: 4\r\n\r\nbody");
    memset(&g, 0, sizeof g);
    hs_promise *p = hs_post_json(r.client, HS_SPAN(URL), HS_SPAN("{}"));
    hs_promise_drop(hs_then_catch(p, got_res, got_error, &g));
    bench_run(&r.b, 50);
    expect_hello(&g);
    expect_request("POST /x HTTP/1.1\r\nHost: 192.0.2.1\r\nContent-Type: application/json\r\n"
                   "User-Agent: httpshard\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br, "
                   "zstd\r\nContent-Length: 2\r\n\r\n{}");
    /* Nothing is said of a body where none is expected. */
    begin(&g, URL, &(hs_fetch_options){.method = HS_SPAN("DELETE")});
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert_null(strstr(conn_at(0)->last, "Content-Length"));
    begin(&g, URL, &(hs_fetch_options){.method = HS_SPAN("PATCH")});
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert(strstr(conn_at(0)->last, "Content-Length: 0\r\n"));
    cr_assert_eq(r.accepted, 1);
    rig_fini();
}

/* No request leaves with what its caller could have smuggled in. */
Test(http_fetch, bad_requests)
{
    static const struct {
        const char *url, *method, *name, *value, *body, *text;
    } cases[] = {
        {"", NULL, NULL, NULL, NULL, "not a URL"},
        {"x", NULL, NULL, NULL, NULL, "not a URL"},
        {"ftp://a/", NULL, NULL, NULL, NULL, "neither http nor https"},
        {"file:///a", NULL, NULL, NULL, NULL, "neither"},
        {URL, "GE T", NULL, NULL, NULL, "method"},
        {URL, "G\r\n", NULL, NULL, NULL, "method"},
        {URL, "CONNECT", NULL, NULL, NULL, "not fetched with"},
        {URL, "trace", NULL, NULL, NULL, ""},
        {URL, "TRACK", NULL, NULL, NULL, "not fetched with"},
        {URL, "get", NULL, NULL, "x", "no body"},
        {URL, NULL, "a b", "x", NULL, "name"},
        {URL, NULL, "", "x", NULL, "name"},
        {URL, NULL, "a:", "x", NULL, "name"},
        {URL, NULL, "a", "x\r\nb: c", NULL, "value"},
        {URL, NULL, "a", "x\n", NULL, "value"},
        {URL, NULL, "a", " x", NULL, "value"},
        {URL, NULL, "host", "b", NULL, "client's"},
        {URL, NULL, "Content-length", "1", NULL, "client's"},
        {URL, NULL, "transfer-encoding", "chunked", NULL, "client's"},
        {URL, NULL, "connection", "close", NULL, "client's"},
        {URL, NULL, "expect", "100-continue", NULL, "client's"},
        {URL, NULL, "te", "trailers", NULL, "client's"},
    };
    rig_init();
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        got g;
        hs_fetch_field field = {0};
        hs_fetch_options o = {.headers = &field};
        if (cases[i].name) {
            field.name = hs_span_str(cases[i].name);
            field.value = hs_span_str(cases[i].value);
            o.headers_len = 1;
        }
        if (cases[i].method)
            o.method = hs_span_str(cases[i].method);
        if (cases[i].body)
            o.body = hs_span_str(cases[i].body);
        begin(&g, cases[i].url, &o);
        bench_run(&r.b, 10);
        expect_error(&g, HS_E_USAGE, HS_FETCH_START, cases[i].text);
    }
    cr_assert_eq(r.accepted, 0);
    rig_fini();
}

Test(http_fetch, https_goes_through_what_makes_streams_secure)
{
    got g;
    rig_init();
    begin(&g, "https://192.0.2.1/", NULL);
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert_eq(r.secured, 1);
    begin(&g, "https://192.0.2.1/", NULL); /* not again on a pooled connection */
    bench_run(&r.b, 50);
    cr_assert(g.res->reused);
    expect_hello(&g);
    cr_assert_eq(r.secured, 1);
    begin(&g, "http://192.0.2.1:443/", NULL); /* another origin */
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert_eq(r.secured, 1);
    cr_assert_eq(r.accepted, 2);
    rig_fini();
}

Test(http_fetch, a_handshake_that_fails_says_why)
{
    got g;
    rig_init();
    r.secure_err = HS_E_CERT_TIME;
    begin(&g, "https://192.0.2.1/", &(hs_fetch_options){.retries = 3});
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_CERT_TIME, HS_FETCH_TLS, "192.0.2.1: certificate expired: CN=x");
    rig_fini();
    rig_prepare(NULL, NULL);
    r.options.secure = NULL;
    cr_assert(hs_ok(rig_make()));
    begin(&g, "https://192.0.2.1/", NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_USAGE, HS_FETCH_START, "without TLS");
    rig_fini();
}

Test(http_fetch, the_phases_are_timed)
{
    static const fake_row rows[] = {{"a.test", "192.0.2.1", 0, 20, AF_INET},
                                    {"a.test", NULL, HS_E_NAME_NONE, 20, AF_INET6},
                                    {NULL, NULL, 0, 0, 0}};
    got g;
    rig_prepare(rows, NULL);
    cr_assert(hs_ok(rig_make()));
    reach("192.0.2.1:0", SIM_REACH_OPEN, 30);
    begin(&g, "http://a.test/", NULL);
    bench_run(&r.b, 100);
    const hs_fetch_timing *t = &g.res->timing;
    cr_assert_eq(t->queue_ns / HS_MSEC_NS, 0);
    cr_assert_eq(t->resolve_ns / HS_MSEC_NS, 20);
    cr_assert(t->connect_ns / HS_MSEC_NS >= 29 && t->connect_ns / HS_MSEC_NS < 40);
    cr_assert_eq(t->tls_ns, 0);
    cr_assert(t->total_ns >= t->resolve_ns + t->connect_ns + t->first_byte_ns);
    cr_assert_lt(t->total_ns, 80 * HS_MSEC_NS);
    expect_hello(&g);
    rig_fini();
}

Test(http_fetch, responses_that_nobody_receives)
{
    rig_init();
    hs_promise_drop(hs_get(r.client, HS_SPAN(URL)));
    hs_promise_ignore(hs_get(r.client, HS_SPAN("http://192.0.2.1:81/")));
    bench_run(&r.b, 50);
    cr_assert_eq(r.requests, 1);
    rig_fini();
}

/* Fields of both kinds go out, in their order, under the same rules. */
Test(http_fetch, fields_of_a_list)
{
    got g;
    hs_arena arena;
    hs_headers h;
    hs_fetch_field one = {HS_SPAN("A"), HS_SPAN("1")};
    hs_fetch_options o = {.headers = &one, .headers_len = 1, .fields = &h};
    rig_init();
    hs_arena_init(&arena, hs_shard_chunks(r.b.shard), 100000);
    hs_headers_init(&h, &arena, HS_HEADERS_REQUEST);
    cr_assert(hs_ok(hs_headers_append(&h, HS_SPAN("b"), HS_SPAN(" 2 "))));
    cr_assert(hs_ok(hs_headers_append(&h, HS_SPAN("accept"), HS_SPAN("x/y"))));
    begin(&g, "http://me@192.0.2.1/x", &o);
    hs_arena_reset(&arena);
    bench_run(&r.b, 20);
    expect_hello(&g);
    cr_assert(strstr(conn_at(0)->last, "\r\nA: 1\r\nb: 2\r\naccept: x/y\r\nAuthorization: "), "%s",
              conn_at(0)->last);
    cr_assert_null(strstr(conn_at(0)->last, "*/*"));
    /* A list that anything may be put into is no way around the rules. */
    static const char *const names[] = {"Host", "Content-Length", "Proxy-Authorization"};
    for (size_t i = 0; i < HS_ARRAY_LEN(names); i++) {
        hs_headers_init(&h, &arena, HS_HEADERS_OWN);
        cr_assert(hs_ok(hs_headers_append(&h, hs_span_str(names[i]), HS_SPAN("1"))));
        begin(&g, URL, &o);
        bench_run(&r.b, 5);
        expect_error(&g, HS_E_USAGE, HS_FETCH_START, "client's to set");
    }
    hs_headers_init(&h, &arena, HS_HEADERS_OWN);
    for (int i = 0; i < HS_HEADERS_MAX; i++)
        cr_assert(hs_ok(hs_headers_append(&h, HS_SPAN("a"), HS_SPAN("1"))));
    begin(&g, URL, &o);
    bench_run(&r.b, 5);
    expect_error(&g, HS_E_USAGE, HS_FETCH_START, "too many fields");
    hs_arena_reset(&arena);
    rig_fini();
}

/* ---- memory that fails ---- */

static void attempt(uint64_t at, bool on, bool *met)
{
    static got g[3];
    memset(g, 0, sizeof g);
    rig_prepare(NULL, NULL);
    r.answer = "HTTP/1.1 103 x\r\n\r\n" OK11 "Transfer-Encoding: chunked\r\nA: b\r\n\r\n"
               "5\r\nhello\r\n0\r\nC: d\r\n\r\n";
    r.b.fail_at = r.b.takes + at;
    r.b.fail_on = on;
    hs_err err = rig_make();
    if (hs_ok(err)) {
        hs_fetch_field field = {HS_SPAN("A"), HS_SPAN("b")};
        hs_fetch_options o = {.headers = &field, .headers_len = 1, .body = HS_SPAN("body")};
        for (int i = 0; i < 2; i++)
            begin(&g[i], URL, &o);
        bench_run(&r.b, 100);
        begin(&g[2], URL, NULL);
        bench_run(&r.b, 100);
    }
    *met = r.b.fails > 0;
    for (int i = 0; i < 3 && hs_ok(err); i++) {
        /* Where there was no memory for a reaction, nobody was told. */
        cr_assert(g[i].values + g[i].errors == 1 || *met);
        cr_assert(*met || g[i].bodies == 1);
        hs_err any = g[i].errors ? g[i].err : g[i].body_err;
        cr_assert(hs_ok(any) || hs_err_class(any) == HS_ERR_LIMIT, "%s", hs_err_name(any));
        if (g[i].res)
            let_go(&g[i]);
    }
    r.b.fail_at = 0;
    rig_fini();
}

Test(http_fetch, each_piece_of_memory_fails_once)
{
    bool met = true;
    for (uint64_t at = 1; met; at++)
        for (int on = 0; on < 2; on++)
            attempt(at, on, &met);
}
