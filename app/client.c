/* The HTTP client of an application: one on each shard, made when it is first asked for.
 *
 * Owns: its options, its trust in certificates, its part in a stop. Must not know: what is fetched.
 * Tested by: tests/e2e/proxy.py. */
#include "app.h"

#include <errno.h>

#include "lazy_secure.h"

void hs_app_use_client(hs_app *app, const hs_client_options *options)
{
    HS_ASSERT(app->group == NULL);
    app->uses_client = true;
    if (options)
        app->client = *options;
    /* Those are of one shard. */
    HS_ASSERT(!app->client.tcp && !app->client.dns && !app->client.secure);
}

hs_err app_client_open(hs_app *app)
{
    hs_tls_options o = {0};
    if (!app->uses_client)
        return HS_OK;
    hs_err err = hs_tls_client_ctx(&o, &app->client_tls, &app->tls_why);
    if (err.code != HS_E_USAGE && err.code != -ENOENT)
        return err;
    /* Built without TLS, or on a system without roots: http works, and https says why it does
     * not. The roots are looked for again when a host is to be verified. */
    app->client_rootless = err.code == -ENOENT;
    app->tls_why.text[0] = '\0';
    return HS_OK;
}

void app_client_close(hs_app *app)
{
    hs_tls_ctx_unref(app->client_tls);
    app->client_tls = NULL;
}

static hs_err make_secure(app_shard *as)
{
    static const hs_tls_options rootless = {.roots_off = true};
    const hs_app *app = as->app;
    hs_tls_why why;
    if (as->client_secure)
        return HS_OK;
    if (app->client_rootless)
        return lazy_secure_create(as->shard, &rootless, &as->client_secure, &why);
    return app->client_tls ? hs_tls_secure_create(as->shard, app->client_tls, &as->client_secure)
                           : HS_OK;
}

static hs_err make(app_shard *as)
{
    hs_client_options o = as->app->client;
    HS_TRY(make_secure(as));
    o.secure = as->client_secure;
    HS_TRY(hs_client_create(as->shard, &o, &as->client));
    if (hs_shard_stopping(as->shard))
        hs_client_drain(as->client);
    return HS_OK;
}

hs_client *hs_app_client(const hs_req *req)
{
    hs_app *app = hs_req_server_ctx(req);
    app_shard *as = &app->shards[hs_shard_id(hs_req_shard(req))];
    HS_ASSERT(app->uses_client); /* hs_app_use_client comes first */
    HS_ASSERT(as->shard == hs_shard_self());
    if (!as->client && !hs_ok(make(as)))
        return NULL;
    return as->client;
}

hs_promise *hs_app_fetch(hs_req *req, hs_span url, const hs_fetch_options *options)
{
    hs_fetch_options o = options ? *options : (hs_fetch_options){0};
    hs_client *client = hs_app_client(req);
    if (!client)
        return hs_promise_settled(hs_req_shard(req), hs_error(hs_err_of(-ENOMEM)));
    o.guarded = true;
    if (!o.cancel)
        o.cancel = hs_req_cancel(req);
    return hs_fetch(client, url, &o);
}

bool app_client_busy(const app_shard *as)
{
    return as->client && hs_client_conns(as->client) > 0;
}

void app_client_drain(app_shard *as)
{
    if (as->client)
        hs_client_drain(as->client);
}

void app_client_end(app_shard *as)
{
    if (as->client)
        hs_client_destroy(as->client);
    as->client = NULL;
    if (as->app->client_rootless)
        lazy_secure_destroy(as->client_secure);
    else
        hs_tls_secure_destroy(as->client_secure);
    as->client_secure = NULL;
}
