/* hs_fetch_wait against the HTTP server, which runs in a group of its own. A plain program, so that
 * it runs under ThreadSanitizer too. */
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "hs_fetch_wait.h"
#include "hs_group.h"
#include "hs_http_server.h"
#include "hs_res.h"

#define PATIENCE_MS (300 * 1000)

static struct {
    hs_addr addr;
    hs_tcp *tcp;
    hs_http_server *server;
    hs_listener *listener;
    hs_err on_shard; /* what a call on a shard's thread came to */
    char text[300];
} t;

static void on_echo(hs_req *req, hs_span body, void *ctx)
{
    (void)req;
    hs_res_send(ctx, 200, body);
}

static void handle(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_span path = hs_req_path(req);
    if (hs_span_eq(path, HS_SPAN("/echo"))) {
        CHECK(hs_ok(hs_req_collect(req, 1000, on_echo, res)));
    } else if (hs_span_eq(path, HS_SPAN("/wait"))) {
        hs_fetch_answer *answer;
        t.on_shard = hs_fetch_wait(HS_SPAN("http://127.0.0.1:1/"), NULL, &answer);
        snprintf(t.text, sizeof t.text, "%s", answer->text);
        hs_fetch_answer_free(answer);
        hs_res_text(res, 200, HS_SPAN("waited"));
    } else if (hs_span_eq(path, HS_SPAN("/away"))) {
        CHECK(hs_ok(hs_res_header(res, HS_SPAN("Location"), HS_SPAN("/hello"))));
        hs_res_text(res, 302, HS_SPAN("away"));
    } else if (hs_span_eq(path, HS_SPAN("/never"))) {
        CHECK(hs_ok(hs_req_defer(req)));
    } else {
        hs_res_text(res, 200, HS_SPAN("hello"));
    }
}

static void on_accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    (void)listener, (void)ctx;
    hs_http_serve(t.server, s);
}

static hs_err on_start(hs_shard *shard, void *ctx)
{
    hs_http_options ho;
    (void)ctx;
    hs_http_options_init(&ho);
    ho.head_ms_max = ho.body_ms_window = PATIENCE_MS; /* a client may be held up */
    hs_tcp_options to = {.owner_bytes = (uint32_t)hs_http_conn_bytes(), .accepted = on_accepted};
    HS_TRY(hs_http_server_create(shard, &ho, handle, NULL, &t.server));
    HS_TRY(hs_tcp_create(shard, &to, &t.tcp));
    return hs_listener_open(t.tcp, &t.addr, true, &t.listener);
}

static void on_stop(hs_shard *shard, void *ctx)
{
    (void)shard, (void)ctx;
    hs_listener_close(t.listener);
    hs_http_server_abort(t.server);
}

static void on_end(hs_shard *shard, void *ctx)
{
    (void)shard, (void)ctx;
    hs_tcp_destroy(t.tcp);
    hs_http_server_destroy(t.server);
}

static hs_span url(const char *path)
{
    static char text[100];
    int len = snprintf(text, sizeof text, "http://127.0.0.1:%u%s", hs_addr_port(&t.addr), path);
    return hs_span_of(text, (size_t)len);
}

static void expect(const char *path, const hs_fetch_wait_options *o, const char *body)
{
    hs_fetch_answer *a;
    hs_err err = hs_fetch_wait(url(path), o, &a);
    CHECK(a != NULL);
    if (!hs_ok(err))
        fprintf(stderr, "%s\n", a->text);
    CHECK(hs_ok(err) && hs_ok(a->err) && a->status == 200);
    CHECK(strcmp((const char *)a->body.ptr, body) == 0 && a->body.len == strlen(body));
    CHECK(a->fields_len > 0 && a->url.len > 0 && a->timing.total_ns > 0);
    bool typed = false;
    for (uint32_t i = 0; i < a->fields_len; i++)
        typed |= hs_span_eq_nocase(a->fields[i].name, HS_SPAN("Content-Length")) &&
                 a->fields[i].value.len == 1;
    CHECK(typed);
    hs_fetch_answer_free(a);
}

static void expect_error(hs_span to, const hs_fetch_wait_options *o, int32_t err,
                         hs_fetch_phase phase, const char *text)
{
    hs_fetch_answer *a;
    hs_err got = hs_fetch_wait(to, o, &a);
    CHECK(a != NULL);
    if (got.code != err || a->phase != phase || !strstr(a->text, text))
        fprintf(stderr, "%s: %s: %s\n", hs_err_name(got), hs_fetch_phase_name(a->phase), a->text);
    CHECK(got.code == err && a->err.code == err && a->phase == phase);
    CHECK(strstr(a->text, text) && a->body.ptr == NULL);
    hs_fetch_answer_free(a);
}

static void test_answers(void)
{
    hs_fetch_wait_options post = {.fetch = {.body = HS_SPAN("body")}};
    expect("/hello", NULL, "hello");
    expect("/away", NULL, "hello");
    expect("/echo", &post, "body");
    expect("/wait", NULL, "waited");
}

static void test_failures(void)
{
    hs_fetch_wait_options o = {.client = {.body_bytes_max = 3}};
    expect_error(url("/hello"), &o, HS_E_LIMIT, HS_FETCH_BODY, "longer than its limit");
    o = (hs_fetch_wait_options){.fetch = {.times = {.first_byte_ms = 50}}};
    expect_error(url("/never"), &o, -ETIMEDOUT, HS_FETCH_WAIT, "timed out");
    expect_error(HS_SPAN("gopher://x/"), NULL, HS_E_USAGE, HS_FETCH_START, "neither http");
    o = (hs_fetch_wait_options){.client = {.tcp = t.tcp}};
    expect_error(url("/hello"), &o, HS_E_USAGE, HS_FETCH_START, "belongs to a shard");
}

int main(void)
{
    hs_group_options o;
    hs_group *group;
    CHECK(hs_ok(hs_addr_parse(&t.addr, HS_SPAN("127.0.0.1:0"))));
    CHECK(hs_ok(hs_listen_check(&t.addr)));
    hs_group_options_init(&o);
    o.shards = 1;
    o.pin_off = true;
    o.log_level = HS_LOG_WARN;
    o.stall_ms = 0; /* a handler waits on purpose */
    o.start = on_start;
    o.stop = on_stop;
    o.end = on_end;
    CHECK(hs_ok(hs_group_start(&o, &group)));
    test_answers();
    test_failures();
    hs_group_stop(group);
    hs_group_join(group);
    /* The shard wrote it, and a join is what makes that known here. */
    CHECK(t.on_shard.code == HS_E_USAGE && strstr(t.text, "on a shard"));
    printf("fetch_wait: answers, failures, a call on a shard are fine\n");
    return 0;
}
