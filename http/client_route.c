/* Where the connections of a client go instead of to the host and port that a URL, or a proxy, has.
 *
 * Owns: the table of hs_client_options.routes, with hosts as the URL parser makes them. Must not
 * know: who dials. Tested by: tests/unit/http_fetch_route.c. */
#include "client.h"

/* The host of "http://HOST": without case, by A-labels, an address in its one form. */
static hs_err normal_host(hs_arena *arena, hs_span host, hs_span *out)
{
    hs_url url;
    *out = hs_span_of(NULL, 0);
    if (host.len == 0)
        return HS_OK;
    HS_ENSURE(host.len <= HS_URL_BYTES_MAX / 2, HS_E_USAGE);
    uint8_t *text = hs_arena_take(arena, host.len + 7);
    HS_ENSURE(text, -ENOMEM);
    memcpy(text, "http://", 7);
    memcpy(text + 7, host.ptr, host.len);
    HS_TRY(hs_url_parse(&url, arena, hs_span_of(text, host.len + 7), NULL));
    bool bracketed = host.ptr[0] == '[';
    bool port = bracketed ? host.ptr[host.len - 1] != ']' : memchr(host.ptr, ':', host.len) != NULL;
    bool alone = !port && !memchr(host.ptr, '/', host.len) && !memchr(host.ptr, '\\', host.len) &&
                 url.path.len == 1 && !url.has_query && !url.has_fragment &&
                 url.username.len + url.password.len == 0;
    HS_ENSURE(alone && url.host.len <= HOST_BYTES_MAX, HS_E_USAGE);
    *out = url.host;
    return HS_OK;
}

hs_err client_routes_read(hs_client *client)
{
    hs_client_options *o = &client->options;
    HS_ASSERT(o->routes || o->routes_len == 0);
    if (o->routes_len == 0)
        return HS_OK;
    HS_ENSURE(o->routes_len <= HS_FETCH_ROUTES_MAX, HS_E_USAGE);
    hs_fetch_route *copy = hs_arena_take(&client->proxy_arena, o->routes_len * sizeof *copy);
    HS_ENSURE(copy, -ENOMEM);
    for (uint32_t i = 0; i < o->routes_len; i++) {
        hs_fetch_route r = o->routes[i];
        hs_err err = normal_host(&client->proxy_arena, r.host, &r.host);
        if (hs_ok(err))
            err = normal_host(&client->proxy_arena, r.to_host, &r.to_host);
        if (err.code == HS_E_USAGE)
            hs_log_write(hs_shard_log(client->shard), HS_LOG_ERROR,
                         "route %u has a host that is none", i + 1);
        HS_TRY(err);
        copy[i] = r;
    }
    o->routes = copy;
    return HS_OK;
}

static hs_span without_dot(hs_span host)
{
    host.len -= host.len > 1 && host.ptr[host.len - 1] == '.';
    return host;
}

void client_route(const hs_client *client, hs_span *host, uint16_t *port)
{
    const hs_client_options *o = &client->options;
    for (uint32_t i = 0; i < o->routes_len; i++) {
        const hs_fetch_route *r = &o->routes[i];
        bool same_host = r->host.len == 0 || hs_span_eq(without_dot(r->host), without_dot(*host));
        if (!same_host || (r->port != 0 && r->port != *port))
            continue;
        if (r->to_host.len > 0)
            *host = r->to_host;
        if (r->to_port != 0)
            *port = r->to_port;
        return;
    }
}
