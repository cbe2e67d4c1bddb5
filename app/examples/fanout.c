/* One request that asks four others at once. cc fanout.c $(pkg-config --cflags --libs httpshard)
 *
 *   UPSTREAM=http://127.0.0.1:9000 [ALLOW=10.20.0.0/16] ./fanout --listen 127.0.0.1:8080
 *   GET /all        {"plaintext":"Hello, World!","json":...}: as slow as the slowest of them
 *   GET /check?URL  the status of a URL that a stranger named: public addresses, and ALLOW
 *   GET /message    what the upstream's JSON has as "message"
 *   GET /timer      answers at once, however slow the upstreams are */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <httpshard/hs_app.h>
#include <httpshard/hs_fetch.h>
#include <httpshard/hs_json.h>
#include <httpshard/yyjson.h>

#define PARTS 4
#define BODY_BYTES_MAX 4096

static const char *upstream;
static const char *const paths[PARTS] = {"/plaintext", "/json", "/healthz", "/bytes/16"};

/* A string of JSON, or all of it that has room. Returns how much of `out` is used. */
static size_t put_text(char *out, size_t cap, hs_span text)
{
    size_t len = 0;
    out[len++] = '"';
    for (size_t i = 0; i < text.len && len + 7 < cap; i++) {
        uint8_t c = text.ptr[i];
        if (c < 0x20)
            len += (size_t)snprintf(out + len, 7, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            len += (size_t)snprintf(out + len, 3, "\\%c", c);
        else
            out[len++] = (char)c;
    }
    out[len++] = '"';
    return len;
}

/* "path":"body", or "path":null where it did not come. */
static size_t put_part(char *out, size_t cap, uint32_t i, hs_outcome *o)
{
    const hs_span *body;
    size_t len = (size_t)snprintf(out, cap, "%s\"%s\":", i > 0 ? "," : "{", paths[i] + 1);
    if (hs_ok(o->err) && hs_ok(hs_await(hs_fetch_text(o->value, BODY_BYTES_MAX), &body)))
        return len + put_text(out + len, cap - len, *body);
    return len + (size_t)snprintf(out + len, cap - len, "null");
}

static hs_err all(hs_req *req, hs_res *res, void *ctx)
{
    const size_t cap = PARTS * (6 * BODY_BYTES_MAX + 64);
    hs_client *client = hs_app_client(req);
    hs_promise *started[PARTS];
    hs_outcomes *came;
    size_t len = 0;
    (void)ctx;
    char *out = hs_arena_take(hs_req_arena(req), cap);
    if (!client || !out)
        return hs_err_of(-ENOMEM);
    hs_fetch_options o = {.cancel = hs_req_cancel(req)};
    for (uint32_t i = 0; i < PARTS; i++) {
        char url[512];
        int n = snprintf(url, sizeof url, "%s%s", upstream, paths[i]);
        started[i] = hs_fetch(client, hs_span_of(url, (size_t)n), &o);
    }
    HS_TRY(hs_await(hs_all_settled(hs_req_shard(req), started, PARTS), &came));
    for (uint32_t i = 0; i < PARTS; i++)
        len += put_part(out + len, cap - len, i, &came->at[i]);
    hs_outcomes_free(came);
    out[len++] = '}';
    HS_TRY(hs_cancel_why(hs_req_cancel(req))); /* it left while bodies came */
    hs_res_json(res, 200, hs_span_of(out, len));
    return HS_OK;
}

/* The answer to a response whose body is JSON. */
static void answer_message(hs_res *res, hs_fetch_res *there)
{
    yyjson_doc *doc;
    hs_err err = hs_await(hs_fetch_json(there, NULL), &doc);
    if (!hs_ok(err)) {
        const hs_fetch_error *why = hs_fetch_why(there);
        hs_res_text(res, 502, hs_span_str(why ? why->text : hs_err_text(err)));
        return;
    }
    yyjson_val *message = yyjson_obj_get(yyjson_doc_get_root(doc), "message");
    if (yyjson_is_str(message))
        hs_res_text(res, 200, hs_span_of(yyjson_get_str(message), yyjson_get_len(message)));
    else
        hs_res_text(res, 502, HS_SPAN("no message\n"));
    yyjson_doc_free(doc);
}

static hs_err message(hs_req *req, hs_res *res, void *ctx)
{
    char url[512];
    hs_fetch_res *there;
    hs_client *client = hs_app_client(req);
    (void)ctx;
    if (!client)
        return hs_err_of(-ENOMEM);
    int n = snprintf(url, sizeof url, "%s/json", upstream);
    hs_fetch_options o = {.cancel = hs_req_cancel(req)};
    HS_TRY(hs_await(hs_fetch(client, hs_span_of(url, (size_t)n), &o), &there));
    answer_message(res, there);
    hs_fetch_res_free(there);
    return HS_OK;
}

static hs_err check(hs_req *req, hs_res *res, void *ctx)
{
    char status[8];
    hs_fetch_res *there;
    (void)ctx;
    hs_err err = hs_await(hs_app_fetch(req, hs_req_query(req), NULL), &there);
    if (!hs_ok(err)) {
        hs_res_text(res, err.code == HS_E_FORBIDDEN ? 403 : 502, hs_span_str(hs_err_text(err)));
        return HS_OK;
    }
    int len = snprintf(status, sizeof status, "%u\n", there->status);
    hs_fetch_res_free(there);
    hs_res_text(res, 200, hs_span_of(status, (size_t)len));
    return HS_OK;
}

static void timer(hs_req *req, hs_res *res, void *ctx)
{
    (void)req, (void)ctx;
    hs_res_text(res, 200, HS_SPAN("now\n"));
}

int main(int argc, char **argv)
{
    upstream = getenv("UPSTREAM");
    if (!upstream || strlen(upstream) > 400) {
        fprintf(stderr, "fanout: UPSTREAM wants a URL, such as http://127.0.0.1:9000\n");
        return 2;
    }
    static hs_guard guard;
    const char *allow = getenv("ALLOW");
    if (allow && !hs_ok(hs_guard_allow_nets(&guard, hs_span_str(allow)))) {
        fprintf(stderr, "fanout: ALLOW wants networks, such as 10.20.0.0/16\n");
        return 2;
    }
    hs_app *app = hs_app_create();
    hs_client_options o = {.guard = &guard};
    hs_app_use_client(app, &o);
    hs_app_get_async(app, "/all", all, NULL);
    hs_app_get_async(app, "/check", check, NULL);
    hs_app_get_async(app, "/message", message, NULL);
    hs_app_get(app, "/timer", timer, NULL);
    return hs_app_main(app, argc, argv);
}
