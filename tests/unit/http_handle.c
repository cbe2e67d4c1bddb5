/* Handles of requests: no late, second or foreign use reaches another request, and a handler that
 * cannot know of its client's end keeps what it uses. */
#include "http_rig.h"

#include <pthread.h>

#define HELD_MAX 64

/* What a handler that defers keeps, and uses when the test says so. */
static struct {
    hs_req *req;
    hs_res *res;
    hs_span path;
    char *memory; /* in the request's arena */
} held[HELD_MAX];
static uint32_t held_len;

/* Says neither how it hears of an abort, nor that it may await: the likeliest mistake. */
static void handle_held(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_req_set_label(req, "GET /held");
    cr_assert(hs_ok(hs_req_defer(req)));
    cr_assert_lt(held_len, HELD_MAX);
    held[held_len].req = req;
    held[held_len].res = res;
    held[held_len].path = hs_req_path(req);
    held[held_len].memory = hs_arena_take(hs_req_arena(req), 3000);
    memset(held[held_len].memory, 'm', 3000);
    held_len++;
}

static void start(void)
{
    held_len = 0;
    rig_start(handle_held);
}

/* A client that asked for `path`, and may have reset its connection since. */
static void ask_and_wait(client *c, const char *path, bool reset)
{
    char request[200];
    uint32_t before = held_len;
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    connect_client(c);
    cr_assert_str_eq(ask(c, request), "");
    cr_assert_eq(held_len, before + 1);
    if (reset)
        client_close(c, true);
    bench_run(&r.b, 50);
}

static void answer(uint32_t at)
{
    hs_res_text(held[at].res, 200, hs_span_from(hs_req_path(held[at].req), 1));
}

static bool logged(const char *words)
{
    return bench_logged(&r.b, words) > 0;
}

/* The end, with requests that nobody has answered: rig_fini sees that nothing is left of them. */
static void end_unanswered(void)
{
    hs_http_server_abort(r.server);
    bench_run(&r.b, 100);
    orphan_end_all(r.server);
    rig_fini();
}

Test(http_handle, a_late_answer_reaches_nobody)
{
    client c[2];
    start();
    ask_and_wait(&c[0], "/first", true);
    ask_and_wait(&c[1], "/secnd", false);
    cr_assert_neq((void *)held[0].req, (void *)held[1].req);
    answer(0);
    bench_run(&r.b, 50);
    cr_assert_str_eq(got(&c[1]), "");
    answer(1);
    bench_run(&r.b, 50);
    cr_assert_str_eq(got(&c[1]), OK_5 "\r\nsecnd");
    cr_assert_not(logged("/held")); /* to answer one who has left is no mistake */
    for (int i = 0; i < 2; i++)
        client_fini(&c[i]);
    rig_fini();
}

Test(http_handle, a_second_answer_reaches_nobody)
{
    client c;
    start();
    connect_client(&c);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_str_eq(ask(&c, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n"), "");
        if (i > 0) {
            answer(i - 1); /* the session is the same; the request is not */
            hs_res_end(held[i - 1].res);
            hs_req_drop(held[i - 1].req);
            cr_assert_eq(hs_res_begin(held[i - 1].res, 200, 5).code, HS_E_USAGE);
            cr_assert_eq(hs_res_write(held[i - 1].res, HS_SPAN("other")).code, HS_E_USAGE);
            cr_assert_eq(hs_req_defer(held[i - 1].req).code, HS_E_USAGE);
            bench_run(&r.b, 50);
            cr_assert_str_eq(got(&c), "");
        }
        answer(i);
        bench_run(&r.b, 50);
        cr_assert_str_eq(got(&c), OK_5 "\r\nagain");
    }
    cr_assert(logged("GET /held: a request or response was used after its end"));
    client_fini(&c);
    rig_fini();
}

static void handle_twice(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_req_set_label(req, "GET /twice");
    hs_res_text(res, 200, HS_SPAN("hello"));
    hs_res_text(res, 200, HS_SPAN("other"));
}

Test(http_handle, two_answers_at_once_are_one)
{
    client c;
    rig_start(handle_twice);
    connect_client(&c);
    cr_assert_str_eq(ask(&c, GET GET), HELLO HELLO);
    cr_assert(logged("GET /twice: a second answer to one request"));
    cr_assert_not(logged("GET /twice"), "reported once");
    client_fini(&c);
    rig_fini();
}

Test(http_handle, what_a_handler_uses_stays_until_it_was_told)
{
    client c[20];
    start();
    ask_and_wait(&c[0], "/first", true);
    cr_assert_eq(hs_tcp_conns(r.tcp), 0, "the connection does not wait for it");
    cr_assert_eq(hs_http_server_active(r.server), 0);
    for (uint32_t i = 1; i < 20; i++) {
        ask_and_wait(&c[i], "/other", false);
        answer(i);
        bench_run(&r.b, 50);
        cr_assert_str_eq(got(&c[i]), OK_5 "\r\nother");
    }
    cr_assert(hs_span_eq(held[0].path, HS_SPAN("/first")));
    cr_assert(hs_span_eq(hs_req_path(held[0].req), HS_SPAN("/first")));
    for (uint32_t i = 0; i < 3000; i++)
        cr_assert_eq(held[0].memory[i], 'm');
    uint32_t sessions = r.server->sessions.slots_used;
    cr_assert_eq(hs_res_header(held[0].res, HS_SPAN("A"), HS_SPAN("b")).code, HS_E_CLOSED);
    answer(0);
    cr_assert(hs_span_eq(held[0].path, HS_SPAN("/first"))); /* on the way out, too */
    bench_run(&r.b, 50);
    cr_assert_eq(r.server->sessions.slots_used, sessions - 1);
    cr_assert_eq(hs_req_path(held[0].req).len, 0);
    for (uint32_t i = 0; i < 20; i++)
        client_fini(&c[i]);
    rig_fini();
}

/* Each way to learn of it. */
Test(http_handle, each_call_tells_of_the_end)
{
    for (int how = 0; how < 5; how++) {
        client c;
        start();
        ask_and_wait(&c, "/first", true);
        hs_res *res = held[0].res;
        if (how == 0)
            cr_assert_eq(hs_res_begin(res, 200, 5).code, HS_E_CLOSED);
        else if (how == 1)
            cr_assert_eq(hs_res_write(res, HS_SPAN("x")).code, HS_E_CLOSED);
        else if (how == 2)
            hs_res_end(res);
        else if (how == 3)
            hs_req_drop(held[0].req);
        else
            hs_res_json(res, 0, HS_SPAN("{}"));
        cr_assert_not(hs_res_full(res));
        bench_run(&r.b, 50);
        cr_assert(hs_list_empty(&r.server->orphans));
        client_fini(&c);
        rig_fini();
    }
}

static void handle_begin(hs_req *req, hs_res *res, void *ctx)
{
    handle_held(req, res, ctx);
    cr_assert(hs_ok(hs_res_begin(res, 200, HS_LENGTH_UNKNOWN)));
}

Test(http_handle, an_answer_that_has_begun_is_kept_too)
{
    client c;
    held_len = 0;
    rig_start(handle_begin);
    connect_client(&c);
    cr_assert(strstr(ask(&c, GET), "chunked"));
    client_close(&c, true);
    bench_run(&r.b, 50);
    cr_assert_eq(held[0].memory[2999], 'm');
    cr_assert_eq(hs_res_write(held[0].res, HS_SPAN("x")).code, HS_E_CLOSED);
    bench_run(&r.b, 50);
    cr_assert_eq(hs_res_write(held[0].res, HS_SPAN("x")).code, HS_E_USAGE);
    client_fini(&c);
    rig_fini();
}

Test(http_handle, who_never_answers_is_named)
{
    client c[2];
    start();
    ask_and_wait(&c[0], "/gone", true);
    ask_and_wait(&c[1], "/here", false);
    bench_run(&r.b, 55000);
    cr_assert_not(logged("GET /held"));
    bench_run(&r.b, 70000);
    cr_assert(logged("GET /held: deferred, and not answered for"));
    bench_run(&r.b, 200000);
    cr_assert_not(logged("not answered for"), "reported once");
    hs_req_drop(held[1].req);
    bench_run(&r.b, 50);
    cr_assert(strstr(got(&c[1]), "HTTP/1.1 500 "));
    for (int i = 0; i < 2; i++)
        client_fini(&c[i]);
    end_unanswered();
}

static void *use_it(void *arg)
{
    (void)arg;
    cr_assert_eq(hs_req_path(held[0].req).len, 0);
    hs_res_text(held[0].res, 200, HS_SPAN("other"));
    cr_assert_eq(hs_res_begin(held[0].res, 200, 5).code, HS_E_USAGE);
    return NULL;
}

Test(http_handle, another_thread_reaches_nothing)
{
    client c;
    pthread_t thread;
    start();
    ask_and_wait(&c, "/first", false);
    cr_assert_eq(pthread_create(&thread, NULL, use_it, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    bench_run(&r.b, 50);
    cr_assert_str_eq(got(&c), "");
    answer(0);
    bench_run(&r.b, 50);
    cr_assert_str_eq(got(&c), OK_5 "\r\nfirst");
    client_fini(&c);
    rig_fini();
}

static uint32_t draw(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

Test(http_handle, each_client_gets_its_own_answers_alone)
{
    enum { CLIENTS = 8, STEPS = 3000 };
    client c[CLIENTS];
    char path[CLIENTS][8];
    bool open[CLIENTS] = {0};
    start();
    uint64_t seed = 1; /* the same each time */
    uint32_t number = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = draw(&seed) % CLIENTS;
        if (!open[i]) {
            snprintf(path[i], sizeof path[i], "/%05u", number++);
            held_len = held_len == HELD_MAX ? 0 : held_len;
            ask_and_wait(&c[i], path[i], false);
            open[i] = true;
        } else if (draw(&seed) % 2) {
            client_fini(&c[i]); /* it leaves; its answer may come yet */
            open[i] = false;
        }
        for (int n = 0; n < 3 && held_len > 0; n++)
            answer(draw(&seed) % held_len); /* now, late, or again */
        bench_run(&r.b, 10);
        for (uint32_t k = 0; k < CLIENTS; k++) {
            const char *text = open[k] ? got(&c[k]) : "";
            cr_assert(*text == '\0' || strcmp(text + strlen(text) - 5, path[k] + 1) == 0, "%s",
                      text);
            cr_assert(strlen(text) <= strlen(OK_5 "\r\n") + 5, "one answer: %s", text);
        }
    }
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (open[i])
            client_fini(&c[i]);
    end_unanswered();
}

static uint32_t bad_status;

static void handle_status(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    hs_req_set_label(req, "GET /status");
    if (hs_req_headers(req) > 1)
        cr_assert_eq(hs_res_begin(res, bad_status, 5).code, HS_E_USAGE);
    else
        hs_res_text(res, bad_status, HS_SPAN("hello"));
}

Test(http_handle, a_status_that_is_none_is_a_500)
{
    static const uint32_t all[] = {0, 99, 100, 101, 199, 600, 999, UINT32_MAX};
    for (size_t i = 0; i < HS_ARRAY_LEN(all); i++) {
        client c;
        rig_start(handle_status);
        bad_status = all[i];
        connect_client(&c);
        cr_assert(strstr(ask(&c, GET), "HTTP/1.1 500 "));
        cr_assert(logged("GET /status answered with status"));
        client_fini(&c);
        connect_client(&c);
        cr_assert(strstr(ask(&c, "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n"), "HTTP/1.1 500 "));
        client_fini(&c);
        rig_fini();
    }
}
