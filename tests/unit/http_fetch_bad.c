/* Bad servers, each of which gives its own error, in bounded time and memory. */
#include "fetch_rig.h"

static void expect_bad(const char *answer, int32_t err, hs_fetch_phase phase, const char *text)
{
    got g;
    rig_init();
    r.answer = answer;
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_error(&g, err, phase, text);
    cr_assert_eq(hs_client_conns(r.client), 0);
    rig_fini();
}

static void expect_bad_body(const char *answer, int32_t err, const char *text)
{
    got g;
    rig_init();
    r.answer = answer;
    begin(&g, URL, NULL);
    bench_run(&r.b, 50);
    expect_body_error(&g, err, text);
    cr_assert_eq(hs_client_conns(r.client), 0);
    rig_fini();
}

Test(http_fetch_bad, heads)
{
    expect_bad("SSH-2.0-OpenSSH\r\n", HS_E_PROTOCOL, HS_FETCH_HEAD, "no status line");
    expect_bad("HTTP/1.1 099 x\r\n\r\n", HS_E_PROTOCOL, HS_FETCH_HEAD, "status below 100");
    expect_bad(OK11 "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", HS_E_PROTOCOL,
               HS_FETCH_HEAD, "192.0.2.1: ");
    expect_bad(OK11 "Transfer-Encoding: gzip\r\n\r\n", HS_E_PROTOCOL, HS_FETCH_HEAD,
               "a transfer coding that was not asked for");
    expect_bad(OK11 "Content-Length: 0x5\r\n\r\nhello", HS_E_PROTOCOL, HS_FETCH_HEAD, "");
    expect_bad("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", HS_E_PROTOCOL, HS_FETCH_HEAD, "101");
}

Test(http_fetch_bad, chunks)
{
#define CHUNKED OK11 "Transfer-Encoding: chunked\r\n\r\n"
    expect_bad_body(CHUNKED "zz\r\n", HS_E_PROTOCOL, "chunk size is not a hexadecimal number");
    expect_bad_body(CHUNKED "3\r\nhello\r\n0\r\n\r\n", HS_E_PROTOCOL, "chunk");
    expect_bad_body(CHUNKED "fffffffffffffffff\r\n", HS_E_PROTOCOL, "out of range");
    expect_bad_body(CHUNKED "5\r\nhello\r\n0\r\nA: b\rc\r\n\r\n", HS_E_PROTOCOL, "bare CR");
}

/* ---- what never ends ---- */

static const char *endless_text;
static uint64_t endless_bytes;

static sim_event endless_event;
static conn *endless_conn;

/* As much as there is room for, a millisecond later again. */
static void endless(sim_world *w, sim_event *event)
{
    size_t len = strlen(endless_text), n = 1;
    conn *c = endless_conn;
    while (c->peer && n > 0) {
        size_t at = endless_bytes % len;
        n = sim_peer_write(c->peer, endless_text + at, len - at);
        endless_bytes += n;
    }
    if (c->peer)
        sim_event_set(w, event, HS_MSEC_NS, endless);
}

static void start_endless(conn *c)
{
    endless_conn = c;
    endless_bytes = 0;
    say(c, r.answer);
    endless(r.b.w, &endless_event);
}

Test(http_fetch_bad, endless_heads)
{
    static const char *const texts[] = {
        "A: b\r\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < HS_ARRAY_LEN(texts); i++) {
        got g;
        rig_init();
        endless_text = texts[i];
        r.answer = OK11;
        r.on_request = start_endless;
        begin(&g, URL, NULL);
        bench_run(&r.b, 10000);
        expect_error(&g, HS_E_LIMIT, HS_FETCH_HEAD, "head too long");
        cr_assert_geq(endless_bytes, 256u * 1024 - strlen(OK11));
        rig_fini();
    }
    expect_bad("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\n"
               "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\n"
               "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\n"
               "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\n"
               "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\n"
               "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 100 x\r\n\r\n" HELLO,
               HS_E_PROTOCOL, HS_FETCH_HEAD, "too many interim responses");
}

static hs_err make_limited(uint32_t bytes, uint32_t fields)
{
    rig_prepare(NULL, NULL);
    r.options.head_bytes_max = bytes;
    r.options.fields_max = fields;
    return rig_make();
}

/* The limits of heads are options, which have their own. */
Test(http_fetch_bad, heads_beyond_an_option)
{
    static const char three[] =
        OK11 "A: 1\r\nB: 2222222222222222222222222222\r\nContent-Length: 5\r\n\r\nhello";
    uint32_t head = sizeof three - 1 - 5;
    const struct {
        uint32_t bytes, fields;
        const char *text; /* NULL: it is taken */
    } cases[] = {
        {1u << 20, 1000, NULL},
        {head, 3, NULL},
        {1u << 20, 2, "too many fields"},
        {head - 1, 1000, "head too long"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(cases); i++) {
        got g;
        cr_assert(hs_ok(make_limited(cases[i].bytes, cases[i].fields)));
        r.answer = three;
        begin(&g, URL, NULL);
        bench_run(&r.b, 50);
        if (cases[i].text)
            expect_error(&g, HS_E_LIMIT, HS_FETCH_HEAD, cases[i].text);
        else
            expect_hello(&g);
        rig_fini();
    }
    cr_assert_eq(make_limited((1u << 20) + 1, 0).code, HS_E_USAGE);
    rig_fini();
    cr_assert_eq(make_limited(0, 1001).code, HS_E_USAGE);
    rig_fini();
}

Test(http_fetch_bad, endless_bodies)
{
    got g;
    /* One that is collected has a limit; */
    rig_prepare(NULL, NULL);
    r.options.body_bytes_max = 100000;
    cr_assert(hs_ok(rig_make()));
    endless_text = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    r.answer = OK11 "\r\n";
    r.on_request = start_endless;
    begin(&g, URL, NULL);
    bench_run(&r.b, 1000);
    expect_body_error(&g, HS_E_LIMIT, "the body is longer than its limit");
    rig_fini();
    /* one that is said to be longer is not even begun; */
    rig_prepare(NULL, NULL);
    r.options.body_bytes_max = 4;
    cr_assert(hs_ok(rig_make()));
    begin(&g, URL, NULL);
    bench_run(&r.b, 100);
    expect_body_error(&g, HS_E_LIMIT, "longer than its limit");
    rig_fini();
    /* and one that nobody reads is not taken. */
    rig_init();
    r.answer = OK11 "\r\n";
    r.on_request = start_endless;
    endless_bytes = 0;
    memset(&g, 0, sizeof g);
    g.by_hand = true;
    begin_kept(&g, URL, NULL);
    bench_run(&r.b, 1000);
    cr_assert_eq(g.values, 1);
    cr_assert_lt(endless_bytes, 400 * 1024);
    cr_assert_lt(hs_shard_chunks(r.b.shard)->slots_used, 60);
    let_go(&g);
    rig_fini();
}

/* ---- ends at each byte ---- */

static size_t cut_at;
static bool cut_reset;

static void answer_cut(conn *c)
{
    say_bytes(c, r.answer, cut_at);
    if (cut_reset)
        conn_end(c, true);
    else
        c->close_after = true;
    conn_write(c);
}

Test(http_fetch_bad, an_early_close_at_each_byte)
{
    static const char *const answers[] = {
        HELLO,
        CHUNKED "5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
        "HTTP/1.1 100 x\r\n\r\n" HELLO,
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(answers); i++) {
        rig_init();
        r.answer = answers[i];
        r.on_request = answer_cut;
        for (cut_at = 0; cut_at < strlen(r.answer); cut_at++) {
            got g;
            cut_reset = false;
            begin(&g, URL, NULL);
            bench_run(&r.b, 20);
            const char *head_end = strstr(r.answer + (i == 2 ? 20 : 0), "\r\n\r\n") + 4;
            if (cut_at >= (size_t)(head_end - r.answer))
                expect_body_error(&g, HS_E_TRUNCATED, "inside the body");
            else
                expect_error(&g, HS_E_TRUNCATED, cut_at ? HS_FETCH_HEAD : HS_FETCH_WAIT,
                             cut_at ? "inside the head" : "without a response");
            cut_reset = true;
            begin(&g, URL, NULL);
            bench_run(&r.b, 20);
            cr_assert_eq(g.errors + g.body_errors, 1);
            if (g.res)
                let_go(&g);
        }
        cr_assert_eq(hs_client_conns(r.client), 0);
        rig_fini();
    }
}

/* To the end of the connection: a clean end is the body's, a reset is not. */
Test(http_fetch_bad, bodies_to_the_end)
{
    got g;
    rig_init();
    r.answer = OK11 "\r\nhello";
    cut_at = strlen(r.answer);
    cut_reset = false;
    r.on_request = answer_cut;
    begin(&g, URL, NULL);
    bench_run(&r.b, 20);
    expect_hello(&g);
    rig_fini();
}

/* ---- too early ---- */

static void speak_first(conn *c)
{
    say(c, HELLO);
}

static void ignore(conn *c)
{
    (void)c;
}

Test(http_fetch_bad, a_response_before_the_request)
{
    got g;
    rig_init();
    r.on_open = speak_first;
    r.on_request = ignore;
    r.secure_ms = 10; /* time for it to arrive */
    begin(&g, "https://192.0.2.1/", NULL);
    bench_run(&r.b, 50);
    expect_error(&g, HS_E_PROTOCOL, HS_FETCH_HEAD, "a response before the request");
    cr_assert_eq(r.requests, 0);
    cr_assert_eq(hs_client_conns(r.client), 0);
    rig_fini();
}

/* One that comes while the body is still sent is taken, but its connection is not kept. */
static void answer_early(conn *c)
{
    c->lazy = true;
    say(c, HELLO);
}

Test(http_fetch_bad, a_response_before_all_of_the_request)
{
    got g;
    static char body[1 << 20];
    rig_init();
    memset(body, 'x', sizeof body);
    hs_fetch_options o = {.method = HS_SPAN("PUT"), .body = hs_span_of(body, sizeof body)};
    begin(&g, URL, &o);
    while (r.accepted == 0 || conn_at(0)->in_len == 0)
        bench_run(&r.b, 1);
    answer_early(conn_at(0));
    bench_run(&r.b, 50);
    expect_hello(&g);
    cr_assert_eq(hs_client_conns(r.client), 0);
    rig_fini();
}

/* ---- nobody there ---- */

static hs_err allow_none(const hs_addr *addr, void *ctx)
{
    (void)addr, (void)ctx;
    return hs_err_of(HS_E_FORBIDDEN);
}

Test(http_fetch_bad, no_connection)
{
    got g;
    rig_init();
    begin(&g, "http://192.0.2.1:81/", NULL);
    bench_run(&r.b, 20);
    expect_error(&g, -ECONNREFUSED, HS_FETCH_CONNECT, "192.0.2.1: Connection refused");
    reach("192.0.2.2:0", SIM_REACH_UNREACHABLE, 5);
    begin(&g, "http://192.0.2.2/", NULL);
    bench_run(&r.b, 20);
    cr_assert_eq(g.errors, 1);
    cr_assert_eq(g.phase, HS_FETCH_CONNECT);
    rig_fini();
    rig_prepare(NULL, NULL);
    r.options.allow = allow_none;
    cr_assert(hs_ok(rig_make()));
    begin(&g, URL, NULL);
    bench_run(&r.b, 20);
    expect_error(&g, HS_E_FORBIDDEN, HS_FETCH_CONNECT, "not allowed");
    cr_assert_eq(r.accepted, 0);
    rig_fini();
}
