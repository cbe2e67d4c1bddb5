/* The HTTP server over time, which here is virtual: deadlines, ends that a handler must hear of,
 * the drain, and memory that fails. */
#include "http_rig.h"

#define TIMED_OUT                                                                                  \
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n"           \
    "Connection: close\r\n\r\n408 Request Timeout\n"

/* It is there until `ms` from now, less a little, and gone soon after. `text`: what it says. */
static void ends_at(client *c, uint64_t ms, const char *text)
{
    bench_run(&r.b, ms - 100);
    cr_assert_not(ended(c), "it ended too early");
    bench_run(&r.b, 200);
    cr_assert(ended(c), "it did not end");
    cr_assert_str_eq(got(c), text);
}

/* ---- deadlines between requests and in heads ---- */

Test(http_server_time, a_connection_without_a_byte)
{
    client c;
    rig_start(handle_hello);
    connect_client(&c);
    ends_at(&c, 10000 - 5, "");
    cr_assert_eq(bench_count(&r.b, "http_timeouts"), 1);
    client_fini(&c);
    rig_fini();
}

Test(http_server_time, a_head_has_ten_seconds_from_its_first_byte)
{
    static const char slow[] = "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ......................";
    client c;
    rig_start(handle_hello);
    connect_client(&c);
    bench_run(&r.b, 5000);
    for (size_t i = 0; i < 10; i++) { /* each byte moves nothing */
        client_send(&c, slow + i, 1);
        bench_run(&r.b, i < 9 ? 1000 : 850);
        cr_assert_not(ended(&c));
    }
    bench_run(&r.b, 300);
    cr_assert(ended(&c));
    cr_assert_str_eq(got(&c), TIMED_OUT);
    cr_assert_eq(r.handled, 0);
    client_fini(&c);
    rig_fini();
}

Test(http_server_time, between_requests_there_is_a_minute)
{
    client c;
    rig_start(handle_hello);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, GET), HELLO);
    bench_run(&r.b, 50000);
    cr_assert_str_eq(ask(&c, GET), HELLO); /* counted anew */
    ends_at(&c, 60000 - 50, "");
    client_fini(&c);
    rig_fini();
}

Test(http_server_time, a_minute_from_the_end_of_the_answer)
{
    client c;
    rig_start(handle_defer);
    connect_client(&c);
    ask(&c, GET);
    bench_run(&r.b, 45000);
    hs_res_text(r.res, 200, HS_SPAN("hello"));
    bench_run(&r.b, 10);
    cr_assert_str_eq(got(&c), HELLO);
    ends_at(&c, 60000 - 10, "");
    client_fini(&c);
    rig_fini();
}

Test(http_server_time, a_head_after_a_rest_has_its_own_time)
{
    client c;
    rig_start(handle_hello);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, GET), HELLO);
    bench_run(&r.b, 55000);
    client_say(&c, "G");
    ends_at(&c, 10000, TIMED_OUT);
    client_fini(&c);
    rig_fini();
}

Test(http_server_time, a_handler_may_take_its_time)
{
    client c;
    rig_start(handle_defer);
    connect_client(&c);
    ask(&c, POST(5) "he"); /* nobody reads it: its sender is not slow */
    bench_run(&r.b, 600000);
    cr_assert_not(ended(&c));
    hs_res_text(r.res, 200, HS_SPAN("hello"));
    bench_run(&r.b, 50);
    cr_assert_str_eq(got(&c), HELLO);
    client_fini(&c);
    rig_fini();
}

/* ---- bodies ---- */

static void handle_body(hs_req *req, hs_res *res, void *ctx)
{
    (void)res;
    hs_req_on_abort(req, note_abort, ctx);
    cr_assert(hs_ok(hs_req_body(req, hear_piece, ctx)));
}

/* `bytes` of the body each second. Returns after how many seconds it ended, at most 40. */
static uint32_t drip(client *c, size_t bytes)
{
    static char piece[1000];
    for (uint32_t s = 0; s < 40; s++) {
        if (ended(c))
            return s;
        client_send(c, piece, bytes);
        bench_run(&r.b, 1000);
    }
    return 40;
}

Test(http_server_time, a_body_that_comes_too_slowly)
{
    client c;
    rig_start(handle_body);
    connect_client(&c);
    ask(&c, POST(60000));
    uint32_t seconds = drip(&c, 200);
    cr_assert(seconds >= 10 && seconds <= 21, "%u", seconds); /* one whole window */
    cr_assert_str_eq(got(&c), TIMED_OUT);
    cr_assert_eq(r.aborts, 1);
    cr_assert_eq(r.called, 0);
    client_fini(&c);
    rig_fini();
    cr_assert_eq(r.aborts, 1);
}

/* Each window is judged by itself: a quick start buys no time. */
Test(http_server_time, a_body_that_becomes_slow)
{
    static char start[20000];
    client c;
    rig_start(handle_body);
    connect_client(&c);
    ask(&c, POST(60000));
    client_send(&c, start, sizeof start);
    bench_run(&r.b, 1000);
    cr_assert_eq(r.body_len, sizeof start);
    uint32_t seconds = drip(&c, 200);
    cr_assert(seconds >= 10 && seconds <= 31, "%u", seconds);
    cr_assert_str_eq(got(&c), TIMED_OUT);
    client_fini(&c);
    rig_fini();
}

Test(http_server_time, a_body_that_is_just_fast_enough)
{
    client c;
    rig_start(handle_body);
    connect_client(&c);
    ask(&c, POST(60000));
    cr_assert_eq(drip(&c, 300), 40);
    cr_assert_str_eq(got(&c), "");
    client_fini(&c);
    rig_fini();
    cr_assert_eq(r.aborts, 1); /* by the end of the test */
}

Test(http_server_time, an_unread_body_that_comes_too_slowly)
{
    client c;
    rig_start(handle_hello);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, POST(60000)), HELLO);
    uint32_t seconds = drip(&c, 200);
    cr_assert(seconds >= 10 && seconds <= 21, "%u", seconds);
    cr_assert_str_eq(got(&c), ""); /* it had its answer */
    client_fini(&c);
    rig_fini();
}

/* ---- readers ---- */

static char big[400000];

static void handle_big_begun(hs_req *req, hs_res *res, void *ctx)
{
    hs_req_on_abort(req, note_abort, ctx);
    cr_assert(hs_ok(hs_res_begin(res, 200, 2 * sizeof big)));
    cr_assert(hs_ok(hs_res_write(res, hs_span_of(big, sizeof big))));
    cr_assert(hs_res_full(res));
}

static void handle_big_whole(hs_req *req, hs_res *res, void *ctx)
{
    hs_req_on_abort(req, note_abort, ctx);
    hs_res_send(res, 200, hs_span_of(big, sizeof big));
}

static void handle_small_whole(hs_req *req, hs_res *res, void *ctx)
{
    hs_req_on_abort(req, note_abort, ctx);
    hs_res_send(res, 200, hs_span_of(big, 100000));
}

/* After how many milliseconds a client that reads nothing is cut off, at most 200 s. */
static uint64_t cut_off_after(hs_http_handler *handle, uint64_t rest_ms)
{
    client c;
    uint64_t ms = 0;
    rig_start(handle_hello);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, GET), HELLO);
    bench_run(&r.b, rest_ms);
    r.handle = handle;
    client_read(&c, false);
    client_say(&c, GET);
    while (hs_tcp_conns(r.tcp) > 0 && ms < 200000) {
        bench_run(&r.b, 500);
        ms += 500;
    }
    cr_assert_eq(r.aborts, handle == handle_big_begun);
    client_fini(&c);
    rig_fini();
    return ms;
}

Test(http_server_time, a_reader_that_takes_nothing)
{
    hs_http_handler *const handlers[] = {handle_big_begun, handle_big_whole, handle_small_whole};
    for (size_t i = 0; i < HS_ARRAY_LEN(handlers); i++) {
        for (uint64_t rest_ms = 0; rest_ms < 60000; rest_ms += 12000) {
            uint64_t ms = cut_off_after(handlers[i], rest_ms);
            /* Counted from its last byte, and looked at as often as it may last. */
            cr_expect(ms >= 30000 && ms <= 62000, "handler %zu after %d ms: %d ms", i, (int)rest_ms,
                      (int)ms);
        }
    }
}

Test(http_server_time, a_reader_that_takes_a_little)
{
    client c;
    rig_start(handle_big_begun);
    connect_client(&c);
    client_read(&c, false);
    client_say(&c, GET);
    for (int i = 0; i < 10; i++) {
        bench_run(&r.b, 20000);
        c.in_len += sim_peer_read(c.peer, c.in + c.in_len, 200);
        if (sim_peer_unread(c.peer) == 0)
            break;
    }
    cr_assert_eq(r.aborts, 0);
    cr_assert_eq(hs_tcp_conns(r.tcp), 1);
    client_fini(&c);
    rig_fini();
    cr_assert_eq(r.aborts, 1);
}

static void fill_more(hs_res *res, void *ctx)
{
    size_t *left = ctx;
    while (*left > 0 && !hs_res_full(res)) {
        size_t n = HS_MIN(*left, sizeof big / 100);
        cr_assert(hs_ok(hs_res_write(res, hs_span_of(big, n))));
        *left -= n;
    }
    if (*left == 0)
        hs_res_end(res);
}

static void handle_filling(hs_req *req, hs_res *res, void *ctx)
{
    static size_t left;
    (void)ctx;
    (void)req;
    left = 3 * sizeof big;
    cr_assert(hs_ok(hs_res_begin(res, 200, left)));
    hs_res_on_drain(res, fill_more, &left);
    fill_more(res, &left);
    cr_assert_gt(left, 0);
}

Test(http_server_time, a_writer_hears_when_there_is_room)
{
    client c;
    rig_start(handle_filling);
    connect_client(&c);
    client_say(&c, GET GET);
    bench_run(&r.b, 100);
    for (int i = 0; i < 300 && r.handled < 2; i++)
        bench_run(&r.b, 100);
    bench_run(&r.b, 30000);
    cr_assert_eq(r.handled, 2);
    client_fini(&c);
    rig_fini();
}

/* ---- ends that a handler hears of ---- */

Test(http_server_time, a_reset_is_told_once)
{
    client c;
    rig_start(handle_defer);
    connect_client(&c);
    ask(&c, GET);
    client_close(&c, true);
    bench_run(&r.b, 50);
    cr_assert_eq(r.aborts, 1);
    cr_assert_eq(hs_http_server_active(r.server), 0);
    cr_assert_eq(bench_count(&r.b, "http_aborted"), 1);
    client_fini(&c);
    rig_fini();
    cr_assert_eq(r.aborts, 1);
}

Test(http_server_time, the_servers_abort_is_told_once)
{
    client c[3];
    rig_start(handle_defer);
    for (int i = 0; i < 3; i++)
        connect_client(&c[i]);
    ask(&c[0], GET);
    ask(&c[1], GET GET);
    client_say(&c[2], "GET /");
    cr_assert_eq(hs_http_server_active(r.server), 2);
    hs_http_server_abort(r.server);
    hs_http_server_abort(r.server);
    cr_assert_eq(r.aborts, 2);
    cr_assert_eq(hs_http_server_active(r.server), 0);
    bench_run(&r.b, 100);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    for (int i = 0; i < 3; i++)
        client_fini(&c[i]);
    rig_fini();
    cr_assert_eq(r.aborts, 2);
}

Test(http_server_time, the_end_of_the_peers_side_ends_no_answer)
{
    client c;
    rig_init(handle_defer);
    r.options.half_close = true;
    cr_assert(hs_ok(rig_make()));
    connect_client(&c);
    client_say(&c, GET);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 100);
    cr_assert_eq(r.aborts, 0);
    hs_res_text(r.res, 200, HS_SPAN("hello"));
    bench_run(&r.b, 100);
    cr_assert_str_eq(got(&c), HELLO);
    cr_assert(ended(&c));
    client_fini(&c);
    rig_fini();
}

/* ---- drain ---- */

Test(http_server_time, a_drain_answers_what_is_under_way)
{
    enum { IDLE, HEAD, BUSY, PIPELINED, CLIENTS };
    client c[CLIENTS];
    rig_start(handle_hello);
    for (int i = 0; i < CLIENTS; i++)
        connect_client(&c[i]);
    cr_assert_str_eq(ask(&c[IDLE], GET), HELLO);
    ask(&c[HEAD], "GET / HTTP/1.1\r\nHo");
    r.handle = handle_defer;
    ask(&c[BUSY], GET);
    hs_res *busy = r.res;
    ask(&c[PIPELINED], GET GET);
    hs_res *pipelined = r.res;
    hs_http_server_drain(r.server);
    bench_run(&r.b, 100);
    cr_assert(ended(&c[IDLE]));
    cr_assert_not(ended(&c[HEAD]) || ended(&c[BUSY]) || ended(&c[PIPELINED]));
    cr_assert_eq(hs_http_server_active(r.server), 2);
    r.handle = handle_hello;
    cr_assert_str_eq(ask(&c[HEAD], "st: a\r\n\r\n"), HELLO_CLOSE);
    hs_res_text(busy, 200, HS_SPAN("hello"));
    hs_res_text(pipelined, 200, HS_SPAN("hello"));
    bench_run(&r.b, 100);
    cr_assert_str_eq(got(&c[BUSY]), HELLO_CLOSE);
    cr_assert_str_eq(got(&c[PIPELINED]), HELLO_CLOSE); /* the client asks again elsewhere */
    for (int i = 0; i < CLIENTS; i++)
        client_close(&c[i], false);
    bench_run(&r.b, 100);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0);
    for (int i = 0; i < CLIENTS; i++)
        client_fini(&c[i]);
    rig_fini();
    cr_assert_eq(r.aborts, 0);
}

/* What it has sent may be on its way. */
Test(http_server_time, a_drain_waits_for_the_first_request_of_new_connections)
{
    enum { ASKS, SILENT, LATE, CLIENTS };
    client c[CLIENTS];
    rig_start(handle_hello);
    connect_client(&c[ASKS]);
    connect_client(&c[SILENT]);
    hs_http_server_drain(r.server);
    connect_client(&c[LATE]); /* the system had it already */
    bench_run(&r.b, 500);
    for (int i = 0; i < CLIENTS; i++)
        cr_assert_not(ended(&c[i]));
    cr_assert_str_eq(ask(&c[ASKS], GET), HELLO_CLOSE);
    cr_assert_str_eq(ask(&c[LATE], GET), HELLO_CLOSE);
    bench_run(&r.b, HS_DRAIN_FIRST_MS);
    for (int i = 0; i < CLIENTS; i++) {
        cr_assert(ended(&c[i]));
        client_fini(&c[i]);
    }
    rig_fini();
}

Test(http_server_time, a_drain_closes_a_connection_that_never_asked)
{
    client c;
    rig_start(handle_hello);
    connect_client(&c);
    bench_run(&r.b, HS_DRAIN_FIRST_MS);
    hs_http_server_drain(r.server);
    bench_run(&r.b, 100);
    cr_assert(ended(&c));
    client_fini(&c);
    rig_fini();
}

/* ---- memory ---- */

static void late_answer(hs_timer *timer)
{
    (void)timer;
    hs_res_text(r.res, 200, HS_SPAN("later"));
}

static void give_collected(hs_req *req, hs_span body, void *ctx)
{
    (void)req;
    (void)ctx;
    hs_res_text(r.res, 200, body);
}

static void echo_piece(hs_req *req, hs_span piece, bool last, void *ctx)
{
    (void)req;
    (void)ctx;
    if (hs_ok(hs_res_write(r.res, piece)) && last)
        hs_res_end(r.res);
}

static void answer_503(hs_req *req, hs_res *res)
{
    hs_req_on_abort(req, NULL, NULL);
    hs_timer_cancel(r.b.shard, &r.timer);
    hs_res_text(res, 503, HS_SPAN("no memory"));
}

static bool begin_later(hs_req *req, hs_res *res, hs_span path, void *ctx)
{
    if (hs_span_eq(path, HS_SPAN("/late")))
        return hs_ok(hs_req_defer(req)) &&
               hs_ok(hs_timer_after(r.b.shard, &r.timer, 20, late_answer));
    if (hs_span_eq(path, HS_SPAN("/collect")))
        return hs_ok(hs_req_collect(req, 0, give_collected, ctx));
    (void)res;
    return hs_ok(hs_req_body(req, echo_piece, ctx));
}

static void handle_by_path(hs_req *req, hs_res *res, void *ctx)
{
    hs_span path = hs_req_path(req);
    if (hs_span_eq(path, HS_SPAN("/hello"))) {
        hs_res_text(res, 200, HS_SPAN("hello"));
        return;
    }
    hs_req_on_abort(req, note_abort, ctx);
    if (!hs_ok(hs_res_header(res, HS_SPAN("X-Field"), HS_SPAN("value"))) ||
        !begin_later(req, res, path, ctx)) {
        if (r.req) /* else its end was told, and nobody may answer */
            answer_503(req, res);
        return;
    }
    if (hs_span_eq(path, HS_SPAN("/echo"))) {
        hs_err err = hs_res_begin(res, 200, HS_LENGTH_UNKNOWN);
        cr_assert(hs_ok(err) || r.req == NULL); /* then its end was told */
    }
}

/* A client's script: each text is sent by itself. */
static char long_head[8000];
static const char *const script[] = {
    "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /late HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /hello HTTP/1.1\r\nHo",
    "st: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "lo\r\n0\r\nX-T: 1\r\n\r\nPOST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nsome",
    "thing",
    long_head,
    "\r\n\r\nPOST /collect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "3\r\ndef\r\n0\r\n\r\n",
};
#define SCRIPT_ANSWERS 9

static uint32_t answers_in(const char *text)
{
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++)
        n++;
    return n;
}

static void play(client *c)
{
    connect_client(c);
    for (size_t i = 0; i < HS_ARRAY_LEN(script) && !ended(c); i++) {
        client_say(c, script[i]);
        bench_run(&r.b, 60);
    }
    bench_run(&r.b, 1000);
}

/* The script with take `n` failing. Returns whether one failed. */
static bool scene(uint64_t n, bool fail_on)
{
    client c, after;
    rig_init(handle_by_path);
    r.b.fail_at = r.b.takes + n;
    r.b.fail_on = fail_on;
    hs_err err = rig_make();
    cr_assert(hs_ok(err) || err.code == -ENOMEM);
    if (hs_ok(err)) {
        play(&c);
        cr_assert(ended(&c) || answers_in(c.in) == SCRIPT_ANSWERS,
                  "take %d: neither answered nor ended", (int)n);
        cr_assert(r.b.fails > 0 || !ended(&c));
        r.b.fail_at = 0;
        play(&after); /* with memory again, all is well */
        cr_assert_eq(answers_in(after.in), SCRIPT_ANSWERS);
        cr_assert_null(strstr(after.in, "HTTP/1.1 5"));
        client_fini(&after);
        client_fini(&c);
    }
    bool failed = r.b.fails > 0;
    r.b.fail_at = 0;
    rig_fini();
    return failed;
}

Test(http_server_time, memory_fails, .timeout = 600)
{
    memset(long_head, 'x', sizeof long_head - 1);
    static const char start[] = "GET /hello HTTP/1.1\r\nHost: a\r\nX-Long: ";
    memcpy(long_head, start, sizeof start - 1);
    for (int on = 0; on < 2; on++) {
        uint64_t n = 1;
        while (scene(n, on))
            n++;
        cr_assert_gt(n, 12, "%d", (int)n);
    }
}
