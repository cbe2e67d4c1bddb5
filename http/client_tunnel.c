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

bool client_tunnel_needed(const fetch *f)
{
    return f->via && (f->via->socks || client_secure(&f->url));
}

bool client_tunnel_asks(const fetch *f)
{
    return f->via && !client_tunnel_needed(f);
}

bool client_tunnel_is_open(const client_conn *c)
{
    return c->socks ? c->socks->open : c->answer->open;
}

const char *client_tunnel_cut_off(const client_conn *c)
{
    return c->socks ? "it ended the connection inside of SOCKS"
                    : "it ended the connection without an answer to CONNECT";
}

static hs_err ask_socks(client_conn *c)
{
    fetch *f = c->fetch;
    hs_span first;
    c->socks = hs_arena_take(&f->arena, sizeof *c->socks);
    HS_ENSURE(c->socks, -ENOMEM);
    proxy_socks_begin(c->socks, f->via, &f->url, &first);
    return hs_stream_write(c->stream, first);
}

hs_err client_tunnel_ask(client_conn *c)
{
    fetch *f = c->fetch;
    hs_span head;
    if (f->via->socks)
        return ask_socks(c);
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

/* A stream that takes nothing any more will say why. */
static hs_err read_socks(client_conn *c, hs_span in, const char **text)
{
    hs_span next;
    hs_err err = proxy_socks_read(c->socks, in, &next);
    *text = c->socks->text;
    HS_TRY(err);
    if (next.len == 0)
        return HS_OK;
    err = hs_stream_write(c->stream, next);
    return hs_stream_writable(c->stream) ? err : HS_OK;
}

hs_err client_tunnel_read(client_conn *c, hs_span in, const char **text)
{
    if (c->socks)
        return read_socks(c, in, text);
    HS_ASSERT(c->answer && !c->answer->open);
    HS_ASSERT(in.len > 0);
    hs_err err = proxy_answer_read(c->answer, in);
    if (!hs_ok(err) && err.code != -ENOMEM)
        *text = refusal(c, err);
    return err;
}
