/* A reverse proxy that streams both ways. cc proxy.c $(pkg-config --cflags --libs httpshard)
 *
 *   UPSTREAM=http://127.0.0.1:9000 ./proxy --listen 127.0.0.1:8080
 *
 * Neither body is ever held as a whole: whoever is slow, the client, the upstream or the network,
 * slows down the one who sends. A client that leaves ends the fetch. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <httpshard/hs_app.h>
#include <httpshard/hs_fetch.h>

#define URL_BYTES_MAX 16384
#define FIELDS_MAX 100

static const char *upstream;

/* One request on its way; in its own memory. */
typedef struct exchange {
    hs_req *req;
    hs_fetch_sink *sink; /* NULL: the upstream takes no more of the body */
    bool heard;          /* the body is */
    hs_fetch_source source;
    hs_fetch_field fields[FIELDS_MAX + 1];
    char url[URL_BYTES_MAX];
} exchange;

/* ---- what is passed on ---- */

/* Of one connection alone, and not to be passed on (RFC 9110 section 7.6.1); or the client's and
 * the server's own. */
static bool is_own(hs_span name)
{
    static const char *const names[] = {
        "Connection", "Keep-Alive",     "Proxy-Connection",    "TE",
        "Trailer",    "Upgrade",        "Transfer-Encoding",   "Content-Length",
        "Host",       "Expect",         "Proxy-Authorization", "Proxy-Authenticate",
        "Date",       "HTTP2-Settings",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (hs_span_eq_nocase(name, hs_span_str(names[i])))
            return true;
    return false;
}

/* Whether the list in a Connection field names it. */
static bool is_listed(hs_span list, hs_span name)
{
    while (list.len > 0) {
        size_t end = 0;
        while (end < list.len && list.ptr[end] != ',')
            end++;
        size_t from = 0, to = end;
        while (from < to && (list.ptr[from] == ' ' || list.ptr[from] == '\t'))
            from++;
        while (to > from && (list.ptr[to - 1] == ' ' || list.ptr[to - 1] == '\t'))
            to--;
        if (hs_span_eq_nocase(hs_span_of(list.ptr + from, to - from), name))
            return true;
        list = hs_span_from(list, end < list.len ? end + 1 : end);
    }
    return false;
}

/* A list may come in several fields (RFC 9110 section 5.3). */
static bool request_lists(const hs_req *req, hs_span name)
{
    for (uint32_t i = 0; i < hs_req_headers(req); i++) {
        hs_span field, list;
        hs_req_header_at(req, i, &field, &list);
        if (hs_span_eq_nocase(field, HS_SPAN("Connection")) && is_listed(list, name))
            return true;
    }
    return false;
}

static bool response_lists(const hs_fetch_res *res, hs_span name)
{
    for (uint32_t i = 0; i < res->fields_len; i++) {
        const hs_fetch_field *f = &res->fields[i];
        if (hs_span_eq_nocase(f->name, HS_SPAN("Connection")) && is_listed(f->value, name))
            return true;
    }
    return false;
}

static uint32_t copy_request_fields(exchange *e)
{
    uint32_t len = 0;
    for (uint32_t i = 0; i < hs_req_headers(e->req) && len < FIELDS_MAX; i++) {
        hs_fetch_field f;
        hs_req_header_at(e->req, i, &f.name, &f.value);
        if (!is_own(f.name) && !request_lists(e->req, f.name))
            e->fields[len++] = f;
    }
    e->fields[len++] = (hs_fetch_field){HS_SPAN("Via"), HS_SPAN("1.1 httpshard")};
    return len;
}

/* *length: what the response tells of its body. */
static hs_err copy_response_fields(hs_res *res, const hs_fetch_res *from, uint64_t *length)
{
    *length = HS_LENGTH_UNKNOWN;
    for (uint32_t i = 0; i < from->fields_len; i++) {
        const hs_fetch_field *f = &from->fields[i];
        if (hs_span_eq_nocase(f->name, HS_SPAN("Content-Length")))
            (void)hs_span_u64(f->value, UINT64_MAX - 1, length);
        else if (!is_own(f->name) && !response_lists(from, f->name) &&
                 hs_http_is_field_value(f->value)) /* the client takes more than may be sent */
            HS_TRY(hs_res_header(res, f->name, f->value));
    }
    return hs_res_header(res, HS_SPAN("Via"), HS_SPAN("1.1 httpshard"));
}

/* ---- the body of the request ---- */

static void on_body(hs_req *req, hs_span piece, bool last, void *ctx)
{
    exchange *e = ctx;
    if (!e->sink)
        return; /* the upstream has answered without it, or is gone */
    hs_err err = piece.len > 0 ? hs_fetch_write(e->sink, piece) : HS_OK;
    if (e->sink && (last || !hs_ok(err)))
        hs_fetch_end(e->sink, err);
    else if (e->sink && hs_fetch_full(e->sink))
        hs_req_body_pause(req);
}

/* The upstream takes more. */
static void on_more(hs_fetch_sink *sink, void *ctx)
{
    exchange *e = ctx;
    e->sink = sink;
    if (e->heard) {
        hs_req_body_resume(e->req);
        return;
    }
    e->heard = true;
    hs_err err = hs_req_body(e->req, on_body, e);
    if (!hs_ok(err))
        hs_fetch_end(sink, err);
}

static void on_over(hs_err why, void *ctx)
{
    exchange *e = ctx;
    (void)why;
    e->sink = NULL;
}

/* ---- one request ---- */

static hs_promise *pass_on(exchange *e, hs_client *client)
{
    hs_req *req = e->req;
    hs_span path = hs_req_path(req), query = hs_req_query(req);
    uint64_t length;
    if (!hs_req_content_length(req, &length))
        length = HS_FETCH_CHUNKED;
    int len = snprintf(e->url, sizeof e->url, "%s%.*s%s%.*s", upstream, (int)path.len,
                       (const char *)path.ptr, query.len > 0 ? "?" : "", (int)query.len,
                       (const char *)query.ptr);
    if (len < 0 || (size_t)len >= sizeof e->url)
        return hs_promise_settled(hs_req_shard(req), hs_error(hs_err_of(HS_E_LIMIT)));
    e->source = (hs_fetch_source){.length = length, .more = on_more, .over = on_over, .ctx = e};
    hs_fetch_options o = {.method = hs_req_method_name(req),
                          .headers = e->fields,
                          .headers_len = copy_request_fields(e),
                          .source = length > 0 ? &e->source : NULL,
                          .cancel = hs_req_cancel(req),
                          .redirect = HS_FETCH_MANUAL};
    return hs_fetch(client, hs_span_of(e->url, (size_t)len), &o);
}

/* The body as it comes, and no faster than the client takes it. */
static hs_err copy_body(hs_res *res, hs_fetch_res *from)
{
    for (;;) {
        const hs_span *piece;
        HS_TRY(hs_await(hs_fetch_next(from), &piece));
        if (!piece)
            return HS_OK;
        HS_TRY(hs_res_write(res, *piece));
        if (hs_res_full(res))
            HS_TRY(hs_await(hs_res_drained(res), NULL));
    }
}

static hs_err pass_back(hs_req *req, hs_res *res, hs_fetch_res *from)
{
    uint64_t length;
    if (from->status > 599) {
        hs_res_text(res, 502, HS_SPAN("the upstream has a status that is none"));
        return HS_OK;
    }
    HS_TRY(copy_response_fields(res, from, &length));
    if (hs_req_method(req) == HS_METHOD_HEAD)
        length = HS_LENGTH_UNKNOWN; /* there is nothing to count */
    HS_TRY(hs_res_begin(res, from->status, length));
    return copy_body(res, from);
}

static hs_err proxy(hs_req *req, hs_res *res, void *ctx)
{
    hs_client *client = hs_app_client(req);
    exchange *e = hs_arena_take(hs_req_arena(req), sizeof *e);
    (void)ctx;
    if (!client || !e)
        return hs_err_of(-ENOMEM);
    *e = (exchange){.req = req};
    hs_outcome o = hs_await_outcome(pass_on(e, client));
    if (hs_ok(o.err)) {
        hs_err err = pass_back(req, res, o.value);
        o.drop(o.value);
        return err; /* a body that was cut off cuts off ours */
    }
    const hs_fetch_error *why = o.value;
    if (o.err.code != -ECANCELED)
        hs_res_text(res, o.err.code == -ETIMEDOUT ? 504 : 502,
                    why ? hs_span_str(why->text) : HS_SPAN("the upstream did not answer"));
    if (o.drop)
        o.drop(o.value);
    return HS_OK;
}

int main(int argc, char **argv)
{
    upstream = getenv("UPSTREAM");
    if (!upstream) {
        fprintf(stderr, "proxy: UPSTREAM is not set; it is where requests go, such as "
                        "http://127.0.0.1:9000\n");
        return 2;
    }
    hs_app *app = hs_app_create();
    hs_app_use_client(app, NULL);
    hs_app_route_async(app, HS_METHODS_ANY, "/*", proxy, NULL);
    return hs_app_main(app, argc, argv);
}
