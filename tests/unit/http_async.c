/* Handlers on fibers, and requests that wait: how they answer, what they hear when nobody wants the
 * answer any more, and that nothing is taken from under them. */
#include "async_rig.h"

/* ---- answers ---- */

static hs_err answer_path(hs_req *req, hs_res *res, void *ctx)
{
    cr_assert_eq(ctx, &r);
    cr_assert(hs_on_fiber());
    cr_assert_eq(hs_fiber_cancel(), hs_req_cancel(req));
    hs_span path = hs_req_path(req); /* from before the wait */
    HS_TRY(nap(100));
    cr_assert_eq(hs_req_path(req).ptr, path.ptr);
    hs_res_text(res, 200, hs_span_from(path, 1));
    return HS_OK;
}

Test(http_async, a_handler_waits_and_answers)
{
    client c;
    async_start(answer_path, &c);
    cr_assert_str_eq(ask(&c, GET_LATER), "");
    cr_assert_eq(hs_fibers(r.b.shard), 1);
    cr_assert_eq(hs_http_server_active(r.server), 1);
    bench_run(&r.b, 100);
    cr_assert_str_eq(got(&c), OK_5 "\r\nlater");
    cr_assert_eq(hs_fibers(r.b.shard), 0);
    cr_assert_str_eq(ask(&c, GET_PLAIN), PLAIN); /* the connection lives on */
    async_fini(&c);
}

static hs_err answer_at_once(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_res_text(res, 200, hs_span_from(hs_req_path(req), 1));
    return HS_OK;
}

Test(http_async, pipelined_requests_are_answered_in_their_order)
{
    client c;
    async_start(answer_at_once, &c);
    cr_assert_str_eq(ask(&c, GET_LATER GET_PLAIN GET_LATER GET_PLAIN),
                     OK_5 "\r\nlater" PLAIN OK_5 "\r\nlater" PLAIN);
    on_fiber = answer_path;
    client_say(&c, GET_LATER GET_PLAIN GET_LATER GET_PLAIN);
    bench_run(&r.b, 500);
    /* Nor did one of the plain ones run on the fiber of the one before it: handle_async looks. */
    cr_assert_str_eq(got(&c), OK_5 "\r\nlater" PLAIN OK_5 "\r\nlater" PLAIN);
    cr_assert_eq(begun, 4);
    async_fini(&c);
}

Test(http_async, a_plain_request_makes_no_fiber)
{
    client c;
    async_start(answer_path, &c);
    cr_assert_str_eq(ask(&c, GET_PLAIN), PLAIN);
    uint64_t takes = r.b.takes;
    for (int i = 0; i < 10; i++)
        cr_assert_str_eq(ask(&c, GET_PLAIN), PLAIN);
    cr_assert_eq(r.b.takes, takes);
    cr_assert_eq(begun, 0);
    async_fini(&c);
}

static hs_err fail_with; /* what the handler returns */
static bool fail_late, fail_begun;

static hs_err fail(hs_req *req, hs_res *res, void *ctx)
{
    (void)req, (void)ctx;
    cr_assert(hs_ok(hs_res_header(res, HS_SPAN("X-Mind"), HS_SPAN("changed"))));
    if (fail_late)
        HS_TRY(nap(10));
    if (fail_begun) {
        HS_TRY(hs_res_begin(res, 200, HS_LENGTH_UNKNOWN));
        HS_TRY(hs_res_write(res, HS_SPAN("hello")));
    }
    return fail_with;
}

Test(http_async, an_error_without_an_answer_is_answered_for)
{
    static const struct {
        int32_t code;
        const char *answer;
    } rows[] = {
        {-ETIMEDOUT, "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain\r\n"
                     "Content-Length: 20\r\n\r\n504 Gateway Timeout\n"},
        {HS_E_LIMIT, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
                     "Content-Length: 24\r\n\r\n503 Service Unavailable\n"},
        {-ENOMEM, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
                  "Content-Length: 24\r\n\r\n503 Service Unavailable\n"},
        {HS_E_BLOCKED, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
                       "Content-Length: 24\r\n\r\n503 Service Unavailable\n"},
        {-ECONNREFUSED, "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n"
                        "Content-Length: 26\r\n\r\n500 Internal Server Error\n"},
        {HS_E_USAGE, "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n"
                     "Content-Length: 26\r\n\r\n500 Internal Server Error\n"},
    };
    fail_begun = false;
    for (size_t i = 0; i < 2 * HS_ARRAY_LEN(rows); i++) {
        client c;
        fail_late = i % 2;
        fail_with = hs_err_of(rows[i / 2].code);
        async_start(fail, &c);
        cr_expect_str_eq(ask(&c, GET_LATER), rows[i / 2].answer, "row %zu", i);
        cr_expect_eq(bench_logged(&r.b, "/async"), 1, "row %zu", i);
        cr_expect_str_eq(ask(&c, GET_PLAIN), PLAIN, "row %zu", i);
        async_fini(&c);
    }
}

Test(http_async, no_answer_and_no_error_is_500)
{
    for (int late = 0; late < 2; late++) {
        client c;
        fail_late = late;
        fail_begun = false;
        fail_with = HS_OK;
        async_start(fail, &c);
        cr_assert_str_eq(ask(&c, GET_LATER), "HTTP/1.1 500 Internal Server Error\r\n"
                                             "Content-Type: text/plain\r\nContent-Length: 26\r\n"
                                             "Connection: close\r\n\r\n"
                                             "500 Internal Server Error\n");
        cr_assert_eq(bench_logged(&r.b, "/async returned without an answer"), 1);
        cr_assert(ended(&c));
        async_fini(&c);
    }
}

Test(http_async, what_was_begun_is_ended_or_cut_off)
{
    static const int32_t codes[] = {0, HS_E_INTERNAL};
    for (size_t i = 0; i < 4; i++) {
        client c;
        fail_late = i % 2;
        fail_begun = true;
        fail_with = hs_err_of(codes[i / 2]);
        async_start(fail, &c);
        const char *text = ask(&c, GET_LATER);
        if (i / 2 == 0) {
            cr_assert_str_eq(text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                                   "X-Mind: changed\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
            cr_assert_str_eq(ask(&c, GET_PLAIN), PLAIN);
        } else {
            cr_assert(c.told & SIM_PEER_RESET);
        }
        async_fini(&c);
    }
}

Test(http_async, where_there_is_no_fiber_the_answer_is_503)
{
    client c;
    async_start(answer_path, &c);
    r.b.shard->fibers.len_max = 0;
    const char *text = ask(&c, GET_LATER);
    cr_assert_eq(strncmp(text, "HTTP/1.1 503 ", 13), 0, "%s", text);
    cr_assert_eq(begun, 0);
    cr_assert_str_eq(ask(&c, GET_PLAIN), PLAIN);
    async_fini(&c);
}

static bool went_on;

static hs_err answer_and_go_on(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_cancel *cancel = hs_cancel_ref(hs_req_cancel(req));
    hs_res_text(res, 200, HS_SPAN("hello"));
    hs_err err = nap(1000); /* the request is over; the work is not */
    went_on = hs_ok(err) && hs_ok(hs_cancel_why(cancel));
    hs_cancel_unref(cancel);
    return hs_err_of(HS_E_INTERNAL); /* nobody is answered with it */
}

Test(http_async, a_handler_may_go_on_after_its_answer)
{
    client c;
    async_start(answer_and_go_on, &c);
    r.server->options.half_close = true;
    went_on = false;
    cr_assert_str_eq(ask(&c, GET GET_PLAIN), HELLO PLAIN);
    on_fiber = answer_path;
    cr_assert_str_eq(ask(&c, GET_LATER), ""); /* the session has another request by now */
    sim_peer_finish(c.peer);
    bench_run(&r.b, 100);
    cr_assert_str_eq(got(&c), OK_5 "\r\nlater");
    bench_run(&r.b, 1000);
    cr_assert(ended(&c));
    cr_assert(went_on);
    async_fini(&c);
}

/* ---- nobody wants the answer any more ---- */

static hs_err hold(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_err err = nap(1000000);
    /* On the way out all is still there; but nothing is answered, and nothing is waited for. */
    cr_assert(hs_span_eq(hs_req_path(req), HS_SPAN("/later")));
    cr_assert_eq(hs_await(hs_req_next(req), NULL).code, -ECANCELED);
    cr_assert_eq(hs_await(hs_res_drained(res), NULL).code, -ECANCELED);
    cr_assert_eq(hs_cancel_why(hs_req_cancel(req)).code, -ECANCELED);
    cr_assert_eq(hs_res_begin(res, 200, 5).code, HS_E_CLOSED);
    hs_res_text(res, 200, HS_SPAN("hello"));
    cr_assert_eq(nap(10).code, -ECANCELED);
    return err;
}

Test(http_async, a_handler_hears_that_its_client_is_gone)
{
    client c;
    async_start(hold, &c);
    ask(&c, GET_LATER);
    cr_assert_eq(begun, 1);
    cr_assert_eq(returned, 0);
    client_close(&c, true);
    bench_run(&r.b, 50);
    cr_assert_eq(returned, 1);
    cr_assert_eq(last.code, -ECANCELED);
    cr_assert_eq(hs_fibers(r.b.shard), 0);
    cr_assert_eq(hs_http_server_active(r.server), 0);
    cr_assert_eq(bench_logged(&r.b, "/async"), 0); /* that is no news */
    async_fini(&c);
}

/* FIN after a complete request: the peer has left. */
Test(http_async, a_handler_hears_that_its_client_has_ended_its_side)
{
    client c;
    async_start(hold, &c);
    client_say(&c, GET_PLAIN GET_LATER);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 50);
    cr_assert_eq(begun, 1);
    cr_assert_eq(returned, 1);
    cr_assert_eq(last.code, -ECANCELED);
    cr_assert_str_eq(got(&c), PLAIN); /* what was answered before goes out */
    cr_assert(c.told & SIM_PEER_EOF);
    cr_assert_not(c.told & SIM_PEER_RESET);
    cr_assert_eq(hs_http_server_active(r.server), 0);
    async_fini(&c);
}

Test(http_async, the_end_of_a_clients_side_may_come_later)
{
    client c;
    async_start(hold, &c);
    ask(&c, GET_LATER);
    cr_assert_eq(returned, 0);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 50);
    cr_assert_eq(returned, 1);
    cr_assert_eq(last.code, -ECANCELED);
    async_fini(&c);
}

Test(http_async, with_half_close_who_ended_its_side_is_answered)
{
    client c;
    on_fiber = answer_path;
    begun = returned = 0;
    rig_init(handle_async);
    r.options.half_close = true;
    cr_assert(hs_ok(rig_make()));
    connect_client(&c);
    client_say(&c, GET_LATER GET_PLAIN);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 500);
    cr_assert_eq(returned, 1);
    cr_assert_str_eq(got(&c), OK_5 "\r\nlater" PLAIN);
    async_fini(&c);
}

static uint32_t told_of_end;

static void note_end(hs_req *req, void *ctx)
{
    (void)req, (void)ctx;
    told_of_end++;
}

static void answer_later(hs_timer *timer)
{
    (void)timer;
    hs_res_text(r.res, 200, HS_SPAN("hello"));
}

/* /told sets an abort function; the others do not, and answer from a timer. */
static void defer_it(hs_req *req, hs_res *res, void *ctx)
{
    (void)res, (void)ctx;
    cr_assert(hs_ok(hs_req_defer(req)));
    if (hs_span_eq(hs_req_path(req), HS_SPAN("/told")))
        hs_req_on_abort(req, note_end, NULL);
    else
        cr_assert(hs_ok(hs_timer_after(r.b.shard, &r.timer, 100, answer_later)));
}

Test(http_async, only_who_asked_is_told_that_a_client_ended_its_side)
{
    client c;
    rig_start(defer_it);
    connect_client(&c);
    client_say(&c, "GET /told HTTP/1.1\r\nHost: a\r\n\r\n");
    sim_peer_finish(c.peer);
    bench_run(&r.b, 50);
    cr_assert_eq(told_of_end, 1);
    cr_assert_str_eq(got(&c), "");
    client_fini(&c);
    connect_client(&c);
    client_say(&c, GET_LATER);
    sim_peer_finish(c.peer);
    bench_run(&r.b, 500);
    cr_assert_str_eq(got(&c), OK_5 "\r\nhello");
    client_fini(&c);
    rig_fini();
}

Test(http_async, a_handler_hears_the_end_of_a_drain)
{
    client c;
    async_start(hold, &c);
    ask(&c, GET_LATER);
    hs_http_server_drain(r.server);
    bench_run(&r.b, 1000);
    cr_assert_eq(returned, 0);
    hs_http_server_abort(r.server);
    cr_assert_eq(returned, 1); /* before it returns */
    cr_assert_eq(last.code, -ECANCELED);
    bench_run(&r.b, 50);
    cr_assert(c.told & SIM_PEER_RESET);
    async_fini(&c);
}

static void token_fired(hs_cancel_hook *hook, hs_err why)
{
    (void)hook;
    last = why;
    r.aborts++;
}

static void handle_with_token(hs_req *req, hs_res *res, void *ctx)
{
    static hs_cancel_hook hook;
    handle_defer(req, res, ctx);
    cr_assert(hs_ok(hs_cancel_add(hs_req_cancel(req), &hook, token_fired)));
}

Test(http_async, a_plain_handler_may_have_the_token_too)
{
    client c;
    rig_start(handle_with_token);
    connect_client(&c);
    ask(&c, GET);
    client_close(&c, true);
    bench_run(&r.b, 50);
    cr_assert_eq(r.aborts, 2); /* and its abort function */
    cr_assert_eq(last.code, -ECANCELED);
    client_fini(&c);
    rig_fini();
}

/* ---- the end of a chain ---- */

static uint64_t chain_ms;

static hs_outcome add_word(void *ctx, void *value)
{
    cr_assert_null(value);
    return hs_value(ctx);
}

static void say_word(hs_req *req, hs_res *res, hs_outcome outcome, void *ctx)
{
    cr_assert_eq(ctx, &r);
    cr_assert_eq(hs_req_when(req, hs_sleep(r.b.shard, 5, NULL), say_word, ctx).code, 0);
    r.called++;
    last = outcome.err;
    if (hs_ok(outcome.err))
        hs_res_text(res, 200, hs_span_str(outcome.value));
    else
        hs_res_text(res, 503, HS_SPAN("hello"));
}

static void handle_chain(hs_req *req, hs_res *res, void *ctx)
{
    static char word[] = "hello";
    (void)res;
    /* It goes on without the request. */
    hs_promise *slept = hs_sleep(r.b.shard, chain_ms, NULL);
    r.err = hs_req_when(req, hs_then(slept, add_word, word), say_word, ctx);
}

Test(http_async, a_chain_ends_in_an_answer_or_in_nothing)
{
    client c;
    rig_start(handle_chain);
    connect_client(&c);
    chain_ms = 10;
    cr_assert_str_eq(ask(&c, GET GET), HELLO HELLO);
    cr_assert_eq(r.called, 2);
    chain_ms = 100;
    ask(&c, GET);
    client_close(&c, true);
    bench_run(&r.b, 200); /* it is settled when nobody is there */
    cr_assert_eq(r.called, 2);
    client_fini(&c);
    rig_fini();
}

/* ---- what a handler does ends its own connection ---- */

static bool after_wait;

static hs_err write_without_memory(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    if (after_wait)
        HS_TRY(nap(10));
    HS_TRY(hs_res_begin(res, 200, HS_LENGTH_UNKNOWN));
    static char much[100000];
    r.b.fail_at = r.b.takes + 1;
    r.b.fail_on = true;
    hs_err err = HS_OK;
    while (hs_ok(err))
        err = hs_res_write(res, hs_span_of(much, sizeof much));
    r.b.fail_on = false;
    r.b.fail_at = 0;
    cr_assert_eq(err.code, -ENOMEM);
    cr_assert(hs_span_eq(hs_req_path(req), HS_SPAN("/later")));
    hs_res_end(res); /* which cuts it off, under us */
    cr_assert(hs_span_eq(hs_req_path(req), HS_SPAN("/later")));
    cr_assert_eq(nap(10).code, -ECANCELED);
    return err;
}

static hs_err ask_too_much(hs_req *req, hs_res *res, void *ctx)
{
    (void)res, (void)ctx;
    if (after_wait)
        HS_TRY(nap(10));
    hs_promise *whole = hs_req_whole(req, 4);
    cr_assert(hs_span_eq(hs_req_path(req), HS_SPAN("/")));
    last = hs_await(whole, NULL);
    cr_assert(hs_span_eq(hs_req_path(req), HS_SPAN("/")));
    return last;
}

Test(http_async, a_fiber_that_ends_its_own_connection_comes_to_its_end)
{
    for (int i = 0; i < 4; i++) {
        client c;
        after_wait = i % 2;
        async_start(i / 2 ? ask_too_much : write_without_memory, &c);
        const char *text = ask(&c, i / 2 ? POST(5) "hello" : GET_LATER);
        cr_assert_eq(strncmp(text, "HTTP/1.1 413 ", 13) == 0, i / 2);
        bench_run(&r.b, 100);
        cr_assert_eq(returned, 1);
        cr_assert_eq(last.code, -ECANCELED);
        cr_assert(ended(&c));
        async_fini(&c);
    }
}

/* ---- memory that fails ---- */

/* Read a body, wait, write an answer in pieces. */
static hs_err all_of_it(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_span *piece = NULL;
    do {
        HS_TRY(hs_await(hs_req_next(req), &piece));
    } while (piece);
    HS_TRY(nap(10));
    HS_TRY(hs_res_header(res, HS_SPAN("X-A"), HS_SPAN("b")));
    HS_TRY(hs_res_begin(res, 200, HS_LENGTH_UNKNOWN));
    HS_TRY(hs_await(hs_res_drained(res), NULL));
    HS_TRY(hs_res_write(res, HS_SPAN("hello")));
    hs_res_end(res);
    return HS_OK;
}

/* The same as a chain, with a word for whoever cannot begin. */
static void chain_or_refuse(hs_req *req, hs_res *res, void *ctx)
{
    handle_chain(req, res, ctx);
    if (!hs_ok(r.err))
        hs_res_text(res, 503, HS_SPAN("hello"));
}

static void each_fails(bool chain)
{
    uint64_t fails = 1;
    chain_ms = 10;
    for (uint64_t n = 1; fails > 0; n++) {
        client c;
        async_start(all_of_it, &c);
        if (chain)
            r.handle = chain_or_refuse;
        r.b.fail_at = r.b.takes + n;
        const char *text = ask(&c, POST(5) "hello");
        fails = r.b.fails;
        r.b.fail_at = 0;
        bool whole = strstr(text, chain ? HELLO : "\r\n5\r\nhello\r\n0\r\n\r\n") != NULL;
        bool refused = strncmp(text, "HTTP/1.1 503 ", 13) == 0;
        cr_assert(whole || refused || ended(&c), "allocation %u: %s", (unsigned)n, text);
        cr_assert(fails > 0 || whole);
        cr_assert_eq(hs_fibers(r.b.shard), 0);
        async_fini(&c);
        cr_assert_lt(n, 100);
    }
}

Test(http_async, each_allocation_fails_once, .timeout = 600)
{
    each_fails(false);
    each_fails(true);
}
