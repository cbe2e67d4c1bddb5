/* From a request to its handler.
 *
 * Owns: the comparison of paths and methods, and the answers where nothing fits. The table is read
 * by all shards and never changed while they run. Tested by: tests/wire, tests/e2e. */
#include "app.h"

void hs_app_route(hs_app *app, uint32_t methods, const char *path, hs_http_handler *handler,
                  void *ctx)
{
    HS_ASSERT(path != NULL);
    HS_ASSERT(handler != NULL);
    hs_span span = hs_span_str(path);
    if (app->group || app->routes_len == APP_ROUTES_MAX || span.len == 0 || path[0] != '/') {
        app->err = hs_err_of(app->routes_len == APP_ROUTES_MAX ? HS_E_LIMIT : HS_E_USAGE);
        return;
    }
    route *r = &app->routes[app->routes_len++];
    r->prefix = span.ptr[span.len - 1] == '*';
    r->path = hs_span_of(span.ptr, span.len - r->prefix);
    r->label = path;
    r->methods = methods;
    if (methods & HS_METHODS(HS_METHOD_GET))
        r->methods |= HS_METHODS(HS_METHOD_HEAD);
    r->handler = handler;
    r->ctx = ctx;
}

/* The handler of a route whose own one runs on a fiber: `ctx` is the route. */
static void run_async(hs_req *req, hs_res *res, void *ctx)
{
    const route *r = ctx;
    HS_ASSERT(r->async != NULL && r->label != NULL);
    hs_http_run_async(req, res, r->label, r->async, r->async_ctx);
}

void hs_app_route_async(hs_app *app, uint32_t methods, const char *path, hs_http_async_fn *handler,
                        void *ctx)
{
    HS_ASSERT(handler != NULL);
    uint32_t len = app->routes_len;
    hs_app_route(app, methods, path, run_async, NULL);
    if (app->routes_len == len)
        return;
    route *r = &app->routes[len];
    r->ctx = r;
    r->async = handler;
    r->async_ctx = ctx;
}

void hs_app_get_async(hs_app *app, const char *path, hs_http_async_fn *handler, void *ctx)
{
    hs_app_route_async(app, HS_METHODS(HS_METHOD_GET), path, handler, ctx);
}

void hs_app_post_async(hs_app *app, const char *path, hs_http_async_fn *handler, void *ctx)
{
    hs_app_route_async(app, HS_METHODS(HS_METHOD_POST), path, handler, ctx);
}

void hs_app_get(hs_app *app, const char *path, hs_http_handler *handler, void *ctx)
{
    hs_app_route(app, HS_METHODS(HS_METHOD_GET), path, handler, ctx);
}

void hs_app_post(hs_app *app, const char *path, hs_http_handler *handler, void *ctx)
{
    hs_app_route(app, HS_METHODS(HS_METHOD_POST), path, handler, ctx);
}

static bool matches(const route *r, hs_span path)
{
    return r->prefix ? hs_span_starts(path, r->path) : hs_span_eq(path, r->path);
}

/* "GET, HEAD, OPTIONS": what `methods` allows (RFC 9110 section 10.2.1). */
static hs_span allow_text(uint32_t methods, char *out, size_t out_bytes)
{
    size_t len = 0;
    methods |= HS_METHODS(HS_METHOD_OPTIONS);
    for (uint32_t m = HS_METHOD_GET; m < HS_METHOD_COUNT; m++) {
        /* The server answers these two itself, and never by a route. */
        if (!(methods & HS_METHODS(m)) || m == HS_METHOD_CONNECT || m == HS_METHOD_TRACE)
            continue;
        hs_span name = hs_method_name((hs_method)m);
        HS_ASSERT(len + 2 + name.len <= out_bytes);
        if (len > 0) {
            memcpy(out + len, ", ", 2);
            len += 2;
        }
        memcpy(out + len, name.ptr, name.len);
        len += name.len;
    }
    return hs_span_of(out, len);
}

/* The path is known, the method is not among its own. */
static void answer_allow(hs_req *req, hs_res *res, uint32_t methods)
{
    HS_ASSERT(methods != 0);
    char text[128];
    hs_method method = hs_req_method(req);
    hs_err err = hs_res_header(res, HS_SPAN("Allow"), allow_text(methods, text, sizeof text));
    if (!hs_ok(err))
        hs_res_text(res, 500, HS_SPAN("500 Internal Server Error\n"));
    else if (method == HS_METHOD_OPTIONS)
        hs_res_send(res, 204, hs_span_of(NULL, 0));
    else if (method == HS_METHOD_OTHER)
        hs_res_text(res, 501, HS_SPAN("501 Not Implemented\n"));
    else
        hs_res_text(res, 405, HS_SPAN("405 Method Not Allowed\n"));
}

void router_handle(hs_req *req, hs_res *res, void *ctx)
{
    const hs_app *app = ctx;
    HS_ASSERT(app->routes_len <= APP_ROUTES_MAX);
    hs_span path = hs_req_path(req);
    uint32_t method = HS_METHODS(hs_req_method(req)), allowed = 0;
    for (uint32_t i = 0; i < app->routes_len; i++) {
        const route *r = &app->routes[i];
        if (!matches(r, path))
            continue;
        if (HS_LIKELY(r->methods & method)) {
            hs_req_set_route(req, r->label, r->path.len);
            r->handler(req, res, r->ctx);
            return;
        }
        allowed |= r->methods;
    }
    /* OPTIONS * asks about the server as a whole (RFC 9110 section 9.3.7). */
    if (allowed || hs_span_eq(path, HS_SPAN("*")))
        answer_allow(req, res, allowed ? allowed : HS_METHODS_ANY);
    else if (method == HS_METHODS(HS_METHOD_OTHER))
        hs_res_text(res, 501, HS_SPAN("501 Not Implemented\n"));
    else
        hs_res_text(res, 404, HS_SPAN("404 Not Found\n"));
}
