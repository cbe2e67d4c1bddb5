/* TLS of an application: contexts made at the start and at a reload, and each shard's part.
 *
 * Owns: what is served by HTTPS, and the words about it in the log. Must not know: how TLS works.
 * Tested by: tests/e2e/tls.py. */
#include "app.h"
#include "hs_dns.h"

#define PLAIN_BODY "This port speaks HTTPS: ask with https://\n"

static const hs_span protocols[] = {{(const uint8_t *)"http/1.1", 8}};

/* What a client gets that has forgotten the "s". */
static const char plain_answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                   "Content-Type: text/plain\r\n"
                                   "Content-Length: 42\r\n"
                                   "Connection: close\r\n\r\n" PLAIN_BODY;
HS_STATIC_ASSERT(sizeof PLAIN_BODY - 1 == 42, "the length is what it says");

static hs_err make_ctx(hs_app *app, hs_tls_ctx **out, hs_tls_why *why)
{
    hs_tls_options o = *app->options.tls;
    o.alpn = protocols;
    o.alpn_len = HS_ARRAY_LEN(protocols);
    return hs_tls_server_ctx(&o, out, why);
}

hs_err app_tls_open(hs_app *app)
{
    hs_tls_ctx *ctx;
    app->tls_why.text[0] = '\0';
    if (!app->options.tls)
        return HS_OK;
    HS_TRY(make_ctx(app, &ctx, &app->tls_why));
    app->tls_box = hs_tls_box_create(app->mem, ctx);
    hs_tls_ctx_unref(ctx);
    HS_ENSURE(app->tls_box, -ENOMEM);
    return HS_OK;
}

void app_tls_close(hs_app *app)
{
    hs_tls_box_destroy(app->tls_box);
    app->tls_box = NULL;
}

bool hs_app_reloads(const hs_app *app)
{
    return app->tls_box || app->uses_client;
}

static hs_err reload_tls(hs_app *app, hs_log *log)
{
    hs_tls_ctx *ctx;
    hs_tls_why why;
    hs_err err = make_ctx(app, &ctx, &why);
    if (!hs_ok(err)) {
        hs_log_write(log, HS_LOG_ERROR, "reload: %s; the old certificates stay", why.text);
        return err;
    }
    hs_tls_box_publish(app->tls_box, ctx);
    hs_tls_ctx_unref(ctx);
    hs_log_write(log, HS_LOG_INFO, "reload: new connections get the new certificates");
    return HS_OK;
}

hs_err hs_app_reload(hs_app *app)
{
    HS_ASSERT(app->group != NULL);
    hs_log *log = hs_group_log(app->group);
    if (!hs_app_reloads(app)) {
        hs_log_write(log, HS_LOG_INFO, "reload: there is no certificate to read again");
        return hs_err_of(HS_E_USAGE);
    }
    if (app->uses_client) {
        hs_dns_reload();
        hs_log_write(log, HS_LOG_INFO, "reload: the next lookup reads resolv.conf and hosts again");
    }
    return app->tls_box ? reload_tls(app, log) : HS_OK;
}

bool hs_app_listen_tls(const hs_app *app, uint32_t at)
{
    HS_ASSERT(at < app->options.listen_len);
    return app->options.tls && !hs_addr_is_unix(&app->listen[at]) &&
           !(app->options.listen_plain >> at & 1);
}

/* ---- on each shard ---- */

static void accepted(hs_stream *s, hs_listener *listener, void *ctx)
{
    const app_shard *as = ctx;
    (void)listener;
    hs_tls_accept(as->tls, s);
}

static void ready(hs_stream *s, const hs_tls_info *info, void *ctx)
{
    const app_shard *as = ctx;
    (void)info; /* there is one protocol */
    hs_http_serve(as->server, s);
}

hs_err app_tls_start(app_shard *as)
{
    if (!as->app->tls_box)
        return HS_OK;
    hs_tcp_options tcp = {.accepted = accepted, .ctx = as};
    hs_tls_shard_options tls = {
        .owner_bytes = (uint32_t)hs_http_conn_bytes(),
        .handshake_ms = as->app->options.handshake_ms,
        .ready = ready,
        .ctx = as,
        .plain_answer = hs_span_of(plain_answer, sizeof plain_answer - 1),
    };
    HS_TRY(hs_tls_create(as->shard, as->app->tls_box, &tls, &as->tls));
    return hs_tcp_create(as->shard, &tcp, &as->tls_tcp);
}

void app_tls_end(app_shard *as)
{
    if (as->tls_tcp)
        hs_tcp_destroy(as->tls_tcp);
    if (as->tls)
        hs_tls_destroy(as->tls);
    as->tls_tcp = NULL;
    as->tls = NULL;
}
