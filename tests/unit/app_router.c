/* Routes: which handler a request gets, and what is answered where none fits. The requests come
 * over a simulated connection, as a handler's view cannot be made without one. */
#include "http_rig.h"

#include "app.h"

static hs_app *app;

static void route_it(hs_req *req, hs_res *res, void *ctx)
{
    (void)ctx;
    router_handle(req, res, app);
}

/* Answers its own name (`ctx`) and what of the path is left for it. */
static void named(hs_req *req, hs_res *res, void *ctx)
{
    char text[64];
    hs_span tail = hs_req_tail(req);
    int len = snprintf(text, sizeof text, "%s[%.*s]", (const char *)ctx, (int)tail.len,
                       (const char *)tail.ptr);
    cr_assert(len > 0 && (size_t)len < sizeof text);
    hs_res_send(res, 200, hs_span_of(text, (size_t)len));
}

static void make_app(void)
{
    static char a[] = "a", b[] = "b", post[] = "post", any[] = "any", both[] = "both";
    app = hs_app_create();
    cr_assert_not_null(app);
    hs_app_get(app, "/a", named, a);
    hs_app_get(app, "/b/*", named, b);
    hs_app_get(app, "/b/never", named, a); /* the first that matches is taken */
    hs_app_post(app, "/a", named, post);
    hs_app_route(app, HS_METHODS_ANY, "/any", named, any);
    hs_app_route(app, HS_METHODS(HS_METHOD_PUT) | HS_METHODS(HS_METHOD_DELETE), "/both", named,
                 both);
    cr_assert(hs_ok(app->err));
}

static const struct {
    const char *line; /* method and target */
    uint32_t status;
    const char *allow, *body;
} rows[] = {
    {"GET /a", 200, NULL, "a[]"},
    {"GET /a?q=1", 200, NULL, "a[]"},
    {"GET http://h/a?q", 200, NULL, "a[]"},
    {"HEAD /a", 200, NULL, ""},
    {"POST /a", 200, NULL, "post[]"},
    {"GET /b/", 200, NULL, "b[]"},
    {"GET /b/never", 200, NULL, "b[never]"},
    {"GET /b/x/y?z", 200, NULL, "b[x/y]"},
    {"GET /b/%2e%2E", 200, NULL, "b[%2e%2E]"}, /* compared as sent */
    {"GET /b", 404, NULL, "404 Not Found\n"},
    {"GET /a/", 404, NULL, "404 Not Found\n"},
    {"GET /A", 404, NULL, "404 Not Found\n"},
    {"GET /%61", 404, NULL, "404 Not Found\n"},
    {"GET /", 404, NULL, "404 Not Found\n"},
    {"PUT /a", 405, "GET, HEAD, POST, OPTIONS", "405 Method Not Allowed\n"},
    {"POST /b/x", 405, "GET, HEAD, OPTIONS", "405 Method Not Allowed\n"},
    {"GET /both", 405, "PUT, DELETE, OPTIONS", "405 Method Not Allowed\n"},
    {"BREW /both", 501, "PUT, DELETE, OPTIONS", "501 Not Implemented\n"},
    {"BREW /none", 501, NULL, "501 Not Implemented\n"},
    {"BREW /any", 200, NULL, "any[]"},
    {"OPTIONS /a", 204, "GET, HEAD, POST, OPTIONS", ""},
    {"OPTIONS /any", 200, NULL, "any[]"},
    {"OPTIONS /none", 404, NULL, "404 Not Found\n"},
    {"OPTIONS *", 204, "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH", ""},
};

static void check_row(client *c, size_t i)
{
    char request[200], line[64], allow[128];
    snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
             rows[i].line);
    snprintf(line, sizeof line, "HTTP/1.1 %u ", rows[i].status);
    snprintf(allow, sizeof allow, "\r\nAllow: %s\r\n", rows[i].allow ? rows[i].allow : "");
    const char *answer = ask(c, request);
    cr_expect_eq(strncmp(answer, line, strlen(line)), 0, "%s: %s", rows[i].line, answer);
    const char *found = strstr(answer, rows[i].allow ? allow : "\r\nAllow:");
    cr_expect_eq(found != NULL, rows[i].allow != NULL, "%s: %s", rows[i].line, answer);
    const char *body = strstr(answer, "\r\n\r\n");
    cr_assert_not_null(body, "%s", rows[i].line);
    cr_expect_str_eq(body + 4, rows[i].body, "%s", rows[i].line);
}

Test(app_router, each_request_gets_its_answer)
{
    client c;
    make_app();
    rig_start(route_it);
    connect_client(&c);
    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++)
        check_row(&c, i);
    cr_assert_not(ended(&c));
    client_fini(&c);
    rig_fini();
    hs_app_destroy(app);
}

/* Errors of routes are kept until the start, which tells them before it does anything. */
static int32_t start_code(void)
{
    hs_app_options options;
    hs_addr addr;
    hs_app_options_init(&options);
    cr_assert(hs_ok(hs_addr_parse(&addr, HS_SPAN("127.0.0.1:0"))));
    options.listen = &addr;
    options.listen_len = 1;
    options.cores = 1;
    hs_err err = hs_app_start(app, &options);
    cr_assert_not(hs_ok(err));
    cr_assert_null(hs_app_group(app));
    return err.code;
}

Test(app_router, a_route_that_is_none_is_told_at_the_start)
{
    static const char *const paths[] = {"", "a", "*", "http://h/a"};
    for (size_t i = 0; i < HS_ARRAY_LEN(paths); i++) {
        make_app();
        hs_app_get(app, paths[i], named, NULL);
        cr_assert_eq(start_code(), HS_E_USAGE, "%s", paths[i]);
        hs_app_destroy(app);
    }
}

Test(app_router, too_many_routes_are_told_at_the_start)
{
    app = hs_app_create();
    cr_assert_not_null(app);
    for (int i = 0; i < APP_ROUTES_MAX; i++)
        hs_app_get(app, "/x", named, NULL);
    cr_assert(hs_ok(app->err));
    hs_app_get(app, "/y", named, NULL);
    cr_assert_eq(start_code(), HS_E_LIMIT);
    hs_app_destroy(app);
}

Test(app_router, an_application_has_an_address)
{
    hs_app_options options;
    hs_app_options_init(&options);
    make_app();
    cr_assert_eq(hs_app_start(app, &options).code, HS_E_USAGE);
    hs_app_destroy(app);
}

Test(app_router, a_route_has_a_handler, .signal = SIGABRT)
{
    make_app();
    hs_app_get(app, "/x", NULL, NULL);
}
