/* The HTTP server between its handler and its wire: what only a handler can bring about. The wire's
 * own rules are in tests/wire; deadlines, drain and memory in http_server_time.c. */
#include "http_rig.h"

/* ---- answers ---- */

static void handle_nothing(hs_req *req, hs_res *res, void *ctx)
{
    (void)req, (void)res, (void)ctx;
}

Test(http_server, a_handler_that_does_nothing_is_answered_for)
{
    client c;
    rig_start(handle_nothing);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, GET), "HTTP/1.1 500 Internal Server Error\r\n"
                                   "Content-Type: text/plain\r\nContent-Length: 26\r\n"
                                   "Connection: close\r\n\r\n500 Internal Server Error\n");
    cr_assert(ended(&c));
    client_fini(&c);
    rig_fini();
}

static void answer_late(hs_timer *timer)
{
    cr_assert_eq(timer, &r.timer);
    hs_span path = hs_req_path(r.req);
    hs_res_text(r.res, 200, hs_span_from(path, 1));
}

static void handle_late(hs_req *req, hs_res *res, void *ctx)
{
    handle_defer(req, res, ctx);
    cr_assert(hs_ok(hs_timer_after(r.b.shard, &r.timer, 100, answer_late)));
}

Test(http_server, a_deferred_answer_comes_by_a_timer)
{
    client c;
    rig_start(handle_late);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"), "");
    cr_assert_eq(hs_http_server_active(r.server), 1);
    bench_run(&r.b, 100);
    cr_assert_str_eq(got(&c), OK_5 "\r\nlater");
    cr_assert_eq(r.aborts, 0);
    client_fini(&c);
    rig_fini();
    cr_assert_eq(r.aborts, 0); /* nothing is told after the answer */
}

Test(http_server, deferred_answers_keep_the_order_of_their_requests)
{
    client c;
    rig_start(handle_late);
    connect_client(&c);
    client_say(&c, "GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /secnd HTTP/1.1\r\nHost: a\r\n\r\n"
                   "GET /third HTTP/1.1\r\nHost: a\r\n\r\n");
    bench_run(&r.b, 50);
    cr_assert_eq(r.handled, 1); /* one at a time */
    bench_run(&r.b, 1000);
    cr_assert_str_eq(got(&c), OK_5 "\r\nfirst" OK_5 "\r\nsecnd" OK_5 "\r\nthird");
    client_fini(&c);
    rig_fini();
}

Test(http_server, the_peer_is_held_up_while_an_answer_is_pending)
{
    enum { MUCH = 3000 };
    static char many[MUCH * (sizeof GET - 1) + 1];
    for (int i = 0; i < MUCH; i++)
        memcpy(many + (size_t)i * (sizeof GET - 1), GET, sizeof GET - 1);
    client c;
    rig_start(handle_defer);
    connect_client(&c);
    client_say(&c, many);
    bench_run(&r.b, 5000);
    cr_assert_eq(r.handled, 1);
    cr_assert_gt(c.out_len, 0);
    /* One input or two, and not all that the client has. */
    cr_assert_lt(hs_shard_chunks(r.b.shard)->slots_used, 20);
    r.handle = handle_hello;
    hs_res_text(r.res, 200, HS_SPAN("hello"));
    bench_run(&r.b, 5000);
    cr_assert_eq(r.handled, MUCH);
    cr_assert_eq(strlen(got(&c)), MUCH * strlen(HELLO));
    client_fini(&c);
    rig_fini();
}

/* ---- fields ---- */

static const struct {
    const char *name, *value;
    size_t name_len, value_len;
} bad_fields[] = {
#define FIELD(n, v)                                                                                \
    {                                                                                              \
        n, v, sizeof n - 1, sizeof v - 1                                                           \
    }
    FIELD("", "v"),
    FIELD("X Y", "v"),
    FIELD("X:", "v"),
    FIELD("X\r", "v"),
    FIELD("X\n", "v"),
    FIELD("X\0Y", "v"),
    FIELD("X\x80", "v"),
    FIELD("X", "a\rb"),
    FIELD("X", "a\nb"),
    FIELD("X", "a\r\nY: b"),
    FIELD("X", "a\0b"),
    FIELD("X", " a"),
    FIELD("X", "a "),
    FIELD("X", "\ta"),
    FIELD("X", "a\x7f"),
    FIELD("Date", "now"),
    FIELD("content-LENGTH", "5"),
    FIELD("Transfer-Encoding", "chunked"),
    FIELD("connection", "keep-alive"),
    FIELD("Keep-Alive", "5"),
    FIELD("UPGRADE", "h2c"),
    FIELD("trailer", "X"),
#undef FIELD
};

static char long_value[HS_RES_FIELDS_BYTES_MAX];

static void handle_fields(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    for (size_t i = 0; i < HS_ARRAY_LEN(bad_fields); i++) {
        hs_span name = hs_span_of(bad_fields[i].name, bad_fields[i].name_len);
        hs_span value = hs_span_of(bad_fields[i].value, bad_fields[i].value_len);
        cr_assert_eq(hs_res_header(res, name, value).code, HS_E_USAGE, "field %zu", i);
        cr_assert_eq(hs_res_trailer(res, name, value).code, HS_E_USAGE, "trailer %zu", i);
    }
    memset(long_value, 'x', sizeof long_value);
    cr_assert_eq(hs_res_header(res, HS_SPAN("X"), hs_span_of(long_value, sizeof long_value)).code,
                 HS_E_LIMIT);
    cr_assert(hs_ok(hs_res_header(res, HS_SPAN("X-Empty"), hs_span_of(NULL, 0))));
    cr_assert(hs_ok(hs_res_header(res, HS_SPAN("X-Good"), HS_SPAN("a\tb \x80"))));
    cr_assert(hs_ok(hs_res_begin(res, 200, 2)));
    cr_assert_eq(hs_res_header(res, HS_SPAN("X-Late"), HS_SPAN("v")).code, HS_E_USAGE);
    cr_assert_eq(hs_res_begin(res, 200, 2).code, HS_E_USAGE);
    cr_assert(hs_ok(hs_res_write(res, HS_SPAN("ok"))));
    hs_res_end(res);
}

Test(http_server, no_field_can_be_smuggled_in)
{
    client c;
    rig_start(handle_fields);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, GET), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                                   "X-Empty: \r\nX-Good: a\tb \x80\r\n\r\nok");
    client_fini(&c);
    rig_fini();
}

static void handle_long_fields(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    memset(long_value, 'x', sizeof long_value);
    for (int i = 0; i < 3; i++)
        cr_assert(hs_ok(hs_res_header(res, HS_SPAN("Set-Cookie"), hs_span_of(long_value, 20000))));
    cr_assert_eq(hs_res_header(res, HS_SPAN("Set-Cookie"), hs_span_of(long_value, 6000)).code,
                 HS_E_LIMIT);
    hs_res_text(res, 200, HS_SPAN("hello"));
}

Test(http_server, a_field_may_be_longer_than_a_chunk)
{
    static const char begin[] = OK_5 "Set-Cookie: xxx";
    client c;
    rig_start(handle_long_fields);
    connect_client(&c);
    for (int i = 0; i < 2; i++) {
        const char *text = ask(&c, GET);
        cr_assert_eq(strncmp(text, begin, strlen(begin)), 0);
        cr_assert_eq(strlen(text), strlen(OK_5) + 3 * (12 + 20000 + 2) + strlen("\r\nhello"));
        cr_assert_str_eq(text + strlen(text) - 11, "xx\r\n\r\nhello");
    }
    client_fini(&c);
    rig_fini();
}

static void handle_typed(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    cr_assert(hs_ok(hs_res_header(res, HS_SPAN("content-type"), HS_SPAN("text/html"))));
    hs_res_text(res, 200, HS_SPAN("hello"));
}

Test(http_server, a_handlers_content_type_is_the_only_one)
{
    client c;
    rig_start(handle_typed);
    connect_client(&c);
    for (int i = 0; i < 2; i++)
        cr_assert_str_eq(ask(&c, GET), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                                       "content-type: text/html\r\n\r\nhello");
    client_fini(&c);
    rig_fini();
}

/* ---- bodies of answers ---- */

static void handle_pieces(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    cr_assert_eq(hs_res_write(res, HS_SPAN("early")).code, HS_E_USAGE);
    hs_res_end(res); /* not begun: nothing */
    cr_assert(hs_ok(hs_res_begin(res, 200, 6)));
    cr_assert(hs_ok(hs_res_write(res, HS_SPAN("four"))));
    cr_assert_eq(hs_res_write(res, HS_SPAN("xyz")).code, HS_E_USAGE);
    cr_assert(hs_ok(hs_res_write(res, hs_span_of(NULL, 0))));
    cr_assert(hs_ok(hs_res_write_static(res, HS_SPAN("56"))));
    cr_assert_eq(hs_res_write(res, HS_SPAN("7")).code, HS_E_USAGE);
    cr_assert(hs_ok(hs_res_trailer(res, HS_SPAN("X-Dropped"), HS_SPAN("v"))));
    hs_res_end(res);
}

Test(http_server, nothing_is_written_beyond_the_length)
{
    client c;
    rig_start(handle_pieces);
    connect_client(&c);
    for (int i = 0; i < 2; i++)
        cr_assert_str_eq(ask(&c, GET), "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfour56");
    client_fini(&c);
    rig_fini();
}

static void handle_short(hs_req *req, hs_res *res, void *ctx)
{
    hs_req_on_abort(req, note_abort, ctx);
    cr_assert(hs_ok(hs_res_begin(res, 200, 6)));
    cr_assert(hs_ok(hs_res_write(res, HS_SPAN("four"))));
    hs_res_end(res);
}

Test(http_server, a_body_short_of_its_length_ends_the_connection)
{
    client c;
    rig_start(handle_short);
    connect_client(&c);
    const char *text = ask(&c, GET GET);
    cr_assert(strncmp(text, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfour", strlen(text)) == 0);
    cr_assert(ended(&c));
    cr_assert_eq(r.handled, 1);
    cr_assert_eq(r.aborts, 1);
    client_fini(&c);
    rig_fini();
}

static uint32_t status_now;
static uint64_t length_now;

static void handle_status(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    cr_assert(hs_ok(hs_res_begin(res, status_now, length_now)));
    cr_assert(hs_ok(hs_res_write(res, HS_SPAN("hello"))));
    cr_assert(hs_ok(hs_res_write_static(res, hs_span_of(long_value, 300))));
    cr_assert(hs_ok(hs_res_trailer(res, HS_SPAN("X-End"), HS_SPAN("yes"))));
    hs_res_end(res);
}

static void handle_whole(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    hs_res_text(res, status_now, HS_SPAN("hello"));
}

#define HEAD_TEXT "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

Test(http_server, no_body_goes_out_where_there_is_none)
{
    static const struct {
        const char *request;
        hs_http_handler *handler;
        uint32_t status;
        uint64_t length;
        const char *answer;
    } rows[] = {
        {HEAD_TEXT, handle_whole, 200, 0, OK_5 "\r\n"},
        {HEAD_TEXT, handle_status, 200, 305, "HTTP/1.1 200 OK\r\nContent-Length: 305\r\n\r\n"},
        {HEAD_TEXT, handle_status, 200, HS_LENGTH_UNKNOWN,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {GET, handle_whole, 204, 0, "HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n"},
        {GET, handle_whole, 304, 0,
         "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\n\r\n"},
        {GET, handle_status, 204, 305, "HTTP/1.1 204 No Content\r\n\r\n"},
        {GET, handle_status, 304, 305, "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {GET, handle_status, 204, HS_LENGTH_UNKNOWN, "HTTP/1.1 204 No Content\r\n\r\n"},
        {GET, handle_status, 304, HS_LENGTH_UNKNOWN, "HTTP/1.1 304 Not Modified\r\n\r\n"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        client c;
        rig_start(rows[i].handler);
        connect_client(&c);
        status_now = rows[i].status;
        length_now = rows[i].length;
        cr_expect_str_eq(ask(&c, rows[i].request), rows[i].answer, "row %zu", i);
        r.handle = handle_hello;
        cr_expect_str_eq(ask(&c, GET), HELLO, "after row %zu", i);
        client_fini(&c);
        rig_fini();
    }
}

static void handle_304_unwritten(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    cr_assert(hs_ok(hs_res_begin(res, 304, 1000))); /* the length of what is not sent */
    hs_res_end(res);
}

Test(http_server, an_answer_without_a_body_needs_no_writes)
{
    client c;
    rig_start(handle_304_unwritten);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, GET), "HTTP/1.1 304 Not Modified\r\n\r\n");
    r.handle = handle_hello;
    cr_assert_str_eq(ask(&c, GET), HELLO);
    client_fini(&c);
    rig_fini();
}

static void handle_chunked(hs_req *req, hs_res *res, void *ctx)
{
    (void)req;
    (void)ctx;
    cr_assert(hs_ok(hs_res_begin(res, 200, HS_LENGTH_UNKNOWN)));
    cr_assert(hs_ok(hs_res_write(res, HS_SPAN("hello"))));
    cr_assert(hs_ok(hs_res_trailer(res, HS_SPAN("X-One"), HS_SPAN("1"))));
    cr_assert(hs_ok(hs_res_write(res, hs_span_of(NULL, 0)))); /* not the last chunk */
    cr_assert(hs_ok(hs_res_write(res, HS_SPAN(", there it is"))));
    cr_assert(hs_ok(hs_res_trailer(res, HS_SPAN("X-Two"), HS_SPAN("2"))));
    hs_res_end(res);
}

Test(http_server, trailers_follow_a_chunked_body)
{
    client c;
    rig_start(handle_chunked);
    connect_client(&c);
    for (int i = 0; i < 2; i++)
        cr_assert_str_eq(ask(&c, GET), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                       "5\r\nhello\r\nd\r\n, there it is\r\n0\r\n"
                                       "X-One: 1\r\nX-Two: 2\r\n\r\n");
    client_fini(&c);
    rig_fini();
}

Test(http_server, http_1_0_reads_to_the_end)
{
    client c;
    rig_start(handle_chunked);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
                     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello, there it is");
    cr_assert_eq(c.told & (SIM_PEER_EOF | SIM_PEER_RESET), SIM_PEER_EOF);
    client_fini(&c);
    rig_fini();
}

/* ---- bodies of requests ---- */

static void never_collected(hs_req *req, hs_span body, void *ctx)
{
    (void)req, (void)body, (void)ctx;
    cr_assert(false);
}

static void handle_body(hs_req *req, hs_res *res, void *ctx)
{
    (void)res;
    hs_req_on_abort(req, note_abort, ctx);
    cr_assert(hs_ok(hs_req_body(req, hear_piece, ctx)));
    cr_assert_eq(hs_req_body(req, hear_piece, ctx).code, HS_E_USAGE);
    cr_assert_eq(hs_req_collect(req, 0, never_collected, ctx).code, HS_E_USAGE);
    cr_assert_eq(r.called, 0); /* not inside the handler */
}

Test(http_server, a_body_is_heard_to_its_end_once)
{
    static const struct {
        const char *request, *body;
    } rows[] = {
        {GET, ""},
        {POST(0), ""},
        {POST(5) "hello", "hello"},
        {POST_CHUNKED "0\r\n\r\n", ""},
        {POST_CHUNKED "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!"},
        {POST_CHUNKED "1\r\n!\r\n0\r\nX: y\r\n\r\n", "!"},
    };
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        client c;
        rig_start(handle_body);
        connect_client(&c);
        cr_assert_str_eq(ask(&c, rows[i].request), "");
        cr_assert_eq(r.called, 1, "row %zu", i);
        cr_assert_eq(r.body_len, strlen(rows[i].body));
        cr_assert_eq(memcmp(r.body, rows[i].body, r.body_len), 0);
        hs_res_text(r.res, 200, HS_SPAN("hello"));
        bench_run(&r.b, 10);
        cr_assert_str_eq(got(&c), HELLO);
        cr_assert_eq(r.aborts, 0);
        client_fini(&c);
        rig_fini();
    }
}

Test(http_server, a_body_can_be_asked_for_later)
{
    static const char *const requests[] = {GET, POST(5) "hello",
                                           POST_CHUNKED "5\r\nhello\r\n0\r\n\r\n"};
    for (size_t i = 0; i < HS_ARRAY_LEN(requests); i++) {
        client c;
        rig_start(handle_defer);
        connect_client(&c);
        ask(&c, requests[i]);
        cr_assert(hs_ok(hs_req_body(r.req, hear_piece, &r)));
        cr_assert_eq(r.called, 0);
        bench_run(&r.b, 10);
        cr_assert_eq(r.called, 1);
        cr_assert_eq(r.body_len, i ? 5 : 0);
        hs_res_text(r.res, 200, HS_SPAN("hello"));
        bench_run(&r.b, 10);
        cr_assert_str_eq(got(&c), HELLO);
        client_fini(&c);
        rig_fini();
    }
}

static void handle_then_body(hs_req *req, hs_res *res, void *ctx)
{
    hs_res_text(res, 200, HS_SPAN("hello"));
    cr_assert_eq(hs_req_body(req, hear_piece, ctx).code, HS_E_USAGE);
}

Test(http_server, an_unread_body_is_read_over)
{
    client c;
    rig_start(handle_then_body);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, POST(5) "hello" GET), HELLO HELLO);
    cr_assert_str_eq(ask(&c, POST_CHUNKED "5\r\nhello\r\n"), HELLO);
    cr_assert_str_eq(ask(&c, "0\r\n\r\n" GET), HELLO);
    cr_assert_str_eq(ask(&c, POST(1048577)), HELLO_CLOSE); /* too much for that */
    cr_assert(ended(&c));
    client_fini(&c);
    rig_fini();
}

static void pause_piece(hs_req *req, hs_span piece, bool last, void *ctx)
{
    hear_piece(req, piece, last, ctx);
    hs_req_body_pause(req);
}

static void handle_paused(hs_req *req, hs_res *res, void *ctx)
{
    (void)res;
    hs_req_on_abort(req, note_abort, ctx);
    cr_assert(hs_ok(hs_req_body(req, pause_piece, ctx)));
}

Test(http_server, a_paused_body_holds_the_peer_up)
{
    static char body[60001];
    memset(body, 'b', 60000);
    client c;
    rig_start(handle_paused);
    connect_client(&c);
    ask(&c, POST(60000));
    client_say(&c, body);
    bench_run(&r.b, 1000);
    size_t heard = r.body_len;
    cr_assert(heard > 0 && heard < 60000);
    bench_run(&r.b, 30000); /* the peer is not to blame: no timeout */
    cr_assert_eq(r.body_len, heard);
    cr_assert_eq(r.aborts, 0);
    for (int i = 0; i < 1000 && r.called == 0; i++) {
        hs_req_body_resume(r.req);
        bench_run(&r.b, 5);
    }
    cr_assert_eq(r.body_len, 60000);
    cr_assert_eq(memcmp(r.body, body, 60000), 0);
    hs_res_text(r.res, 200, HS_SPAN("hello"));
    bench_run(&r.b, 10);
    cr_assert_str_eq(got(&c), HELLO);
    client_fini(&c);
    rig_fini();
}

static uint64_t collect_max;

static void collected(hs_req *req, hs_span body, void *ctx)
{
    hear_piece(req, body, true, ctx);
    hs_res_text(r.res, 200, HS_SPAN("hello"));
}

static void handle_collect(hs_req *req, hs_res *res, void *ctx)
{
    (void)res;
    hs_req_on_abort(req, note_abort, ctx);
    r.err = hs_req_collect(req, collect_max, collected, ctx);
    cr_assert_eq(r.called, 0);
}

#define TOO_LARGE                                                                                  \
    "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n"         \
    "Connection: close\r\n\r\n413 Content Too Large\n"

Test(http_server, the_limit_of_a_collected_body)
{
    static const struct {
        const char *request, *answer;
        int32_t err;
    } rows[] = {
        {GET, HELLO, 0},
        {POST(0), HELLO, 0},
        {POST(8) "12345678", HELLO, 0},
        {POST(9), TOO_LARGE, HS_E_LIMIT},
        {POST_CHUNKED "0\r\n\r\n", HELLO, 0},
        {POST_CHUNKED "3\r\n123\r\n5\r\n45678\r\n0\r\n\r\n", HELLO, 0},
        {POST_CHUNKED "3\r\n123\r\n6\r\n456789\r\n0\r\n\r\n", TOO_LARGE, 0},
        {POST_CHUNKED "9\r\n123456789", TOO_LARGE, 0},
    };
    collect_max = 8;
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++) {
        client c;
        rig_start(handle_collect);
        connect_client(&c);
        bool fine = rows[i].answer[9] == '2';
        cr_expect_str_eq(ask(&c, rows[i].request), rows[i].answer, "row %zu", i);
        cr_expect_eq(r.err.code, rows[i].err, "row %zu", i);
        cr_expect_eq(r.called, fine, "row %zu", i);
        cr_expect_eq(r.aborts, !fine, "row %zu", i);
        cr_expect_eq(ended(&c), !fine, "row %zu", i);
        client_fini(&c);
        rig_fini();
    }
}

/* ---- trailers of requests ---- */

static void trailer_piece(hs_req *req, hs_span piece, bool last, void *ctx)
{
    hs_span value;
    hear_piece(req, piece, last, ctx);
    cr_assert_eq(hs_req_trailer(req, HS_SPAN("x-sum"), &value), last);
    cr_assert_not(hs_req_trailer(req, HS_SPAN("x-other"), &value));
    if (!last)
        return;
    cr_assert(hs_req_trailer(req, HS_SPAN("X-Sum"), &value));
    cr_assert_not(hs_req_header(req, HS_SPAN("X-Sum"), &value)); /* they are no headers */
    cr_assert(hs_req_trailer(req, HS_SPAN("X-Sum"), &value));
    hs_res_text(r.res, 200, value);
}

static void handle_trailers(hs_req *req, hs_res *res, void *ctx)
{
    hs_span value;
    (void)res;
    cr_assert_not(hs_req_trailer(req, HS_SPAN("x-sum"), &value));
    cr_assert(hs_ok(hs_req_body(req, trailer_piece, ctx)));
}

Test(http_server, trailers_are_there_when_the_body_is_over)
{
    static const char text[] = POST_CHUNKED "2\r\nab\r\n0\r\nX-A: 1\r\nX-Sum: 12345\r\n\r\n";
    for (size_t cut = sizeof POST_CHUNKED; cut < sizeof text - 1; cut++) {
        client c;
        rig_start(handle_trailers);
        connect_client(&c);
        client_send(&c, text, cut);
        bench_run(&r.b, 5);
        client_send(&c, text + cut, sizeof text - 1 - cut);
        bench_run(&r.b, 5);
        cr_assert_str_eq(got(&c), OK_5 "\r\n12345");
        client_fini(&c);
        rig_fini();
    }
}

/* ---- 100 (Continue) ---- */

#define EXPECT_POST                                                                                \
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

Test(http_server, a_body_is_called_for_when_it_is_wanted)
{
    client c;
    rig_start(handle_defer);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, EXPECT_POST), "");
    cr_assert(hs_ok(hs_req_body(r.req, hear_piece, &r)));
    bench_run(&r.b, 10);
    cr_assert_str_eq(got(&c), "HTTP/1.1 100 Continue\r\n\r\n");
    cr_assert_str_eq(ask(&c, "hello"), "");
    cr_assert_eq(r.body_len, 5);
    hs_res_text(r.res, 200, HS_SPAN("hello"));
    bench_run(&r.b, 10);
    r.handle = handle_hello; /* who does not want it closes: it may come or not */
    cr_assert_str_eq(got(&c), HELLO);
    cr_assert_str_eq(ask(&c, EXPECT_POST), HELLO_CLOSE);
    cr_assert(ended(&c));
    client_fini(&c);
    rig_fini();
}
