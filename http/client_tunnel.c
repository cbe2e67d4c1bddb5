/* A connection's way through a proxy: which proxy, and the tunnel that is asked of it.
 *
 * Owns: the exchange of a CONNECT on a stream (proxy.h has its bytes), and what is said of a proxy
 * that fails. Must not know: who dialled, or what goes through the tunnel.
 * Tested by: tests/unit/http_fetch_proxy.c. */
#include "client.h"

/* "user agent" of a tunnel: the same as of a request without a field of its own. */
#define AGENT "httpshard"

hs_err client_tunnel_proxies(hs_client *client)
{
    const char *const *env = client->options.proxy_env;
    if (!env)
        return HS_OK;
    bool tls = client->options.secure != NULL;
    return proxy_set_read(&client->proxies, &client->proxy_arena, env, tls);
}

const proxy *client_tunnel_via(const fetch *f)
{
    const hs_client *client = f->client;
    if (!client->options.proxy_env || client->options.connect_to)
        return NULL;
    return proxy_for(&client->proxies, &f->url);
}

hs_err client_tunnel_ask(client_conn *c)
{
    fetch *f = c->fetch;
    hs_span head;
    HS_ASSERT(f->via && c->stream && !c->answer);
    HS_ASSERT(hs_url_port(&f->url) > 0);
    c->answer = hs_arena_take(&f->arena, sizeof *c->answer);
    HS_ENSURE(c->answer, -ENOMEM);
    proxy_answer_init(c->answer, &f->arena);
    HS_TRY(proxy_connect_head(&f->arena, f->url.host, (uint16_t)hs_url_port(&f->url), f->via,
                              HS_SPAN(AGENT), &head));
    return hs_stream_write(c->stream, head);
}

/* What an answer that opens nothing means, to a person. */
static const char *refusal(const client_conn *c, hs_err err)
{
    bool named = c->fetch->via->authorization.len > 0;
    switch (c->answer->status) {
    case 0:
        return err.code == HS_E_LIMIT ? "its answer to CONNECT is too long"
                                      : "its answer to CONNECT is no HTTP";
    case 403:
        return "it does not let us there (403)";
    case 407:
        return named ? "it does not take our name and password (407)"
                     : "it wants a name and a password (407)";
    case 502:
    case 503:
    case 504:
        return "it does not reach the host (502, 503 or 504)";
    default:
        return err.code == HS_E_PROTOCOL ? "it sent more than its answer to CONNECT"
                                         : "it makes no tunnel to the host";
    }
}

hs_err client_tunnel_read(client_conn *c, hs_span in, const char **text)
{
    HS_ASSERT(c->answer && !c->answer->open);
    HS_ASSERT(in.len > 0);
    hs_err err = proxy_answer_read(c->answer, in);
    if (!hs_ok(err) && err.code != -ENOMEM)
        *text = refusal(c, err);
    return err;
}
